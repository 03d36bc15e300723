#include <dtbridge/transport/transport.hpp>

#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/test/unit_test.hpp>

#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <numeric>
#include <stdexcept>
#include <thread>

#include <transport/datagram.hpp>

#include "support/collector.hpp"
#include "support/run_coro.hpp"
#include "support/skipped.hpp"

using namespace dtbridge;
namespace asio = boost::asio;
using asio::awaitable;
using namespace std::chrono_literals;
using test::datagram_collector;
using test::run_coro;
using clock_type = std::chrono::steady_clock;

BOOST_AUTO_TEST_SUITE(udp)

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

bool raise_loopback()
{
    const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ifreq lo{};
    std::strcpy(lo.ifr_name, "lo");
    lo.ifr_flags = IFF_UP | IFF_RUNNING;
    const bool up = ::ioctl(fd, SIOCSIFFLAGS, &lo) == 0;
    ::close(fd);
    return up;
}

/// The local port of the UDP socket that is connected to 127.0.0.1:port; 0: there is none.
std::uint16_t connected_to(std::uint16_t port)
{
    std::ifstream sockets("/proc/thread-self/net/udp");
    std::string line;
    while (std::getline(sockets, line))
    {
        unsigned from_address = 0, from = 0, to_address = 0, to = 0;
        const auto words =
            std::sscanf(line.c_str(), " %*d: %x:%x %x:%x", &from_address, &from, &to_address, &to);
        if (words == 4 && to == port)
            return static_cast<std::uint16_t>(from);
    }
    return 0;
}

/// Sends what a router answers a datagram that was too long for its next link (RFC 792; RFC 1191 4).
void refuse_length(std::uint16_t port)
{
    struct
    {
        icmphdr icmp;
        iphdr ip;
        udphdr udp;
    } refusal{};
    const auto home = htonl(INADDR_LOOPBACK);
    refusal.icmp.type = ICMP_DEST_UNREACH;
    refusal.icmp.code = ICMP_FRAG_NEEDED;
    refusal.icmp.un.frag.mtu = htons(1400);
    refusal.ip.version = 4;
    refusal.ip.ihl = 5;
    refusal.ip.tot_len = htons(1478);
    refusal.ip.protocol = IPPROTO_UDP;
    refusal.ip.saddr = home;
    refusal.ip.daddr = home;
    refusal.udp.source = htons(connected_to(port));
    refusal.udp.dest = htons(port);
    BOOST_TEST(refusal.udp.source != 0);
    std::array<std::uint16_t, sizeof refusal / 2> words;
    std::memcpy(words.data(), &refusal, sizeof refusal);
    const auto sum = std::accumulate(words.begin(), words.end(), std::uint32_t{0});
    refusal.icmp.checksum = static_cast<std::uint16_t>(~((sum & 0xffff) + (sum >> 16)));
    const int fd = ::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = home;
    const auto sent =
        ::sendto(fd, &refusal, sizeof refusal, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to);
    BOOST_TEST(sent == static_cast<ssize_t>(sizeof refusal));
    ::close(fd);
}

}  // namespace

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
    int met = 0;
    for (int attempt = 0; met < 5 && attempt < 50; ++attempt)
    {
        const auto port = test::unused_port();
        std::unique_ptr<datagram_collector> siem;
        std::atomic<bool> begun{false};
        std::thread opener([&] {
            while (!begun)
                std::this_thread::yield();
            try
            {
                siem = std::make_unique<datagram_collector>(port);
            }
            catch (const std::runtime_error&)
            {
                // Somebody else on this host was quicker.
            }
        });
        std::vector<std::string> messages(4000, "later");
        messages.front() = "first";
        const auto s = run(port, std::move(messages), [&] { begun = true; });
        opener.join();
        if (!siem)
            continue;
        ++met;
        // Where the first one met nobody, its ICMP error came back before the next one went.
        const auto got = siem->messages();
        BOOST_TEST((s.confirmed == 0 || got.empty() || got.front() == "first"));
        BOOST_TEST((s.confirmed > 0 || (s.reason && s.reason->code == asio::error::connection_refused)));
    }
    BOOST_TEST(met == 5);
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

BOOST_AUTO_TEST_CASE(only_what_is_too_long_twice_can_never_go)
{
    using fate = transport::datagram_verdict::fate;
    const auto after = [](std::vector<int> answers) {
        std::size_t calls = 0;
        const auto verdict = transport::hand_over([&] { return answers.at(calls++); });
        BOOST_TEST(calls == answers.size());
        return verdict;
    };
    BOOST_TEST((after({0}).what == fate::gone));
    BOOST_TEST((after({EINTR, EINTR, 0}).what == fate::gone));
    BOOST_TEST((after({EAGAIN}).what == fate::wait));
    BOOST_TEST((after({EMSGSIZE, EMSGSIZE}).what == fate::never));
    BOOST_TEST((after({EMSGSIZE, EINTR, EMSGSIZE}).what == fate::never));
    // An ICMP error that waited, for a datagram that went before.
    for (const int second : {0, EAGAIN, ECONNREFUSED})
    {
        const auto verdict = after({EMSGSIZE, second});
        BOOST_TEST((verdict.what == fate::broken));
        BOOST_TEST(verdict.problem == EMSGSIZE);
    }
    BOOST_TEST((after({ECONNREFUSED}).what == fate::broken));
    BOOST_TEST(after({ENETUNREACH}).problem == ENETUNREACH);
}

BOOST_AUTO_TEST_CASE(fragmentation_needed_for_one_datagram_costs_no_other)
{
    std::string skipped;
    seen s;
    std::vector<std::string> got;
    // A network of the thread's own: what the kernel learns of the path would stay for minutes.
    std::thread elsewhere([&] {
        if (::unshare(CLONE_NEWNET) != 0 || !raise_loopback())
        {
            skipped = "no network namespace can be made here";
            return;
        }
        datagram_collector siem;
        s = run(siem.port(), {"short"}, [&] { refuse_length(siem.port()); });
        got = siem.messages();
    });
    elsewhere.join();
    if (!skipped.empty())
        return test::say_skipped(skipped);
    BOOST_TEST(s.undeliverable.empty());
    BOOST_TEST(s.confirmed == 1u);
    BOOST_TEST((got == std::vector<std::string>{"short"}));
}

BOOST_AUTO_TEST_SUITE_END()
