#include <dtbridge/async/offload.hpp>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>

#include <dtbridge/async/task_group.hpp>

#include <future>
#include <memory>
#include <stdexcept>
#include <thread>

#include "support/run_coro.hpp"

using namespace dtbridge;
using namespace std::chrono_literals;
using dtbridge::test::run_coro;

namespace
{

struct places
{
    std::thread::id worker;
    std::thread::id before;
    std::thread::id after;
    int value = 0;
};

awaitable<places> visit(asio::any_io_executor worker)
{
    places p;
    p.before = std::this_thread::get_id();
    auto box = std::make_unique<int>(41);  // a job may own what cannot be copied
    auto job = [&p, box = std::move(box)] {
        p.worker = std::this_thread::get_id();
        return *box + 1;
    };
    p.value = co_await offload(worker, std::move(job));
    p.after = std::this_thread::get_id();
    co_return p;
}

awaitable<int> throwing(asio::any_io_executor worker)
{
    auto job = []() -> int { throw std::runtime_error("disk I/O error"); };
    const int v = co_await offload(worker, std::move(job));
    co_return v;
}

awaitable<void> slow_write(asio::any_io_executor worker, std::shared_future<void> go, bool& written)
{
    auto job = [go] {
        go.wait();
        return 1;
    };
    const int n = co_await offload(worker, std::move(job));
    written = n == 1;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(offload_test)

BOOST_AUTO_TEST_CASE(runs_on_the_worker_and_comes_back)
{
    asio::io_context ctx;
    asio::thread_pool pool(1);
    const auto p = run_coro(ctx, visit(asio::make_strand(pool)), 5s);
    pool.join();
    BOOST_TEST(p.value == 42);
    BOOST_TEST((p.before == std::this_thread::get_id()));
    BOOST_TEST((p.after == p.before));
    BOOST_TEST((p.worker != p.before));
}

BOOST_AUTO_TEST_CASE(what_the_job_throws_reaches_the_caller)
{
    asio::io_context ctx;
    asio::thread_pool pool(1);
    BOOST_CHECK_EXCEPTION(
        run_coro(ctx, throwing(pool.get_executor()), 5s),
        std::runtime_error,
        [](const std::runtime_error& e) { return std::string(e.what()) == "disk I/O error"; });
    pool.join();
}

BOOST_AUTO_TEST_CASE(a_cancelled_caller_still_waits_for_the_job)
{
    asio::io_context ctx;
    asio::thread_pool pool(1);
    task_group group(ctx.get_executor(), {});
    std::promise<void> go;
    bool written = false;
    bool early = true;
    auto script = [](task_group& g, std::promise<void>& p, bool& e) -> awaitable<void> {
        g.cancel();
        e = co_await g.join(5ms);
        p.set_value();
        co_await g.join(5s);
    };
    group.spawn("writer", slow_write(pool.get_executor(), go.get_future().share(), written));
    run_coro(ctx, script(group, go, early), 10s);
    pool.join();
    BOOST_TEST(!early);
    BOOST_TEST(written);
}

BOOST_AUTO_TEST_SUITE_END()
