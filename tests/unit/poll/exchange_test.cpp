// The real wire on loopback, and the real clock.

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <boost/test/unit_test.hpp>

#include <string>

#include <dtbridge/async/task_group.hpp>
#include <dtbridge/poll/answer.hpp>
#include <dtbridge/poll/exchange.hpp>
#include <dtbridge/poll/target.hpp>

#include "poll/intake.hpp"
#include "support/memory_archive.hpp"
#include "support/run_coro.hpp"

using namespace dtbridge;
using namespace dtbridge::poll;
using asio::ip::tcp;

namespace
{

master_options options_for(std::uint16_t port)
{
    master_options o;
    o.name = "acme";
    o.https = false;
    o.address.host = "127.0.0.1";
    o.address.port = port;
    o.public_token = secret("public");
    o.private_token = secret("private");
    return o;
}

awaitable<void> serve(tcp::acceptor& acceptor, std::string& request, std::string reply)
{
    tcp::socket socket = co_await acceptor.async_accept(asio::use_awaitable);
    const std::size_t n = co_await asio::async_read_until(
        socket, asio::dynamic_buffer(request), "\r\n\r\n", asio::use_awaitable);
    request.resize(n);
    co_await asio::async_write(socket, asio::buffer(reply), asio::use_awaitable);
}

struct asked
{
    outcome<net::http_response> answer;
    std::vector<std::int64_t> pbids;
    verdict judged;
};

awaitable<bool> ask(const master_options& o, asked& out)
{
    auto wire = make_exchange(o, "dtbridge/test");
    BOOST_REQUIRE(wire.has_value());
    dtbridge::test::memory_archive store;
    const intake::listeners nobody;
    intake in(store, intake::order{}, nobody, [] { return std::int64_t{0}; });
    net::http_request request;
    request.target = breaches_target(o, {1, 2}, filter::creation);
    request.headers = signed_headers(o, request.target, 1704070800000);
    const net::http_limits limits;
    const net::duration limit = std::chrono::seconds(5);
    out.answer = co_await (*wire)->get(std::move(request), in, limits, limit);
    const outcome<bool> kept = co_await in.finish(std::nullopt, std::nullopt, false);
    BOOST_TEST(kept.has_value());
    out.pbids = store.pbids();
    if (out.answer)
        out.judged = judge(*out.answer, in.facts(), 0);
    else
        out.judged = judge(out.answer.error(), in.facts());
    (*wire)->close();
    co_return true;
}

awaitable<bool> ask_server(tcp::acceptor& acceptor, std::string& request, std::string reply, asked& out)
{
    auto ex = co_await asio::this_coro::executor;
    task_group group(ex, [](const std::string&, std::exception_ptr) {});
    group.spawn("server", serve(acceptor, request, std::move(reply)));
    const master_options o = options_for(acceptor.local_endpoint().port());
    co_await ask(o, out);
    group.cancel();
    const bool ended = co_await group.join(std::chrono::seconds(2));
    co_return ended;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(wire)

BOOST_AUTO_TEST_CASE(sends_the_signed_target_and_takes_a_chunked_answer)
{
    asio::io_context io;
    tcp::acceptor acceptor(io, tcp::endpoint(asio::ip::make_address("127.0.0.1"), 0));
    std::string request;
    asked got;
    const std::string reply =
        "HTTP/1.1 200 OK\r\nDate: Mon, 01 Jan 2024 01:00:00 GMT\r\nContent-Type: application/json\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
        "9\r\n[{\"pbid\":\r\n4\r\n7},{\r\nb\r\n\"pbid\":-8}]\r\n0\r\n\r\n";
    BOOST_TEST(
        dtbridge::test::run_coro(io, ask_server(acceptor, request, reply, got), std::chrono::seconds(10)));
    BOOST_TEST(name_of(got.judged.kind) == "ok");
    BOOST_TEST(got.pbids == (std::vector<std::int64_t>{7, -8}), boost::test_tools::per_element());
    BOOST_TEST(
        request.starts_with("GET /modelbreaches?creationtime=true&endtime=2&starttime=1 HTTP/1.1\r\n"));
    BOOST_TEST(request.find("DTAPI-Token: public\r\n") != std::string::npos);
    BOOST_TEST(request.find("DTAPI-Date: 20240101T010000\r\n") != std::string::npos);
    const std::string signature = sign(secret("private"),
                                       "/modelbreaches?creationtime=true&endtime=2&starttime=1",
                                       "public",
                                       "20240101T010000");
    BOOST_TEST(request.find("DTAPI-Signature: " + signature + "\r\n") != std::string::npos);
    BOOST_TEST(request.find("Host: 127.0.0.1:" + std::to_string(acceptor.local_endpoint().port()) + "\r\n") !=
               std::string::npos);
}

BOOST_AUTO_TEST_CASE(keeps_what_came_before_a_cut)
{
    asio::io_context io;
    tcp::acceptor acceptor(io, tcp::endpoint(asio::ip::make_address("127.0.0.1"), 0));
    std::string request;
    asked got;
    const std::string reply =
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[{\"pbid\":1},{\"pbid\":2},{\"pb";
    BOOST_TEST(
        dtbridge::test::run_coro(io, ask_server(acceptor, request, reply, got), std::chrono::seconds(10)));
    BOOST_TEST(name_of(got.judged.kind) == "cut", got.judged.words);
    BOOST_TEST(got.pbids == (std::vector<std::int64_t>{1, 2}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(nobody_listening_is_unreachable)
{
    asio::io_context io;
    std::uint16_t port = 0;
    {
        tcp::acceptor gone(io, tcp::endpoint(asio::ip::make_address("127.0.0.1"), 0));
        port = gone.local_endpoint().port();
    }
    asked got;
    const master_options o = options_for(port);
    dtbridge::test::run_coro(io, ask(o, got), std::chrono::seconds(10));
    BOOST_TEST(name_of(got.judged.kind) == "unreachable", got.judged.words);
    BOOST_TEST(got.judged.words.find("127.0.0.1:" + std::to_string(port)) != std::string::npos,
               got.judged.words);
}

BOOST_AUTO_TEST_CASE(the_clock_runs_and_a_wait_is_cancelled)
{
    asio::io_context io;
    const auto time = make_timekeeper(io.get_executor());
    const auto before = time->now();
    dtbridge::test::run_coro(io, time->wait(2), std::chrono::seconds(5));
    BOOST_TEST(time->now().steady - before.steady >= 2);
    BOOST_TEST(time->now().wall > 1'700'000'000'000);
    for (int i = 0; i < 100; ++i)
    {
        const double d = time->jitter();
        BOOST_TEST((d >= 0.0 && d < 1.0));
    }
}

BOOST_AUTO_TEST_SUITE_END()
