#include <dtbridge/deliver/delivery.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <string_view>

#include "stage.hpp"

using namespace dtbridge;
using namespace std::chrono_literals;
using test::all_of;
using test::datagram_collector;
using test::habit;
using test::info;
using test::pbids_of;
using test::quick;
using test::set_of;
using test::settings_to;
using test::stage;
using test::step;
using test::stream_collector;
using clock_type = std::chrono::steady_clock;

namespace
{

/// Peak or present resident memory, KiB.
std::size_t memory(const std::string& what)
{
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);)
        if (line.rfind(what, 0) == 0)
            return static_cast<std::size_t>(std::stoul(line.substr(what.size() + 1)));
    return 0;
}

/// Whether first occurrences come in order.
bool in_order(const std::vector<std::int64_t>& all)
{
    std::int64_t highest = -1;
    for (const auto p : all)
    {
        if (p > highest + 1)
            return false;
        highest = std::max(highest, p);
    }
    return true;
}

const char* const moving_name = "siem.moves.test";
std::atomic<const char*> leads_to{nullptr};  // null: the name does not exist
std::atomic<int> lookups{0};

/// Its kernel takes connections as long as there is room in its queue; nobody ever says a word on them.
class mute_listener
{
public:
    /// port 0: any.
    explicit mute_listener(int queue, std::uint16_t port = 0) : fd_(::socket(AF_INET, SOCK_STREAM, 0))
    {
        sockaddr_in any = loopback(port);
        socklen_t length = sizeof any;
        BOOST_REQUIRE(::bind(fd_, reinterpret_cast<const sockaddr*>(&any), length) == 0);
        BOOST_REQUIRE(::listen(fd_, queue) == 0);
        BOOST_REQUIRE(::getsockname(fd_, reinterpret_cast<sockaddr*>(&any), &length) == 0);
        port_ = ntohs(any.sin_port);
    }
    ~mute_listener()
    {
        for (const int fd : waiting_)
            ::close(fd);
        ::close(fd_);
    }
    mute_listener(const mute_listener&) = delete;
    mute_listener& operator=(const mute_listener&) = delete;
    std::uint16_t port() const { return port_; }

    /// From then on the kernel drops who wants to connect.
    void fill()
    {
        const sockaddr_in to = loopback(port_);
        for (bool taken = true; taken;)
        {
            waiting_.push_back(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
            ::connect(waiting_.back(), reinterpret_cast<const sockaddr*>(&to), sizeof to);
            pollfd ready{waiting_.back(), POLLOUT, 0};
            taken = ::poll(&ready, 1, 100) == 1;
            BOOST_REQUIRE(waiting_.size() < 100);
        }
    }

private:
    static sockaddr_in loopback(std::uint16_t port)
    {
        sockaddr_in a{};
        a.sin_family = AF_INET;
        a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        a.sin_port = htons(port);
        return a;
    }
    int fd_;
    std::uint16_t port_ = 0;
    std::vector<int> waiting_;
};

/// Waits in TCP's, TLS's and RELP's own greeting.
const transport::protocol greetings[] = {
    transport::protocol::tcp, transport::protocol::tls, transport::protocol::relp};

}  // namespace

/// In the place of the C library's, for a name that a test moves.
extern "C" int getaddrinfo(const char* host, const char* service, const addrinfo* hints, addrinfo** list)
{
    static const auto real = reinterpret_cast<decltype(&getaddrinfo)>(::dlsym(RTLD_NEXT, "getaddrinfo"));
    if (host != nullptr && std::string_view(host) == moving_name)
    {
        ++lookups;
        host = leads_to;
        if (host == nullptr)
            return EAI_NONAME;
    }
    return real(host, service, hints, list);
}

BOOST_TEST_DONT_PRINT_LOG_VALUE(transport::protocol)

BOOST_AUTO_TEST_SUITE(faults)

BOOST_AUTO_TEST_CASE(resets_in_the_middle_lose_nothing)
{
    stage s;
    stream_collector siem([](std::size_t n) {
        if (n >= 6)
            return habit{};
        return habit{.what = habit::then::reset, .after = 3 + n * 20, .read_at_once = 700};
    });
    s.fill("acme", 0, 1000);
    deliver::delivery d(s.ctx.get_executor(), settings_to({siem.port()}), 0, quick());
    d.add_master(s.shared("acme"), info("acme"));
    s.play(d, {{[&] { return d.now().lag == 0; }, {}}});
    const auto got = pbids_of(siem.messages());
    BOOST_TEST((set_of(got) == all_of(0, 999)));
    BOOST_TEST(in_order(got));
    BOOST_TEST(s.cursor("acme") == 1000);
    BOOST_TEST(d.now().breaks == 6);
    BOOST_TEST(d.now().error.empty());
    BOOST_TEST(siem.connections() == 7u);
}

