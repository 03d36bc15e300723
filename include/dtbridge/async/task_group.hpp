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

    /// Starts task on ex. Several may have one name. What task refers to must live until it is joined.
    void spawn(std::string name, awaitable<void> task);
    /// Asks all tasks of that name to end (cancellation_type::terminal). Asking twice, or nobody, is no
    /// error.
    void cancel(const std::string& name);
    void cancel();
    /// Waits until all tasks ended, also those spawned while waiting; false if limit passed first. A task
    /// must not join its own group or name. Cancelling the caller throws operation_aborted.
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
        bool cancelled = false;
    };
    using children = std::list<std::shared_ptr<child>>;

    void ended(children::iterator which, std::exception_ptr error);
    void emit(const std::string* name);
    awaitable<bool> wait(const std::string* name, std::chrono::steady_clock::duration limit);

    asio::any_io_executor ex_;
    on_failure failed_;
    children children_;
    std::list<asio::steady_timer*> waiting_;  ///< of the joins that are under way
};

}  // namespace dtbridge
