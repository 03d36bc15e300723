#include <dtbridge/net/stream.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

#include <dtbridge/async/within.hpp>
#include <dtbridge/core/text.hpp>
#include <dtbridge/net/connect_report.hpp>

#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <utility>

#include "net/endpoint.hpp"
#include "net/proxy_answer.hpp"
#include "net/tls.hpp"

namespace dtbridge::net
{

namespace
{

using tcp = asio::ip::tcp;
using std::chrono::steady_clock;

constexpr auto longest_limit = std::chrono::hours(24 * 365);
constexpr std::size_t cipher_chunk = 64u << 10;  ///< TLS output that waits for the kernel
constexpr std::size_t plain_chunk = 48u
                                    << 10;  ///< encrypted at a time, so that the output stays about that size

/// Output that waits while the peer takes none. What this side writes stays far below; beyond it are answers
/// to the peer's KeyUpdate messages (RFC 8446 4.6.3), which it may send as fast as it likes.
constexpr std::size_t most_answers = 256u << 10;

duration bounded(duration d)
{
    return std::clamp<duration>(d, duration::zero(), longest_limit);
}

error_code timed_out()
{
    return make_error_code(errc::timed_out);
}

/// The socket and what both kinds of stream share. Coroutines hold it by shared_ptr: closing or destroying a
/// stream ends them, but only later.
struct link
{
    explicit link(const asio::any_io_executor& ex) : socket(ex) {}

    tcp::socket socket;
    peer_facts facts;
    std::uint64_t handed = 0;
    std::uint64_t acknowledged = 0;  ///< the last that was known
    bool fin_sent = false;
    bool write_failed = false;
    std::string early;  ///< bytes that came together with the proxy's answer
    may_write may;      ///< of the write under way

    void close()
    {
        outstanding();
        error_code ignored;
        socket.close(ignored);
    }

    void reset()
    {
        // Without it the kernel would go on sending what it has after the close.
        error_code ignored;
        socket.set_option(asio::socket_base::linger(true, 0), ignored);
        close();
    }

    /// False, and the connection is over, where nothing may be sent any more.
    bool allowed()
    {
        if (!may || may())
            return true;
        reset();
        return false;
    }

    std::uint64_t outstanding()
    {
        int queued = 0;
        if (socket.is_open() && ioctl(socket.native_handle(), SIOCOUTQ, &queued) == 0)
        {
            auto left = static_cast<std::uint64_t>(std::max(queued, 0));
            if (fin_sent && left > 0)
                --left;  // the FIN takes a sequence number of its own
            if (left <= handed)
                acknowledged = std::max(acknowledged, handed - left);
        }
        return handed - acknowledged;
    }

    /// What the kernel takes at once; 0 when it takes nothing now.
    std::size_t offer(asio::const_buffer from, error_code& ec)
    {
        const std::size_t n = socket.write_some(asio::buffer(from), ec);  // asio sends with MSG_NOSIGNAL
        handed += n;
        if (ec == asio::error::would_block || ec == asio::error::try_again)
            ec = {};
        return n;
    }
};

using link_ptr = std::shared_ptr<link>;

/// Says for the time of a write who is asked before each piece of it.
class asking
{
public:
    asking(link_ptr l, may_write may) : link_(std::move(l)) { link_->may = std::move(may); }
    asking(const asking&) = delete;
    asking& operator=(const asking&) = delete;
    ~asking() { link_->may = nullptr; }

private:
    link_ptr link_;
};

/// Some of piece. Where somebody is asked, that is after the wait for the kernel, which may be long.
awaitable<result<std::size_t>> send_some(link_ptr l, asio::const_buffer piece)
{
    while (l->may)
    {
        if (!l->allowed())
            co_return make_error_code(errc::lease_lost);
        error_code ec;
        const std::size_t n = l->offer(piece, ec);
        if (ec)
            co_return ec;
        if (n > 0)
            co_return n;
        auto [failed] =
            co_await l->socket.async_wait(tcp::socket::wait_write, asio::as_tuple(asio::use_awaitable));
        if (failed)
            co_return failed;
    }
    auto [ec, n] = co_await l->socket.async_write_some(piece, asio::as_tuple(asio::use_awaitable));
    l->handed += n;
    if (ec)
        co_return ec;
    co_return n;
}

awaitable<result<std::size_t>> send_all(link_ptr l, asio::const_buffer from)
{
    const std::size_t size = from.size();
    while (from.size() > 0)
    {
        const asio::const_buffer piece = from;
        const auto sent = co_await send_some(l, piece);
        if (!sent)
            co_return sent.error();
        from += sent.value();
    }
    co_return size;
}

/// 0 at the peer's FIN.
awaitable<result<std::size_t>> receive(link_ptr l, asio::mutable_buffer into)
{
    if (!l->early.empty())
    {
        const std::size_t n = asio::buffer_copy(into, asio::buffer(l->early));
        l->early.erase(0, n);
        co_return n;
    }
    auto [ec, n] = co_await l->socket.async_read_some(into, asio::as_tuple(asio::use_awaitable));
    if (ec == asio::error::eof)
        co_return std::size_t(0);
    if (ec)
        co_return ec;
    co_return n;
}

class plain_stream : public stream
{
public:
    explicit plain_stream(link_ptr l) : link_(std::move(l)) {}
    ~plain_stream() override { link_->close(); }

