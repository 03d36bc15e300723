#include "app/control.hpp"

#include <array>
#include <cstdlib>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <dtbridge/core/log.hpp>

#include "app/command.hpp"

namespace dtbridge::app
{

namespace
{

using local = asio::local::stream_protocol;
constexpr auto use_tuple = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t max_request = 64u << 10;
constexpr std::size_t max_answer = 80u << 20;  // `get` hands on an answer of up to 64 MiB
constexpr std::size_t max_connections = 16;
constexpr auto answer_limit = std::chrono::seconds(90);
constexpr const char* installed_state_dir = "/var/lib/dtbridge";
constexpr const char* installed_socket = "/run/dtbridge/control.sock";

boost::json::object refusal(std::string words)
{
    boost::json::object o;
    o["ok"] = false;
    o["error"] = std::move(words);
    return o;
}

}  // namespace

struct control_server::impl
{
    impl(asio::any_io_executor e, std::string p, handler h)
        : ex(e),
          path(std::move(p)),
          answer(std::move(h)),
          acceptor(e),
          connections(e, [](const std::string& name, std::exception_ptr error) {
              try
              {
                  std::rethrow_exception(error);
              }
              catch (const std::exception& x)
              {
                  log::error("control", name, "a request ended with an error", {{"error", x.what()}});
              }
          })
    {}

    awaitable<void> serve(local::socket socket);

    asio::any_io_executor ex;
    std::string path;
    handler answer;
    local::acceptor acceptor;
    task_group connections;
    bool bound = false;
};

control_server::control_server(asio::any_io_executor ex, std::string path, handler answer)
    : impl_(std::make_unique<impl>(ex, std::move(path), std::move(answer)))
{}

control_server::~control_server()
{
    if (impl_->bound)
        ::unlink(impl_->path.c_str());
}

outcome<bool> control_server::listen()
{
    // The state folder's lock is held: a socket that is here belongs to nobody alive.
    ::unlink(impl_->path.c_str());
    error_code ec;
    if (impl_->path.size() >= sizeof(sockaddr_un{}.sun_path))
        return fail(errc::over_limit, impl_->path + ": too long for a socket's path (107 bytes at most)");
    impl_->acceptor.open(local(), ec);
    const auto old_mask = ::umask(0117);
    if (!ec)
        impl_->acceptor.bind(local::endpoint(impl_->path), ec);
    ::umask(old_mask);
    if (!ec)
        impl_->acceptor.listen(max_connections, ec);
    if (ec)
        return fail(ec, impl_->path + ": the control socket cannot be made: " + ec.message());
    impl_->bound = true;
    return true;
}

awaitable<void> control_server::run()
{
    auto* self = impl_.get();
    asio::steady_timer pause(self->ex);
    // Looked at by hand: a cancellation that meets the pause must end the requests too.
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto state = co_await asio::this_coro::cancellation_state;
    while (state.cancelled() == asio::cancellation_type::none)
    {
        auto [ec, socket] = co_await self->acceptor.async_accept(use_tuple);
        if (ec == asio::error::operation_aborted)
            break;
        if (ec || self->connections.size() >= max_connections)
        {
            // Out of descriptors or too many askers: both pass.
            pause.expires_after(std::chrono::milliseconds(50));
            co_await pause.async_wait(use_tuple);
            continue;
        }
        self->connections.spawn("request", self->serve(std::move(socket)));
    }
    self->connections.cancel();
    co_await self->connections.join(std::chrono::seconds(2));
}

awaitable<void> control_server::impl::serve(local::socket socket)
{
    auto limit = std::make_shared<asio::steady_timer>(ex, answer_limit);
    auto* raw = &socket;
    limit->async_wait([raw, alive = std::weak_ptr<asio::steady_timer>(limit)](error_code ec) {
        if (!ec && !alive.expired())
            raw->close(ec);
    });
    asio::streambuf in(max_request);
    auto [read_error, size] = co_await asio::async_read_until(socket, in, '\n', use_tuple);
    boost::json::object reply;
    if (read_error == asio::error::not_found)
    {
        reply = refusal("the request is longer than 64 KiB");
    }
    else if (read_error)
    {
        co_return;
    }
    else
    {
        const std::string line(asio::buffers_begin(in.data()),
                               asio::buffers_begin(in.data()) + static_cast<std::ptrdiff_t>(size));
        error_code ec;
        auto request = boost::json::parse(line, ec);
        if (ec || !request.is_object())
        {
            reply = refusal("the request is no JSON object");
        }
        else
        {
            auto asked = std::move(request.as_object());
            reply = co_await answer(std::move(asked));
        }
    }
    const std::string text = boost::json::serialize(reply) + "\n";
    co_await asio::async_write(socket, asio::buffer(text), use_tuple);
    limit->cancel();
}

std::string control_path_for_service(const std::string& state_dir)
{
    if (const char* runtime = std::getenv("RUNTIME_DIRECTORY"); runtime != nullptr && *runtime == '/')
    {
        const std::string folders = runtime;
        return folders.substr(0, folders.find(':')) + "/control.sock";
    }
    return state_dir + "/control.sock";
}

std::optional<boost::json::object> ask_service(const std::string& state_dir,
                                               const boost::json::object& request)
{
    asio::io_context io(1);
    local::socket socket(io);
    error_code ec;
    socket.connect(local::endpoint(state_dir + "/control.sock"), ec);
    if (ec && state_dir == installed_state_dir)
    {
        socket.close(ec);
        socket.connect(local::endpoint(installed_socket), ec);
    }
    if (ec == boost::system::errc::permission_denied)
        throw action_error(
            "the running service's control socket may not be opened: be root or in the group dtbridge");
    if (ec)
        return std::nullopt;
    // Blocking, with the kernel's deadlines: a command asks one thing and waits.
    const timeval limit{95, 0};
    ::setsockopt(socket.native_handle(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ::setsockopt(socket.native_handle(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    asio::write(socket, asio::buffer(boost::json::serialize(request) + "\n"), ec);
    std::string line;
    if (!ec)
        asio::read_until(socket, asio::dynamic_buffer(line, max_answer), '\n', ec);
    if (ec)
        throw action_error("the running service did not answer: " + ec.message());
    auto reply = boost::json::parse(line, ec);
    if (ec || !reply.is_object())
        throw action_error("the running service answered something that is no JSON object");
    return std::move(reply.as_object());
}

}  // namespace dtbridge::app
