#include <dtbridge/net/http_client.hpp>

#include <boost/asio/error.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/parser.hpp>

#include <dtbridge/core/text.hpp>

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "net/inflater.hpp"

namespace dtbridge::net
{

namespace beast = boost::beast;
namespace http = boost::beast::http;

namespace
{

using std::chrono::steady_clock;

constexpr std::size_t read_size = 64u << 10;
constexpr std::size_t piece_size = 64u << 10;
constexpr std::uint64_t ratio_free = 1u << 20;  ///< decoded bytes before the ratio counts
constexpr int max_interim = 8;                  ///< 1xx answers before the real one

/// A body that is taken out of the parser after every put().
struct piece_body
{
    using value_type = std::string;
    class reader
    {
    public:
        template <bool IsRequest, class Fields>
        reader(http::header<IsRequest, Fields>&, value_type& into) : into_(into)
        {}
        void init(const boost::optional<std::uint64_t>&, error_code& ec) { ec = {}; }
        template <class Buffers>
        std::size_t put(const Buffers& buffers, error_code& ec)
        {
            ec = {};
            std::size_t n = 0;
            for (auto it = asio::buffer_sequence_begin(buffers); it != asio::buffer_sequence_end(buffers);
                 ++it)
            {
                const asio::const_buffer b = *it;
                into_.append(static_cast<const char*>(b.data()), b.size());
                n += b.size();
            }
            return n;
        }
        void finish(error_code& ec) { ec = {}; }

