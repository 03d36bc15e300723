#pragma once

/// Owned coroutines: every task has a name, can be cancelled and is waited for. Nothing is ever detached.

#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <list>
#include <memory>
#include <string>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/steady_timer.hpp>

namespace dtbridge
{

namespace asio = boost::asio;
using asio::awaitable;

/// All calls from the thread of ex. Must be empty (joined) before it is destroyed.
class task_group
{
public:
    using on_failure = std::function<void(const std::string& name, std::exception_ptr error)>;

    /// failed is told of every exception that ends a task, but of operation_aborted after a cancellation.
    task_group(asio::any_io_executor ex, on_failure failed);
    task_group(const task_group&) = delete;
    task_group& operator=(const task_group&) = delete;

    void spawn(std::string name, awaitable<void> task);
    /// Asks all tasks of that name to end (cancellation_type::terminal).
    void cancel(const std::string& name);
    void cancel();
    /// Waits until all tasks ended; false if limit passed first.
    awaitable<bool> join(std::chrono::steady_clock::duration limit);
    /// The same for the tasks of one name.
    awaitable<bool> join(std::string name, std::chrono::steady_clock::duration limit);
    std::size_t size() const { return children_.size(); }
    bool has(const std::string& name) const;

private:
    struct child
    {
        std::string name;
        asio::cancellation_signal stop;
    };
    asio::any_io_executor ex_;
    on_failure failed_;
    std::list<child> children_;
    std::list<asio::steady_timer*> waiting_;
};

}  // namespace dtbridge
