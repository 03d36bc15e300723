#include <dtbridge/transport/transport.hpp>

#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/test/unit_test.hpp>

#include <thread>

#include "support/collector.hpp"
#include "support/relp_collector.hpp"
#include "support/run_coro.hpp"
#include "support/temp_dir.hpp"

using namespace dtbridge;
namespace asio = boost::asio;
using asio::awaitable;
using namespace std::chrono_literals;
using test::peer_connection;
using test::peer_server;
using test::relp_collector;
using test::relp_habit;
using test::relp_talk;
using test::run_coro;
using clock_type = std::chrono::steady_clock;

namespace
{

transport::options to(std::uint16_t port)
{
    transport::options o;
    o.kind = transport::protocol::relp;
    o.addresses = {net::endpoint_name{"127.0.0.1", port}};
    return o;
}

struct seen
{
    std::uint64_t confirmed = 0;
    std::size_t unconfirmed = 0;
    clock_type::duration took{};
    std::optional<failure> reason;
    bool opened = false;
    bool send_failed = false;
    bool is_over = false;
    std::string words() const { return reason ? reason->detail : ""; }
};

bool has(const seen& s, std::string_view words)
{
    return s.words().find(words) != std::string::npos;
}

awaitable<void> pause(clock_type::duration d)
{
    asio::steady_timer timer(co_await asio::this_coro::executor, d);
    co_await timer.async_wait(asio::use_awaitable);
}

/// Sends batches of one message each and waits until all are confirmed, the connection is over or limit
/// passed; with finish it then stops cleanly.
awaitable<seen> talk(transport::options o,
                     transport::timing t,
                     std::vector<std::string> messages,
                     clock_type::duration limit,
                     bool finish)
{
    auto ex = co_await asio::this_coro::executor;
    transport::connector connector(ex, o, t);
    seen s;
    transport::connector::notify nobody;
    const auto from = clock_type::now();
    auto made = co_await connector.connect(nobody);
    if (!made)
    {
        s.reason = made.error();
        s.took = clock_type::now() - from;
        co_return s;
    }
    s.opened = true;
    auto& c = **made;
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
    while (!finish && c.now() != transport::connection::state::over && clock_type::now() - from < limit &&
           (messages.empty() || c.confirmed() < messages.size()))
        co_await pause(1ms);
    if (finish)
        co_await c.finish(limit);
    s.took = clock_type::now() - from;
    s.confirmed = c.confirmed();
    s.unconfirmed = c.unconfirmed();
    s.reason = c.reason();
    s.is_over = c.now() == transport::connection::state::over;
    co_await c.close();
    co_return s;
}

seen run(transport::options o,
         std::vector<std::string> messages,
         clock_type::duration limit = 5s,
         transport::timing t = {},
         bool finish = false)
{
    asio::io_context ctx;
    auto task = talk(std::move(o), t, std::move(messages), limit, finish);
    return run_coro(ctx, std::move(task), limit + 15s);
}

/// A collector that says these bytes after "open" was answered and one message came, and reads on.
peer_server::script after_one_message(std::string bytes)
{
    return [bytes](peer_connection& c) {
        relp_talk talk(c);
        if (!talk.open() || !talk.next())
            return;
        c.write(bytes);
        while (talk.next())
            ;
    };
}

}  // namespace

BOOST_AUTO_TEST_SUITE(relp)

BOOST_AUTO_TEST_CASE(an_answer_confirms_at_once)
{
    relp_collector siem;
    const auto s = run(to(siem.port()), {"one", "two\nlines", std::string(100000, 'x'), ""});
    BOOST_TEST(s.confirmed == 4u);
    BOOST_TEST(s.unconfirmed == 0u);
    BOOST_TEST(!s.is_over);
    BOOST_TEST((s.took < 200ms));  // no 250 ms as with TCP
    BOOST_TEST(
        (siem.messages() == std::vector<std::string>{"one", "two\nlines", std::string(100000, 'x'), ""}));
    BOOST_TEST(siem.malformed() == 0u);
}

BOOST_AUTO_TEST_CASE(without_an_answer_nothing_is_confirmed_by_the_kernel)
{
    relp_collector siem(
        [](std::size_t) { return relp_habit{.answer = 1, .what = relp_habit::then::silent}; });
    const auto s = run(to(siem.port()), {"one", "two"}, 800ms);
    BOOST_TEST(s.confirmed == 1u);
    BOOST_TEST(s.unconfirmed == 1u);
    BOOST_TEST(!s.is_over);
    BOOST_TEST(siem.count() == 2u);
}