BOOST_AUTO_TEST_CASE(a_collector_that_closes_after_every_message_gets_them_all)
{
    stage s;
    stream_collector siem(
        [](std::size_t) { return habit{.what = habit::then::close, .after = 1, .read_at_once = 1}; });
    s.fill("acme", 0, 15);
    deliver::delivery d(s.ctx.get_executor(), settings_to({siem.port()}), 0, quick());
    d.add_master(s.shared("acme"), info("acme"));
    s.play(d, {{[&] { return d.now().lag == 0; }, {}}});
    BOOST_TEST((set_of(pbids_of(siem.messages())) == all_of(0, 14)));
    BOOST_TEST(s.cursor("acme") == 15);
}

BOOST_AUTO_TEST_CASE(a_collector_that_accepts_and_never_reads_costs_no_memory)
{
    stage s;
    stream_collector siem([](std::size_t n) { return n < 2 ? habit{.what = habit::then::stall} : habit{}; });
    for (int i = 0; i < 10; ++i)
        s.fill("acme", i * 100, 100, "0.5", 30000);  // 30 MB: more than the kernels take
    auto l = quick();
    // What a stalled collector's kernel took would be confirmed after 250 ms (contract 8, "Not covered");
    // here it is given up before.
    l.transport.write = 300ms;
    l.transport.stay_up = 1s;
    auto with = settings_to({siem.port()});
    deliver::delivery d(s.ctx.get_executor(), with, 0, l);
    d.add_master(s.shared("acme"), info("acme"));
    const auto before = memory("VmRSS:");
    std::string error;
    std::size_t most = 0;
    s.play(d,
           {{[&] {
                 if (siem.connections() <= 2)
                     most = std::max(most, memory("VmRSS:"));
                 if (!d.now().error.empty())
                     error = d.now().error;
                 return siem.connections() >= 3;
             },
             {}},
            {[&] { return d.now().lag == 0; }, {}}});
    BOOST_TEST(error.find("took nothing") != std::string::npos);
    BOOST_TEST((set_of(pbids_of(siem.messages())) == all_of(0, 999)));
    BOOST_TEST(most < before + 30000u);  // KiB; less than the backlog that waited
}

BOOST_AUTO_TEST_CASE(a_master_that_leaves_breaks_no_connection_by_a_cut_write)
{
    stage s;
    stream_collector siem([](std::size_t) { return habit{.before_reading = 3500ms}; });
    for (int i = 0; i < 10; ++i)
        s.fill("acme", i * 100, 100, "0.5", 30000);  // 30 MB: a write is stuck until the collector reads
    s.fill("globex", 10000, 10);
    deliver::delivery d(s.ctx.get_executor(), settings_to({siem.port()}), 0, quick());
    d.add_master(s.shared("acme"), info("acme"));
    d.add_master(s.shared("globex"), info("globex"));
    const auto from = clock_type::now();
    bool gone = false;
    s.play(d,
           {{[&] { return clock_type::now() - from > 700ms && d.now().unconfirmed > 0; },
             [&] {
                 BOOST_TEST(siem.count() == 0u);
                 asio::co_spawn(s.ctx, d.remove_master("acme"), [&](std::exception_ptr e) {
                     BOOST_TEST(!e);
                     gone = true;
                 });
             }},
            {[&] { return gone; }, {}},
            {[&] { return d.now().lag == 0 && d.now().unconfirmed == 0; }, {}}});
    BOOST_TEST(d.now().breaks == 0);
    BOOST_TEST(siem.connections() == 1u);
    BOOST_TEST(siem.halves() == 0u);
    const auto got = pbids_of(siem.messages());
    BOOST_TEST(set_of(got).size() == got.size());  // nothing is repeated
    BOOST_TEST(set_of(got).contains(10009));
    BOOST_TEST(s.cursor("acme") <= static_cast<std::int64_t>(got.size()) - 10);
}

