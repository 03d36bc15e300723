#include <dtbridge/transport/transport.hpp>

#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/test/unit_test.hpp>

#include <dtbridge/async/task_group.hpp>

#include <filesystem>

#include "support/collector.hpp"
#include "support/collector_keys.hpp"
#include "support/run_coro.hpp"
#include "support/variable.hpp"

using namespace dtbridge;
namespace asio = boost::asio;
using asio::awaitable;
using namespace std::chrono_literals;
using test::habit;
using test::run_coro;
using test::stream_collector;
using clock_type = std::chrono::steady_clock;

BOOST_AUTO_TEST_SUITE(tcp_and_tls)

namespace
{

transport::options to(std::uint16_t port)
{
    transport::options o;
    o.kind = transport::protocol::tcp;
    o.frames = transport::framing::newline;
    o.addresses = {net::endpoint_name{"127.0.0.1", port}};
    return o;
}

transport::options tls_to(std::uint16_t port, const test::collector_keys& keys)
{
    auto o = to(port);
    o.kind = transport::protocol::tls;
    o.frames = transport::framing::octet_counting;
    o.tls.ca_file = keys.file("ca.pem");
    return o;
}

/// Everything a test sees of one connection.
struct seen
{
    std::uint64_t confirmed = 0;
    std::size_t unconfirmed = 0;
    clock_type::duration until_confirmed{};
    std::optional<failure> reason;
    bool send_failed = false;
    transport::connection::state now = transport::connection::state::up;
};

awaitable<void> pause(clock_type::duration d)
{
    asio::steady_timer timer(co_await asio::this_coro::executor, d);
    co_await timer.async_wait(asio::use_awaitable);
}

/// Sends batches of one message each, waits until all are confirmed or the connection is over or limit
/// passed.
awaitable<seen> talk(transport::options o,
                     transport::timing t,
                     std::vector<std::string> messages,
                     clock_type::duration limit,
                     bool finish = false)
{
    auto ex = co_await asio::this_coro::executor;
    transport::connector connector(ex, o, t);
    seen s;
    transport::connector::notify nobody;
    auto opened = co_await connector.connect(nobody);
    if (!opened)
    {
        s.reason = opened.error();
        co_return s;
    }
    auto& c = **opened;
    for (const auto& m : messages)
    {
        transport::batch b(transport::wire_of(o));
        b.add(m);
        auto sent = co_await c.send(b);
        if (!sent)
        {
            s.send_failed = true;
            break;
        }
    }
    const auto sent_at = clock_type::now();
    if (finish)
        co_await c.finish(2s);
    while (c.now() != transport::connection::state::over && clock_type::now() - sent_at < limit &&
           (messages.empty() || c.confirmed() < messages.size()))
        co_await pause(1ms);
    s.until_confirmed = clock_type::now() - sent_at;
    s.confirmed = c.confirmed();
    s.unconfirmed = c.unconfirmed();
    s.reason = c.reason();
    s.now = c.now();
    co_await c.close();
    co_return s;
}

seen run(transport::options o,
         std::vector<std::string> messages,
         clock_type::duration limit = 3s,
         transport::timing t = {},
         bool finish = false)
{
    asio::io_context ctx;
    auto task = talk(std::move(o), t, std::move(messages), limit, finish);
    return run_coro(ctx, std::move(task), limit + 10s);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(streams)

BOOST_AUTO_TEST_CASE(confirmed_250_ms_after_the_acknowledgement)
{
    stream_collector siem;
    const auto s = run(to(siem.port()), {"one", "two", "three"});
    BOOST_TEST(s.confirmed == 3u);
    BOOST_TEST(s.unconfirmed == 0u);
    BOOST_TEST((s.now == transport::connection::state::up));
    BOOST_TEST((s.until_confirmed >= 245ms));  // product.md 8
    BOOST_TEST((siem.messages() == std::vector<std::string>{"one", "two", "three"}));
}

BOOST_AUTO_TEST_CASE(an_orderly_close_confirms_at_once)
{
    stream_collector siem([](std::size_t) { return habit{.what = habit::then::close, .after = 1}; });
    const auto s = run(to(siem.port()), {"one"});
    BOOST_TEST(s.confirmed == 1u);
    BOOST_TEST((s.until_confirmed < 200ms));
}

BOOST_AUTO_TEST_CASE(a_reset_confirms_nothing)
{
    stream_collector siem([](std::size_t) { return habit{.what = habit::then::reset, .after = 1}; });
    const auto s = run(to(siem.port()), {"one"});
    BOOST_TEST(s.confirmed == 0u);
    BOOST_TEST((s.now == transport::connection::state::over));
    BOOST_REQUIRE(s.reason);
    BOOST_TEST((s.reason->code == asio::error::connection_reset));
    BOOST_TEST(s.reason->detail.find("127.0.0.1") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_reset_within_the_250_ms_confirms_nothing)
{
    // Acknowledged at once by the kernel, read never, reset 150 ms later.
    stream_collector siem(
        [](std::size_t) { return habit{.what = habit::then::reset, .after = 0, .before_reading = 150ms}; });
    const auto s = run(to(siem.port()), {"one"});
    BOOST_TEST(s.confirmed == 0u);
    BOOST_TEST((s.until_confirmed >= 100ms));
    BOOST_TEST((s.now == transport::connection::state::over));
}

BOOST_AUTO_TEST_CASE(a_close_with_unread_messages_is_a_reset)
{
    // Linux answers close() on a socket with unread data with RST: what was acknowledged was never read.
    stream_collector siem([](std::size_t) {
        return habit{.what = habit::then::close, .after = 1, .read_at_once = 4, .before_reading = 100ms};
    });
    const auto s = run(to(siem.port()), {"one", "two", "three"});
    BOOST_TEST(s.confirmed < 3u);
    BOOST_TEST((s.now == transport::connection::state::over));
    BOOST_TEST(siem.count() == 1u);
}

BOOST_AUTO_TEST_CASE(an_idle_connection_that_the_peer_closed_is_noticed_before_the_next_write)
{
    stream_collector siem([](std::size_t) { return habit{.what = habit::then::close, .after = 0}; });
    const auto s = run(to(siem.port()), {});
    BOOST_TEST((s.now == transport::connection::state::over));
    BOOST_REQUIRE(s.reason);
    BOOST_TEST((s.reason->code == asio::error::eof));
    BOOST_TEST((s.until_confirmed < 500ms));
}

BOOST_AUTO_TEST_CASE(a_collector_that_takes_nothing_is_given_up)
{
    stream_collector siem([](std::size_t) { return habit{.what = habit::then::stall}; });
    transport::timing t;
    t.write = 300ms;
    std::vector<std::string> much(64, std::string(512u << 10, 'x'));  // 32 MiB: more than the kernels take
    const auto s = run(to(siem.port()), much, 5s, t);
    BOOST_TEST(s.send_failed);
    BOOST_TEST(s.confirmed < 64u);
    BOOST_REQUIRE(s.reason);
    BOOST_TEST(s.reason->detail.find("took nothing") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_clean_stop_confirms_by_the_peers_end)
{
    stream_collector siem;
    const auto s = run(to(siem.port()), {"one", "two"}, 3s, {}, true);
    BOOST_TEST(s.confirmed == 2u);
    BOOST_TEST((s.until_confirmed < 230ms));
    BOOST_TEST((s.reason->code == asio::error::eof));
    BOOST_TEST(siem.halves() == 0u);
}

BOOST_AUTO_TEST_CASE(a_clean_stop_waits_two_seconds_at_most)
{
    stream_collector siem([](std::size_t) { return habit{.open_end = true}; });
    const auto s = run(to(siem.port()), {"one"}, 3s, {}, true);
    BOOST_TEST(s.confirmed == 1u);  // by the 250 ms
    BOOST_TEST((s.until_confirmed < 2500ms));
}

BOOST_AUTO_TEST_CASE(a_refused_connection_names_the_address)
{
    const auto port = test::unused_port();
    const auto s = run(to(port), {"one"});
    BOOST_REQUIRE(s.reason);
    BOOST_TEST(s.reason->detail.find("127.0.0.1:" + std::to_string(port)) != std::string::npos);
}

BOOST_AUTO_TEST_CASE(every_address_is_tried_and_named)
{
    const auto dead = test::unused_port();
    stream_collector siem;
    auto o = to(dead);
    o.addresses.push_back(net::endpoint_name{"127.0.0.1", siem.port()});
    const auto s = run(o, {"one"});
    BOOST_TEST(s.confirmed == 1u);
    o.addresses[1].port = test::unused_port();
    const auto both = run(o, {"one"});
    BOOST_REQUIRE(both.reason);
    BOOST_TEST(both.reason->detail.find(std::to_string(dead)) != std::string::npos);
    BOOST_TEST(both.reason->detail.find(std::to_string(o.addresses[1].port)) != std::string::npos);
}

namespace
{

awaitable<void> send_one(transport::connection& c, const transport::batch& b)
{
    auto sent = co_await c.send(b);
    BOOST_TEST(!sent);
}

awaitable<std::optional<failure>> cut_a_write(std::uint16_t port)
{
    auto ex = co_await asio::this_coro::executor;
    transport::connector connector(ex, to(port));
    transport::connector::notify nobody;
    auto opened = co_await connector.connect(nobody);
    BOOST_REQUIRE(opened.has_value());
    auto& c = **opened;
    transport::batch b(transport::wire::newline);
    b.add(std::string(64u << 20, 'x'));  // more than the kernels take
    task_group tasks(ex, [](const std::string&, std::exception_ptr) { BOOST_ERROR("the write threw"); });
    tasks.spawn("send", send_one(c, b));
    co_await pause(100ms);
    BOOST_TEST(tasks.has("send"));
    tasks.cancel();
    const bool ended = co_await tasks.join(5s);
    BOOST_TEST(ended);
    const auto why = c.reason();
    BOOST_TEST((c.now() == transport::connection::state::over));
    co_await c.close();
    co_return why;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_connection_whose_write_was_cancelled_is_over)
{
    stream_collector siem([](std::size_t) { return habit{.what = habit::then::stall}; });
    asio::io_context ctx;
    const auto why = run_coro(ctx, cut_a_write(siem.port()), 20s);
    BOOST_REQUIRE(why.has_value());
    BOOST_TEST(why->code == asio::error::operation_aborted);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(tls_streams)

BOOST_AUTO_TEST_CASE(messages_arrive_and_are_confirmed)
{
    const test::collector_keys keys;
    for (const bool only_tls12 : {false, true})
    {
        stream_collector siem({keys.file("server.pem"), keys.file("server.key"), "", only_tls12});
        const auto s = run(tls_to(siem.port(), keys), {"one", std::string(100000, 'x'), "three"});
        BOOST_TEST(s.confirmed == 3u);
        BOOST_TEST((s.until_confirmed >= 240ms));
        BOOST_TEST(siem.count() == 3u);
        BOOST_TEST(siem.malformed() == 0u);
    }
}

namespace
{

awaitable<bool> connects(transport::connector& connector)
{
    transport::connector::notify nobody;
    auto opened = co_await connector.connect(nobody);
    if (opened)
        co_await (*opened)->close();
    co_return opened.has_value();
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_bundle_of_the_system_that_changed_counts_from_the_next_connection)
{
    const test::collector_keys keys, strangers;
    const auto bundle = keys.file("bundle.pem");
    std::filesystem::copy_file(strangers.file("ca.pem"), bundle);
    const test::variable system("SSL_CERT_FILE", bundle);
    stream_collector siem({keys.file("server.pem"), keys.file("server.key"), "", false});
    auto o = tls_to(siem.port(), keys);
    o.tls.ca_file.clear();
    asio::io_context ctx;
    transport::connector connector(ctx.get_executor(), o);
    BOOST_TEST(!run_coro(ctx, connects(connector), 10s));
    // As update-ca-certificates does it.
    std::filesystem::copy_file(keys.file("ca.pem"), bundle + ".new");
    std::filesystem::rename(bundle + ".new", bundle);
    BOOST_TEST(run_coro(ctx, connects(connector), 10s));
}

BOOST_AUTO_TEST_CASE(a_client_certificate_is_shown)
{
    const test::collector_keys keys;
    stream_collector siem({keys.file("server.pem"), keys.file("server.key"), keys.file("ca.pem"), false});
    auto o = tls_to(siem.port(), keys);
    o.tls.cert_file = keys.file("client.pem");
    o.tls.key_file = keys.file("client.key");
    const auto s = run(o, {"one"});
    BOOST_TEST(s.confirmed == 1u);
    BOOST_TEST(siem.count() == 1u);
}

BOOST_AUTO_TEST_CASE(a_refused_client_certificate_confirms_nothing_and_says_so)
{
    // TLS 1.3 tells the client only on its next read: the handshake seems to have worked.
    const test::collector_keys keys;
    stream_collector siem({keys.file("server.pem"), keys.file("server.key"), keys.file("ca.pem"), false});
    const auto none = run(tls_to(siem.port(), keys), {"one"});
    BOOST_TEST(none.confirmed == 0u);
    BOOST_REQUIRE(none.reason);
    BOOST_TEST_CONTEXT(none.reason->detail)
    {
        BOOST_TEST(none.reason->detail.find("client certificate") != std::string::npos);
        BOOST_TEST(none.reason->detail.find("tls.cert_file") != std::string::npos);
    }
    auto o = tls_to(siem.port(), keys);
    o.tls.cert_file = keys.file("other.pem");
    o.tls.key_file = keys.file("other.key");
    const auto unknown = run(o, {"one"});
    BOOST_TEST(unknown.confirmed == 0u);
    BOOST_REQUIRE(unknown.reason);
    BOOST_TEST_CONTEXT(unknown.reason->detail)
    BOOST_TEST(unknown.reason->detail.find("refused the client certificate") != std::string::npos);
    BOOST_TEST(siem.count() == 0u);
}

BOOST_AUTO_TEST_CASE(ends_are_told_apart_as_on_tcp)
{
    const test::collector_keys keys;
    const stream_collector::tls_files files{keys.file("server.pem"), keys.file("server.key"), "", false};
    stream_collector closing(files,
                             [](std::size_t) { return habit{.what = habit::then::close, .after = 1}; });
    const auto closed = run(tls_to(closing.port(), keys), {"one"});
    BOOST_TEST(closed.confirmed == 1u);
    stream_collector resetting(files,
                               [](std::size_t) { return habit{.what = habit::then::reset, .after = 1}; });
    const auto reset = run(tls_to(resetting.port(), keys), {"one"});
    BOOST_TEST(reset.confirmed == 0u);
    BOOST_TEST((reset.now == transport::connection::state::over));
}

BOOST_AUTO_TEST_CASE(a_clean_stop_under_tls)
{
    const test::collector_keys keys;
    stream_collector siem({keys.file("server.pem"), keys.file("server.key"), "", false});
    const auto s = run(tls_to(siem.port(), keys), {"one", "two"}, 3s, {}, true);
    BOOST_TEST(s.confirmed == 2u);
    BOOST_TEST((s.until_confirmed < 230ms));
    BOOST_TEST(siem.halves() == 0u);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE_END()  // tcp_and_tls
