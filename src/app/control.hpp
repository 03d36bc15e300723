#pragma once

/// The control socket: how commands reach a running service (product.md 2, 7). One request per connection: a
/// line of JSON {"command": .., ..} in, a line of JSON {"ok": bool, ..} out. Before it, long work sends lines
/// {"progress": {..}, "next_within": seconds}. Whoever may open the socket (mode 0660, group of the service)
/// may ask; nothing asked here shows a secret. Bounded: 64 KiB a request, 16 connections, 90 s to the answer
/// or the first line of progress, then what each line says.

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/json/object.hpp>

#include <dtbridge/async/task_group.hpp>
#include <dtbridge/core/failure.hpp>

namespace dtbridge::app
{

/// The way back to whoever asked for long work, while it is being done.
class asker
{
public:
    virtual ~asker() = default;
    /// Tells how far it has come. The next line, of progress or the answer, must be on its way within
    /// next_within, else the connection is closed. False: nobody is there any more (the command was
    /// interrupted, or does not read), so the work should end.
    virtual awaitable<bool> progress(boost::json::object words,
                                     std::chrono::seconds next_within = std::chrono::seconds(90)) = 0;
};

class control_server
{
public:
    /// Answers one request. A function object whose call is a named coroutine; must outlive the server. back
    /// lives until the answer.
    using handler = std::function<awaitable<boost::json::object>(boost::json::object request, asker& back)>;

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

/// Makes state_dir/control.sock lead to the socket of control_path_for_service, so that commands, which know
/// state_dir alone, find a service that systemd gave a runtime directory. Without it commands find that of
/// the installed state_dir only.
void link_control(const std::string& state_dir);

/// Asks a running service. Nothing where none listens; throws action_error where one listens and does not
/// answer properly. on_progress gets the progress of long work, which is passed over without it. patience: to
/// each step up to the first line, a little longer than the service allows itself; then what each line says.
std::optional<boost::json::object> ask_service(
    const std::string& state_dir,
    const boost::json::object& request,
    const std::function<void(const boost::json::object&)>& on_progress = {},
    std::chrono::milliseconds patience = std::chrono::seconds(95));

}  // namespace dtbridge::app