BOOST_AUTO_TEST_CASE(a_collector_that_is_down_is_a_cursor_that_lags)
{
    stage s;
    const auto port = test::unused_port();
    s.fill("acme", 0, 100);
    deliver::delivery d(s.ctx.get_executor(), settings_to({port}), 0, quick());
    d.add_master(s.shared("acme"), info("acme"));
    std::unique_ptr<stream_collector> siem;
    clock_type::time_point from = clock_type::now();
    s.play(d,
           {{[&] { return clock_type::now() - from > 300ms; },
             [&] {
                 const auto now = d.now();
                 BOOST_TEST(now.lag == 100);
                 BOOST_TEST(now.error.find(std::to_string(port)) != std::string::npos);
                 BOOST_TEST(now.error_since > 0);
                 BOOST_TEST(now.sent == 0);
                 siem = std::make_unique<stream_collector>(nullptr, false, port);
                 from = clock_type::now();
             }},
            {[&] { return d.now().lag == 0 && d.now().error.empty(); }, {}}});
    BOOST_TEST(siem->count() == 100u);
    BOOST_TEST(d.now().error.empty());
    BOOST_TEST((clock_type::now() - from < 3s));  // recovery within the back-off's bound
}

BOOST_AUTO_TEST_CASE(fail_over_to_the_second_address_and_return)
{
    stage s;
    const auto first = test::unused_port();
    stream_collector second;
    auto l = quick();
    l.first_again = 300ms;
    deliver::delivery d(s.ctx.get_executor(), settings_to({first, second.port()}), 0, l);
    s.fill("acme", 0, 100);
    d.add_master(s.shared("acme"), info("acme"));
    std::unique_ptr<stream_collector> back;
    s.play(d,
           {{[&] { return second.count() == 100; },
             [&] {
                 BOOST_TEST(d.now().connected_to.find(std::to_string(second.port())) != std::string::npos);
                 back = std::make_unique<stream_collector>(nullptr, false, first);
             }},
            {[&] { return d.now().connected_to.find(std::to_string(first)) != std::string::npos; },
             [&] { s.fill_later(d, "acme", 100, 100); }},
            {[&] { return d.now().lag == 0 && back->count() == 100; }, {}}});
    BOOST_TEST(second.count() == 100u);  // in a run without faults nothing is repeated
    BOOST_TEST((set_of(pbids_of(back->messages())) == all_of(100, 199)));
    BOOST_TEST(s.cursor("acme") == 200);
}

BOOST_DATA_TEST_CASE(a_stop_while_it_connects_is_no_failure,
                     boost::unit_test::data::make(greetings) * boost::unit_test::data::make({false, true}),
                     way,
                     is_cancelled)
{
    stage s;
    const bool is_tcp = way == transport::protocol::tcp;
    mute_listener siem(is_tcp ? 0 : 64);
    if (is_tcp)
        siem.fill();
    deliver::delivery d(s.ctx.get_executor(), settings_to({siem.port()}, way), 0, quick());
    s.fill("acme", 0, 10);
    d.add_master(s.shared("acme"), info("acme"));
    const step connecting{[&] { return d.now().now == deliver::status::state::connecting; }, {}};
    if (is_cancelled)
        s.play_and_cancel(d, {connecting});
    else
        s.play(d, {connecting});
    BOOST_TEST(d.now().error == "");  // set whenever a failure is logged
    BOOST_TEST(d.now().error_since == 0);
    BOOST_TEST(d.now().connects == 0);
    BOOST_TEST((s.stopped_in < 5s));  // far below what connecting may take
}

BOOST_AUTO_TEST_CASE(a_first_address_that_breaks_every_connection_is_left)
{
    stage s;
    stream_collector bad([](std::size_t) { return habit{.what = habit::then::reset, .after = 0}; });
    stream_collector good;
    deliver::delivery d(s.ctx.get_executor(), settings_to({bad.port(), good.port()}), 0, quick());
    s.fill("acme", 0, 100);
    d.add_master(s.shared("acme"), info("acme"));
    s.play(d, {{[&] { return d.now().lag == 0; }, {}}});
    BOOST_TEST((set_of(pbids_of(good.messages())) == all_of(0, 99)));
}

BOOST_AUTO_TEST_CASE(a_first_address_that_breaks_makes_no_wait_longer_while_the_second_works)
{
    stage s;
    stream_collector bad([](std::size_t) { return habit{.what = habit::then::reset, .after = 0}; });
    stream_collector good;
    auto l = quick();
    l.last_retry = 30s;
    l.first_again = l.proven = l.lasting = 10ms;
    deliver::delivery d(s.ctx.get_executor(), settings_to({bad.port(), good.port()}), 0, l);
    s.fill("acme", 0, 1);
    d.add_master(s.shared("acme"), info("acme"));
    // Waits that doubled would come to more than 20 s.
    s.play(d, {{[&] { return bad.connections() >= 15; }, {}}});
    BOOST_TEST(s.cursor("acme") == 1);
}

