#include <chrono>
#include <future>
#include <string>
#include <thread>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/write.hpp>
#include <boost/test/unit_test.hpp>

#include <dtbridge/async/offload.hpp>
#include <dtbridge/async/task_group.hpp>
#include <dtbridge/web/server.hpp>

#include "unit/web/drip.hpp"

namespace
{

using namespace dtbridge;
using namespace std::chrono_literals;
using asio::ip::tcp;

/// A server on a thread of its own; the test is a blocking client.
class running
{
public:
    explicit running(web::limits bounds = {})
        : server_(io_.get_executor(), bounds),
          tasks_(io_.get_executor(), [this](const std::string&, std::exception_ptr) { failed_ = true; })
    {
        server_.handle("/healthz", [](const web::request& r) {
            web::response alive;
            alive.body = "alive " + r.query;
            return alive;
        });
        BOOST_REQUIRE(server_.listen("127.0.0.1:0").has_value());
        port_ = server_.port();
        tasks_.spawn("server", server_.run());
        thread_ = std::thread([this] { io_.run(); });
    }
    ~running()
    {
        asio::post(io_, [this] { tasks_.cancel(); });
        thread_.join();
        BOOST_TEST(!failed_);
    }

    tcp::socket connect()
    {
        tcp::socket s(client_);
        s.connect(tcp::endpoint(asio::ip::address_v4::loopback(), port_));
        return s;
    }
    /// Sends and reads until the server closes.
    std::string ask(const std::string& text)
    {
        auto s = connect();
        asio::write(s, asio::buffer(text));
        return read_all(s);
    }
    static std::string read_all(tcp::socket& s)
    {
        std::string out;
        error_code ec;
        asio::read(s, asio::dynamic_buffer(out), ec);
        return out;
    }

private:
    asio::io_context io_{1}, client_{1};
    web::server server_;
    task_group tasks_;
    std::thread thread_;
    std::uint16_t port_ = 0;
    bool failed_ = false;
};

std::string get(const std::string& target, const std::string& more = "Connection: close\r\n")
{
    return "GET " + target + " HTTP/1.1\r\nHost: localhost\r\n" + more + "\r\n";
}

/// A handler that nothing cancels: it is on a disk.
awaitable<web::response> read_disk(asio::any_io_executor worker,
                                   std::promise<void>& begun,
                                   std::shared_future<void> disk)
{
    auto job = [&begun, disk] {
        begun.set_value();
        disk.wait();
        return true;
    };
    co_await offload(std::move(worker), std::move(job));
    co_return web::response();
}

awaitable<void> tell_whether_ended(task_group& tasks,
                                   std::chrono::milliseconds limit,
                                   std::promise<bool>& ended)
{
    std::string name("server");
    const bool all = co_await tasks.join(std::move(name), limit);
    ended.set_value(all);
}

bool starts(const std::string& text, const std::string& with)
{
    return text.rfind(with, 0) == 0;
}

}  // namespace

BOOST_AUTO_TEST_CASE(answers_get_and_head_with_security_headers)
{
    running server;
    const auto answer = server.ask(get("/healthz?strict=1"));
    BOOST_TEST(starts(answer, "HTTP/1.1 200 OK\r\n"));
    BOOST_TEST(answer.find("\r\nContent-Length: 14\r\n") != std::string::npos);
    BOOST_TEST(answer.find("\r\nX-Content-Type-Options: nosniff\r\n") != std::string::npos);
    BOOST_TEST(answer.find("\r\nContent-Security-Policy: default-src 'none'") != std::string::npos);
    BOOST_TEST(answer.find("\r\nCache-Control: no-store\r\n") != std::string::npos);
    BOOST_TEST(answer.find("Server:") == std::string::npos);
    BOOST_TEST(answer.substr(answer.find("\r\n\r\n") + 4) == "alive strict=1");

    const auto head = server.ask("HEAD /healthz HTTP/1.1\r\nHost: 127.0.0.1:1\r\nConnection: close\r\n\r\n");
    BOOST_TEST(starts(head, "HTTP/1.1 200 OK\r\n"));
    BOOST_TEST(head.find("\r\nContent-Length: 6\r\n") != std::string::npos);
    BOOST_TEST(head.substr(head.find("\r\n\r\n") + 4).empty());
}

