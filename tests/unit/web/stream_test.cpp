// Bodies in pieces, handlers that wait, bearer tokens and TLS.

#include <chrono>
#include <string>
#include <thread>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/test/unit_test.hpp>

#include <dtbridge/async/task_group.hpp>
#include <dtbridge/web/page.hpp>
#include <dtbridge/web/server.hpp>

#include "support/pki.hpp"
#include "support/temp_dir.hpp"
#include "unit/web/drip.hpp"

namespace
{

using namespace dtbridge;
using namespace std::chrono_literals;
using asio::ip::tcp;

class counting final : public web::body_source
{
public:
    explicit counting(int pieces, std::size_t size, bool breaks) : left_(pieces), size_(size), breaks_(breaks)
    {}
    awaitable<outcome<std::string>> next() override
    {
        if (left_ == 0 && breaks_)
            co_return fail(errc::archive_damaged, "broke");
        co_return left_-- > 0 ? std::string(size_, 'x') : std::string();
    }

private:
    int left_;
    std::size_t size_;
    bool breaks_;
};

awaitable<web::response> late(web::request)
{
    auto ex = co_await asio::this_coro::executor;
    asio::steady_timer timer(ex, 30s);
    co_await timer.async_wait(asio::use_awaitable);
    web::response r;
    r.body = "late";
    co_return r;
}

struct running
{
    explicit running(web::limits bounds = {}, std::shared_ptr<web::tls_server> tls = nullptr)
        : server(io.get_executor(), bounds),
          tasks(io.get_executor(), [this](const std::string&, std::exception_ptr) { failed = true; })
    {
        const auto stream = [](int pieces, std::size_t size, bool breaks) {
            return [=](const web::request&) {
                web::response r;
                r.rest = std::make_shared<counting>(pieces, size, breaks);
                return r;
            };
        };
        server.handle("/three", stream(3, 5, false));
        server.handle("/breaks", stream(1, 5, true));
        server.handle("/endless", stream(1'000'000, 100'000, false));
        server.handle("/who", [](const web::request& r) {
            web::response who;
            who.body = std::string(r.bearer.reveal()) + (r.local ? " local" : " remote");
            return who;
        });
        server.handle_slow("/late", late);
        web::serve_page(server);
        BOOST_REQUIRE(server.listen("127.0.0.1:0", std::move(tls)).has_value());
        port = server.port();
        tasks.spawn("server", server.run());
        thread = std::thread([this] { io.run(); });
    }
    ~running()
    {
        asio::post(io, [this] { tasks.cancel(); });
        thread.join();
        BOOST_TEST(!failed);
    }
    tcp::socket connect()
    {
        tcp::socket s(client);
        s.connect(tcp::endpoint(asio::ip::address_v4::loopback(), port));
        return s;
    }
    static std::string read_all(tcp::socket& s)
    {
        std::string out;
        error_code ec;
        asio::read(s, asio::dynamic_buffer(out), ec);
        return out;
    }
    std::string ask(const std::string& text)
    {
        auto s = connect();
        asio::write(s, asio::buffer(text));
        return read_all(s);
    }

    asio::io_context io{1}, client{1};
    web::server server;
    task_group tasks;
    std::thread thread;
    std::uint16_t port = 0;
    bool failed = false;
};

std::string get(const std::string& target, const std::string& more = "Connection: close\r\n")
{
    return "GET " + target + " HTTP/1.1\r\nHost: localhost\r\n" + more + "\r\n";
}

std::string body_of(const std::string& answer)
{
    return answer.substr(answer.find("\r\n\r\n") + 4);
}

/// How a client of TLS is other than the usual one.
struct tls_wish
{
    int at_least = TLS1_2_VERSION, at_most = TLS1_3_VERSION;
    const char* ciphers = nullptr;  // of TLS 1.2
    bool renegotiates = false;      // before it asks
};

struct tls_answer
{
    std::string text = {};     // "" where there was none
    std::string subject = {};  // of the server's certificate
    std::string failure = {};  // the first, in OpenSSL's words
};

tls_answer over_tls(running& r, const tls_wish& wish)
{
    asio::ssl::context context(asio::ssl::context::tls_client);
    auto* const ctx = context.native_handle();
    SSL_CTX_set_min_proto_version(ctx, wish.at_least);
    SSL_CTX_set_max_proto_version(ctx, wish.at_most);
    SSL_CTX_set_security_level(ctx, 0);
    if (wish.ciphers)
        BOOST_REQUIRE(SSL_CTX_set_cipher_list(ctx, wish.ciphers) == 1);
    asio::ssl::stream<tcp::socket> s(r.client, context);
    s.next_layer().connect(tcp::endpoint(asio::ip::address_v4::loopback(), r.port));
    tls_answer answer;
    error_code ec;
    const auto note = [&] {
        if (ec && answer.failure.empty())
            answer.failure = ec.message();
    };
    s.handshake(asio::ssl::stream_base::client, ec);
    note();
    if (ec)
        return answer;
    std::unique_ptr<X509, decltype(&X509_free)> cert(SSL_get1_peer_certificate(s.native_handle()),
                                                     &X509_free);
    char name[100] = "anonymous";
    if (cert)
        X509_NAME_get_text_by_NID(X509_get_subject_name(cert.get()), NID_commonName, name, sizeof name);
    answer.subject = name;
    if (wish.renegotiates)
        BOOST_REQUIRE(SSL_renegotiate(s.native_handle()) == 1);  // with the next write
    asio::write(s, asio::buffer(get("/who")), ec);
    note();
    asio::read(s, asio::dynamic_buffer(answer.text), ec);
    note();
    return answer;
}

std::shared_ptr<web::tls_server> tls_of(test::temp_dir& dir, const test::certificate_wish& wish)
{
    const auto made = test::make_certificate(wish);
    made.write_cert(dir / (wish.common_name + ".pem"));
    made.write_key(dir / (wish.common_name + ".key"));
    const auto tls =
        web::make_tls_server(dir / (wish.common_name + ".pem"), dir / (wish.common_name + ".key"));
    BOOST_REQUIRE(tls.has_value());
    return *tls;
}

}  // namespace

BOOST_AUTO_TEST_CASE(pieces_go_as_chunks_and_the_connection_stays)
{
    running r;
    const auto answer = r.ask(get("/three", "") + get("/who"));
    BOOST_TEST(answer.find("\r\nTransfer-Encoding: chunked\r\n") != std::string::npos);
    const auto body = body_of(answer);
    BOOST_TEST(body.starts_with("5\r\nxxxxx\r\n5\r\nxxxxx\r\n5\r\nxxxxx\r\n0\r\n\r\nHTTP/1.1 200 OK"));
}

BOOST_AUTO_TEST_CASE(http_1_0_gets_the_bytes_until_the_end_of_the_connection)
{
    running r;
    const auto answer = r.ask("GET /three HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n");
    BOOST_TEST(answer.find("chunked") == std::string::npos);
    BOOST_TEST(answer.find("\r\nConnection: close\r\n") != std::string::npos);
    BOOST_TEST(body_of(answer) == std::string(15, 'x'));
}

BOOST_AUTO_TEST_CASE(a_body_that_breaks_is_not_ended)
{
    running r;
    const auto answer = r.ask(get("/breaks", ""));
    BOOST_TEST(body_of(answer) == "5\r\nxxxxx\r\n");  // no "0": the client knows
}

BOOST_AUTO_TEST_CASE(head_of_a_body_in_pieces_has_none)
{
    running r;
    const auto answer = r.ask("HEAD /three HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    BOOST_TEST(answer.starts_with("HTTP/1.1 200 "));
    BOOST_TEST(body_of(answer).empty());
}

BOOST_AUTO_TEST_CASE(who_does_not_take_a_long_body_is_cut_off)
{
    web::limits bounds;
    bounds.request = 300ms;
    running r(bounds);
    auto s = r.connect();
    asio::write(s, asio::buffer(get("/endless")));
    std::this_thread::sleep_for(1500ms);  // reads nothing meanwhile
    std::string out;
    error_code ec;
    asio::read(s, asio::dynamic_buffer(out), ec);
    BOOST_TEST(!out.empty());
    BOOST_TEST(out.size() < 50'000'000u);  // 100 GB were on offer
}

BOOST_AUTO_TEST_CASE(a_long_body_ends_after_its_time_however_eagerly_it_is_taken)
{
    web::limits bounds;
    bounds.stream = 300ms;
    running r(bounds);
    const auto start = std::chrono::steady_clock::now();
    const auto answer = r.ask(get("/endless"));
    BOOST_TEST((std::chrono::steady_clock::now() - start < 20s));
    BOOST_TEST(!answer.ends_with("0\r\n\r\n"));
}

BOOST_AUTO_TEST_CASE(one_that_waits_makes_room_too)
{
    web::limits bounds;
    bounds.connections = 2;
    running r(bounds);
    auto a = r.connect(), b = r.connect();
    asio::write(a, asio::buffer(get("/late")));
    asio::write(b, asio::buffer(get("/late")));
    std::this_thread::sleep_for(100ms);
    BOOST_TEST(body_of(r.ask(get("/who"))) == " local");
    BOOST_TEST(running::read_all(a).empty());  // the oldest was let go, long before its 30 s
}

BOOST_AUTO_TEST_CASE(the_bearer_token_is_read_from_its_header_alone)
{
    running r;
    BOOST_TEST(body_of(r.ask(get("/who", "Authorization: Bearer abc.DEF\r\nConnection: close\r\n"))) ==
               "abc.DEF local");
    BOOST_TEST(body_of(r.ask(get("/who", "authorization: bearer   x \r\nConnection: close\r\n"))) ==
               "x local");
    BOOST_TEST(body_of(r.ask(get("/who", "Authorization: Basic YTpi\r\nConnection: close\r\n"))) == " local");
    BOOST_TEST(body_of(r.ask(get("/who?token=x", "Connection: close\r\n"))) == " local");
}

BOOST_AUTO_TEST_CASE(errors_are_json)
{
    running r;
    const auto answer = r.ask(get("/nothing"));
    BOOST_TEST(answer.starts_with("HTTP/1.1 404 "));
    BOOST_TEST(answer.find("\r\nContent-Type: application/json\r\n") != std::string::npos);
    BOOST_TEST(body_of(answer) == "{\"error\":\"Not Found\"}\n");
    const auto refused = web::refusal(401, "say \"who\"\nnow");
    BOOST_TEST(refused.body == "{\"error\":\"say \\\"who\\\"\\\\x0anow\"}\n");
    BOOST_TEST(refused.headers.at(0).first == "WWW-Authenticate");
}

BOOST_AUTO_TEST_CASE(no_path_leads_out_of_the_page)
{
    running r;
    BOOST_TEST(r.ask(get("/")).find("script-src 'self'") != std::string::npos);
    BOOST_TEST(r.ask(get("/page/page.js")).starts_with("HTTP/1.1 200 "));
    for (const char* path : {"/page/../page/page.js",
                             "/page/%2e%2e/server.cpp",
                             "//",
                             "/page/",
                             "/page/index.html/..",
                             "/page/page.js/",
                             "/..%2f..%2fetc/passwd",
                             "/./"})
        BOOST_TEST(r.ask(get(path)).starts_with("HTTP/1.1 404 "), path);
}

BOOST_AUTO_TEST_CASE(the_page_has_nothing_inline_and_nothing_from_elsewhere)
{
    running r;
    const auto page = r.ask(get("/"));
    BOOST_TEST(page.find("unsafe-inline") == std::string::npos);
    BOOST_TEST(page.find("style=") == std::string::npos);
    BOOST_TEST(page.find("<style") == std::string::npos);
    BOOST_TEST(body_of(page).find("http") == std::string::npos);
    const auto script = body_of(r.ask(get("/page/page.js")));
    for (const char* sink :
         {"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", ".style"})
        BOOST_TEST(script.find(sink) == std::string::npos, sink);
}

BOOST_AUTO_TEST_CASE(tls_is_1_2_or_later_and_a_renewed_certificate_is_used)
{
    test::temp_dir dir;
    const auto named = [&](const std::string& name) {
        test::certificate_wish wish;
        wish.common_name = name;
        wish.names = {"DNS:localhost"};
        return tls_of(dir, wish);
    };
    running r({}, named("first"));
    const auto newest = over_tls(r, {.at_least = TLS1_3_VERSION});
    BOOST_TEST(body_of(newest.text) == " local");
    BOOST_TEST(newest.subject == "first");
    BOOST_TEST(body_of(over_tls(r, {.at_most = TLS1_2_VERSION}).text) == " local");
    BOOST_TEST(over_tls(r, {.at_least = 0, .at_most = TLS1_1_VERSION}).text == "");
    BOOST_TEST(r.ask(get("/who")).find("HTTP/1.1") == std::string::npos);  // no plain HTTP there
    auto second = named("second");
    BOOST_TEST(second->expires() > 0);
    asio::post(r.io, [&r, second] { r.server.renew(second); });
    std::this_thread::sleep_for(50ms);
    BOOST_TEST(over_tls(r, {}).subject == "second");
    const auto mixed = web::make_tls_server(dir / "first.pem", dir / "second.key");
    BOOST_REQUIRE(!mixed.has_value());
    BOOST_TEST(mixed.error().detail.find("does not belong") != std::string::npos);
    BOOST_TEST(!web::make_tls_server(dir / "none.pem", dir / "second.key").has_value());
}

BOOST_AUTO_TEST_CASE(who_never_shakes_hands_is_closed)
{
    test::temp_dir dir;
    web::limits bounds;
    bounds.request = 200ms;
    running r(bounds, tls_of(dir, {}));
    auto s = r.connect();
    const auto start = std::chrono::steady_clock::now();
    BOOST_TEST(running::read_all(s).empty());
    BOOST_TEST((std::chrono::steady_clock::now() - start < 5s));
}

BOOST_AUTO_TEST_CASE(who_drips_its_handshake_is_closed)
{
    test::temp_dir dir;
    web::limits bounds;
    bounds.request = 200ms;
    running r(bounds, tls_of(dir, {}));
    // The ClientHello that OpenSSL sends, written to memory.
    asio::ssl::context context(asio::ssl::context::tls_client);
    std::unique_ptr<SSL, decltype(&SSL_free)> client(SSL_new(context.native_handle()), &SSL_free);
    BIO* const sent = BIO_new(BIO_s_mem());
    SSL_set_bio(client.get(), BIO_new(BIO_s_mem()), sent);
    SSL_connect(client.get());
    char* hello = nullptr;
    const auto size = static_cast<std::size_t>(BIO_get_mem_data(sent, &hello));
    BOOST_REQUIRE(size > 100u);
    auto s = r.connect();
    const auto took = test::time_of_drip(s, std::string_view(hello, size), 50ms, 5s);
    BOOST_TEST((took >= 150ms));  // less the time until the server looked
    BOOST_TEST((took < 1s));
    BOOST_TEST(running::read_all(s).empty());
}

/// RFC 9325 4.1, 4.2: no CBC, nothing without forward secrecy; of these the certificate would do for all.
BOOST_AUTO_TEST_CASE(weak_suites_of_tls_1_2_get_no_answer)
{
    test::temp_dir dir;
    test::certificate_wish rsa, ec;
    rsa.common_name = "rsa";
    rsa.rsa_bits = 2048;
    ec.common_name = "ec";
    running with_rsa({}, tls_of(dir, rsa)), with_ec({}, tls_of(dir, ec));
    const auto ask = [](running& r, const char* ciphers) {
        return over_tls(r, {.at_most = TLS1_2_VERSION, .ciphers = ciphers});
    };
    // What the same client gets with a suite of today.
    BOOST_TEST(body_of(ask(with_rsa, "ECDHE-RSA-AES128-GCM-SHA256").text) == " local");
    BOOST_TEST(body_of(ask(with_ec, "ECDHE-ECDSA-AES128-GCM-SHA256").text) == " local");
    for (const char* weak : {"ECDHE-RSA-AES128-SHA",
                             "ECDHE-RSA-AES128-SHA256:ECDHE-RSA-AES256-SHA384",
                             "AES128-GCM-SHA256:AES256-GCM-SHA384",
                             "AES128-SHA:AES256-SHA256",
                             "DHE-RSA-AES128-GCM-SHA256",
                             "AECDH-AES128-SHA",
                             "NULL-SHA256"})
    {
        const auto got = ask(with_rsa, weak);
        BOOST_TEST(got.text == "", weak);
        BOOST_TEST(got.subject == "", weak);
        BOOST_TEST(got.failure.find("handshake failure") != std::string::npos, weak << ": " << got.failure);
    }
    const auto got = ask(with_ec, "ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA384");
    BOOST_TEST(got.text == "");
    BOOST_TEST(got.failure.find("handshake failure") != std::string::npos, got.failure);
}

BOOST_AUTO_TEST_CASE(who_renegotiates_gets_no_answer)
{
    test::temp_dir dir;
    running r({}, tls_of(dir, {}));
    const auto got = over_tls(r, {.at_most = TLS1_2_VERSION, .renegotiates = true});
    BOOST_TEST(got.subject == "test");  // the first handshake went well
    BOOST_TEST(got.text == "");
    BOOST_TEST(got.failure.find("no renegotiation") != std::string::npos, got.failure);
}