    awaitable<result<std::size_t>> read_some(asio::mutable_buffer into, duration limit) override
    {
        const result<std::size_t> late = timed_out();
        return within(bounded(limit), receive(link_, into), late);
    }
    awaitable<result<std::size_t>> write(asio::const_buffer from, duration limit, may_write may) override
    {
        return write_within(link_, from, limit, std::move(may));
    }
    awaitable<bool> finish(duration) override { return half_close(link_); }
    void close() override { link_->close(); }
    void reset() override { link_->reset(); }
    bool is_open() const override { return link_->socket.is_open(); }
    const peer_facts& peer() const override { return link_->facts; }
    std::uint64_t bytes_handed() const override { return link_->handed; }
    std::uint64_t bytes_outstanding() const override { return link_->outstanding(); }
    int native_handle() const override { return is_open() ? link_->socket.native_handle() : -1; }

private:
    static awaitable<result<std::size_t>> write_within(link_ptr l,
                                                       asio::const_buffer from,
                                                       duration limit,
                                                       may_write may)
    {
        if (!l->socket.is_open())
            co_return error_code(asio::error::operation_aborted);
        if (l->write_failed || l->fin_sent)
            co_return error_code(asio::error::broken_pipe);
        const asking first(l, std::move(may));
        if (!l->allowed())
            co_return make_error_code(errc::lease_lost);
        const std::size_t size = from.size();
        // Most writes fit into the kernel's buffer; these need no timer.
        error_code ec;
        from += l->offer(from, ec);
        if (ec)
        {
            l->write_failed = true;
            co_return ec;
        }
        if (from.size() == 0)
            co_return size;
        l->write_failed = true;  // whatever ends the coroutine now leaves a part unsent
        const result<std::size_t> late = timed_out();
        const auto sent = co_await within(bounded(limit), send_all(l, from), late);
        if (!sent)
            co_return sent.error();
        l->write_failed = false;
        co_return size;
    }
    static awaitable<bool> half_close(link_ptr l)
    {
        error_code ec = asio::error::not_connected;
        if (l->socket.is_open())
        {
            l->socket.shutdown(tcp::socket::shutdown_send, ec);
            l->fin_sent = !ec;
        }
        co_return !ec;
    }

    link_ptr link_;
};

/// TLS on a link. Encrypted output is written in order by one coroutine at a time (handshake, write, finish);
/// the reader only offers the kernel what it takes at once, such as an alert.
struct tls_link
{
    tls_link(link_ptr l,
             std::shared_ptr<const tls_profile> p,
             const std::string& name,
             std::shared_ptr<connect_report> report)
        : wire(std::move(l)), engine(std::move(p), name, std::move(report))
    {}

