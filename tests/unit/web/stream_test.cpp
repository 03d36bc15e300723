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

/// One answer over TLS, or what went wrong. at_most: the client's highest version.
std::string over_tls(running& r, int at_most, std::string& subject)
{
    asio::ssl::context context(asio::ssl::context::tls_client);
    SSL_CTX_set_max_proto_version(context.native_handle(), at_most);
    SSL_CTX_set_security_level(context.native_handle(), 0);
    asio::ssl::stream<tcp::socket> s(r.client, context);
    s.next_layer().connect(tcp::endpoint(asio::ip::address_v4::loopback(), r.port));
    error_code ec;
    s.handshake(asio::ssl::stream_base::client, ec);
    if (ec)
        return ec.message();
    std::unique_ptr<X509, decltype(&X509_free)> cert(SSL_get1_peer_certificate(s.native_handle()),
                                                     &X509_free);
    char name[100] = "";
    X509_NAME_get_text_by_NID(X509_get_subject_name(cert.get()), NID_commonName, name, sizeof name);
    subject = name;
    asio::write(s, asio::buffer(get("/who")), ec);
    std::string out;
    asio::read(s, asio::dynamic_buffer(out), ec);
    return out;
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
    const auto write = [&](const std::string& name) {
        test::certificate_wish wish;
        wish.common_name = name;
        wish.names = {"DNS:localhost"};
        const auto made = test::make_certificate(wish);
        made.write_cert(dir / (name + ".pem"));
        made.write_key(dir / (name + ".key"));
        auto tls = web::make_tls_server(dir / (name + ".pem"), dir / (name + ".key"));
        BOOST_REQUIRE(tls.has_value());
        return *tls;
    };
    running r({}, write("first"));
    std::string subject;
    BOOST_TEST(body_of(over_tls(r, TLS1_3_VERSION, subject)) == " local");
    BOOST_TEST(subject == "first");
    BOOST_TEST(body_of(over_tls(r, TLS1_2_VERSION, subject)) == " local");
    BOOST_TEST(over_tls(r, TLS1_1_VERSION, subject).find("HTTP/1.1") == std::string::npos);
    BOOST_TEST(r.ask(get("/who")).find("HTTP/1.1") == std::string::npos);  // no plain HTTP there
    auto second = write("second");
    BOOST_TEST(second->expires() > 0);
    asio::post(r.io, [&r, second] { r.server.renew(second); });
    std::this_thread::sleep_for(50ms);
    over_tls(r, TLS1_3_VERSION, subject);
    BOOST_TEST(subject == "second");
    const auto mixed = web::make_tls_server(dir / "first.pem", dir / "second.key");
    BOOST_REQUIRE(!mixed.has_value());
    BOOST_TEST(mixed.error().detail.find("does not belong") != std::string::npos);
    BOOST_TEST(!web::make_tls_server(dir / "none.pem", dir / "second.key").has_value());
}

BOOST_AUTO_TEST_CASE(who_never_shakes_hands_is_closed)
{
    test::temp_dir dir;
    const auto made = test::make_certificate({});
    made.write_cert(dir / "c.pem");
    made.write_key(dir / "c.key");
    web::limits bounds;
    bounds.request = 200ms;
    running r(bounds, *web::make_tls_server(dir / "c.pem", dir / "c.key"));
    auto s = r.connect();
    const auto start = std::chrono::steady_clock::now();
    BOOST_TEST(running::read_all(s).empty());
    BOOST_TEST((std::chrono::steady_clock::now() - start < 5s));
}
