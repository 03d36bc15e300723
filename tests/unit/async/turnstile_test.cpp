#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/test/unit_test.hpp>

#include <dtbridge/async/task_group.hpp>
#include <dtbridge/async/turnstile.hpp>

#include <string>
#include <vector>

#include "support/run_coro.hpp"

using namespace dtbridge;
using namespace std::chrono_literals;
namespace asio = boost::asio;
using asio::awaitable;
using test::run_coro;

namespace
{

struct log_of
{
    std::string text;
    int inside = 0, most = 0;
};

awaitable<void> rest(std::chrono::milliseconds d)
{
    asio::steady_timer timer(co_await asio::this_coro::executor, d);
    co_await timer.async_wait(asio::use_awaitable);
}

awaitable<void> visit(turnstile& t, log_of& log, char name, int times)
{
    for (int i = 0; i < times; ++i)
    {
        auto turn = co_await t.enter();
        log.text.push_back(name);
        log.most = std::max(log.most, ++log.inside);
        co_await rest(1ms);
        --log.inside;
    }
}

task_group::on_failure nobody()
{
    return [](const std::string& name, std::exception_ptr) { BOOST_ERROR(name); };
}

awaitable<void> take_turns(log_of& log)
{
    auto ex = co_await asio::this_coro::executor;
    turnstile t(ex, 1);
    task_group tasks(ex, nobody());
    tasks.spawn("a", visit(t, log, 'a', 3));
    tasks.spawn("b", visit(t, log, 'b', 3));
    tasks.spawn("c", visit(t, log, 'c', 3));
    co_await tasks.join(5s);
}

awaitable<void> two_at_once(log_of& log)
{
    auto ex = co_await asio::this_coro::executor;
    turnstile t(ex, 2);
    task_group tasks(ex, nobody());
    for (const char name : {'a', 'b', 'c', 'd', 'e'})
        tasks.spawn("x", visit(t, log, name, 2));
    co_await tasks.join(5s);
}

awaitable<void> cancel_one_that_waits(log_of& log)
{
    auto ex = co_await asio::this_coro::executor;
    turnstile t(ex, 1);
    task_group tasks(ex, nobody());
    auto mine = co_await t.enter();
    tasks.spawn("a", visit(t, log, 'a', 1));
    tasks.spawn("b", visit(t, log, 'b', 1));
    co_await rest(5ms);
    tasks.cancel("a");
    const bool gone = co_await tasks.join("a", 1s);
    BOOST_TEST(gone);
    mine.leave();
    const bool all = co_await tasks.join(1s);
    BOOST_TEST(all);
}

awaitable<void> lend(log_of& log, bool slow)
{
    auto ex = co_await asio::this_coro::executor;
    turnstile t(ex, 1);
    task_group tasks(ex, nobody());
    auto mine = co_await t.enter();
    mine.lend_after(slow ? 5ms : 10s);
    tasks.spawn("a", visit(t, log, 'a', 1));
    co_await rest(50ms);
    log.text.push_back('|');
    mine.keep();
    tasks.spawn("b", visit(t, log, 'b', 1));
    co_await rest(20ms);
    log.text.push_back('|');
    mine.leave();
    co_await tasks.join(1s);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(turnstiles)

BOOST_AUTO_TEST_CASE(first_come_first_served_and_back_to_the_end)
{
    asio::io_context ctx;
    log_of log;
    run_coro(ctx, take_turns(log), 10s);
    BOOST_TEST(log.text == "abcabcabc");
    BOOST_TEST(log.most == 1);
}

BOOST_AUTO_TEST_CASE(no_more_than_its_capacity)
{
    asio::io_context ctx;
    log_of log;
    run_coro(ctx, two_at_once(log), 10s);
    BOOST_TEST(log.text.size() == 10u);
    BOOST_TEST(log.most == 2);
}

BOOST_AUTO_TEST_CASE(who_is_cancelled_leaves_the_queue)
{
    asio::io_context ctx;
    log_of log;
    run_coro(ctx, cancel_one_that_waits(log), 10s);
    BOOST_TEST(log.text == "b");
}

BOOST_AUTO_TEST_CASE(a_place_is_lent_while_its_holder_waits_for_long)
{
    asio::io_context ctx;
    log_of log;
    run_coro(ctx, lend(log, true), 10s);
    BOOST_TEST(log.text == "a||b");  // taken back: b waits until it is left
    log_of quick;
    run_coro(ctx, lend(quick, false), 10s);
    BOOST_TEST(quick.text == "||ab");
}

BOOST_AUTO_TEST_SUITE_END()
