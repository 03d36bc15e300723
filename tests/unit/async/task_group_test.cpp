#include <dtbridge/async/task_group.hpp>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

#include <stdexcept>
#include <string>
#include <vector>

#include "support/run_coro.hpp"

using namespace dtbridge;
using namespace std::chrono_literals;
using dtbridge::test::run_coro;

namespace
{

struct recorder
{
    std::vector<std::string> failures;
    task_group::on_failure handler()
    {
        return [this](const std::string& name, std::exception_ptr error) {
            try
            {
                std::rethrow_exception(error);
            }
            catch (const std::exception& e)
            {
                failures.push_back(name + ": " + e.what());
            }
        };
    }
};

awaitable<void> sleeper(std::chrono::milliseconds how_long, int& ends)
{
    asio::steady_timer timer(co_await asio::this_coro::executor, how_long);
    co_await timer.async_wait(asio::use_awaitable);
    ++ends;
}

awaitable<void> failing(std::string what)
{
    asio::steady_timer timer(co_await asio::this_coro::executor, 1ms);
    co_await timer.async_wait(asio::use_awaitable);
    throw std::runtime_error(what);
}

awaitable<void> aborting_by_itself()
{
    throw boost::system::system_error(asio::error::operation_aborted);
    co_return;
}

awaitable<void> spawner(task_group& group, int depth, int& ends)
{
    if (depth > 0)
        group.spawn("child", spawner(group, depth - 1, ends));
    asio::steady_timer timer(co_await asio::this_coro::executor, 1ms);
    co_await timer.async_wait(asio::use_awaitable);
    ++ends;
}

awaitable<void> joining(task_group& group)
{
    co_await group.join(1h);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(task_group_test)

BOOST_AUTO_TEST_CASE(join_waits_for_the_end_of_all)
{
    asio::io_context ctx;
    recorder seen;
    task_group group(ctx.get_executor(), seen.handler());
    int ends = 0;
    group.spawn("a", sleeper(1ms, ends));
    group.spawn("b", sleeper(20ms, ends));
    BOOST_TEST(group.size() == 2u);
    const bool all = run_coro(ctx, group.join(10s), 20s);
    BOOST_TEST(all);
    BOOST_TEST(ends == 2);
    BOOST_TEST(group.size() == 0u);
    BOOST_TEST(seen.failures.empty());
}

BOOST_AUTO_TEST_CASE(join_of_an_empty_group_is_immediate)
{
    asio::io_context ctx;
    task_group group(ctx.get_executor(), {});
    const bool all = run_coro(ctx, group.join(0s), 1s);
    BOOST_TEST(all);
}

BOOST_AUTO_TEST_CASE(a_limit_of_any_size_is_taken)
{
    asio::io_context ctx;
    task_group group(ctx.get_executor(), {});
    int ends = 0;
    group.spawn("a", sleeper(1ms, ends));
    const bool all = run_coro(ctx, group.join(std::chrono::steady_clock::duration::max()), 10s);
    BOOST_TEST(all);
}

BOOST_AUTO_TEST_CASE(join_gives_up_at_its_limit_and_cancel_ends_the_rest)
{
    asio::io_context ctx;
    recorder seen;
    task_group group(ctx.get_executor(), seen.handler());
    int ends = 0;
    bool first = true;
    bool second = false;
    auto script = [](task_group& g, int& e, bool& a, bool& b) -> awaitable<void> {
        g.spawn("long", sleeper(3600s, e));
        a = co_await g.join(5ms);
        g.cancel();
        b = co_await g.join(5s);
    };
    run_coro(ctx, script(group, ends, first, second), 10s);
    BOOST_TEST(!first);
    BOOST_TEST(second);
    BOOST_TEST(ends == 0);
    BOOST_TEST(seen.failures.empty());  // a cancellation that was asked for is no failure
}

BOOST_AUTO_TEST_CASE(one_name_is_cancelled_and_joined_alone)
{
    asio::io_context ctx;
    recorder seen;
    task_group group(ctx.get_executor(), seen.handler());
    int ends = 0;
    bool joined = false;
    bool other_left = false;
    auto script = [](task_group& g, int& e, bool& j, bool& o) -> awaitable<void> {
        g.spawn("a", sleeper(3600s, e));
        g.spawn("a", sleeper(3600s, e));
        g.spawn("b", sleeper(3600s, e));
        g.cancel("a");
        j = co_await g.join("a", 5s);
        o = g.has("b") && !g.has("a") && g.size() == 1;
        g.cancel();
        co_await g.join(5s);
    };
    run_coro(ctx, script(group, ends, joined, other_left), 10s);
    BOOST_TEST(joined);
    BOOST_TEST(other_left);
}

BOOST_AUTO_TEST_CASE(a_failing_task_is_reported_with_its_name_and_the_others_go_on)
{
    asio::io_context ctx;
    recorder seen;
    task_group group(ctx.get_executor(), seen.handler());
    int ends = 0;
    group.spawn("good", sleeper(10ms, ends));
    group.spawn("bad", failing("database disk image is malformed"));
    const bool all = run_coro(ctx, group.join(10s), 20s);
    BOOST_TEST(all);
    BOOST_TEST(ends == 1);
    BOOST_TEST(seen.failures == std::vector<std::string>{"bad: database disk image is malformed"},
               boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(an_abort_that_nobody_asked_for_is_a_failure)
{
    asio::io_context ctx;
    recorder seen;
    task_group group(ctx.get_executor(), seen.handler());
    group.spawn("odd", aborting_by_itself());
    run_coro(ctx, group.join(10s), 20s);
    BOOST_TEST(seen.failures.size() == 1u);
}

BOOST_AUTO_TEST_CASE(tasks_spawned_by_tasks_are_joined_too)
{
    asio::io_context ctx;
    recorder seen;
    task_group group(ctx.get_executor(), seen.handler());
    int ends = 0;
    group.spawn("parent", spawner(group, 4, ends));
    const bool all = run_coro(ctx, group.join(10s), 20s);
    BOOST_TEST(all);
    BOOST_TEST(ends == 5);
}

BOOST_AUTO_TEST_CASE(a_join_can_be_cancelled)
{
    asio::io_context ctx;
    recorder seen;
    task_group inner(ctx.get_executor(), seen.handler());
    task_group outer(ctx.get_executor(), seen.handler());
    int ends = 0;
    bool ended = false;
    auto script = [](task_group& i, task_group& o, int& e, bool& done) -> awaitable<void> {
        i.spawn("long", sleeper(3600s, e));
        o.spawn("joining", joining(i));
        o.cancel();
        done = co_await o.join(5s);
        i.cancel();
        co_await i.join(5s);
    };
    run_coro(ctx, script(inner, outer, ends, ended), 10s);
    BOOST_TEST(ended);
    BOOST_TEST(seen.failures.empty());
}

BOOST_AUTO_TEST_SUITE_END()
