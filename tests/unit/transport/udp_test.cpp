#include <dtbridge/transport/transport.hpp>

#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <functional>
#include <thread>

#include "support/collector.hpp"
#include "support/run_coro.hpp"

using namespace dtbridge;
namespace asio = boost::asio;
using asio::awaitable;
using namespace std::chrono_literals;
using test::datagram_collector;
using test::run_coro;
using clock_type = std::chrono::steady_clock;

namespace
{

struct seen
{
    std::uint64_t confirmed = 0;
    std::vector<std::size_t> undeliverable;
    std::optional<failure> reason;
    clock_type::duration took{};
};

awaitable<seen> send_one_batch(std::uint16_t port,
                               std::vector<std::string> messages,
                               std::function<void()> before)
{
    auto ex = co_await asio::this_coro::executor;
    transport::options o;
    o.kind = transport::protocol::udp;
    o.addresses = {net::endpoint_name{"127.0.0.1", port}};
    transport::connector connector(ex, o);
    transport::connector::notify nobody;
    auto opened = co_await connector.connect(nobody);
    seen s;
    if (!opened)
    {
        s.reason = opened.error();
        co_return s;
    }
    auto& c = **opened;
    transport::batch b(transport::wire::datagram);
    for (const auto& m : messages)
        b.add(m);
    const auto from = clock_type::now();
    if (before)
        before();
    auto report = co_await c.send(b);
    if (report)
        s.undeliverable = report->undeliverable;
    asio::steady_timer timer(ex);
    while (c.confirmed() == 0 && c.now() != transport::connection::state::over &&
           clock_type::now() - from < 2s)
    {
        timer.expires_after(1ms);
        co_await timer.async_wait(asio::use_awaitable);
    }
    s.took = clock_type::now() - from;
    s.confirmed = c.confirmed();
    s.reason = c.reason();
    co_await c.close();
    co_return s;
}

seen run(std::uint16_t port, std::vector<std::string> messages, std::function<void()> before = {})
{
    asio::io_context ctx;
    auto task = send_one_batch(port, std::move(messages), std::move(before));
    return run_coro(ctx, std::move(task), 10s);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(udp)

BOOST_AUTO_TEST_CASE(one_message_per_datagram_confirmed_after_50_ms)
{
    datagram_collector siem;
    std::vector<std::string> messages;
    for (int i = 0; i < 64; ++i)
        messages.push_back("message " + std::to_string(i));
    const auto s = run(siem.port(), messages);
    BOOST_TEST(s.confirmed == 1u);
    BOOST_TEST((s.took >= 50ms));
    BOOST_TEST(!s.reason);
    BOOST_TEST((siem.messages() == messages));
}

BOOST_AUTO_TEST_CASE(a_port_that_nobody_listens_on_confirms_nothing)
{
    const auto s = run(test::unused_port(), {"one", "two"});
    BOOST_TEST(s.confirmed == 0u);
    BOOST_REQUIRE(s.reason);
    BOOST_TEST((s.reason->code == asio::error::connection_refused));
    BOOST_TEST(s.reason->detail.find("nobody listens") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_port_that_opens_in_the_middle_of_a_batch_confirms_nothing_of_it)
{
    for (int attempt = 0; attempt < 5; ++attempt)
    {
        const auto port = test::unused_port();
        std::unique_ptr<datagram_collector> siem;
        std::atomic<bool> begun{false};
        std::thread opener([&] {
            while (!begun)
                std::this_thread::yield();
            siem = std::make_unique<datagram_collector>(port);
        });
        std::vector<std::string> messages(4000, "later");
        messages.front() = "first";
        const auto s = run(port, std::move(messages), [&] { begun = true; });
        opener.join();
        // Where the first one met nobody, its ICMP error came back before the next one went.
        const auto got = siem->messages();
        BOOST_TEST((s.confirmed == 0 || got.empty() || got.front() == "first"));
        BOOST_TEST((s.confirmed > 0 || (s.reason && s.reason->code == asio::error::connection_refused)));
    }
}

BOOST_AUTO_TEST_CASE(what_no_datagram_can_carry_is_named_and_the_rest_goes)
{
    datagram_collector siem;
    // 65507 is the most that IPv4 carries (formats.md 5.3).
    const std::string most(65507, 'x');
    const std::string more(65508, 'y');
    const auto s = run(siem.port(), {"first", more, most, more, "last"});
    BOOST_TEST((s.undeliverable == std::vector<std::size_t>{1, 3}));
    BOOST_TEST(s.confirmed == 1u);
    BOOST_TEST((siem.messages() == std::vector<std::string>{"first", most, "last"}));
}

BOOST_AUTO_TEST_SUITE_END()
