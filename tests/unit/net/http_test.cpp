#include <dtbridge/net/http_client.hpp>

#include <boost/asio/error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>

#include <dtbridge/async/task_group.hpp>

#include <zlib.h>

#include <mutex>
#include <thread>

#include "unit/net/support.hpp"

using namespace dtbridge;
using namespace dtbridge::net;
using namespace dtbridge::net::test;

namespace
{

struct collector : body_sink
{
    http_response first;
    int heads = 0;
    std::string text;
    std::size_t most = 1u << 30;  ///< refuses beyond
    duration each{};              ///< time it takes for a piece
    void head(const http_response& r) override
    {
        first = r;
        ++heads;
    }
    awaitable<outcome<bool>> body(std::string_view piece) override
    {
        if (each > duration::zero())
        {
            asio::steady_timer timer(co_await asio::this_coro::executor, each);
            co_await timer.async_wait(asio::use_awaitable);
        }
        BOOST_TEST(!piece.empty());
        text += piece;
        if (text.size() > most)
            co_return fail(errc::disk_full, "the archive is full");
        co_return true;
    }
};

std::string gzip(const std::string& text)
{
    z_stream z{};
    BOOST_REQUIRE(deflateInit2(&z, 9, Z_DEFLATED, 16 + MAX_WBITS, 9, Z_DEFAULT_STRATEGY) == Z_OK);
    std::string out(deflateBound(&z, text.size()), '\0');
    z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
    z.avail_in = static_cast<uInt>(text.size());
    z.next_out = reinterpret_cast<Bytef*>(out.data());
    z.avail_out = static_cast<uInt>(out.size());
    BOOST_REQUIRE(deflate(&z, Z_FINISH) == Z_STREAM_END);
    out.resize(z.total_out);
    deflateEnd(&z);
    return out;
}

std::string with_length(const std::string& body, const std::string& headers = {})
{
    return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" + headers + "\r\n" +
           body;
}

std::string chunk(const std::string& piece)
{
    char size[20];
    std::snprintf(size, sizeof size, "%zx\r\n", piece.size());
    return size + piece + "\r\n";
}

struct http_fixture
{
    asio::io_context ctx;
    std::mutex mutex;
    std::vector<std::string> requests;
    http_limits bounds;
    duration limit = 5s;
    collector sink;

