#pragma once

/// The running bridge: one poller per master, one delivery per destination, what keeps them, and the order in
/// which they start, reload and stop. Wires the modules together and decides nothing about breaches.
/// Everything happens on the thread of the io_context; what blocks happens on the worker pool.

#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>

#include <dtbridge/async/task_group.hpp>
#include <dtbridge/config/configuration.hpp>

namespace dtbridge::app
{

class service
{
public:
    /// worker: for SQLite. config_file is read again at each SIGHUP.
    service(asio::io_context& io, asio::any_io_executor worker, std::string config_file);
    ~service();
    service(const service&) = delete;
    service& operator=(const service&) = delete;

    /// Runs until SIGTERM or SIGINT and answers the exit status: 0 after a clean stop, 1 where it could not
    /// start (said on the log) or a task failed. A second signal ends the process at once, with 1.
    awaitable<int> run(config::configuration first);

private:
    struct impl;
    std::unique_ptr<impl> impl_;
};

}  // namespace dtbridge::app
