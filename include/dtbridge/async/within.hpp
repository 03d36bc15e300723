#pragma once

#include <chrono>
#include <memory>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace dtbridge
{

namespace asio = boost::asio;
using asio::awaitable;

/// Runs task and cancels it after limit; a task that then throws or answers an error gives on_timeout.
/// Cancelling the caller cancels the task; what the task throws otherwise reaches the caller. `a || timer` is
/// not used: it hides what a throws until the timer ends.
template <class Result>
awaitable<Result> within(std::chrono::steady_clock::duration limit, awaitable<Result> task, Result on_timeout)
{
    struct watchdog
    {
        explicit watchdog(asio::any_io_executor ex, std::chrono::steady_clock::duration d) : timer(ex, d) {}
        asio::steady_timer timer;
        asio::cancellation_signal stop;
        bool expired = false;
    };
    struct disarm
    {
        disarm(std::shared_ptr<watchdog> d, asio::cancellation_slot s) : dog(std::move(d)), outer(s) {}
        ~disarm()
        {
            if (outer.is_connected())
                outer.clear();
            dog->timer.cancel();
        }
        std::shared_ptr<watchdog> dog;
        asio::cancellation_slot outer;
    };
    auto ex = co_await asio::this_coro::executor;
    auto state = co_await asio::this_coro::cancellation_state;
    auto dog = std::make_shared<watchdog>(ex, limit);  // shared: its handler may outlive us
    disarm guard(dog, state.slot());
    dog->timer.async_wait([dog](boost::system::error_code ec) {
        if (ec)
            return;
        dog->expired = true;
        dog->stop.emit(asio::cancellation_type::terminal);
    });
    if (guard.outer.is_connected())
        guard.outer.assign([dog](asio::cancellation_type type) { dog->stop.emit(type); });
    auto token = asio::bind_cancellation_slot(dog->stop.slot(), asio::use_awaitable);
    std::exception_ptr error;
    try
    {
        auto answer = co_await asio::co_spawn(ex, std::move(task), token);
        if (dog->expired && !answer)
            co_return on_timeout;
        co_return answer;
    }
    catch (...)
    {
        error = std::current_exception();
    }
    if (dog->expired)
        co_return on_timeout;
    std::rethrow_exception(error);
}

}  // namespace dtbridge