BOOST_AUTO_TEST_CASE(while_the_first_address_is_tried_nothing_new_goes_over_the_old_connection)
{
    stage s;
    const auto first = test::unused_port();
    stream_collector second;
    auto l = quick();
    l.first_again = 1ms;
    const auto with = settings_to({first, second.port()});
    deliver::delivery d(s.ctx.get_executor(), with, 0, l);
    s.fill("acme", 0, 10);
    d.add_master(s.shared("acme"), info("acme"));
    std::unique_ptr<mute_listener> mute;
    int looks = 0;  // each is a turn of the loop, so that what was due before it was begun
    s.play(d,
           {{[&] { return d.now().confirmed == 10; },
             [&] {
                 mute = std::make_unique<mute_listener>(0, first);
                 mute->fill();
             }},
            {[&] { return ++looks > 20; },
             [&] {
                 d.reconfigure(settings_to({test::unused_port()}));
                 s.fill_later(d, "acme", 10, 10);
                 looks = 0;
             }},
            {[&] { return d.now().lag == 10 && ++looks > 20; },
             [&] {
                 BOOST_TEST(second.count() == 10u);
                 BOOST_TEST(d.now().connects == 1);
                 // As it was: what waited for another connection goes on.
                 d.reconfigure(with);
             }},
            {[&] { return d.now().confirmed == 20; }, {}}});
    BOOST_TEST(second.count() == 20u);
    BOOST_TEST(d.now().connects == 1);
}

BOOST_AUTO_TEST_CASE(over_udp_a_name_that_gets_another_address_is_followed)
{
    stage s;
    datagram_collector siem;
    auto with = settings_to({siem.port()}, transport::protocol::udp);
    with.options.transport.addresses.front().host = moving_name;
    auto l = quick();
    l.look_up = 20ms;
    leads_to = "127.0.0.1";
    deliver::delivery d(s.ctx.get_executor(), with, 0, l);
    s.fill("acme", 0, 1);
    d.add_master(s.shared("acme"), info("acme"));
    const auto is_at = [&](const char* address) {
        return d.now().connected_to.find(address) != std::string::npos;
    };
    int looked_up = 0;
    s.play(d,
           {{[&] { return d.now().confirmed == 1; }, [&] { leads_to = "127.0.0.2"; }},
            {[&] { return is_at("127.0.0.2"); },
             [&] {
                 leads_to = nullptr;
                 looked_up = lookups;
             }},
            {[&] { return lookups > looked_up + 2; },
             [&] {
                 BOOST_TEST(is_at("127.0.0.2"));
                 BOOST_TEST(d.now().connects == 2);
                 leads_to = "127.0.0.1";
             }},
            {[&] { return is_at("127.0.0.1"); }, [&] { s.fill_later(d, "acme", 1, 9); }},
            {[&] { return d.now().lag == 0 && d.now().confirmed == 10 && siem.count() == 10; }, {}}});
    BOOST_TEST(d.now().connects == 3);
    BOOST_TEST(d.now().breaks == 0);
    BOOST_TEST(d.now().error == "");
}

BOOST_AUTO_TEST_CASE(a_refused_udp_port_loses_nothing)
{
    stage s;
    const auto port = test::unused_port();
    s.fill("acme", 0, 100);
    deliver::delivery d(s.ctx.get_executor(), settings_to({port}, transport::protocol::udp), 0, quick());
    d.add_master(s.shared("acme"), info("acme"));
    std::unique_ptr<datagram_collector> siem;
    s.play(d,
           {{[&] { return d.now().breaks >= 3; },
             [&] {
                 BOOST_TEST(d.now().confirmed == 0);
                 BOOST_TEST(d.now().error.find("nobody listens") != std::string::npos);
                 siem = std::make_unique<datagram_collector>(port);
             }},
            {[&] { return d.now().lag == 0; }, {}}});
    BOOST_TEST((set_of(pbids_of(siem->messages())) == all_of(0, 99)));
    BOOST_TEST(s.cursor("acme") == 100);
}

BOOST_AUTO_TEST_CASE(a_datagram_that_cannot_go_is_counted_and_no_loop)
{
    stage s;
    datagram_collector siem;
    s.fill("acme", 0, 3);
    s.fill("acme", 3, 2, "0.5", 70000);
    s.fill("acme", 5, 3);
    deliver::delivery d(
        s.ctx.get_executor(), settings_to({siem.port()}, transport::protocol::udp), 0, quick());
    d.add_master(s.shared("acme"), info("acme"));
    s.play(d, {{[&] { return d.now().lag == 0; }, {}}});
    BOOST_TEST(d.now().undeliverable == 2);
    BOOST_TEST(d.now().confirmed == 6);
    BOOST_TEST(siem.count() == 6u);
    BOOST_TEST(s.cursor("acme") == 8);
}

