#include <dtbridge/web/server.hpp>

#include <algorithm>
#include <list>
#include <map>
#include <optional>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>

#include <dtbridge/async/task_group.hpp>
#include <dtbridge/core/ip.hpp>
#include <dtbridge/core/log.hpp>
#include <dtbridge/core/text.hpp>
#include <dtbridge/net/stream.hpp>

namespace dtbridge::web
{

namespace
{

namespace http = boost::beast::http;
using asio::ip::tcp;
constexpr auto use_tuple = asio::as_tuple(asio::use_awaitable);

std::string_view reason(unsigned status)
{
    const auto text = http::obsolete_reason(static_cast<http::status>(status));
    return {text.data(), text.size()};
}

response plain(unsigned status)
{
    return {status, "text/plain; charset=utf-8", std::string(reason(status)) + "\n"};
}

/// On a loopback listener the Host must be a literal address or localhost, else a page in somebody's browser
/// could reach it by a name of its own (DNS rebinding).
bool is_local_name(std::string_view host)
{
    if (host.empty())
        return false;
    if (host.front() == '[')
    {
        const auto end = host.find(']');
        return end != std::string_view::npos && ip_address::parse(host.substr(1, end - 1)).has_value();
    }
    const auto name = host.substr(0, host.find(':'));
    return text::iequals(name, "localhost") || ip_address::parse(name).has_value();
}

}  // namespace

struct server::impl
{
    struct connection
    {
        connection(tcp::socket s, asio::any_io_executor ex) : socket(std::move(s)), timer(ex) {}
        tcp::socket socket;
        asio::steady_timer timer;
        bool idle = true;
    };

    impl(asio::any_io_executor e, limits l)
        : ex(e), bounds(l), acceptor(e), tasks(e, [](const std::string&, std::exception_ptr error) {
              try
              {
                  std::rethrow_exception(error);
              }
              catch (const std::exception& x)
              {
                  log::error("web", "", "a connection ended with an error", {{"error", x.what()}});
              }
          })
    {}

    awaitable<void> serve(std::shared_ptr<connection> c);
    awaitable<bool> serve_one(std::shared_ptr<connection> c, std::string& buffer);
    static void arm(const std::shared_ptr<connection>& c, std::chrono::steady_clock::duration limit);
    response answer(const http::request_parser<http::empty_body>& parser) const;
    void make_room();

