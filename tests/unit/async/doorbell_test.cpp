#include <dtbridge/async/doorbell.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <dtbridge/async/task_group.hpp>

#include "support/run_coro.hpp"

using namespace dtbridge;
using namespace std::chrono_literals;
using dtbridge::test::run_coro;

namespace
{

awaitable<void> wait_into(doorbell& bell, int& rings)
{
    const bool rung = co_await bell.wait(1h);
    rings += rung;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(doorbell_test)

BOOST_AUTO_TEST_CASE(a_ring_before_the_wait_is_kept_and_many_are_one)
{
    asio::io_context ctx;
    doorbell bell(ctx.get_executor());
    bell.ring();
    bell.ring();
    BOOST_TEST(run_coro(ctx, bell.wait(1h), 5s));
    BOOST_TEST(!run_coro(ctx, bell.wait(1ms), 5s));
}

BOOST_AUTO_TEST_CASE(a_ring_ends_the_wait)
{
    asio::io_context ctx;
    doorbell bell(ctx.get_executor());
    asio::steady_timer later(ctx, 5ms);
    later.async_wait([&bell](boost::system::error_code) { bell.ring(); });
    BOOST_TEST(run_coro(ctx, bell.wait(1h), 5s));
}

BOOST_AUTO_TEST_CASE(the_limit_of_a_wait_may_be_as_long_as_it_likes)
{
    asio::io_context ctx;
    doorbell bell(ctx.get_executor());
    asio::steady_timer later(ctx, 5ms);
    later.async_wait([&bell](boost::system::error_code) { bell.ring(); });
    BOOST_TEST(run_coro(ctx, bell.wait(std::chrono::steady_clock::duration::max()), 5s));
}

BOOST_AUTO_TEST_CASE(a_ring_that_meets_a_cancellation_is_kept)
{
    asio::io_context ctx;
    doorbell bell(ctx.get_executor());
    task_group group(ctx.get_executor(), {});
    int rings = 0;
    bool after = false;
    auto script = [](doorbell& b, task_group& g, int& n, bool& again) -> awaitable<void> {
        g.spawn("waiter", wait_into(b, n));
        b.ring();
        g.cancel();
        co_await g.join(5s);
        again = co_await b.wait(0ms);
    };
    run_coro(ctx, script(bell, group, rings, after), 10s);
    BOOST_TEST(rings + after == 1);
}

BOOST_AUTO_TEST_SUITE_END()