BOOST_AUTO_TEST_CASE(answers_may_come_in_another_order)
{
    relp_collector siem([](std::size_t) { return relp_habit{.last_first = true}; });
    const auto s = run(to(siem.port()), {"1", "2", "3", "4", "5", "6"});
    BOOST_TEST(s.confirmed == 6u);
    BOOST_TEST((siem.answered() == std::vector<std::string>{"3", "2", "1", "6", "5", "4"}));
}

BOOST_AUTO_TEST_CASE(a_collector_that_answers_nothing_is_given_up)
{
    relp_collector siem(
        [](std::size_t) { return relp_habit{.answer = 1, .what = relp_habit::then::silent}; });
    transport::timing t;
    t.answer = 300ms;
    const auto s = run(to(siem.port()), {"one", "two", "three"}, 5s, t);
    BOOST_TEST(s.is_over);
    BOOST_TEST(s.confirmed == 1u);
    BOOST_TEST((s.reason->code == errc::timed_out));
    BOOST_TEST(has(s, "answered nothing for 0 s"), s.words());
    BOOST_TEST((s.took >= 300ms));
}

BOOST_AUTO_TEST_CASE(an_idle_session_is_not_given_up)
{
    relp_collector siem;
    transport::timing t;
    t.answer = 100ms;
    const auto s = run(to(siem.port()), {}, 600ms, t);
    BOOST_TEST(!s.is_over);
}

BOOST_AUTO_TEST_CASE(a_close_confirms_what_was_answered_and_says_how_much_was_not)
{
    relp_collector siem([](std::size_t) { return relp_habit{.take = 3, .answer = 2}; });
    const auto s = run(to(siem.port()), {"one", "two", "three"});
    BOOST_TEST(s.is_over);
    BOOST_TEST(s.confirmed == 2u);
    BOOST_TEST((s.reason->code == asio::error::eof));
    BOOST_TEST(has(s, "closed by the collector, which had not answered every message"), s.words());
    BOOST_TEST(!has(s, "maxDataSize"), s.words());
}

BOOST_AUTO_TEST_CASE(a_close_at_a_long_message_names_the_collectors_bound)
{
    relp_collector siem([](std::size_t) { return relp_habit{.take = 1, .answer = 0}; });
    const auto s = run(to(siem.port()), {std::string(9000, 'x')});
    BOOST_TEST(s.confirmed == 0u);
    BOOST_TEST(has(s, "9000 bytes"), s.words());
    BOOST_TEST(has(s, "maxDataSize"), s.words());
}

BOOST_AUTO_TEST_CASE(a_reset_confirms_what_was_answered_only)
{
    relp_collector siem(
        [](std::size_t) { return relp_habit{.take = 3, .answer = 0, .what = relp_habit::then::reset}; });
    const auto s = run(to(siem.port()), {"one", "two", "three"});
    BOOST_TEST(s.is_over);
    BOOST_TEST(s.confirmed == 0u);
    BOOST_TEST((s.reason->code != asio::error::eof));
}

BOOST_AUTO_TEST_CASE(the_hint_serverclose_ends_the_session)
{
    relp_collector siem([](std::size_t) {
        return relp_habit{.take = 2, .answer = 1, .what = relp_habit::then::server_close};
    });
    const auto s = run(to(siem.port()), {"one", "two"});
    BOOST_TEST(s.is_over);
    BOOST_TEST(s.confirmed == 1u);
    BOOST_TEST((s.reason->code == asio::error::eof));
}