BOOST_AUTO_TEST_CASE(refuses_what_it_does_not_serve)
{
    running server;
    BOOST_TEST(starts(server.ask(get("/../etc/passwd")), "HTTP/1.1 404 "));
    BOOST_TEST(starts(server.ask("POST /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
                      "HTTP/1.1 405 "));
    BOOST_TEST(starts(server.ask("DELETE /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
                      "HTTP/1.1 405 "));
    BOOST_TEST(starts(server.ask("GET /healthz HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"),
                      "HTTP/1.1 421 "));
    BOOST_TEST(starts(server.ask("GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n"), "HTTP/1.1 421 "));
    BOOST_TEST(starts(server.ask("nonsense\r\n\r\n"), "HTTP/1.1 400 "));
    BOOST_TEST(starts(server.ask("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"), "HTTP/1.1 400 "));
}

BOOST_AUTO_TEST_CASE(bounds_the_head_and_takes_no_body)
{
    running server;
    BOOST_TEST(
        starts(server.ask(get("/healthz", "X: " + std::string(20'000, 'x') + "\r\n")), "HTTP/1.1 431 "));
    BOOST_TEST(starts(server.ask(get("/healthz", "Content-Length: 5\r\n") + "12345"), "HTTP/1.1 413 "));
}

BOOST_AUTO_TEST_CASE(bounds_the_head_as_a_whole_however_short_its_lines)
{
    running server;
    std::string lines;
    while (lines.size() < 16'000)
        lines += "A: 0123456789\r\n";
    BOOST_TEST(starts(server.ask(get("/healthz", lines + "Connection: close\r\n")), "HTTP/1.1 200 "));
    while (lines.size() < 18'000)
        lines += "A: 0123456789\r\n";
    BOOST_TEST(starts(server.ask(get("/healthz", lines)), "HTTP/1.1 431 "));
}

BOOST_AUTO_TEST_CASE(keeps_a_connection_and_answers_pipelined_requests_in_order)
{
    running server;
    const auto answer = server.ask(get("/healthz?a", "") + get("/nothing", "") + get("/healthz?b"));
    const auto first = answer.find("alive a"), second = answer.find("404"), third = answer.find("alive b");
    BOOST_TEST(first != std::string::npos);
    BOOST_TEST(second != std::string::npos);
    BOOST_TEST(third != std::string::npos);
    BOOST_TEST((first < second && second < third));
}

BOOST_AUTO_TEST_CASE(ends_a_connection_after_its_requests)
{
    web::limits bounds;
    bounds.requests = 2;
    running server(bounds);
    const auto answer = server.ask(get("/healthz?1", "") + get("/healthz?2", "") + get("/healthz?3", ""));
    BOOST_TEST(answer.find("alive 2") != std::string::npos);
    BOOST_TEST(answer.find("alive 3") == std::string::npos);
}

BOOST_AUTO_TEST_CASE(closes_a_slow_loris)
{
    web::limits bounds;
    bounds.request = 200ms;
    running server(bounds);
    auto s = server.connect();
    const auto start = std::chrono::steady_clock::now();
    asio::write(s, asio::buffer(std::string("GET /healthz HTTP/1.1\r\nHost: loc")));
    BOOST_TEST(running::read_all(s).empty());
    const auto took = std::chrono::steady_clock::now() - start;
    BOOST_TEST((took >= 190ms));
    BOOST_TEST((took < 5s));
}

BOOST_AUTO_TEST_CASE(closes_one_that_drips)
{
    web::limits bounds;
    bounds.request = 200ms;
    running server(bounds);
    auto s = server.connect();
    const auto took = test::time_of_drip(s, get("/healthz"), 50ms, 5s);
    BOOST_TEST((took >= 150ms));  // less the time until the server looked
    BOOST_TEST((took < 1s));      // the request alone would take over 2 s
    BOOST_TEST(running::read_all(s).empty());
}

BOOST_AUTO_TEST_CASE(closes_one_that_drips_its_second_request)
{
    web::limits bounds;
    bounds.request = 200ms;
    running server(bounds);
    auto s = server.connect();
    asio::write(s, asio::buffer(get("/healthz?first", "")));
    std::string got;
    asio::read_until(s, asio::dynamic_buffer(got), "alive first");
    const auto took = test::time_of_drip(s, get("/healthz?second"), 50ms, 5s);
    BOOST_TEST((took >= 150ms));
    BOOST_TEST((took < 1s));
    BOOST_TEST(running::read_all(s).empty());
}

BOOST_AUTO_TEST_CASE(closes_an_idle_connection)
{
    web::limits bounds;
    bounds.idle = 100ms;
    running server(bounds);
    auto s = server.connect();
    BOOST_TEST(running::read_all(s).empty());
}

BOOST_AUTO_TEST_CASE(beyond_the_bound_the_oldest_idle_connection_goes)
{
    web::limits bounds;
    bounds.connections = 3;
    running server(bounds);
    auto oldest = server.connect();
    // Answered once, so that the server has certainly accepted it before the others.
    asio::write(oldest, asio::buffer(get("/healthz?x", "")));
    std::string got;
    asio::read_until(oldest, asio::dynamic_buffer(got), "alive x");
    auto second = server.connect(), third = server.connect();
    BOOST_TEST(starts(server.ask(get("/healthz")), "HTTP/1.1 200 "));
    BOOST_TEST(running::read_all(oldest).empty());
}

BOOST_AUTO_TEST_CASE(says_what_is_wrong_with_an_address)
{
    asio::io_context io(1);
    web::server server(io.get_executor());
    BOOST_TEST(!server.listen("nonsense").has_value());
    BOOST_TEST(!server.listen("127.0.0.1:70000").has_value());
    BOOST_TEST(!server.listen("192.0.2.1:80").has_value());  // not an address of this host (RFC 5737)
}

BOOST_AUTO_TEST_CASE(runs_until_the_last_connection_has_ended_even_one_that_cannot_be_cancelled)
{
    asio::io_context io(1);
    asio::thread_pool worker(1);
    std::promise<void> begun, disk;
    std::promise<bool> ended;
    const auto answers = disk.get_future().share();
    task_group tasks(io.get_executor(), [](const std::string&, std::exception_ptr) {});
    task_group watch(io.get_executor(), [](const std::string&, std::exception_ptr) {});
    web::server server(io.get_executor());
    server.handle_slow("/slow",
                       [&](const web::request&) { return read_disk(worker.get_executor(), begun, answers); });
    BOOST_REQUIRE(server.listen("127.0.0.1:0").has_value());
    tasks.spawn("server", server.run());
    std::thread thread([&io] { io.run(); });
    asio::io_context of_client(1);
    tcp::socket client(of_client);
    client.connect(tcp::endpoint(asio::ip::address_v4::loopback(), server.port()));
    asio::write(client, asio::buffer(get("/slow")));
    begun.get_future().wait();
    asio::post(io, [&] {
        tasks.cancel("server");
        watch.spawn("watch", tell_whether_ended(tasks, 2500ms, ended));
    });
    BOOST_TEST(!ended.get_future().get());
    disk.set_value();
    thread.join();
    BOOST_TEST(tasks.size() == 0u);
    worker.join();
}