    private:
        value_type& into_;
    };
};
using parser = http::response_parser<piece_body>;

/// A token of RFC 9110 5.6.2.
bool is_token(std::string_view s)
{
    return !s.empty() && std::all_of(s.begin(), s.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
    });
}

bool is_field_value(std::string_view s)
{
    return std::all_of(s.begin(), s.end(), [](char c) {
        const auto u = static_cast<unsigned char>(c);
        return (u >= 0x20 && u != 0x7f) || c == '\t';
    });
}

bool is_target(std::string_view s)
{
    return s.starts_with('/') && std::all_of(s.begin(), s.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

std::string field(const parser& p, http::field name)
{
    const auto v = p.get()[name];
    return std::string(v.data(), v.size());
}

/// Counts, decodes and hands on what came.
struct body_way
{
    body_sink& sink;
    http_limits bounds;
    http_response& answer;
    std::string who;
    std::unique_ptr<inflater> gzip;
    std::vector<char> decoded;

    body_way(body_sink& s, http_limits b, http_response& r, std::string w)
        : sink(s), bounds(b), answer(r), who(std::move(w))
    {}

    awaitable<outcome<bool>> deliver(std::string_view piece)
    {
        answer.body_bytes += piece.size();
        if (answer.body_bytes > bounds.max_body)
            co_return fail(errc::over_limit,
                           who + ": the answer is over " + std::to_string(bounds.max_body) + " bytes");
        auto taken = co_await sink.body(piece);
        co_return taken;
    }

    awaitable<outcome<bool>> take(std::string_view wire)
    {
        answer.wire_bytes += wire.size();
        if (!gzip)
        {
            auto taken = co_await deliver(wire);
            co_return taken;
        }
        gzip->feed(wire);
        decoded.resize(piece_size);
        for (;;)
        {
            const auto n = gzip->next(decoded.data(), decoded.size());
            if (!n)
                co_return fail(errc::http_protocol, who + ": the gzip encoding of the answer is damaged");
            if (n.value() == 0)
                co_return true;
            const std::uint64_t so_far = answer.body_bytes + n.value();
            if (so_far > ratio_free && so_far / bounds.max_gzip_ratio > answer.wire_bytes)
                co_return fail(errc::over_limit,
                               who + ": the answer's gzip encoding grows to more than " +
                                   std::to_string(bounds.max_gzip_ratio) + " times its size");
            const std::string_view piece(decoded.data(), n.value());
            auto taken = co_await deliver(piece);
            if (!taken)
                co_return taken.error();
        }
    }
};

}  // namespace

struct http_client::impl
{
    connect_options peer;
    std::string host;
    std::string user_agent;
    std::unique_ptr<stream> connection;
    peer_facts facts;

    std::string who() const { return peer.peer.text(); }
    outcome<std::string> render(const http_request& request) const;
    awaitable<outcome<bool>> open(steady_clock::time_point deadline);
    awaitable<outcome<http_response>> exchange(const std::string& request,
                                               body_sink& sink,
                                               http_limits bounds,
                                               steady_clock::time_point deadline,
                                               bool& answered);
    failure broken(const parser& p, bool answered, const http_response& r, const error_code& why) const;
};

outcome<std::string> http_client::impl::render(const http_request& request) const
{
    if (!is_target(request.target))
        return fail(errc::malformed, who() + ": the request's target is not a path and a query in ASCII");
    if (host.empty() || !is_field_value(host) || !is_field_value(user_agent))
        return fail(errc::malformed, who() + ": Host or User-Agent cannot be written into a request");
    std::string out = "GET " + request.target + " HTTP/1.1\r\nHost: " + host +
                      "\r\nUser-Agent: " + user_agent + "\r\nAccept-Encoding: gzip\r\n";
    for (const auto& [name, value] : request.headers)
    {
        if (!is_token(name) || !is_field_value(value))
            return fail(errc::malformed, who() + ": a header of the request cannot be written");
        out += name + ": " + value + "\r\n";
    }
    out += "\r\n";
    return out;
}

awaitable<outcome<bool>> http_client::impl::open(steady_clock::time_point deadline)
{
    auto options = peer;
    options.limit = std::min<duration>(options.limit, deadline - steady_clock::now());
    auto made = co_await connect(std::move(options));
    if (!made)
        co_return made.error();
    connection = std::move(made.value());
    facts = connection->peer();
    co_return true;
}

failure http_client::impl::broken(const parser& p,
                                  bool answered,
                                  const http_response& r,
                                  const error_code& why) const
{
    if (why == asio::error::operation_aborted)
        return fail(why, who() + ": cancelled");
    if (why == make_error_code(errc::timed_out))
    {
        const std::string where = !answered             ? "no answer came"
                                  : !p.is_header_done() ? "only a part of the answer's header came"
                                                        : "only " + std::to_string(r.wire_bytes) +
                                                              " bytes of the answer's body came";
        return fail(why, who() + ": " + where + " within the time allowed");
    }
    const std::string reason = why ? describe(why) : "the peer closed the connection";
    if (!answered)
        return fail(asio::error::eof, who() + ": no answer came: " + reason);
    if (!p.is_header_done())
        return fail(asio::error::eof, who() + ": the answer was cut within its header: " + reason);
    const auto length = p.content_length();
    return fail(asio::error::eof,
                who() + ": the answer was cut after " + std::to_string(r.wire_bytes) +
                    (length ? " of " + std::to_string(*length) : std::string()) +
                    " bytes of its body: " + reason);
}

awaitable<outcome<http_response>> http_client::impl::exchange(const std::string& request,
                                                              body_sink& sink,
                                                              http_limits bounds,
                                                              steady_clock::time_point deadline,
                                                              bool& answered)
{
    http_response r;
    body_way way(sink, bounds, r, who());
    std::optional<parser> p;
    const auto begin = [&p, &bounds] {
        p.emplace();
        p->eager(false);  // stops behind the header, so that its size is known
        p->header_limit(static_cast<std::uint32_t>(std::min<std::size_t>(bounds.max_header, 1u << 30)));
        p->body_limit(bounds.max_body);
    };
    begin();
    int interim = 0;
    std::size_t header_bytes = 0;  ///< of all interim answers too
    bool head_told = false;
    std::string buffer;
    std::vector<char> read_buffer(read_size);

    const asio::const_buffer out = asio::buffer(request);
    const auto sent = co_await connection->write(out, deadline - steady_clock::now());
    // After a failed write the peer's last words are still read: a TLS alert, or an answer that says why.
    if (!sent &&
        (sent.error() == make_error_code(errc::timed_out) || sent.error() == asio::error::operation_aborted))
        co_return broken(*p, false, r, sent.error());
    if (!connection)
        co_return broken(*p, false, r, asio::error::operation_aborted);
    for (;;)
    {
        const auto left = deadline - steady_clock::now();
        if (left <= duration::zero())
            co_return broken(*p, answered, r, make_error_code(errc::timed_out));
        const asio::mutable_buffer in = asio::buffer(read_buffer);
        const auto got = co_await connection->read_some(in, left);
        if (!connection)
            co_return broken(*p, answered, r, asio::error::operation_aborted);
        if (!got && got.error() == asio::error::operation_aborted)
            co_return broken(*p, answered, r, got.error());
        error_code ec;
        if (!got || got.value() == 0)
        {
            const error_code why = got ? error_code() : got.error();
            // RFC 9112 6.3 rule 8: the body ends with the connection; under TLS only after close_notify
            // (9.8).
            if (why || !p->is_header_done() || !p->need_eof())
                co_return broken(*p, answered, r, why);
            p->put_eof(ec);
            if (ec)
                co_return broken(*p, answered, r, why);
        }
        else
        {
            answered = true;
            buffer.append(read_buffer.data(), got.value());
        }
        while (!buffer.empty() && !p->is_done())
        {
            const bool in_header = !p->is_header_done();
            const std::size_t used = p->put(asio::buffer(buffer), ec);
            buffer.erase(0, used);
            const bool starved = ec == http::error::need_more;
            if (starved)
                ec = {};
            // The parser's own limit forgets the lines that it has taken at its first look.
            if (in_header)
                header_bytes += used + (p->is_header_done() ? 0 : buffer.size());
            if (ec == http::error::header_limit || header_bytes > bounds.max_header ||
                (!ec && buffer.size() > bounds.max_header + read_size))
                co_return fail(
                    errc::over_limit,
                    who() + ": the answer's header is over " + std::to_string(bounds.max_header) + " bytes");
            if (in_header && !p->is_header_done())
                header_bytes -= buffer.size();
            if (ec == http::error::body_limit)
                co_return fail(errc::over_limit,
                               who() + ": the answer is over " + std::to_string(bounds.max_body) + " bytes");
            if (ec)
                co_return fail(errc::http_protocol,
                               who() + ": the answer is not HTTP as it should be (" + ec.message() + ")");
            if (in_header && p->is_header_done())
            {
                // RFC 9110 15: a status is from 100 to 599; the parser takes any three digits.
                const unsigned status = p->get().result_int();
                if (status < 100 || status > 599)
                    co_return fail(errc::http_protocol,
                                   who() + ": the answer is not HTTP as it should be (status " +
                                       std::to_string(status) + ")");
                p->eager(true);
            }
            if (p->is_done() && p->get().result_int() / 100 == 1)
            {
                // RFC 9110 15.2: interim answers may be ignored, but for a switch that nobody asked for.
                if (p->get().result_int() == 101 || ++interim > max_interim)
                    co_return fail(errc::http_protocol,
                                   who() + ": the answer has no end of interim responses");
                begin();
                continue;
            }
            if (starved)
                break;
        }
        if (p->is_header_done() && !head_told && p->get().result_int() / 100 != 1)
        {
            head_told = true;
            r.status = p->get().result_int();
            r.content_type = field(*p, http::field::content_type);
            r.location = field(*p, http::field::location);
            r.retry_after = field(*p, http::field::retry_after);
            r.date = field(*p, http::field::date);
            const auto encoding = text::lower(field(*p, http::field::content_encoding));
            if (p->get().count(http::field::content_encoding) > 1 ||
                (!encoding.empty() && encoding != "gzip" && encoding != "x-gzip" && encoding != "identity"))
                co_return fail(errc::http_protocol,
                               who() + ": the answer has an encoding that was not asked for");
            if (encoding.ends_with("gzip"))
                way.gzip = std::make_unique<inflater>();
            sink.head(r);
        }
        if (head_told && !p->get().body().empty())
        {
            const std::string piece = std::move(p->get().body());
            p->get().body().clear();
            auto taken = co_await way.take(piece);
            if (!taken)
                co_return taken.error();
            if (!connection)
                co_return broken(*p, answered, r, asio::error::operation_aborted);
        }
        if (p->is_done() && head_told)
            break;
    }
    const bool by_eof = p->need_eof();
    if (way.gzip && r.wire_bytes > 0 && !way.gzip->ended())
        co_return fail(asio::error::eof,
                       who() + ": the answer was cut: its gzip encoding ends after " +
                           std::to_string(r.wire_bytes) + " bytes without its trailer");
    r.complete = !by_eof || (way.gzip && r.wire_bytes > 0);
    if (by_eof || !p->keep_alive() || !buffer.empty() || !sent)
    {
        connection->close();
        connection.reset();
    }
    co_return std::move(r);
}

http_client::http_client(connect_options peer, std::string host_header, std::string user_agent)
    : impl_(std::make_unique<impl>())
{
    impl_->peer = std::move(peer);
    impl_->host = std::move(host_header);
    impl_->user_agent = std::move(user_agent);
}

http_client::~http_client() = default;

awaitable<outcome<http_response>> http_client::get(http_request request,
                                                   body_sink& sink,
                                                   http_limits bounds,
                                                   duration limit)
{
    /// Whatever but a whole answer ends the exchange, the connection is of no further use.
    struct closer
    {
        explicit closer(http_client& c) : client(c) {}
        closer(const closer&) = delete;
        closer& operator=(const closer&) = delete;
        ~closer()
        {
            if (!whole)
                client.close();
        }
        http_client& client;
        bool whole = false;
    };
    closer guard(*this);
    limit = std::clamp<duration>(limit, duration::zero(), std::chrono::hours(24 * 365));
    bounds.max_gzip_ratio = std::max(1u, bounds.max_gzip_ratio);
    const auto deadline = steady_clock::now() + limit;
    auto text = impl_->render(request);
    if (!text)
        co_return text.error();
    for (;;)
    {
        const bool reused = impl_->connection != nullptr;
        if (!reused)
        {
            auto opened = co_await impl_->open(deadline);
            if (!opened)
                co_return opened.error();
        }
        bool answered = false;
        auto r = co_await impl_->exchange(text.value(), sink, bounds, deadline, answered);
        if (r)
        {
            guard.whole = true;
            co_return r;
        }
        // The peer had closed the idle connection: the request was not answered, and a GET may be sent again.
        if (!reused || answered || r.error().code != asio::error::eof || !impl_->connection)
            co_return r.error();
        close();
    }
}

void http_client::close()
{
    if (impl_->connection)
        impl_->connection->close();
    impl_->connection.reset();
}

const peer_facts& http_client::peer() const
{
    return impl_->facts;
}

void http_client::reconfigure(connect_options peer)
{
    close();
    impl_->peer = std::move(peer);
}

}  // namespace dtbridge::net