BOOST_AUTO_TEST_CASE(after_serverclose_nothing_is_sent_and_answers_still_count_for_two_seconds)
{
    std::size_t came = 0;
    peer_server siem([&](peer_connection& c) {
        relp_talk talk(c);
        if (!talk.open())
            return;
        const auto one = talk.next();
        talk.say(0, "serverclose", "");
        std::this_thread::sleep_for(100ms);
        if (one)
            talk.answer(one->number);
        while (talk.next())
            ++came;
    });
    transport::timing t;
    t.last_acknowledgements = 300ms;
    const auto s = run(to(siem.port()), {"one"}, 5s, t);
    BOOST_TEST(s.confirmed == 1u);
    // Two messages, of which the second is never answered: given up after the time for that.
    peer_server slow([&](peer_connection& c) {
        relp_talk talk(c);
        if (talk.open() && talk.next())
            talk.say(0, "serverclose", "");
        while (talk.next())
            ++came;
    });
    const auto never = run(to(slow.port()), {"one"}, 5s, t);
    BOOST_TEST(never.is_over);
    BOOST_TEST(never.confirmed == 0u);
    BOOST_TEST((never.reason->code == asio::error::eof));
    BOOST_TEST(has(never, "before it had answered everything"), never.words());
    BOOST_TEST(came == 0u);
}

BOOST_AUTO_TEST_CASE(a_refused_message_breaks_the_session_and_is_named)
{
    relp_collector siem([](std::size_t) { return relp_habit{.with = "500 disk full"}; });
    const auto s = run(to(siem.port()), {"one", "two"});
    BOOST_TEST(s.is_over);
    BOOST_TEST(s.confirmed == 0u);
    BOOST_TEST((s.reason->code == errc::refused));
    BOOST_TEST(has(s,
                   "127.0.0.1:" + std::to_string(siem.port()) +
                       ": the collector refused a message with the answer 500 (disk full)"),
               s.words());
}

BOOST_AUTO_TEST_CASE(hostile_answers_break_the_session)
{
    const std::vector<std::pair<std::string, std::string>> answers = {
        {"77 rsp 6 200 OK\n", "answers message number 77"},
        {"2 rsp 999999999 ", "999999999 bytes"},
        {std::string(1 << 20, '7'), "more than nine digits"},
        {"2 " + std::string(1 << 20, 'a'), "1 to 32 letters"},
        {"2 rsp 6 200 OK\n2 rsp 6 200 OK\n", "answers message number 2"},
        {"2 syslog 2 hi\n", "where only answers may come"},
        {"2 rsp 5 maybe\n", "no code"},
        {std::string("\0\xff\r\n", 4), "no RELP"},
    };
    for (const auto& [bytes, expected] : answers)
    {
        peer_server siem(after_one_message(bytes));
        const auto s = run(to(siem.port()), {"one", "two"});
        BOOST_TEST(s.is_over);
        BOOST_TEST(has(s, expected), s.words());
        BOOST_TEST(s.confirmed <= 1u);
        BOOST_TEST(s.words().size() < 400u);
    }
}

BOOST_AUTO_TEST_CASE(a_session_that_does_not_begin_is_explained)
{
    const std::vector<std::pair<std::string, std::string>> answers = {
        {"1 rsp 3 500\n", "refused the RELP session with the answer 500"},
        {"1 rsp 6 200 OK\n", "no version of RELP"},
        {"1 rsp 21 200 OK\nrelp_version=0\n", "\"syslog\""},
        {"2 rsp 6 200 OK\n", "answers message number 2"},
        {"0 serverclose 0\n", "is closing its sessions"},
        {"HTTP/1.1 400 Bad Request\r\n\r\n", "no RELP"},
        {"", "closed by the collector without an answer to the RELP \"open\""},
        {"1 rsp", "closed by the collector without an answer to the RELP \"open\""},
    };
    for (const auto& [bytes, expected] : answers)
    {
        peer_server siem([&bytes = bytes](peer_connection& c) {
            relp_talk talk(c);
            talk.next();
            c.write(bytes);
            c.finish();
            c.read_all();
        });
        const auto s = run(to(siem.port()), {"one"});
        BOOST_TEST(!s.opened);
        BOOST_TEST(has(s, expected), s.words());
        BOOST_TEST(has(s, "127.0.0.1:" + std::to_string(siem.port())), s.words());
    }
}

BOOST_AUTO_TEST_CASE(a_collector_that_never_answers_open_is_given_up_in_time)
{
    peer_server siem([](peer_connection& c) { c.read_all(); });
    transport::timing t;
    t.connect = 400ms;
    const auto s = run(to(siem.port()), {"one"}, 5s, t);
    BOOST_TEST(!s.opened);
    BOOST_TEST(has(s, "no answer to the RELP \"open\""), s.words());
    BOOST_TEST((s.took >= 390ms));
}

