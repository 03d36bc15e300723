#pragma once

#include <exception>
#include <type_traits>
#include <utility>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace dtbridge
{

namespace asio = boost::asio;
using asio::awaitable;

/// Runs fn on worker and resumes the caller on its own executor with what fn returned or threw. R is a value
/// type. Not cancellable on purpose: once fn is queued, the caller waits for it. Awaiting an executor hop or
/// a co_spawn on another executor instead would race when cancelled (Boost 1.81, fixed in 1.83 and 1.85).
template <class F, class R = std::invoke_result_t<F&>>
awaitable<R> offload(asio::any_io_executor worker, F fn)
{
    return asio::async_initiate<const asio::use_awaitable_t<>&, void(std::exception_ptr, R)>(
        [worker](auto handler, F job) {
            auto home = asio::prefer(asio::get_associated_executor(handler, worker),
                                     asio::execution::outstanding_work.tracked);
            asio::post(worker, [home, handler = std::move(handler), job = std::move(job)]() mutable {
                std::exception_ptr error;
                R value{};
                try
                {
                    value = job();
                }
                catch (...)
                {
                    error = std::current_exception();
                }
                asio::post(home, [handler = std::move(handler), error, value = std::move(value)]() mutable {
                    std::move(handler)(error, std::move(value));
                });
            });
        },
        asio::use_awaitable,
        std::move(fn));
}

}  // namespace dtbridge
