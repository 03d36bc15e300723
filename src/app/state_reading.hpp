#pragma once

/// Archives as commands read them, beside a running service or without one.

#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>

#include <dtbridge/archive/archive.hpp>
#include <dtbridge/config/configuration.hpp>

#include "app/command.hpp"

namespace dtbridge::app
{

/// An event loop, a worker and a pool of archives that are only read. Nothing in the state folder changes.
class state_reader
{
public:
    explicit state_reader(const config::configuration& c);
    ~state_reader();
    state_reader(const state_reader&) = delete;
    state_reader& operator=(const state_reader&) = delete;

    /// Runs task to its end and answers what it did, or throws what it threw.
    template <class T>
    T run(asio::awaitable<T> task)
    {
        std::optional<T> answer;
        std::exception_ptr error;
        asio::co_spawn(io_, std::move(task), [&](std::exception_ptr e, T value) {
            error = e;
            if (!e)
                answer.emplace(std::move(value));
        });
        io_.restart();
        io_.run();
        if (error)
            std::rethrow_exception(error);
        return std::move(*answer);
    }
    /// The answer of an archive; throws action_error with its words.
    template <class T>
    T must(asio::awaitable<outcome<T>> task)
    {
        auto answer = run(std::move(task));
        if (!answer)
            throw action_error(answer.error().detail);
        return std::move(*answer);
    }
    outcome<std::shared_ptr<archive>> open(const std::string& master);
    asio::io_context& io() { return io_; }

private:
    asio::thread_pool worker_{1};
    asio::io_context io_{1};
    std::unique_ptr<archive_pool> pool_;
};

}  // namespace dtbridge::app