    link_ptr wire;
    tls_engine engine;
    std::vector<char> out;  ///< taken from the engine, from out_begin on not yet in the kernel
    std::size_t out_begin = 0;
    bool flushing = false;
    std::vector<char> in = std::vector<char>(16u << 10);
    error_code read_error;  ///< TLS cannot be read on after an error

    /// False when there is nothing to send.
    bool load()
    {
        if (out_begin < out.size())
            return true;
        // No more than there is: a thousand connections to masters send small requests only.
        out.resize(std::min(engine.output(), cipher_chunk));
        out_begin = 0;
        out.resize(engine.take(out.data(), out.size()));
        return !out.empty();
    }
    void offer()
    {
        error_code ec;
        while (!flushing && wire->socket.is_open() && load() && !ec)
        {
            const auto n = wire->offer(asio::buffer(out) + out_begin, ec);
            out_begin += n;
            if (n == 0)
                return;
        }
    }
};

using tls_link_ptr = std::shared_ptr<tls_link>;

awaitable<result<std::size_t>> flush(tls_link_ptr t)
{
    struct turn
    {
        explicit turn(tls_link& l) : owner(l) { owner.flushing = true; }
        turn(const turn&) = delete;
        turn& operator=(const turn&) = delete;
        ~turn() { owner.flushing = false; }
        tls_link& owner;
    };
    turn mine(*t);
    std::size_t total = 0;
    while (t->load())
    {
        // Piece by piece, so that a cancelled flush knows what the kernel has and the next one goes on behind
        // it.
        const asio::const_buffer piece = asio::buffer(t->out) + t->out_begin;
        const auto sent = co_await send_some(t->wire, piece);
        if (!sent)
            co_return sent.error();
        t->out_begin += sent.value();
        total += sent.value();
    }
    co_return total;
}

awaitable<result<std::size_t>> tls_receive(tls_link_ptr t)
{
    const asio::mutable_buffer into = asio::buffer(t->in);
    const auto got = co_await receive(t->wire, into);
    if (got && got.value() > 0)
        t->engine.feed(std::string_view(t->in.data(), got.value()));
    co_return got;
}

awaitable<result<std::size_t>> tls_read(tls_link_ptr t, asio::mutable_buffer into)
{
    for (;;)
    {
        if (!t->wire->socket.is_open())
            co_return error_code(asio::error::operation_aborted);
        if (t->read_error)
            co_return t->read_error;
        const auto a = t->engine.read(into.data(), into.size());
        if (t->engine.output() > 0)
            t->offer();
        if (t->engine.output() > most_answers)
        {
            t->read_error = make_error_code(errc::over_limit);
            co_return t->read_error;
        }
        if (a.state == tls_engine::want::nothing)
            co_return a.size;
        if (a.state == tls_engine::want::failed)
        {
            t->read_error = t->engine.error();
            co_return t->read_error;
        }
        const auto got = co_await tls_receive(t);
        if (!got)
            co_return got.error();
        if (got.value() == 0)
        {
            t->read_error = asio::ssl::error::make_error_code(asio::ssl::error::stream_truncated);
            co_return t->read_error;
        }
    }
}

awaitable<result<std::size_t>> tls_write(tls_link_ptr t, asio::const_buffer from)
{
    const std::size_t size = from.size();
    while (from.size() > 0)
    {
        const std::size_t n = std::min(from.size(), plain_chunk);
        if (t->engine.write(std::string_view(static_cast<const char*>(from.data()), n)) !=
            tls_engine::want::nothing)
            co_return t->engine.error() ? t->engine.error() : error_code(asio::error::broken_pipe);
        from += n;
        const auto flushed = co_await flush(t);
        if (!flushed)
            co_return flushed.error();
    }
    co_return size;
}

class tls_stream : public stream
{
public:
    explicit tls_stream(tls_link_ptr t) : tls_(std::move(t)) {}
    ~tls_stream() override { tls_->wire->close(); }

