#include <boost/asio/error.hpp>

#include <mutex>

#include "net/proxy_answer.hpp"
#include "unit/net/support.hpp"

using namespace dtbridge;
using namespace dtbridge::net;
using namespace dtbridge::net::test;

namespace
{

struct proxy_fixture
{
    asio::io_context ctx;
    std::mutex mutex;
    std::string request;

    /// Connects through a proxy that runs what after it has read the request's header.
    outcome<std::unique_ptr<stream>> through(peer_server::script what,
                                             const std::string& user = {},
                                             const std::string& password = {})
    {
        peer_server proxy([this, what](peer_connection& c) {
            auto text = c.read_until("\r\n\r\n");
            {
                const std::lock_guard lock(mutex);
                request = std::move(text);
            }
            what(c);
        });
        connect_options o;
        o.peer = {"master.test", 443};  // resolved by the proxy, not here
        o.proxy = std::make_shared<proxy_options>();
        o.proxy->address = {"127.0.0.1", proxy.port()};
        o.proxy->user = user;
        o.proxy->password = secret(password);
        o.limit = 2s;
        auto made = run_coro(ctx, connect(o), 10s);
        if (made)
            heard = run_coro(ctx, read_text(*made.value()), 10s);
        return made;
    }
    std::string heard;
    std::string refusal(const std::string& answer, const std::string& user = {})
    {
        const auto made = through(
            [answer](peer_connection& c) {
                c.write(answer);
                c.finish();
                c.read_all();
            },
            user,
            "p");
        BOOST_REQUIRE(made.has_error());
        BOOST_TEST((made.error().code == make_error_code(errc::proxy_refused)));
        BOOST_TEST(has(made.error().detail, "the proxy 127.0.0.1:"));
        return made.error().detail;
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(proxy_test, proxy_fixture)

BOOST_AUTO_TEST_CASE(asks_for_the_peer_by_name_and_hears_it)
{
    const auto made = through([](peer_connection& c) {
        c.write("HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\nearly words");
        c.read_all();
    });
    BOOST_REQUIRE(made.has_value());
    BOOST_TEST(heard == "early words");
    BOOST_TEST(request == "CONNECT master.test:443 HTTP/1.1\r\nHost: master.test:443\r\n\r\n");
}

BOOST_AUTO_TEST_CASE(basic_authentication)
{
    // The example of RFC 7617 2.
    const auto made = through(
        [](peer_connection& c) {
            c.write("HTTP/1.0 200 OK\r\n\r\n.");
            c.read_all();
        },
        "Aladdin",
        "open sesame");
    BOOST_REQUIRE(made.has_value());
    BOOST_TEST(has(request, "\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"));
}

BOOST_AUTO_TEST_CASE(refusals_in_plain_words)
{
    const std::string ask =
        "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=x\r\n\r\n";
    BOOST_TEST(has(refusal(ask), "wants a user name and password (407)"));
    const auto wrong = refusal(ask, "user");
    BOOST_TEST(has(wrong, "refuses the user name or password (407)"));
    BOOST_TEST(
        has(refusal("HTTP/1.1 403 Forbidden\r\n\r\n"), "does not allow connections to this peer (403)"));
    BOOST_TEST(has(refusal("HTTP/1.1 502 Bad Gateway\r\n\r\n"), "cannot reach the peer (502)"));
    BOOST_TEST(has(refusal("HTTP/1.1 405 No\r\n\r\n"), "does not know CONNECT"));
    BOOST_TEST(has(refusal("HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n"), "answered 302"));
    BOOST_TEST(has(refusal("220 mail.test ESMTP\r\n\r\n"), "does not answer as an HTTP proxy does"));
    BOOST_TEST(has(refusal("HTTP/1.1 2000 OK\r\n\r\n"), "does not answer as an HTTP proxy does"));
    BOOST_TEST(has(refusal(""), "closed the connection without an answer"));
    BOOST_TEST(has(refusal("HTTP/1.1 200 OK\r\nX: y\r\n"), "closed the connection without an answer"));
    BOOST_TEST(has(refusal("HTTP/1.1 200 OK\r\nX: " + std::string(100000, 'x')), "answer without end"));
}

BOOST_AUTO_TEST_CASE(the_answer_in_pieces_of_any_size)
{
    using state = proxy_answer::state;
    const std::string header = "HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n";
    for (std::size_t piece = 1; piece <= header.size(); ++piece)
    {
        proxy_answer a;
        std::size_t at = 0;
        for (; at + piece < header.size(); at += piece)
            BOOST_TEST((a.take(std::string_view(header).substr(at, piece)) == state::more));
        BOOST_TEST((a.take(header.substr(at) + "early") == state::whole));
        BOOST_TEST(a.status() == 200u);
        BOOST_TEST(a.rest() == "early");
        BOOST_TEST((a.take("later") == state::whole));
        BOOST_TEST(a.rest() == "early");
    }
}

BOOST_AUTO_TEST_CASE(an_answer_is_bounded_and_begins_as_http)
{
    using state = proxy_answer::state;
    for (const std::string text : {"HTTP/2.0 200 OK\r\n",
                                   "HTTP/1.1 2x0 OK\r\n",
                                   "HTTP/1.1 099 OK\r\n",
                                   "HTTP/1.1\r\n\r\nxxxx",
                                   "SSH-2.0-OpenSSH_9\r\n",
                                   "\r\n\r\n"})
    {
        proxy_answer a;
        BOOST_TEST((a.take(text) == state::not_http), text);
        BOOST_TEST((a.take("HTTP/1.1 200 OK\r\n\r\n") == state::not_http));
    }
    proxy_answer a;
    BOOST_TEST((a.take("HTTP/1.1 200 OK\r\nX: ") == state::more));
    BOOST_TEST((a.take(std::string(proxy_answer::most_bytes - 100, 'x')) == state::more));
    BOOST_TEST((a.take(std::string(100, 'x')) == state::endless));
}

BOOST_AUTO_TEST_CASE(a_silent_proxy_is_given_up)
{
    const auto began = std::chrono::steady_clock::now();
    const auto made = through([](peer_connection& c) { c.read_all(); });
    BOOST_REQUIRE(made.has_error());
    BOOST_TEST((made.error().code == asio::error::timed_out));
    BOOST_TEST(has(made.error().detail, "timed out waiting for the proxy's answer to CONNECT"));
    BOOST_TEST((std::chrono::steady_clock::now() - began < 6s));
}

BOOST_AUTO_TEST_CASE(tls_inside_the_tunnel_names_the_peer)
{
    pki keys;
    // The proxy is the peer itself: it answers CONNECT, then shakes hands as master.test.
    const auto own = make_certificate({.names = {"DNS:master.test"}}, &keys.ca);
    SSL_CTX* ctx_server = SSL_CTX_new(TLS_server_method());
    SSL_CTX_use_certificate(ctx_server, own.cert.get());
    SSL_CTX_use_PrivateKey(ctx_server, own.key.get());
    {
        peer_server proxy([ctx_server](peer_connection& c) {
            c.read_until("\r\n\r\n");
            c.write("HTTP/1.1 200 OK\r\n\r\n");
            SSL* ssl = SSL_new(ctx_server);
            SSL_set_fd(ssl, c.fd());
            if (SSL_accept(ssl) == 1)
            {
                peer_connection inner(c.fd(), ssl);
                inner.write("hello");
                inner.read_all();
            }
            SSL_free(ssl);
        });
        connect_options o;
        o.peer = {"master.test", 443};
        o.tls = keys.client();
        o.proxy = std::make_shared<proxy_options>();
        o.proxy->address = {"127.0.0.1", proxy.port()};
        auto talk = [](connect_options options) -> awaitable<std::string> {
            auto s = co_await open(std::move(options));
            auto text = co_await read_text(*s);
            co_return text;
        };
        BOOST_TEST(run_coro(ctx, talk(o), 10s) == "hello");
        o.server_name = "other.test";
        const auto made = run_coro(ctx, connect(o), 10s);
        BOOST_REQUIRE(made.has_error());
        BOOST_TEST(has(made.error().detail,
                       "the certificate of master.test:443 (through the proxy 127.0.0.1:" +
                           std::to_string(proxy.port()) + ") is for master.test, not for other.test"));
    }
    SSL_CTX_free(ctx_server);
}

BOOST_AUTO_TEST_CASE(a_user_with_a_colon_is_refused)
{
    const auto made = through([](peer_connection&) {}, "a:b", "c");
    BOOST_REQUIRE(made.has_error());
    BOOST_TEST((made.error().code == make_error_code(errc::malformed)));
}

BOOST_AUTO_TEST_SUITE_END()