    /// Answers every request of every connection with the same bytes, then ends or goes on.
    peer_server::script always(std::string answer, bool then_end = true)
    {
        return [this, answer, then_end](peer_connection& c) {
            for (;;)
            {
                auto r = c.read_until("\r\n\r\n");
                if (r.empty())
                    return;
                {
                    const std::lock_guard lock(mutex);
                    requests.push_back(std::move(r));
                }
                c.write(answer);
                if (then_end)
                {
                    c.finish();
                    c.read_all();
                    return;
                }
            }
        };
    }
    outcome<http_response> get(http_client& c, const std::string& target = "/modelbreaches?x=1")
    {
        http_request r{.target = target, .headers = {{"DTAPI-Token", "t"}}};
        return run_coro(ctx, c.get(r, sink, bounds, limit), 20s);
    }
    outcome<http_response> once(const std::string& answer)
    {
        peer_server server(always(answer));
        http_client client(to(server), "master.test", "dtbridge/1.2.3");
        sink = collector{};
        return get(client);
    }
    failure refused(const std::string& answer)
    {
        const auto r = once(answer);
        BOOST_REQUIRE(r.has_error());
        BOOST_TEST(has(r.error().detail, "127.0.0.1:"));
        return r.error();
    }
};

bool is(const failure& f, errc e)
{
    return f.code == make_error_code(e);
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(http_test, http_fixture)

BOOST_AUTO_TEST_CASE(a_request_and_its_answer)
{
    const auto r =
        once(with_length("[]", "Content-Type: application/json\r\nDate: Mon, 01 Jan 2024 01:00:00 GMT\r\n"));
    BOOST_REQUIRE(r.has_value());
    BOOST_TEST(r->status == 200u);
    BOOST_TEST(r->content_type == "application/json");
    BOOST_TEST(r->date == "Mon, 01 Jan 2024 01:00:00 GMT");
    BOOST_TEST(r->complete);
    BOOST_TEST(r->body_bytes == 2u);
    BOOST_TEST(r->wire_bytes == 2u);
    BOOST_TEST(sink.text == "[]");
    BOOST_TEST(sink.heads == 1);
    BOOST_TEST(sink.first.status == 200u);
    BOOST_TEST(requests.front() ==
               "GET /modelbreaches?x=1 HTTP/1.1\r\nHost: master.test\r\nUser-Agent: dtbridge/1.2.3\r\n"
               "Accept-Encoding: gzip\r\nDTAPI-Token: t\r\n\r\n");
}

BOOST_AUTO_TEST_CASE(over_tls)
{
    pki keys;
    peer_server server(always(with_length("[1]"), false), peer_tls{.own = keys.server});
    http_client client(to(server, keys.client()), "master.test", "dtbridge/1");
    BOOST_TEST(client.peer().protocol == "");
    BOOST_REQUIRE(get(client).has_value());
    BOOST_REQUIRE(get(client).has_value());
    BOOST_TEST(sink.text == "[1][1]");
    BOOST_TEST(client.peer().protocol == "TLSv1.3");
    BOOST_TEST(client.peer().fingerprint_sha256 == keys.server.fingerprint());
    BOOST_TEST(server.connections() == 1);
}

BOOST_AUTO_TEST_CASE(chunked_in_any_pieces)
{
    const std::string head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    const auto r =
        once(head + chunk("[1,") + "2;name=\"value\"\r\n2,\r\n" + chunk("3]") + "0\r\nX-Trailer: y\r\n\r\n");
    BOOST_REQUIRE(r.has_value());
    BOOST_TEST(sink.text == "[1,2,3]");
    BOOST_TEST(r->complete);
    BOOST_TEST(r->wire_bytes == 7u);

    peer_server server([&head](peer_connection& c) {
        c.read_until("\r\n\r\n");
        const int on = 1;
        setsockopt(c.fd(), IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof on);
        for (const char b : head + chunk("slow") + chunk("body") + "0\r\n\r\n")
            c.write(std::string(1, b));
        c.read_all();
    });
    http_client client(to(server), "m", "u");
    sink = collector{};
    BOOST_REQUIRE(get(client).has_value());
    BOOST_TEST(sink.text == "slowbody");
}

BOOST_AUTO_TEST_CASE(a_long_body_streams_with_back_pressure)
{
    std::string text;
    for (int i = 0; text.size() < (8u << 20); ++i)
        text += "{\"pbid\":" + std::to_string(i) + "},";
    limit = 20s;
    const auto r = once(with_length(text));
    BOOST_REQUIRE(r.has_value());
    BOOST_TEST((sink.text == text));
    BOOST_TEST(r->body_bytes == text.size());
}

BOOST_AUTO_TEST_CASE(gzip_bodies)
{
    const std::string text = "[{\"pbid\":1},{\"pbid\":2}]";
    const auto packed = gzip(text);
    auto r = once(with_length(packed, "Content-Encoding: gzip\r\n"));
    BOOST_REQUIRE(r.has_value());
    BOOST_TEST(sink.text == text);
    BOOST_TEST(r->complete);
    BOOST_TEST(r->body_bytes == text.size());
    BOOST_TEST(r->wire_bytes == packed.size());

    r = once("HTTP/1.1 200 OK\r\ncontent-encoding: X-GZIP\r\nTransfer-Encoding: chunked\r\n\r\n" +
             chunk(packed.substr(0, 9)) + chunk(packed.substr(9)) + "0\r\n\r\n");
    BOOST_REQUIRE(r.has_value());
    BOOST_TEST(sink.text == text);

    // RFC 1952 2.2: several members are one text.
    r = once(with_length(packed + packed, "Content-Encoding: gzip\r\n"));
    BOOST_REQUIRE(r.has_value());
    BOOST_TEST(sink.text == text + text);

    // The trailer tells that it is whole even where the connection's end is the body's.
    r = once("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + packed);
    BOOST_REQUIRE(r.has_value());
    BOOST_TEST(r->complete);

    // Nothing at all is nothing.
    r = once("HTTP/1.1 302 Found\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\nLocation: /login\r\n\r\n");
    BOOST_REQUIRE(r.has_value());
    BOOST_TEST(r->status == 302u);
}

BOOST_AUTO_TEST_CASE(damaged_or_cut_gzip)
{
    const std::string text(100000, 'a');
    auto packed = gzip(text);
    const auto cut = refused(with_length(packed.substr(0, packed.size() - 3), "Content-Encoding: gzip\r\n"));
    BOOST_TEST((cut.code == asio::error::eof));
    BOOST_TEST(has(cut.detail, "without its trailer"));
    BOOST_TEST(
        is(refused(with_length("this is not gzip", "Content-Encoding: gzip\r\n")), errc::http_protocol));
    packed[packed.size() - 6] = static_cast<char>(packed[packed.size() - 6] ^ 1);  // CRC-32
    BOOST_TEST(is(refused(with_length(packed, "Content-Encoding: gzip\r\n")), errc::http_protocol));
    BOOST_TEST(
        is(refused(with_length(gzip(text) + "junk", "Content-Encoding: gzip\r\n")), errc::http_protocol));
    BOOST_TEST(is(refused(with_length("x", "Content-Encoding: br\r\n")), errc::http_protocol));
    BOOST_TEST(
        is(refused(with_length(gzip(gzip(text)), "Content-Encoding: gzip, gzip\r\n")), errc::http_protocol));
    BOOST_TEST(is(refused(with_length(gzip(text), "Content-Encoding: gzip\r\nContent-Encoding: gzip\r\n")),
                  errc::http_protocol));
}

BOOST_AUTO_TEST_CASE(a_gzip_bomb_is_stopped_early)
{
    const auto bomb = gzip(std::string(60u << 20, '0'));  // about 1000:1
    BOOST_TEST(bomb.size() < 100000u);
    const auto f = refused(with_length(bomb, "Content-Encoding: gzip\r\n"));
    BOOST_TEST(is(f, errc::over_limit));
    BOOST_TEST(has(f.detail, "200 times"));
    BOOST_TEST(sink.text.size() <= (16u << 20));
    // Small answers may be as dense as they like.
    const auto dense = gzip(std::string(1u << 20, '0'));
    BOOST_TEST(once(with_length(dense, "Content-Encoding: gzip\r\n")).has_value());
    // And the bound of the body counts what is decoded.
    bounds.max_body = 1u << 19;
    BOOST_TEST(is(refused(with_length(dense, "Content-Encoding: gzip\r\n")), errc::over_limit));
    BOOST_TEST(sink.text.size() <= bounds.max_body);
}

BOOST_AUTO_TEST_CASE(bounds_of_header_and_body)
{
    const auto header = refused("HTTP/1.1 200 OK\r\nX: " + std::string(70000, 'x') + "\r\n\r\n");
    BOOST_TEST(is(header, errc::over_limit));
    BOOST_TEST(has(header.detail, "header is over 65536 bytes"));
    std::string many = "HTTP/1.1 200 OK\r\n";
    while (many.size() < 100000)
        many += "X-Filler: 0123456789\r\n";
    BOOST_TEST(is(refused(many + "\r\n"), errc::over_limit));
    BOOST_TEST(is(refused("HTTP/1.1 200 " + std::string(200000, 'O')), errc::over_limit));
    BOOST_TEST(once(with_length("[]", "X: " + std::string(60000, 'x') + "\r\n")).has_value());

    bounds.max_body = 10;
    BOOST_TEST(once(with_length("0123456789")).has_value());
    BOOST_TEST(is(refused(with_length("0123456789a")), errc::over_limit));
    BOOST_TEST(sink.text == "");
    BOOST_TEST(is(refused("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("01234567") +
                          chunk("89a") + "0\r\n\r\n"),
                  errc::over_limit));
    BOOST_TEST(is(refused("HTTP/1.1 200 OK\r\n\r\n0123456789a"), errc::over_limit));
    // A line of a chunk's size without end.
    bounds.max_body = 1u << 20;
    BOOST_TEST(
        is(refused("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;" + std::string(300000, 'x')),
           errc::over_limit));
}

BOOST_AUTO_TEST_CASE(no_http)
{
    for (const std::string answer :
         {"220 mail.test ESMTP ready\r\n\r\n",
          "HTTP/1.1 abc OK\r\n\r\n",
          "HTTP/1.1 020 OK\r\nContent-Length: 0\r\n\r\n",
          "HTTP/1.1 600 Beyond\r\nContent-Length: 0\r\n\r\n",
          "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
          "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n12",
          "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n12",
          "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
          "HTTP/1.1 101 Switching Protocols\r\n\r\n"})
        BOOST_TEST(is(refused(answer), errc::http_protocol), answer);
    std::string endless;
    for (int i = 0; i < 100; ++i)
        endless += "HTTP/1.1 102 Processing\r\n\r\n";
    BOOST_TEST(is(refused(endless), errc::http_protocol));
}

BOOST_AUTO_TEST_CASE(interim_answers_are_passed_over)
{
    const auto r =
        once("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + with_length("[]"));
    BOOST_REQUIRE(r.has_value());
    BOOST_TEST(r->status == 200u);
    BOOST_TEST(sink.heads == 1);
    BOOST_TEST(sink.text == "[]");
}

BOOST_AUTO_TEST_CASE(cut_answers_are_failures_and_what_came_is_kept)
{
    const auto length = refused("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[1,2,");
    BOOST_TEST((length.code == asio::error::eof));
    BOOST_TEST(has(length.detail, "cut after 5 of 100 bytes of its body"));
    BOOST_TEST(sink.text == "[1,2,");
    const auto chunked =
        refused("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("[1,") + "5\r\n2,");
    BOOST_TEST((chunked.code == asio::error::eof));
    BOOST_TEST(sink.text == "[1,2,");
    BOOST_TEST((refused("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("[1]")).code ==
                asio::error::eof));
    const auto header = refused("HTTP/1.1 200 OK\r\nContent-");
    BOOST_TEST((header.code == asio::error::eof));
    BOOST_TEST(has(header.detail, "within its header"));
    const auto nothing = refused("");
    BOOST_TEST((nothing.code == asio::error::eof));
    BOOST_TEST(has(nothing.detail, "no answer came"));
}

BOOST_AUTO_TEST_CASE(a_reset_or_a_cut_tls_connection_is_a_cut_answer)
{
    peer_server plain([](peer_connection& c) {
        c.read_until("\r\n\r\n");
        c.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[1,2,");
        c.reset();
    });
    http_client client(to(plain), "m", "u");
    auto r = get(client);
    BOOST_REQUIRE(r.has_error());
    BOOST_TEST((r.error().code == asio::error::eof));

    pki keys;
    for (const bool orderly : {true, false})
    {
        peer_server server(
            [orderly](peer_connection& c) {
                c.read_until("\r\n\r\n");
                c.write("HTTP/1.1 200 OK\r\n\r\n[1,2,3]");
                orderly ? c.finish() : c.cut();
                c.read_all();
            },
            peer_tls{.own = keys.server});
        http_client secure(to(server, keys.client()), "m", "u");
        r = get(secure);
        // RFC 9112 9.8: without close_notify it may be cut.
        BOOST_TEST(r.has_value() == orderly);
        if (r)
            BOOST_TEST(!r->complete);
    }
}

BOOST_AUTO_TEST_CASE(a_body_that_ends_with_the_connection_is_not_known_to_be_whole)
{
    const auto r = once("HTTP/1.1 200 OK\r\n\r\n[1,2,3]");
    BOOST_REQUIRE(r.has_value());
    BOOST_TEST(!r->complete);
    BOOST_TEST(sink.text == "[1,2,3]");
}

BOOST_AUTO_TEST_CASE(a_slow_drip_is_cut_off)
{
    peer_server server([](peer_connection& c) {
        c.read_until("\r\n\r\n");
        c.write("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
        while (c.write("x"))
            std::this_thread::sleep_for(2ms);
    });
    http_client client(to(server), "m", "u");
    limit = 100ms;
    const auto began = std::chrono::steady_clock::now();
    const auto r = get(client);
    BOOST_TEST((std::chrono::steady_clock::now() - began < 3s));
    BOOST_REQUIRE(r.has_error());
    BOOST_TEST(is(r.error(), errc::timed_out));
    BOOST_TEST(has(r.error().detail, "bytes of the answer's body came within the time allowed"));
    BOOST_TEST(sink.text.size() > 0u);
    // A header that drips, and no answer at all.
    peer_server header([](peer_connection& c) {
        c.read_until("\r\n\r\n");
        while (c.write("H"))
            std::this_thread::sleep_for(2ms);
    });
    client.reconfigure(to(header));
    BOOST_TEST(get(client).has_error());
    peer_server silent([](peer_connection& c) { c.read_all(); });
    client.reconfigure(to(silent));
    const auto none = get(client);
    BOOST_REQUIRE(none.has_error());
    BOOST_TEST(has(none.error().detail, "no answer came within the time allowed"));
}

BOOST_AUTO_TEST_CASE(a_slow_sink_counts_too_and_a_failing_one_ends_the_exchange)
{
    peer_server server(always(with_length(std::string(8u << 20, 'x')), false));
    http_client client(to(server), "m", "u");
    sink.each = 30ms;
    limit = 100ms;
    auto r = get(client);
    BOOST_REQUIRE(r.has_error());
    BOOST_TEST(is(r.error(), errc::timed_out));
    sink = collector{};
    sink.most = 100;
    limit = 5s;
    r = get(client);
    BOOST_REQUIRE(r.has_error());
    BOOST_TEST(is(r.error(), errc::disk_full));
    BOOST_TEST(r.error().detail == "the archive is full");
    sink = collector{};
    BOOST_TEST(get(client).has_value());
}

BOOST_AUTO_TEST_CASE(a_connection_is_kept_and_used_again)
{
    peer_server server(always(with_length("[]"), false));
    http_client client(to(server), "m", "u");
    for (int i = 0; i < 5; ++i)
        BOOST_REQUIRE(get(client).has_value());
    BOOST_TEST(server.connections() == 1);
    client.close();
    BOOST_REQUIRE(get(client).has_value());
    BOOST_TEST(server.connections() == 2);
}

BOOST_AUTO_TEST_CASE(connection_close_and_extra_bytes_end_it)
{
    for (const auto& answer : {with_length("[]", "Connection: close\r\n"), with_length("[]") + "more"})
    {
        peer_server server(always(answer));
        http_client client(to(server), "m", "u");
        BOOST_REQUIRE(get(client).has_value());
        BOOST_REQUIRE(get(client).has_value());
        BOOST_TEST(server.connections() == 2);
    }
}

BOOST_DATA_TEST_CASE(a_stale_connection_is_opened_again_silently,
                     boost::unit_test::data::make({false, true}),
                     reset)
{
    // Says that the connection stays, and closes it all the same.
    peer_server server([reset](peer_connection& c) {
        c.read_until("\r\n\r\n");
        c.write(with_length("[]"));
        if (reset)
            c.reset();
    });
    http_client client(to(server), "m", "u");
    for (int i = 1; i <= 3; ++i)
    {
        const auto r = get(client);
        BOOST_REQUIRE(r.has_value());
        while (server.connections() < i)
            std::this_thread::yield();
    }
    BOOST_TEST(server.connections() == 3);
    BOOST_TEST(sink.text == "[][][]");
}

BOOST_AUTO_TEST_CASE(it_is_opened_again_only_once)
{
    std::atomic<int> served = 0;
    peer_server server([&served](peer_connection& c) {
        const bool first = served++ == 0;
        c.read_until("\r\n\r\n");
        if (first)
            c.write(with_length("[]"));
    });
    http_client client(to(server), "m", "u");
    BOOST_REQUIRE(get(client).has_value());
    const auto r = get(client);
    BOOST_REQUIRE(r.has_error());
    BOOST_TEST((r.error().code == asio::error::eof));
    BOOST_TEST(server.connections() == 2);
}

BOOST_AUTO_TEST_CASE(an_answer_that_began_is_not_asked_for_again)
{
    std::atomic<int> served = 0;
    peer_server server([&served](peer_connection& c) {
        c.read_until("\r\n\r\n");
        c.write(with_length("[]"));
        ++served;
        c.read_until("\r\n\r\n");
        c.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n[");
    });
    http_client client(to(server), "m", "u");
    BOOST_REQUIRE(get(client).has_value());
    BOOST_TEST(get(client).has_error());
    BOOST_TEST(server.connections() == 1);
}

BOOST_AUTO_TEST_CASE(redirects_are_answers_and_never_followed)
{
    const auto r = once(
        "HTTP/1.1 302 Found\r\nLocation: /login\r\nRetry-After: 120\r\nContent-Length: 27\r\n\r\n"
        "Found. Redirecting to /login");
    BOOST_REQUIRE(r.has_value());
    BOOST_TEST(r->status == 302u);
    BOOST_TEST(r->location == "/login");
    BOOST_TEST(r->retry_after == "120");
    BOOST_TEST(requests.size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_request_that_cannot_be_written_is_not_sent)
{
    peer_server server(always(with_length("[]"), false));
    http_client client(to(server), "m", "u");
    for (const std::string target : {"", "x", "/a b", "/a\r\nX: y", "/\xc3\xa4", "http://x/"})
    {
        const auto r = get(client, target);
        BOOST_REQUIRE(r.has_error());
        BOOST_TEST(is(r.error(), errc::malformed));
    }
    http_request bad{.target = "/", .headers = {{"X", "y\r\nZ: z"}}};
    BOOST_TEST(run_coro(ctx, client.get(bad, sink, bounds, limit), 5s).has_error());
    bad.headers = {{"X Y", "y"}};
    BOOST_TEST(run_coro(ctx, client.get(bad, sink, bounds, limit), 5s).has_error());
    BOOST_TEST(server.connections() == 0);
}

BOOST_AUTO_TEST_CASE(failures_of_connecting_keep_their_codes)
{
    connect_options o;
    o.peer = {"127.0.0.1", dtbridge::test::closed_port()};
    http_client client(o, "m", "u");
    auto r = get(client);
    BOOST_REQUIRE(r.has_error());
    BOOST_TEST((r.error().code == asio::error::connection_refused));
    pki keys;
    peer_server server(always(with_length("[]")), peer_tls{.own = make_certificate({})});
    client.reconfigure(to(server, keys.client()));
    r = get(client);
    BOOST_REQUIRE(r.has_error());
    BOOST_TEST(is(r.error(), errc::tls_refused));
    // TLS 1.3: the refusal of a missing client certificate arrives in place of the answer.
    peer_server strict(always(with_length("[]")), peer_tls{.own = keys.server, .client_issuer = keys.ca});
    client.reconfigure(to(strict, keys.client()));
    r = get(client);
    BOOST_REQUIRE(r.has_error());
    BOOST_TEST(has(r.error().detail, "requires a client certificate"));
}

BOOST_AUTO_TEST_CASE(a_cancelled_exchange_closes_the_connection)
{
    peer_server server([](peer_connection& c) {
        c.read_until("\r\n\r\n");
        c.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345");
        c.read_all();
    });
    http_client client(to(server), "m", "u");
    auto script = [](http_client& c, body_sink& s, collector& seen) -> awaitable<void> {
        auto ex = co_await asio::this_coro::executor;
        int failures = 0;
        task_group group(ex, [&failures](const std::string&, std::exception_ptr) { ++failures; });
        auto getting = [](http_client& cl, body_sink& si) -> awaitable<void> {
            http_request r{.target = "/", .headers = {}};
            http_limits bounded;
            auto a = co_await cl.get(std::move(r), si, bounded, 1h);
            BOOST_TEST(a.has_error());
        };
        group.spawn("get", getting(c, s));
        while (seen.text.empty())
        {
            asio::steady_timer timer(ex, 1ms);
            co_await timer.async_wait(asio::use_awaitable);
        }
        group.cancel();
        const bool ended = co_await group.join(5s);
        BOOST_TEST(ended);
        BOOST_TEST(failures == 0);
    };
    run_coro(ctx, script(client, sink, sink), 10s);
    BOOST_TEST(sink.text == "12345");
}

BOOST_AUTO_TEST_SUITE_END()