    awaitable<result<std::size_t>> read_some(asio::mutable_buffer into, duration limit) override
    {
        const result<std::size_t> late = timed_out();
        return within(bounded(limit), tls_read(tls_, into), late);
    }
    awaitable<result<std::size_t>> write(asio::const_buffer from, duration limit, may_write may) override
    {
        return write_within(tls_, from, limit, std::move(may));
    }
    awaitable<bool> finish(duration limit) override { return half_close(tls_, limit); }
    void close() override { tls_->wire->close(); }
    void reset() override { tls_->wire->reset(); }
    bool is_open() const override { return tls_->wire->socket.is_open(); }
    const peer_facts& peer() const override { return tls_->wire->facts; }
    std::uint64_t bytes_handed() const override { return tls_->wire->handed; }
    std::uint64_t bytes_outstanding() const override { return tls_->wire->outstanding(); }
    int native_handle() const override { return is_open() ? tls_->wire->socket.native_handle() : -1; }

private:
    static awaitable<result<std::size_t>> write_within(tls_link_ptr t,
                                                       asio::const_buffer from,
                                                       duration limit,
                                                       may_write may)
    {
        auto& l = *t->wire;
        if (!l.socket.is_open())
            co_return error_code(asio::error::operation_aborted);
        if (l.write_failed || l.fin_sent)
            co_return error_code(asio::error::broken_pipe);
        l.write_failed = true;  // until it is known to be whole
        const asking first(t->wire, std::move(may));
        const result<std::size_t> late = timed_out();
        const auto sent = co_await within(bounded(limit), tls_write(t, from), late);
        l.write_failed = !sent;
        co_return sent;
    }
    static awaitable<bool> half_close(tls_link_ptr t, duration limit)
    {
        auto& l = *t->wire;
        if (!l.socket.is_open() || l.fin_sent)
            co_return l.fin_sent;
        bool said = false;
        if (!l.write_failed)
        {
            t->engine.finish();
            const result<std::size_t> late = timed_out();
            const auto sent = co_await within(bounded(limit), flush(t), late);
            said = sent.has_value();
        }
        error_code ec = asio::error::not_connected;
        if (l.socket.is_open())
            l.socket.shutdown(tcp::socket::shutdown_send, ec);
        l.fin_sent = !ec;
        co_return said && !ec;
    }

