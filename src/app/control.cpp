#include "app/control.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/write.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <dtbridge/async/use_tuple.hpp>
#include <dtbridge/core/log.hpp>

#include "app/command.hpp"
#include "app/service_request.hpp"

namespace dtbridge::app
{

namespace
{

using local = asio::local::stream_protocol;
constexpr std::size_t max_request = 64u << 10;
constexpr std::size_t max_answer = 80u << 20;  // `get` hands on an answer of up to 64 MiB
constexpr std::size_t max_connections = 16;
constexpr auto answer_limit = std::chrono::seconds(90);
constexpr const char* installed_state_dir = "/var/lib/dtbridge";
constexpr const char* installed_socket = "/run/dtbridge/control.sock";

// A command asks one thing and waits for it, blocking, with the kernel's deadlines. Asio's own calls know
// none: after EAGAIN they wait on.

void wait_at_most(local::socket& socket, std::chrono::milliseconds limit)
{
    const timeval t{limit.count() / 1000, limit.count() % 1000 * 1000};
    ::setsockopt(socket.native_handle(), SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
    ::setsockopt(socket.native_handle(), SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
}

/// What a system call answers once no signal interrupts it any more: a stop at the terminal (^Z) does.
template <class Call>
ssize_t uninterrupted(Call call, error_code& ec)
{
    ssize_t answer = 0;
    do
        answer = call();
    while (answer < 0 && errno == EINTR);
    if (answer < 0)
        ec.assign(errno == EAGAIN ? ETIMEDOUT : errno, boost::system::system_category());
    return answer;
}

/// Waits where the service does not accept and its queue is full.
error_code connect(local::socket& socket, const std::string& path)
{
    const local::endpoint to(path);
    error_code ec;
    const auto size = static_cast<socklen_t>(to.size());
    uninterrupted([&] { return ssize_t{::connect(socket.native_handle(), to.data(), size)}; }, ec);
    return ec;
}

error_code send(local::socket& socket, std::string_view text)
{
    error_code ec;
    while (!text.empty() && !ec)
    {
        const auto sent = uninterrupted(
            [&] { return ::send(socket.native_handle(), text.data(), text.size(), MSG_NOSIGNAL); }, ec);
        if (sent > 0)
            text.remove_prefix(static_cast<std::size_t>(sent));
    }
    return ec;
}

/// Reads on until lines begins with a whole line; answers its length.
std::size_t read_line(local::socket& socket, std::string& lines, error_code& ec)
{
    std::array<char, 64u << 10> piece;
    for (std::size_t looked_at = 0; !ec;)
    {
        if (const auto end = lines.find('\n', looked_at); end != std::string::npos)
            return end + 1;
        looked_at = lines.size();
        if (looked_at >= max_answer)
            ec = asio::error::message_size;
        else if (const auto got = uninterrupted(
                     [&] { return ::recv(socket.native_handle(), piece.data(), piece.size(), 0); }, ec);
                 got > 0)
            lines.append(piece.data(), static_cast<std::size_t>(got));
        else if (got == 0)
            ec = asio::error::eof;
    }
    return 0;
}

/// One connection: the socket, and the time by which the next line must be out.
class conversation final : public asker
{
public:
    explicit conversation(local::socket s) : socket(std::move(s)), limit_(socket.get_executor()) {}

    /// Closes the socket when limit passes before the next call.
    void expect_within(std::chrono::seconds limit)
    {
        limit_.expires_after(limit);
        limit_.async_wait([this, alive = std::weak_ptr<bool>(alive_)](error_code ec) {
            error_code ignored;
            if (!ec && !alive.expired())
                socket.close(ignored);
        });
    }

    awaitable<bool> send(std::string line)
    {
        line += '\n';
        auto [ec, sent] = co_await asio::async_write(socket, asio::buffer(line), use_tuple);
        co_return !ec;
    }

    awaitable<bool> progress(boost::json::object words, std::chrono::seconds next_within) override
    {
        boost::json::object o;
        o["progress"] = std::move(words);
        o["next_within"] = next_within.count();
        expect_within(next_within);
        std::string line = boost::json::serialize(o);
        const bool sent = co_await send(std::move(line));
        co_return sent;
    }

    local::socket socket;

private:
    asio::steady_timer limit_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  ///< its end may meet a timer that has fired
};

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
    conversation back(std::move(socket));
    back.expect_within(answer_limit);
    asio::streambuf in(max_request);
    auto [read_error, size] = co_await asio::async_read_until(back.socket, in, '\n', use_tuple);
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
            reply = co_await answer(std::move(asked), back);
        }
    }
    std::string text = boost::json::serialize(reply);
    co_await back.send(std::move(text));
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

void link_control(const std::string& state_dir)
{
    const auto real = control_path_for_service(state_dir);
    const auto link = state_dir + "/control.sock";
    if (real == link)
        return;
    // The state folder's lock is held: what is here belongs to nobody alive. A dangling link does no harm.
    ::unlink(link.c_str());
    if (::symlink(real.c_str(), link.c_str()) != 0)
        log::warning(
            "control", "", link + ": no link to the control socket can be made: " + std::strerror(errno));
}

std::optional<boost::json::object> ask_service(
    const std::string& state_dir,
    const boost::json::object& request,
    const std::function<void(const boost::json::object&)>& on_progress,
    std::chrono::milliseconds patience)
{
    asio::io_context io(1);
    local::socket socket(io);
    socket.open(local());
    wait_at_most(socket, patience);
    auto ec = connect(socket, state_dir + "/control.sock");
    if (ec && ec != asio::error::timed_out && state_dir == installed_state_dir)
        ec = connect(socket, installed_socket);
    if (ec == boost::system::errc::permission_denied)
        throw action_error(
            "the running service's control socket may not be opened: be root or in the group dtbridge");
    if (ec && ec != asio::error::timed_out)
        return std::nullopt;
    if (!ec)
        ec = send(socket, boost::json::serialize(request) + "\n");
    std::string lines;
    while (!ec)
    {
        const auto size = read_line(socket, lines, ec);
        if (ec)
            break;
        auto reply = boost::json::parse(std::string_view(lines).substr(0, size), ec);
        if (ec || !reply.is_object())
            throw action_error("the running service answered something that is no JSON object");
        lines.erase(0, size);
        auto& o = reply.as_object();
        const auto* progress = o.if_contains("progress");
        if (progress == nullptr || !progress->is_object())
            return std::move(o);
        const auto next_within = number_member(o, "next_within").value_or(0);
        wait_at_most(socket, std::chrono::seconds(std::clamp<std::int64_t>(next_within, 1, 24 * 3600) + 5));
        if (on_progress)
            on_progress(progress->get_object());
    }
    throw action_error("the running service did not answer: " + ec.message());
}

}  // namespace dtbridge::app
