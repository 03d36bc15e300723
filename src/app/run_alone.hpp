#pragma once

/// Runs one coroutine to its end in a command that has no service beside it.

#include <exception>
#include <optional>
#include <utility>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

namespace dtbridge::app
{

/// Answers what task gives, or throws what it throws.
template <class Result>
Result run_alone(boost::asio::io_context& io, boost::asio::awaitable<Result> task)
{
    std::optional<Result> answer;
    std::exception_ptr error;
    boost::asio::co_spawn(io, std::move(task), [&](std::exception_ptr e, Result r) {
        error = e;
        if (!e)
            answer = std::move(r);
    });
    io.run();
    if (error)
        std::rethrow_exception(error);
    return std::move(*answer);
}

}  // namespace dtbridge::app
