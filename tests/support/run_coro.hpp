#pragma once

/// How an asynchronous test runs: one coroutine on a context of the test's own, with a limit and nothing left
/// behind.

#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/test/unit_test.hpp>

#include <chrono>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

namespace dtbridge::test
{

namespace asio = boost::asio;

namespace detail
{

template <class T>
asio::awaitable<void> keep(asio::awaitable<T> task, std::optional<T>& answer)
{
    T value = co_await std::move(task);
    answer.emplace(std::move(value));
}

inline void run_void(asio::io_context& ctx,
                     asio::awaitable<void> task,
                     std::chrono::steady_clock::duration limit)
{
    bool done = false;
    std::exception_ptr error;
    asio::cancellation_signal stop;
    ctx.restart();
    asio::co_spawn(ctx,
                   std::move(task),
                   asio::bind_cancellation_slot(stop.slot(), [&done, &error](std::exception_ptr e) {
                       done = true;
                       error = e;
                   }));
    const auto deadline = std::chrono::steady_clock::now() + limit;
    while (!done && ctx.run_one_until(deadline) != 0)
    {}
    if (!done)
    {
        // Unwound before the failure is thrown, since the task may refer to locals of the test.
        const bool out_of_work = ctx.stopped();
        ctx.restart();
        stop.emit(asio::cancellation_type::terminal);
        ctx.run_for(std::chrono::seconds(2));
        if (out_of_work)
            BOOST_FAIL("the task waits for something that nobody will do");
        BOOST_FAIL("the task did not end within its limit");
    }
    ctx.run_for(std::chrono::seconds(2));
    const bool leftover = !ctx.stopped();
    if (error)
        std::rethrow_exception(error);
    if (leftover)
        BOOST_FAIL(
            "work is left on the context after the task ended: something was not closed, cancelled or "
            "joined");
}

}  // namespace detail

/// Runs task on ctx and answers what it answered. What it throws is thrown here, so the test fails unless it
/// expects it. Fails the test when task has not ended after limit, or when work is left on ctx 2 s after its
/// end. One thread.
template <class T>
T run_coro(asio::io_context& ctx, asio::awaitable<T> task, std::chrono::steady_clock::duration limit)
{
    if constexpr (std::is_void_v<T>)
        detail::run_void(ctx, std::move(task), limit);
    else
    {
        std::optional<T> answer;
        detail::run_void(ctx, detail::keep(std::move(task), answer), limit);
        return std::move(*answer);
    }
}

}  // namespace dtbridge::test