    asio::any_io_executor ex;
    limits bounds;
    tcp::acceptor acceptor;
    bool loopback = true;
    std::map<std::string, handler, std::less<>> handlers;
    std::list<std::shared_ptr<connection>> open;
    task_group tasks;
};

server::server(asio::any_io_executor ex, limits bounds) : impl_(std::make_unique<impl>(ex, bounds)) {}

server::~server() = default;

void server::handle(std::string path, handler h)
{
    impl_->handlers[std::move(path)] = std::move(h);
}

outcome<bool> server::listen(const std::string& address)
{
    const auto colon = address.rfind(':');
    std::string host = address.substr(0, colon == std::string::npos ? address.size() : colon);
    if (host.size() > 2 && host.front() == '[' && host.back() == ']')
        host = host.substr(1, host.size() - 2);
    unsigned long port = 65536;
    const auto digits = colon == std::string::npos ? std::string() : address.substr(colon + 1);
    if (!digits.empty() && digits.size() <= 5 && digits.find_first_not_of("0123456789") == std::string::npos)
        port = std::stoul(digits);
    error_code ec;
    const auto ip = asio::ip::make_address(host == "localhost" ? "127.0.0.1" : host, ec);
    if (ec || port > 65535)
        return fail(errc::malformed,
                    "listen = \"" + address + "\": an address and a port are wanted, as in 127.0.0.1:9480");
    const tcp::endpoint endpoint(ip, static_cast<std::uint16_t>(port));
    impl_->loopback = ip.is_loopback();
    impl_->acceptor.open(endpoint.protocol(), ec);
    if (!ec)
        impl_->acceptor.set_option(tcp::acceptor::reuse_address(true), ec);
    if (!ec)
        impl_->acceptor.bind(endpoint, ec);
    if (!ec)
        impl_->acceptor.listen(64, ec);
    if (ec)
        return fail(ec,
                    "listen = \"" + address + "\": " + ec.message() +
                        "; choose another port, or \"\" to turn it off");
    return true;
}

std::uint16_t server::port() const
{
    error_code ec;
    return impl_->acceptor.local_endpoint(ec).port();
}

std::size_t server::connections() const
{
    return impl_->open.size();
}

/// Closes the oldest connection, an idle one if there is one. Its task removes it; until then it counts no
/// more.
void server::impl::make_room()
{
    const auto alive = [](const auto& c) { return c->socket.is_open(); };
    if (static_cast<std::size_t>(std::count_if(open.begin(), open.end(), alive)) < bounds.connections)
        return;
    auto victim = std::find_if(open.begin(), open.end(), [&](const auto& c) { return alive(c) && c->idle; });
    if (victim == open.end())
        victim = std::find_if(open.begin(), open.end(), alive);
    error_code ec;
    (*victim)->socket.close(ec);
}

awaitable<void> server::run()
{
    auto* self = impl_.get();
    asio::steady_timer pause(self->ex);
    // Looked at by hand: a cancellation that meets the pause must end the connections too.
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto state = co_await asio::this_coro::cancellation_state;
    while (state.cancelled() == asio::cancellation_type::none)
    {
        auto [ec, socket] = co_await self->acceptor.async_accept(use_tuple);
        if (ec == asio::error::operation_aborted)
            break;
        if (ec)
        {
            // Out of descriptors: passes.
            pause.expires_after(std::chrono::milliseconds(100));
            co_await pause.async_wait(use_tuple);
            continue;
        }
        self->make_room();
        auto opened = std::make_shared<impl::connection>(std::move(socket), self->ex);
        self->open.push_back(opened);
        self->tasks.spawn("connection", self->serve(std::move(opened)));
    }
    error_code ignored;
    self->acceptor.close(ignored);
    self->tasks.cancel();
    co_await self->tasks.join(std::chrono::seconds(2));
}

/// Closes the socket when the limit passes: that ends whatever is pending on it.
void server::impl::arm(const std::shared_ptr<connection>& c, std::chrono::steady_clock::duration limit)
{
    c->timer.expires_after(limit);
    // Weak: a handler that is already queued runs even after the timer was cancelled.
    c->timer.async_wait([weak = std::weak_ptr<connection>(c)](error_code ec) {
        if (const auto alive = weak.lock(); alive && !ec)
            alive->socket.close(ec);
    });
}

awaitable<void> server::impl::serve(std::shared_ptr<connection> c)
{
    struct remove
    {
        remove(impl* i, std::shared_ptr<connection> which) : self(i), gone(std::move(which)) {}
        ~remove()
        {
            gone->timer.cancel();
            self->open.remove(gone);
        }
        impl* self;
        std::shared_ptr<connection> gone;
    };
    const remove guard(this, c);  // also when the coroutine is cancelled
    std::string buffer;
    for (unsigned n = 0; n < bounds.requests; ++n)
    {
        const bool more = co_await serve_one(c, buffer);
        if (!more)
            break;
    }
    error_code ec;
    c->socket.shutdown(tcp::socket::shutdown_both, ec);
}

response server::impl::answer(const http::request_parser<http::empty_body>& parser) const
{
    const auto& head = parser.get();
    if (head.method() != http::verb::get && head.method() != http::verb::head)
        return plain(405);
    const auto host = head[http::field::host];
    if (loopback && !is_local_name({host.data(), host.size()}))
        return plain(421);
    const std::string_view target(head.target().data(), head.target().size());
    const auto mark = target.find('?');
    request asked;
    asked.path = std::string(target.substr(0, mark));
    asked.query = mark == std::string_view::npos ? "" : std::string(target.substr(mark + 1));
    const auto found = handlers.find(asked.path);
    if (found == handlers.end())
        return plain(404);
    return found->second(asked);
}

awaitable<bool> server::impl::serve_one(std::shared_ptr<connection> c, std::string& buffer)
{
    http::request_parser<http::empty_body> parser;
    parser.header_limit(static_cast<std::uint32_t>(bounds.header));
    parser.body_limit(std::uint64_t{0});
    parser.eager(true);
    c->idle = buffer.empty();
    arm(c, buffer.empty() ? bounds.idle : bounds.request);
    std::optional<response> refusal;
    std::size_t taken = 0;
    while (!parser.is_done() && !refusal)
    {
        if (!buffer.empty())
        {
            error_code ec;
            const auto used = parser.put(asio::buffer(buffer), ec);
            buffer.erase(0, used);
            // The parser's own limit forgets the lines that it has taken at its first look.
            taken += used;
            const std::size_t head = taken + (parser.is_header_done() ? 0 : buffer.size());
            if (ec == http::error::header_limit || head > bounds.header)
                refusal = plain(431);
            else if (ec == http::error::body_limit ||
                     (ec == http::error::need_more && parser.is_header_done()))
                refusal = plain(413);
            else if (ec && ec != http::error::need_more)
                refusal = plain(400);
            if (parser.is_done() || refusal)
                break;
        }
        char piece[4096];
        auto [ec, size] = co_await c->socket.async_read_some(asio::buffer(piece), use_tuple);
        if (ec)
            co_return false;
        if (c->idle)
        {
            // The first byte starts the clock that no drip of bytes stops.
            c->idle = false;
            arm(c, bounds.request);
        }
        buffer.append(piece, size);
    }
    const bool keep = !refusal && parser.get().keep_alive();
    const bool head_only = !refusal && parser.get().method() == http::verb::head;
    const auto reply = refusal ? std::move(*refusal) : answer(parser);
    std::string text =
        "HTTP/1.1 " + std::to_string(reply.status) + " " + std::string(reason(reply.status)) +
        "\r\nContent-Type: " + reply.content_type +
        "\r\nContent-Length: " + std::to_string(reply.body.size()) +
        "\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY"
        "\r\nContent-Security-Policy: default-src 'none'; frame-ancestors 'none'"
        "\r\nReferrer-Policy: no-referrer";
    if (reply.status == 405)
        text += "\r\nAllow: GET, HEAD";
    text += keep ? "\r\nConnection: keep-alive\r\n\r\n" : "\r\nConnection: close\r\n\r\n";
    if (!head_only)
        text += reply.body;
    auto [ec, size] = co_await asio::async_write(c->socket, asio::buffer(text), use_tuple);
    co_return !ec && keep;
}

}  // namespace dtbridge::web