BOOST_AUTO_TEST_CASE(a_refused_client_certificate_confirms_nothing_and_is_mended_without_restart)
{
    stage s;
    const test::collector_keys keys;
    stream_collector siem({keys.file("server.pem"), keys.file("server.key"), keys.file("ca.pem"), false});
    auto with = settings_to({siem.port()}, transport::protocol::tls);
    with.options.transport.frames = transport::framing::octet_counting;
    with.options.transport.tls.ca_file = keys.file("ca.pem");
    with.options.transport.tls.cert_file = keys.file("mine.pem");
    with.options.transport.tls.key_file = keys.file("mine.key");
    namespace fs = std::filesystem;
    const auto over = fs::copy_options::overwrite_existing;
    fs::copy_file(keys.file("other.pem"), keys.file("mine.pem"), over);
    fs::copy_file(keys.file("other.key"), keys.file("mine.key"), over);
    s.fill("acme", 0, 100);
    deliver::delivery d(s.ctx.get_executor(), with, 0, quick());
    d.add_master(s.shared("acme"), info("acme"));
    s.play(d,
           {{[&] { return siem.connections() >= 4; },
             [&] {
                 const auto now = d.now();
                 BOOST_TEST(now.confirmed == 0);
                 BOOST_TEST_CONTEXT(now.error)
                 BOOST_TEST(now.error.find("refused the client certificate") != std::string::npos);
                 BOOST_TEST(now.lag == 100);
                 fs::copy_file(keys.file("client.pem"), keys.file("mine.pem"), over);
                 fs::copy_file(keys.file("client.key"), keys.file("mine.key"), over);
             }},
            {[&] { return d.now().lag == 0; }, {}}});
    BOOST_TEST((set_of(pbids_of(siem.messages())) == all_of(0, 99)));
    BOOST_TEST(d.now().error.empty());
}

BOOST_AUTO_TEST_CASE(a_masters_archive_that_fails_or_hangs_delays_only_itself)
{
    stage s;
    stream_collector siem;
    auto l = quick();
    l.spans_at_once = 1;
    l.slow_read = 50ms;
    deliver::delivery d(s.ctx.get_executor(), settings_to({siem.port()}), 0, l);
    // In the order of the names, so that the broken ones come first.
    s.fill("a-hangs", 0, 100);
    s.fill("b-fails", 10000, 100);
    s.fill("c-works", 20000, 500);
    for (const auto* m : {"a-hangs", "b-fails", "c-works"})
        d.add_master(s.shared(m), info(m));
    // The age of the oldest breach is read once before; from then on it hangs.
    s.store("b-fails").fail_reads = true;
    s.store("a-hangs").hang_reads = true;
    s.play(d,
           {{[&] { return siem.count() == 500 && !d.now().cursors.at(1).error.empty(); },
             [&] {
                 const auto now = d.now();
                 BOOST_TEST(now.lag >= 100);
                 BOOST_TEST(now.cursors.at(1).error.find("damaged") != std::string::npos);
                 BOOST_TEST(now.cursors.at(2).error.empty());
                 s.store("b-fails").fail_reads = false;
                 s.store("a-hangs").release();
             }},
            {[&] { return d.now().lag == 0 && siem.count() == 700; }, {}}});
    BOOST_TEST(siem.count() == 700u);
    BOOST_TEST(s.cursor("a-hangs") == 100);
    BOOST_TEST(s.cursor("b-fails") == 100);
}

BOOST_AUTO_TEST_CASE(a_cursor_that_cannot_be_saved_stops_no_delivery_and_is_saved_later)
{
    stage s;
    stream_collector siem;
    deliver::delivery d(s.ctx.get_executor(), settings_to({siem.port()}), 0, quick());
    s.fill("acme", 0, 100);
    d.add_master(s.shared("acme"), info("acme"));
    s.store("acme").fail_confirms = true;
    s.play(d,
           {{[&] { return d.now().confirmed == 100 && !d.now().cursors.at(0).error.empty(); },
             [&] { s.fill_later(d, "acme", 100, 100); }},
            {[&] { return d.now().confirmed == 200; }, [&] { s.store("acme").fail_confirms = false; }},
            {[&] { return d.now().cursors.at(0).error.empty(); }, {}}});
    BOOST_TEST(siem.count() == 200u);
    BOOST_TEST(s.cursor("acme") == 200);
}

BOOST_AUTO_TEST_SUITE_END()