    tls_link_ptr tls_;
};

/// Where a connection attempt is, for the words when its time is over.
struct progress
{
    std::string who;  ///< "siem.example:6514 (192.0.2.1)"
    std::string step = "connecting";
    bool wanted = false;  ///< somebody asks for the report
    std::unique_ptr<stream> made;
};

void tune(tcp::socket& socket, int user_timeout_ms)
{
    // Failing to set one of these is no reason to do without the connection.
    error_code ignored;
    socket.non_blocking(true, ignored);
    socket.set_option(tcp::no_delay(true), ignored);
    socket.set_option(asio::socket_base::keep_alive(true), ignored);
    // While data is out the user timeout ends a dead connection, on an idle one the probes do: idle + 4
    // intervals is the same time (tcp(7); RFC 5482 for the former).
    const int timeout = std::clamp(user_timeout_ms, 1000, 24 * 3600 * 1000);
    const int idle = std::max(1, timeout / 3000);
    const int interval = std::max(1, timeout / 6000);
    const int probes = 4;
    const int fd = socket.native_handle();
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof timeout);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

std::string base64(std::string_view bytes)
{
    static constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    for (std::size_t i = 0; i < bytes.size(); i += 3)
    {
        std::uint32_t v = 0;
        for (std::size_t k = 0; k < 3; ++k)
            v = v << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0u);
        for (std::size_t k = 0; k < 4; ++k)
            out.push_back(i + k > bytes.size() ? '=' : digits[v >> (18 - 6 * k) & 63u]);
    }
    return out;
}

std::string proxy_words(unsigned status, bool has_user)
{
    const auto number = std::to_string(status);
    switch (status)
    {
        case 401:
        case 407:
            return has_user
                       ? "refuses the user name or password (" + number +
                             "); check proxy and proxy_password_file"
                       : "wants a user name and password (" + number +
                             "); write them as proxy = \"http://user@host:port\" and proxy_password_file";
        case 403:
            return "does not allow connections to this peer (403); have it allowed there";
        case 405:
        case 501:
            return "does not know CONNECT (" + number + "); it is no proxy for HTTPS";
        case 502:
        case 503:
        case 504:
            return "cannot reach the peer (" + number + "); check the peer's address and the proxy's network";
        default:
            return "answered " + number + " to CONNECT";
    }
}

awaitable<outcome<bool>> through_proxy(link_ptr l, std::shared_ptr<connect_options> o)
{
    const auto& proxy = *o->proxy;
    const std::string name = "the proxy " + proxy.address.text() + " ";
    const std::string target = o->peer.text();
    // RFC 9110 9.3.6, RFC 7617 2.
    std::string request = "CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n";
    if (!proxy.user.empty())
    {
        secret credentials(proxy.user + ":" + std::string(proxy.password.reveal()));
        request += "Proxy-Authorization: Basic " + base64(credentials.reveal()) + "\r\n";
    }
    request += "\r\n";
    const asio::const_buffer out = asio::buffer(request);
    const auto sent = co_await send_all(l, out);
    std::fill(request.begin(), request.end(), '\0');
    if (!sent)
        co_return fail(sent.error(), name + "broke off: " + describe(sent.error()));
    proxy_answer answer;
    auto state = proxy_answer::state::more;
    std::array<char, 2048> buffer{};
    while (state == proxy_answer::state::more)
    {
        const asio::mutable_buffer in = asio::buffer(buffer);
        const auto got = co_await receive(l, in);
        if (!got)
            co_return fail(got.error(), name + "broke off: " + describe(got.error()));
        if (got.value() == 0)
            co_return fail(errc::proxy_refused, name + "closed the connection without an answer to CONNECT");
        state = answer.take(std::string_view(buffer.data(), got.value()));
    }
    if (state == proxy_answer::state::endless)
        co_return fail(errc::proxy_refused, name + "sends an answer without end; it is no HTTP proxy");
    if (state == proxy_answer::state::not_http)
        co_return fail(errc::proxy_refused, name + "does not answer as an HTTP proxy does");
    const unsigned status = answer.status();
    if (status < 200 || status > 299)
        co_return fail(errc::proxy_refused, name + proxy_words(status, !proxy.user.empty()));
    l->early = answer.rest();
    co_return true;
}

awaitable<outcome<bool>> shake_hands(tls_link_ptr t, std::string who)
{
    for (;;)
    {
        const auto state = t->engine.handshake();
        if (state == tls_engine::want::failed)
        {
            t->offer();  // the alert that tells the peer why
            co_return fail(errc::tls_refused, t->engine.explain(who));
        }
        const auto flushed = co_await flush(t);
        if (!flushed)
        {
            // What the peer said before it closed tells more than the reset.
            const auto last = co_await tls_receive(t);
            if (last && last.value() > 0 && t->engine.handshake() == tls_engine::want::failed)
                co_return fail(errc::tls_refused, t->engine.explain(who));
            co_return fail(flushed.error(), who + ": in the TLS handshake, " + describe(flushed.error()));
        }
        if (state == tls_engine::want::nothing)
            co_return true;
        const auto got = co_await tls_receive(t);
        if (!got)
            co_return fail(got.error(), who + ": in the TLS handshake, " + describe(got.error()));
        if (got.value() == 0)
            co_return fail(
                asio::error::eof,
                who +
                    ": the peer closed the connection in the TLS handshake; does it speak TLS on this port?");
    }
}

awaitable<outcome<bool>> attempt(std::shared_ptr<connect_options> o,
                                 std::string address,
                                 std::shared_ptr<progress> p)
{
    auto ex = co_await asio::this_coro::executor;
    auto l = std::make_shared<link>(ex);
    const auto& first = o->proxy ? o->proxy->address : o->peer;
    const bool literal = first.host == address;
    const std::string hop =
        (o->proxy ? "the proxy " : "") + first.text() + (literal ? "" : " (" + address + ")");
    p->who = hop;
    p->step = "connecting";
    auto& report = *o->report;
    report.step = "connect";
    report.address = endpoint_name{address, first.port}.text();
    error_code ec;
    const auto ip = asio::ip::make_address(address, ec);
    if (ec)
        co_return fail(errc::malformed, address + " is no address");
    const tcp::endpoint to(ip, first.port);
    l->socket.open(to.protocol(), ec);
    if (ec)
        co_return fail(ec, hop + ": " + describe(ec));
    tune(l->socket, o->user_timeout_ms);
    auto [failed] = co_await l->socket.async_connect(to, asio::as_tuple(asio::use_awaitable));
    if (failed)
        co_return fail(failed, hop + ": " + describe(failed));
    l->facts.address = endpoint_name{address, first.port}.text();
    if (o->proxy)
    {
        p->step = "waiting for the proxy's answer to CONNECT";
        report.step = "proxy";
        auto opened = co_await through_proxy(l, o);
        if (!opened)
            co_return opened.error();
        p->who = o->peer.text() + " (through the proxy " + o->proxy->address.text() + ")";
    }
    if (!o->tls)
    {
        p->made = std::make_unique<plain_stream>(std::move(l));
        report.step = "done";
        co_return true;
    }
    p->step = "in the TLS handshake";
    report.step = "tls";
    const auto profile = std::static_pointer_cast<const tls_profile>(o->tls);
    std::string name = o->server_name;
    if (name.empty())
        name = profile->options.server_name;
    if (name.empty())
        name = o->peer.host;
    report.server_name = name;
    auto t = std::make_shared<tls_link>(l, profile, name, p->wanted ? o->report : nullptr);
    auto agreed = co_await shake_hands(t, p->who);
    t->engine.report();
    if (!agreed)
        co_return agreed.error();
    t->engine.fill(l->facts);
    report.step = "done";
    p->made = std::make_unique<tls_stream>(std::move(t));
    co_return true;
}

/// Another address of the peer's would say the same.
bool is_final(const error_code& ec)
{
    return ec == make_error_code(errc::tls_refused) || ec == make_error_code(errc::proxy_refused);
}

}  // namespace

