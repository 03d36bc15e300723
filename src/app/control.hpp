#pragma once

/// The control socket: how commands reach a running service (product.md 2, 7). One request per connection: a
/// line of JSON
/// {"command": .., ..} in, a line of JSON {"ok": bool, ..} out. Whoever may open the socket (mode 0660, group
/// of the service) may ask; nothing asked here shows a secret. Bounded: 64 KiB a request, 16 connections, 90
/// s an answer.

#include <functional>
#include <optional>
#include <string>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/json/object.hpp>

#include <dtbridge/async/task_group.hpp>
#include <dtbridge/core/failure.hpp>

namespace dtbridge::app
{

class control_server
{
public:
    /// Answers one request. A function object whose call is a named coroutine; must outlive the server.
    using handler = std::function<awaitable<boost::json::object>(boost::json::object request)>;

    control_server(asio::any_io_executor ex, std::string path, handler answer);
    ~control_server();
    control_server(const control_server&) = delete;
    control_server& operator=(const control_server&) = delete;

    /// Binds, replacing a socket that a dead service left behind.
    outcome<bool> listen();
    /// Accepts until cancelled.
    awaitable<void> run();

private:
    struct impl;
    std::unique_ptr<impl> impl_;
};

/// Where a service with this state folder listens: $RUNTIME_DIRECTORY/control.sock under systemd, else
/// state_dir/control.sock.
std::string control_path_for_service(const std::string& state_dir);

/// Asks a running service. Nothing where none listens; throws action_error where one listens and does not
/// answer properly.
std::optional<boost::json::object> ask_service(const std::string& state_dir,
                                               const boost::json::object& request);

}  // namespace dtbridge::app
