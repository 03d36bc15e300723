#include <dtbridge/async/within.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/system/result.hpp>

#include <dtbridge/async/task_group.hpp>

#include <stdexcept>

#include "support/run_coro.hpp"

using namespace dtbridge;
using namespace std::chrono_literals;
using boost::system::error_code;
using dtbridge::test::run_coro;
using answer = boost::system::result<int>;

namespace
{

const answer late = error_code(asio::error::timed_out);

awaitable<answer> after(std::chrono::milliseconds how_long, answer a)
{
    asio::steady_timer timer(co_await asio::this_coro::executor, how_long);
    co_await timer.async_wait(asio::use_awaitable);
    co_return a;
}

awaitable<answer> throws_after(std::chrono::milliseconds how_long)
{
    asio::steady_timer timer(co_await asio::this_coro::executor, how_long);
    co_await timer.async_wait(asio::use_awaitable);
    throw std::runtime_error("a bug");
}

/// Turns its cancellation into an error, as code does that only knows error codes.
awaitable<answer> answers_an_error_when_cancelled()
{
    asio::steady_timer timer(co_await asio::this_coro::executor, 1h);
    auto [ec] = co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
    co_return ec;
}

awaitable<void> into(awaitable<answer> task, int& ended)
{
    struct counter
    {
        explicit counter(int& n) : count(n) {}
        counter(const counter&) = delete;
        ~counter() { ++count; }
        int& count;
    };
    counter c(ended);
    co_await std::move(task);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(within_test)

BOOST_AUTO_TEST_CASE(an_answer_in_time_is_handed_on)
{
    asio::io_context ctx;
    const auto a = run_coro(ctx, within(1h, after(1ms, 7), late), 5s);
    BOOST_TEST(a.value() == 7);
}

BOOST_AUTO_TEST_CASE(an_error_in_time_is_handed_on)
{
    asio::io_context ctx;
    const answer refused = error_code(asio::error::connection_refused);
    const auto a = run_coro(ctx, within(1h, after(1ms, refused), late), 5s);
    BOOST_TEST((a.error() == asio::error::connection_refused));
}

BOOST_AUTO_TEST_CASE(the_limit_answers_what_the_caller_chose)
{
    asio::io_context ctx;
    const auto a = run_coro(ctx, within(2ms, after(3600s, 7), late), 5s);
    BOOST_TEST((a.error() == asio::error::timed_out));
    const auto b = run_coro(ctx, within(2ms, answers_an_error_when_cancelled(), late), 5s);
    BOOST_TEST((b.error() == asio::error::timed_out));
}

BOOST_AUTO_TEST_CASE(what_the_task_throws_arrives_at_once_and_is_no_timeout)
{
    asio::io_context ctx;
    const auto began = std::chrono::steady_clock::now();
    BOOST_CHECK_THROW(run_coro(ctx, within(60s, throws_after(1ms), late), 5s), std::runtime_error);
    BOOST_TEST((std::chrono::steady_clock::now() - began < 5s));
}

BOOST_AUTO_TEST_CASE(cancelling_the_caller_cancels_the_task)
{
    asio::io_context ctx;
    int failures = 0;
    int ended = 0;
    bool joined = false;
    task_group group(ctx.get_executor(), [&failures](const std::string&, std::exception_ptr) { ++failures; });
    auto script = [](task_group& g, int& e, bool& j) -> awaitable<void> {
        g.spawn("caller", into(within(1h, after(3600s, 7), late), e));
        g.cancel();
        j = co_await g.join(5s);
    };
    run_coro(ctx, script(group, ended, joined), 10s);
    BOOST_TEST(joined);
    BOOST_TEST(ended == 1);
    BOOST_TEST(failures == 0);
}

BOOST_AUTO_TEST_CASE(an_outer_limit_reaches_through_an_inner_one)
{
    asio::io_context ctx;
    const answer outer = error_code(asio::error::host_not_found);
    const auto a = run_coro(ctx, within(2ms, within(1h, after(3600s, 7), late), outer), 5s);
    BOOST_TEST((a.error() == asio::error::host_not_found));
}

BOOST_AUTO_TEST_SUITE_END()