awaitable<outcome<std::unique_ptr<stream>>> connect(connect_options options)
{
    auto o = std::make_shared<connect_options>(std::move(options));
    const bool wanted = o->report != nullptr;
    if (!wanted)
        o->report = std::make_shared<connect_report>();
    o->report->step = "resolve";
    const auto& first = o->proxy ? o->proxy->address : o->peer;
    for (const endpoint_name* e : {&std::as_const(o->peer), &first})
        if (!is_host(e->host) || e->port == 0)
            co_return fail(errc::malformed,
                           "\"" + text::printable(e->text(), 80) + "\" is no address of a peer");
    if (o->proxy && o->proxy->user.find(':') != std::string::npos)
        co_return fail(errc::malformed, "a proxy's user name cannot have a colon (RFC 7617)");
    const auto deadline = steady_clock::now() + bounded(o->limit);
    auto addresses = co_await resolve(first.host, bounded(o->limit));
    if (!addresses)
        co_return addresses.error();
    if (wanted)
        o->report->addresses = addresses.value();
    failure last;
    std::size_t tried = 0;
    for (const auto& address : addresses.value())
    {
        const auto left = deadline - steady_clock::now();
        if (left <= duration::zero() && tried > 0)
            break;
        const auto share = left / static_cast<std::int64_t>(addresses.value().size() - tried);
        ++tried;
        auto p = std::make_shared<progress>();
        p->wanted = wanted;
        const outcome<bool> late = fail(asio::error::timed_out, {});
        auto done = co_await within(bounded(share), attempt(o, address, p), late);
        if (done)
            co_return std::move(p->made);
        last = done.error();
        if (last.detail.empty())
            last.detail = p->who + ": timed out " + p->step;
        // Cancelled: the next await would throw, and there may be none.
        if (last.code == asio::error::operation_aborted || is_final(last.code))
            co_return last;
    }
    if (tried > 1)
        last.detail = "none of " + std::to_string(tried) + " addresses works; the last: " + last.detail;
    co_return last;
}

}  // namespace dtbridge::net
