#include <dtbridge/web/server.hpp>

#include <algorithm>
#include <cstdio>
#include <list>
#include <map>
#include <optional>
#include <utility>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>

#include <dtbridge/async/task_group.hpp>
#include <dtbridge/async/use_tuple.hpp>
#include <dtbridge/core/ip.hpp>
#include <dtbridge/core/log.hpp>
#include <dtbridge/core/text.hpp>

#include <web/wire.hpp>

namespace dtbridge::web
{

namespace
{

namespace http = boost::beast::http;
using asio::ip::tcp;

std::string_view reason(unsigned status)
{
    const auto text = http::obsolete_reason(static_cast<http::status>(status));
    return {text.data(), text.size()};
}

response plain(unsigned status)
{
    auto r = refusal(status, reason(status));
    if (status == 405)
        r.headers.emplace_back("Allow", "GET, HEAD");
    return r;
}

/// RFC 6750 2.1; the scheme's case does not matter (RFC 9110 11.1).
std::string_view bearer_of(std::string_view header)
{
    constexpr std::string_view scheme = "Bearer ";
    if (header.size() <= scheme.size() || !text::iequals(header.substr(0, scheme.size()), scheme))
        return {};
    return text::trim(header.substr(scheme.size()));
}

std::string chunk(std::string_view piece)
{
    char size[20];
    const int digits = std::snprintf(size, sizeof size, "%zx\r\n", piece.size());
    std::string out(size, static_cast<std::size_t>(digits));
    out += piece;
    out += "\r\n";
    return out;
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

response refusal(unsigned status, std::string_view words)
{
    response r;
    r.status = status;
    r.content_type = "application/json";
    r.body = "{\"error\":\"";
    for (const char c : text::printable(words, 1000))  // well-formed, no controls
    {
        if (c == '"' || c == '\\')
            r.body += '\\';
        r.body += c;
    }
    r.body += "\"}\n";
    if (status == 401)
        r.headers.emplace_back("WWW-Authenticate", "Bearer realm=\"dtbridge\"");
    return r;
}

struct server::impl
{
    struct connection
    {
        connection(std::unique_ptr<wire> w, asio::any_io_executor ex, std::string n, bool on_this_host)
            : line(std::move(w)), timer(ex), name(std::move(n)), local(on_this_host)
        {}
        std::unique_ptr<wire> line;
        asio::steady_timer timer;
        std::string name;  // of its task
        bool local;
        bool idle = true;
    };
    using parser = http::request_parser<http::empty_body>;

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
    awaitable<bool> read_head(std::shared_ptr<connection> c,
                              std::string& buffer,
                              parser& head,
                              std::optional<response>& refused);
    std::optional<response> judge(const parser& head, const connection& c, request& asked) const;
    awaitable<bool> send(std::shared_ptr<connection> c, response reply, bool keep, bool body, bool chunked);
    awaitable<bool> send_pieces(std::shared_ptr<connection> c, body_source& rest, bool chunked);
    void make_room();

    asio::any_io_executor ex;
    limits bounds;
    tcp::acceptor acceptor;
    bool loopback = true;
    std::map<std::string, slow_handler, std::less<>> handlers;
    std::shared_ptr<tls_server> tls;
    std::uint64_t accepted = 0;
    std::list<std::shared_ptr<connection>> open;
    task_group tasks;
};

server::server(asio::any_io_executor ex, limits bounds) : impl_(std::make_unique<impl>(ex, bounds)) {}

server::~server() = default;

namespace
{

/// A named coroutine, as a lambda's captures would go with the lambda.
awaitable<response> at_once(server::handler h, request asked)
{
    co_return h(asked);
}

}  // namespace

void server::handle(std::string path, handler h)
{
    impl_->handlers[std::move(path)] = [h = std::move(h)](request asked) {
        return at_once(h, std::move(asked));
    };
}

void server::handle_slow(std::string path, slow_handler h)
{
    impl_->handlers[std::move(path)] = std::move(h);
}

void server::renew(std::shared_ptr<tls_server> tls)
{
    impl_->tls = std::move(tls);
}

outcome<bool> server::listen(const std::string& address, std::shared_ptr<tls_server> tls)
{
    impl_->tls = std::move(tls);
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

/// Closes the oldest connection, an idle one if there is one, and ends its task, which may be waiting for
/// news. The task removes it; until then it counts no more.
void server::impl::make_room()
{
    const auto alive = [](const auto& c) { return c->line->is_open(); };
    if (static_cast<std::size_t>(std::count_if(open.begin(), open.end(), alive)) < bounds.connections)
        return;
    auto victim = std::find_if(open.begin(), open.end(), [&](const auto& c) { return alive(c) && c->idle; });
    if (victim == open.end())
        victim = std::find_if(open.begin(), open.end(), alive);
    const auto chosen = *victim;  // its task may end at once and remove it
    chosen->line->close();
    tasks.cancel(chosen->name);
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
        error_code gone;
        const bool local = socket.remote_endpoint(gone).address().is_loopback();
        auto line =
            self->tls ? make_tls_wire(std::move(socket), self->tls) : make_plain_wire(std::move(socket));
        auto name = "connection " + std::to_string(++self->accepted);
        auto opened = std::make_shared<impl::connection>(std::move(line), self->ex, name, local);
        self->open.push_back(opened);
        self->tasks.spawn(std::move(name), self->serve(std::move(opened)));
    }
    error_code ignored;
    self->acceptor.close(ignored);
    self->tasks.cancel();
    // However long: one in a handler that cannot be cancelled, as it reads an archive, uses this server.
    for (bool ended = false; !ended;)
        ended = co_await self->tasks.join(std::chrono::hours(1));
}

/// Closes the socket when the limit passes: that ends whatever is pending on it.
void server::impl::arm(const std::shared_ptr<connection>& c, std::chrono::steady_clock::duration limit)
{
    c->timer.expires_after(limit);
    // Weak: a handler that is already queued runs even after the timer was cancelled.
    c->timer.async_wait([weak = std::weak_ptr<connection>(c)](error_code ec) {
        if (const auto alive = weak.lock(); alive && !ec)
            alive->line->close();
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
    c->idle = false;
    arm(c, bounds.request);
    bool more = co_await c->line->open();
    c->idle = true;
    std::string buffer;
    for (unsigned n = 0; more && n < bounds.requests; ++n)
        more = co_await serve_one(c, buffer);
    arm(c, std::chrono::seconds(1));
    co_await c->line->finish();
}

/// What is refused before any handler is asked; fills asked.
std::optional<response> server::impl::judge(const parser& p, const connection& c, request& asked) const
{
    const auto& head = p.get();
    if (head.method() != http::verb::get && head.method() != http::verb::head)
        return plain(405);
    const auto host = head[http::field::host];
    if (loopback && !is_local_name({host.data(), host.size()}))
        return plain(421);
    const std::string_view target(head.target().data(), head.target().size());
    const auto mark = target.find('?');
    asked.path = std::string(target.substr(0, mark));
    asked.query = mark == std::string_view::npos ? "" : std::string(target.substr(mark + 1));
    const auto authorization = head[http::field::authorization];
    asked.bearer = secret(bearer_of({authorization.data(), authorization.size()}));
    asked.local = c.local;
    if (!handlers.contains(asked.path))
        return plain(404);
    return std::nullopt;
}

/// False where the client went away. refused: the head is not one that could be answered.
awaitable<bool> server::impl::read_head(std::shared_ptr<connection> c,
                                        std::string& buffer,
                                        parser& head,
                                        std::optional<response>& refused)
{
    c->idle = buffer.empty();
    arm(c, buffer.empty() ? bounds.idle : bounds.request);
    std::size_t taken = 0;
    for (;;)
    {
        if (!buffer.empty())
        {
            error_code ec;
            const auto used = head.put(asio::buffer(buffer), ec);
            buffer.erase(0, used);
            // The parser's own limit forgets the lines that it has taken at its first look.
            taken += used;
            const std::size_t size = taken + (head.is_header_done() ? 0 : buffer.size());
            if (ec == http::error::header_limit || size > bounds.header)
                refused = plain(431);
            else if (ec == http::error::body_limit || (ec == http::error::need_more && head.is_header_done()))
                refused = plain(413);
            else if (ec && ec != http::error::need_more)
                refused = plain(400);
            if (head.is_done() || refused)
                co_return true;
        }
        char piece[4096];
        const auto got = co_await c->line->read_some(asio::buffer(piece));
        if (!got)
            co_return false;
        if (c->idle)
        {
            // The first byte starts the clock that no drip of bytes stops.
            c->idle = false;
            arm(c, bounds.request);
        }
        buffer.append(piece, *got);
    }
}

awaitable<bool> server::impl::serve_one(std::shared_ptr<connection> c, std::string& buffer)
{
    parser head;
    head.header_limit(static_cast<std::uint32_t>(bounds.header));
    head.body_limit(std::uint64_t{0});
    head.eager(true);
    std::optional<response> refused;
    const bool arrived = co_await read_head(c, buffer, head, refused);
    if (!arrived)
        co_return false;
    const bool understood = !refused.has_value();
    const bool keep = understood && head.get().keep_alive();
    const bool with_body = !understood || head.get().method() != http::verb::head;
    const bool chunked = understood && head.get().version() >= 11;
    request asked;
    if (understood)
        refused = judge(head, *c, asked);
    response reply;
    if (refused)
    {
        reply = std::move(*refused);
    }
    else
    {
        arm(c, bounds.answer);
        const auto& handle = handlers.find(asked.path)->second;
        reply = co_await handle(std::move(asked));
    }
    const bool sent = co_await send(c, std::move(reply), keep, with_body, chunked);
    co_return sent;
}

/// False where the connection is not to be used any more.
awaitable<bool> server::impl::send(
    std::shared_ptr<connection> c, response reply, bool keep, bool body, bool chunked)
{
    if (reply.rest && !chunked)
        keep = false;  // HTTP/1.0: the body ends with the connection
    std::string text = "HTTP/1.1 " + std::to_string(reply.status) + " " + std::string(reason(reply.status)) +
                       "\r\nContent-Type: " + reply.content_type;
    if (!reply.rest)
        text += "\r\nContent-Length: " + std::to_string(reply.body.size());
    else if (chunked)
        text += "\r\nTransfer-Encoding: chunked";
    text +=
        "\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY"
        "\r\nReferrer-Policy: no-referrer\r\nCross-Origin-Resource-Policy: same-origin"
        "\r\nContent-Security-Policy: " +
        reply.content_security_policy;
    for (const auto& [name, value] : reply.headers)
        text += "\r\n" + name + ": " + value;
    text += keep ? "\r\nConnection: keep-alive\r\n\r\n" : "\r\nConnection: close\r\n\r\n";
    if (body)
        text += reply.rest && chunked && !reply.body.empty() ? chunk(reply.body) : reply.body;
    arm(c, bounds.request);
    const bool sent = co_await c->line->write(asio::buffer(text));
    if (!sent || !body || !reply.rest)
        co_return sent&& keep;
    const bool whole = co_await send_pieces(c, *reply.rest, chunked);
    co_return whole&& keep;
}

awaitable<bool> server::impl::send_pieces(std::shared_ptr<connection> c, body_source& rest, bool chunked)
{
    using clock = std::chrono::steady_clock;
    const auto until = clock::now() + bounds.stream;
    for (;;)
    {
        const auto left = until - clock::now();
        arm(c, std::min(bounds.answer, left));
        auto piece = co_await rest.next();
        if (!piece)
        {
            c->line->close();
            co_return false;
        }
        const bool last = piece->empty();
        std::string text = std::exchange(*piece, {});  // one copy at a time, as the client may take long
        if (chunked)
            text = last ? "0\r\n\r\n" : chunk(text);
        arm(c, std::min(bounds.request, left));
        if (!text.empty())
        {
            const bool sent = co_await c->line->write(asio::buffer(text));
            if (!sent)
                co_return false;
        }
        if (last)
            co_return true;
    }
}

}  // namespace dtbridge::web