BOOST_AUTO_TEST_CASE(a_collector_that_takes_nothing_is_given_up)
{
    peer_server siem([](peer_connection& c) {
        relp_talk talk(c);
        talk.open();
        std::this_thread::sleep_for(1500ms);
    });
    transport::timing t;
    t.write = 300ms;
    const std::vector<std::string> much(64, std::string(512u << 10, 'x'));  // more than the kernels take
    const auto s = run(to(siem.port()), much, 5s, t);
    BOOST_TEST(s.send_failed);
    BOOST_TEST(s.confirmed == 0u);
    BOOST_TEST(has(s, "took nothing"), s.words());
}

BOOST_AUTO_TEST_CASE(a_clean_stop_says_close_and_waits_for_the_last_answers)
{
    relp_collector siem([](std::size_t) { return relp_habit{.last_first = true}; });
    const auto s = run(to(siem.port()), {"one", "two"}, 5s, {}, true);
    BOOST_TEST(s.confirmed == 2u);  // both are answered only when "close" comes
    BOOST_TEST(siem.closes() == 1u);
    BOOST_TEST(siem.malformed() == 0u);
    BOOST_TEST(s.is_over);
    BOOST_TEST((s.reason->code == asio::error::eof));
    BOOST_TEST((s.took < 2s));
}

BOOST_AUTO_TEST_CASE(a_clean_stop_does_not_wait_longer_than_it_may)
{
    relp_collector siem(
        [](std::size_t) { return relp_habit{.take = 1, .answer = 1, .what = relp_habit::then::silent}; });
    const auto s = run(to(siem.port()), {"one"}, 300ms, {}, true);
    BOOST_TEST(s.confirmed == 1u);
    BOOST_TEST((s.took >= 290ms));
    BOOST_TEST((s.took < 3s));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(relp_under_tls)

namespace
{

struct keys
{
    test::temp_dir folder;
    test::certificate ca = test::make_certificate({.common_name = "CA", .is_ca = true, .usage = ""});
    test::certificate server =
        test::make_certificate({.common_name = "siem", .names = {"IP:127.0.0.1"}}, &ca);
    test::certificate client = test::make_certificate({.common_name = "bridge", .usage = "clientAuth"}, &ca);
    transport::options options(std::uint16_t port, bool with_client)
    {
        auto o = to(port);
        o.kind = transport::protocol::relp_tls;
        ca.write_cert(folder / "ca.pem");
        o.tls.ca_file = folder / "ca.pem";
        if (with_client)
        {
            client.write_cert(folder / "client.pem");
            client.write_key(folder / "client.key");
            o.tls.cert_file = folder / "client.pem";
            o.tls.key_file = folder / "client.key";
        }
        return o;
    }
};

}  // namespace

BOOST_AUTO_TEST_CASE(messages_arrive_with_a_client_certificate)
{
    keys k;
    relp_collector siem({}, test::peer_tls{.own = k.server, .client_issuer = k.ca});
    const auto s = run(k.options(siem.port(), true), {"one", std::string(100000, 'x')}, 5s, {}, true);
    BOOST_TEST(s.confirmed == 2u);
    BOOST_TEST(siem.count() == 2u);
    BOOST_TEST(siem.closes() == 1u);
}

BOOST_AUTO_TEST_CASE(a_missing_client_certificate_is_named)
{
    keys k;
    relp_collector siem({}, test::peer_tls{.own = k.server, .client_issuer = k.ca});
    const auto s = run(k.options(siem.port(), false), {"one"});
    BOOST_TEST(s.confirmed == 0u);
    BOOST_TEST(has(s, "tls.cert_file"), s.words());
    BOOST_TEST(siem.count() == 0u);
}

BOOST_AUTO_TEST_CASE(an_unknown_ca_is_refused_before_a_byte_is_sent)
{
    keys k;
    const auto other = test::make_certificate({.common_name = "other", .is_ca = true, .usage = ""});
    const auto server = test::make_certificate({.common_name = "siem", .names = {"IP:127.0.0.1"}}, &other);
    relp_collector siem({}, test::peer_tls{.own = server});
    const auto s = run(k.options(siem.port(), false), {"one"});
    BOOST_TEST(!s.opened);
    BOOST_TEST((s.reason->code == errc::tls_refused));
    BOOST_TEST(siem.count() == 0u);
}

BOOST_AUTO_TEST_SUITE_END()
