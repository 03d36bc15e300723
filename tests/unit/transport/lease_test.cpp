#include <dtbridge/transport/transport.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <functional>

#include "support/collector.hpp"
#include "support/collector_keys.hpp"
#include "support/kafka_cluster.hpp"
#include "support/lease.hpp"
#include "support/relp_collector.hpp"
#include "support/run_coro.hpp"

using namespace dtbridge;
namespace asio = boost::asio;
using asio::awaitable;
using namespace std::chrono_literals;
using test::habit;
using test::held_lease;
using test::run_coro;
using test::stream_collector;

namespace
{

constexpr std::size_t most_messages = 4000;
constexpr std::size_t message_size = 4000;  // all together more than the kernels of both sides take

transport::options to(std::uint16_t port, transport::protocol kind)
{
    transport::options o;
    o.kind = kind;
    o.frames = transport::framing::octet_counting;
    o.addresses = {net::endpoint_name{"127.0.0.1", port}};
    return o;
}

transport::batch many(const transport::options& o, const held_lease& lease)
{
    transport::batch b(transport::wire_of(o));
    const std::string message(message_size, 'm');
    for (std::size_t i = 0; i < most_messages; ++i)
        b.add(message);
    b.under(lease.permit());
    return b;
}

struct ended
{
    std::optional<failure> sent, reason;
    std::uint64_t confirmed = 0;
    bool over = false;
};

awaitable<ended> send(transport::options o,
                      std::function<void(transport::connection&)> meanwhile,
                      const transport::batch& b)
{
    auto ex = co_await asio::this_coro::executor;
    transport::connector connector(ex, o, {});
    ended e;
    transport::connector::notify nobody;
    auto opened = co_await connector.connect(nobody);
    if (!opened)
    {
        e.sent = opened.error();
        co_return e;
    }
    auto& c = **opened;
    asio::steady_timer timer(ex, 100ms);
    timer.async_wait([&](error_code ec) {
        if (!ec && meanwhile)
            meanwhile(c);
    });
    auto sent = co_await c.send(b);
    timer.cancel();
    if (!sent)
        e.sent = sent.error();
    e.reason = c.reason();
    e.confirmed = c.confirmed();
    e.over = c.now() == transport::connection::state::over;
    co_await c.close();
    co_return e;
}

/// Brokers are away while the batch is handed over, and back when the lease has lapsed.
awaitable<ended> send_and_lapse(transport::options o, test::kafka_cluster& brokers, const transport::batch& b)
{
    auto ex = co_await asio::this_coro::executor;
    transport::connector connector(ex, o, {});
    ended e;
    transport::connector::notify nobody;
    auto opened = co_await connector.connect(nobody);
    if (!opened)
    {
        e.sent = opened.error();
        co_return e;
    }
    auto& c = **opened;
    brokers.set_down();
    auto sent = co_await c.send(b);
    BOOST_TEST(sent.has_value());
    c.lapse();
    e.sent = e.reason = c.reason();
    e.confirmed = c.confirmed();
    e.over = c.now() == transport::connection::state::over;
    brokers.set_up();
    co_await c.close();
    co_return e;
}

void check_ended(const ended& e)
{
    BOOST_TEST_REQUIRE(e.sent.has_value());
    BOOST_TEST((e.sent->code == errc::lease_lost), e.sent->detail);
    BOOST_TEST_REQUIRE(e.reason.has_value());
    BOOST_TEST((e.reason->code == errc::lease_lost));
    BOOST_TEST(e.over);
    BOOST_TEST(e.confirmed == 0u);
}

/// Reads only when the lease has long ended.
habit reads_late(std::size_t)
{
    return habit{.before_reading = 500ms};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(leases)

BOOST_AUTO_TEST_CASE(the_rest_of_a_partial_write_is_not_sent)
{
    stream_collector siem(reads_late, true);
    held_lease lease("acme");
    const auto o = to(siem.port(), transport::protocol::tcp);
    const auto b = many(o, lease);
    asio::io_context ctx;
    auto task = send(
        o, [&](transport::connection&) { lease.end(); }, b);
    check_ended(run_coro(ctx, std::move(task), 20s));
    BOOST_TEST(siem.count() < most_messages);
    BOOST_TEST(siem.malformed() == 0u);
}

BOOST_AUTO_TEST_CASE(the_same_under_tls)
{
    test::collector_keys keys;
    const stream_collector::tls_files files{keys.file("server.pem"), keys.file("server.key"), "", false};
    stream_collector siem(files, reads_late);
    held_lease lease("acme");
    auto o = to(siem.port(), transport::protocol::tls);
    o.tls.ca_file = keys.file("ca.pem");
    const auto b = many(o, lease);
    asio::io_context ctx;
    auto task = send(
        o, [&](transport::connection&) { lease.end(); }, b);
    check_ended(run_coro(ctx, std::move(task), 20s));
    BOOST_TEST(siem.count() < most_messages);
}

BOOST_AUTO_TEST_CASE(a_collector_that_takes_nothing_is_not_waited_for)
{
    stream_collector siem([](std::size_t) { return habit{.what = habit::then::stall}; }, true);
    held_lease lease("acme");
    const auto o = to(siem.port(), transport::protocol::tcp);
    const auto b = many(o, lease);
    asio::io_context ctx;
    const auto began = std::chrono::steady_clock::now();
    auto task = send(
        o, [&](transport::connection& c) { c.lapse(); }, b);
    check_ended(run_coro(ctx, std::move(task), 20s));
    BOOST_TEST((std::chrono::steady_clock::now() - began < 10s));  // a write has 30 s
}

BOOST_AUTO_TEST_CASE(nothing_is_sent_under_a_lease_that_has_ended)
{
    stream_collector siem({}, true);
    held_lease lease("acme", -1ms);
    const auto o = to(siem.port(), transport::protocol::tcp);
    const auto b = many(o, lease);
    asio::io_context ctx;
    check_ended(run_coro(ctx, send(o, {}, b), 20s));
    BOOST_TEST(siem.count() == 0u);
    BOOST_TEST(siem.halves() == 0u);
}

BOOST_AUTO_TEST_CASE(no_datagram_either)
{
    test::datagram_collector siem;
    held_lease lease("acme", -1ms);
    const auto o = to(siem.port(), transport::protocol::udp);
    transport::batch b(transport::wire_of(o));
    b.add("one");
    b.under(lease.permit());
    asio::io_context ctx;
    check_ended(run_coro(ctx, send(o, {}, b), 20s));
    BOOST_TEST(siem.count() == 0u);
}

BOOST_AUTO_TEST_CASE(no_message_of_relp_either)
{
    test::relp_collector siem;
    held_lease lease("acme", -1ms);
    const auto o = to(siem.port(), transport::protocol::relp);
    const auto b = many(o, lease);
    asio::io_context ctx;
    check_ended(run_coro(ctx, send(o, {}, b), 20s));
    BOOST_TEST(siem.count() == 0u);
    BOOST_TEST(siem.closes() == 0u);
}

BOOST_AUTO_TEST_CASE(what_librdkafka_has_not_sent_is_purged)
{
    if (!test::kafka_can_run)
        return;
    test::kafka_cluster brokers;
    brokers.create("breaches", 1);
    transport::options o;
    o.kind = transport::protocol::kafka;
    o.addresses = brokers.addresses();
    o.kafka.topic = "breaches";
    o.max_message = 64u << 10;
    held_lease lease("acme");
    transport::batch b(transport::wire::kafka);
    for (int i = 0; i < 3; ++i)
        b.add("message", {});
    b.under(lease.permit());
    asio::io_context ctx;
    // Down before anything is sent: the messages wait in librdkafka.
    auto task = send_and_lapse(o, brokers, b);
    check_ended(run_coro(ctx, std::move(task), 60s));
    BOOST_TEST(brokers.read("breaches", 1).empty());
    lease.end();
    check_ended(run_coro(ctx, send(o, {}, b), 60s));
    BOOST_TEST(brokers.read("breaches", 1).empty());
}

BOOST_AUTO_TEST_CASE(under_a_lease_that_lasts_everything_is_sent)
{
    stream_collector siem(reads_late, true);
    held_lease lease("acme");
    const auto o = to(siem.port(), transport::protocol::tcp);
    const auto b = many(o, lease);
    asio::io_context ctx;
    const auto e = run_coro(ctx, send(o, {}, b), 20s);
    BOOST_TEST(!e.sent.has_value());
    BOOST_TEST(!e.over);
}

BOOST_AUTO_TEST_SUITE_END()
