#include <dtbridge/deliver/delivery.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/test/unit_test.hpp>

#include <dtbridge/core/time.hpp>

#include <algorithm>
#include <ctime>

#include "stage.hpp"

using namespace dtbridge;
using namespace std::chrono_literals;
using test::all_of;
using test::datagram_collector;
using test::info;
using test::pbids_of;
using test::quick;
using test::set_of;
using test::settings_to;
using test::stage;
using test::stream_collector;
using clock_type = std::chrono::steady_clock;

namespace
{

/// The pbids of one master, by the thousands they were given.
std::vector<std::int64_t> of_thousand(const std::vector<std::int64_t>& all, std::int64_t thousand)
{
    std::vector<std::int64_t> some;
    std::copy_if(all.begin(), all.end(), std::back_inserter(some), [thousand](auto p) {
        return p / 10000 == thousand;
    });
    return some;
}

format::formatter::event event(const std::string& type, const std::string& message)
{
    format::formatter::event e;
    e.type = e.name = type;
    e.message = message;
    return e;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(deliveries)

BOOST_AUTO_TEST_CASE(every_breach_of_every_master_once_and_in_order)
{
    stage s;
    stream_collector siem;
    deliver::delivery d(s.ctx.get_executor(), settings_to({siem.port()}), 0, quick());
    const std::vector<std::string> masters{"acme", "beta", "gamma"};
    for (std::size_t i = 0; i < 3; ++i)
    {
        s.fill(masters[i], static_cast<std::int64_t>(i) * 10000, 1000);
        d.add_master(s.shared(masters[i]), info(masters[i]));
    }
    s.play(d, {{[&] { return d.now().confirmed == 3000; }, {}}});
    const auto got = pbids_of(siem.messages());
    BOOST_TEST(got.size() == 3000u);
    for (std::int64_t i = 0; i < 3; ++i)
    {
        const auto mine = of_thousand(got, i);
        BOOST_TEST(mine.size() == 1000u);
        BOOST_TEST(std::is_sorted(mine.begin(), mine.end()));
        BOOST_TEST(s.cursor(masters[static_cast<std::size_t>(i)]) == 1000);
    }
    const auto now = d.now();
    BOOST_TEST(now.sent == 3000);
    BOOST_TEST(now.lag == 0);
    BOOST_TEST(now.lag_seconds == 0);
    BOOST_TEST(now.breaks == 0);
    BOOST_TEST(now.forwarded == 3000);
    BOOST_TEST(now.policy_lines.size() >= 1u);
    // Many batches to a commit: the 250 ms of a confirmation are not paid per batch, nor is a commit.
    BOOST_TEST(s.store("acme").confirms < 40);
}

BOOST_AUTO_TEST_CASE(idle_is_not_stalled_and_a_read_that_hangs_is)
{
    stage s;
    stream_collector siem;
    auto with = settings_to({siem.port()}, transport::protocol::tcp, "[forward]\nmin_score = 0.4\n");
    deliver::delivery d(s.ctx.get_executor(), with, 0, quick());
    s.fill("acme", 1, 10);
    d.add_master(s.shared("acme"), info("acme"));
    clock_type::time_point idle_since, news_at;
    s.play(d,
           {{[&] { return d.now().confirmed == 10 && d.now().lag == 0; },
             [&] { idle_since = clock_type::now(); }},
            {[&] { return clock_type::now() - idle_since > 400ms; },
             [&] {
                 BOOST_TEST(d.now().stalled == 0);
                 s.store("acme").hang_reads = true;
                 s.fill_unheard("acme", 11, 5);
             }},
            {[&] { return d.now().lag == 5; },
             [&] {
                 BOOST_TEST(d.now().stalled == 0);
                 news_at = clock_type::now();
                 d.ring("acme");
                 // Counted from the news, not from when something last moved.
                 const auto stalled = d.now().stalled;
                 const auto since =
                     std::chrono::duration_cast<std::chrono::milliseconds>(clock_type::now() - news_at);
                 BOOST_TEST(stalled <= since.count());
             }},
            {[&] { return d.now().stalled > 500; }, [&] { s.store("acme").release(); }},
            {[&] { return d.now().confirmed == 15 && d.now().lag == 0; },
             [&] { BOOST_TEST(d.now().stalled == 0); }}});
    const auto now = d.now();
    BOOST_REQUIRE(now.decisions.size() == 1u);
    BOOST_TEST(now.decisions[0].kind == "score");
    BOOST_TEST(now.decisions[0].forwarded == 15);
    BOOST_TEST(now.decisions[0].held_back == 0);
    std::size_t bytes = 0;
    for (const auto& m : siem.messages())
        bytes += m.size() + 1;  // the newline of the frame
    BOOST_TEST(now.bytes == static_cast<std::int64_t>(bytes));
    BOOST_TEST(now.certificate_expires == 0);
}

BOOST_AUTO_TEST_CASE(a_backlog_of_one_master_does_not_starve_the_others)
{
    stage s;
    stream_collector siem;
    deliver::delivery d(s.ctx.get_executor(), settings_to({siem.port()}), 0, quick());
    s.fill("big", 0, 30000);
    s.fill("small", 100000, 10);
    d.add_master(s.shared("big"), info("big"));
    d.add_master(s.shared("small"), info("small"));
    s.play(d, {{[&] { return d.now().confirmed == 30010; }, {}}});
    const auto got = pbids_of(siem.messages());
    const auto last_small = std::find(got.begin(), got.end(), 100009) - got.begin();
    // Long before the backlog is through; how long exactly is the scheduler's business.
    BOOST_TEST(last_small < 20000);
}

BOOST_AUTO_TEST_CASE(throughput_does_not_wait_for_confirmations)
{
    stage s;
    stream_collector siem;
    s.fill("acme", 0, 9000);
    deliver::delivery d(s.ctx.get_executor(), settings_to({siem.port()}), 0, quick());
    d.add_master(s.shared("acme"), info("acme"));
    const auto from = clock_type::now();
    s.play(d, {{[&] { return siem.count() == 9000; }, {}}});
    // 141 batches of 64, one confirmation after the other, would take 35 s.
    BOOST_TEST((clock_type::now() - from < 15s));
    BOOST_TEST(s.cursor("acme") == 9000);
}

BOOST_AUTO_TEST_CASE(over_tls_with_a_client_certificate)
{
    stage s;
    const test::collector_keys keys;
    stream_collector siem({keys.file("server.pem"), keys.file("server.key"), keys.file("ca.pem"), false});
    auto with = settings_to({siem.port()}, transport::protocol::tls);
    with.options.transport.frames = transport::framing::octet_counting;
    with.options.transport.tls.ca_file = keys.file("ca.pem");
    with.options.transport.tls.cert_file = keys.file("client.pem");
    with.options.transport.tls.key_file = keys.file("client.key");
    s.fill("acme", 0, 1000);
    deliver::delivery d(s.ctx.get_executor(), with, 0, quick());
    d.add_master(s.shared("acme"), info("acme"));
    s.play(d, {{[&] { return d.now().confirmed == 1000; }, {}}});
    BOOST_TEST(siem.count() == 1000u);
    BOOST_TEST(siem.malformed() == 0u);
    BOOST_TEST((set_of(pbids_of(siem.messages())) == all_of(0, 999)));
}

BOOST_AUTO_TEST_CASE(over_udp_in_batches_of_64)
{
    stage s;
    datagram_collector siem;
    s.fill("acme", 0, 200);
    deliver::delivery d(
        s.ctx.get_executor(), settings_to({siem.port()}, transport::protocol::udp), 0, quick());
    d.add_master(s.shared("acme"), info("acme"));
    std::size_t most = 0;
    const auto from = clock_type::now();
    s.play(d,
           {{[&] {
                 most = std::max(most, d.now().unconfirmed);
                 return d.now().confirmed == 200;
             },
             {}}});
    BOOST_TEST((clock_type::now() - from >= 200ms));  // four batches of 50 ms
    BOOST_TEST(most <= 64u);
    BOOST_TEST(siem.count() == 200u);
}

BOOST_AUTO_TEST_CASE(a_breach_archived_while_idle_is_on_the_wire_within_milliseconds)
{
    stage s;
    stream_collector siem;
    deliver::delivery d(s.ctx.get_executor(), settings_to({siem.port()}), 0, quick());
    d.add_master(s.shared("acme"), info("acme"));
    std::vector<clock_type::duration> took;
    clock_type::time_point rung;
    std::vector<test::step> steps{{[&] { return d.now().now == deliver::status::state::connected; }, {}}};
    for (int i = 0; i < 10; ++i)
        steps.push_back({[&, i] {
                             if (siem.count() < static_cast<std::size_t>(i))
                                 return false;
                             if (i > 0)
                                 took.push_back(clock_type::now() - rung);
                             return true;
                         },
                         [&, i] {
                             rung = clock_type::now();
                             s.fill_later(d, "acme", i, 1);
                         }});
    steps.push_back({[&] { return siem.count() == 10; }, {}});
    s.play(d, std::move(steps));
    std::sort(took.begin(), took.end());
    // Archiving with its fsync is in it; the machine may be busy, so the median counts.
    BOOST_TEST((took[took.size() / 2] < 100ms));
    BOOST_TEST(d.now().connects == 1);
}

BOOST_AUTO_TEST_CASE(an_idle_delivery_costs_nothing)
{
    stage s;
    stream_collector siem;
    deliver::delivery d(s.ctx.get_executor(), settings_to({siem.port()}), 0, quick());
    s.fill("acme", 0, 3);
    d.add_master(s.shared("acme"), info("acme"));
    int reads = 0, confirms = 0;
    clock_type::time_point from;
    s.play(d,
           {{[&] { return d.now().confirmed == 3; },
             [&] {
                 from = clock_type::now();
                 reads = s.store("acme").reads;
                 confirms = s.store("acme").confirms;
             }},
            {[&] { return clock_type::now() - from > 500ms; }, {}}});
    BOOST_TEST(s.store("acme").reads == reads);
    BOOST_TEST(s.store("acme").confirms <= confirms + 1);
}

BOOST_AUTO_TEST_CASE(held_back_breaches_move_the_cursor_without_a_commit_each)
{
    stage s;
    stream_collector siem;
    deliver::delivery d(s.ctx.get_executor(),
                        settings_to({siem.port()}, transport::protocol::tcp, "[forward]\nmin_score = 0.4\n"),
                        0,
                        quick());
    s.fill("acme", 0, 2000, "0.31");
    d.add_master(s.shared("acme"), info("acme"));
    s.play(d, {{[&] { return d.now().held_back == 2000 && d.now().lag == 0; }, {}}});
    BOOST_TEST(siem.count() == 0u);
    BOOST_TEST(s.cursor("acme") == 2000);
    BOOST_TEST(s.store("acme").confirms <= 2);
    BOOST_TEST(d.now().sent == 0);
    BOOST_TEST(s.store("acme").batches.back().held_back == 2000);
    BOOST_TEST(s.store("acme").batches.back().policy_hash.size() == 64u);
}

BOOST_AUTO_TEST_CASE(held_back_and_forwarded_pass_together)
{
    stage s;
    stream_collector siem;
    for (int i = 0; i < 20; ++i)
        s.fill("acme", i * 10, 10, i % 2 == 0 ? "0.9" : "0.1");
    deliver::delivery d(s.ctx.get_executor(),
                        settings_to({siem.port()}, transport::protocol::tcp, "[forward]\nmin_score = 0.4\n"),
                        0,
                        quick());
    d.add_master(s.shared("acme"), info("acme"));
    s.play(d, {{[&] { return d.now().lag == 0 && d.now().confirmed == 100; }, {}}});
    BOOST_TEST(siem.count() == 100u);
    BOOST_TEST(s.cursor("acme") == 200);
    std::int64_t sent = 0, held = 0, next = 1;
    for (const auto& b : s.store("acme").batches)
    {
        BOOST_TEST(b.first_seq == next);  // the records leave no breach unexplained
        next = b.last_seq + 1;
        sent += b.sent;
        held += b.held_back;
    }
    BOOST_TEST(sent == 100);
    BOOST_TEST(held == 100);
}

BOOST_AUTO_TEST_CASE(marked_ones_are_sent_too)
{
    stage s;
    stream_collector siem;
    auto with = settings_to({siem.port()}, transport::protocol::tcp, "[forward]\nmin_score = 0.4\n");
    with.options.format.mark_held_back = true;
    test::reformat(with);
    s.fill("acme", 0, 10, "0.1");
    deliver::delivery d(s.ctx.get_executor(), with, 0, quick());
    d.add_master(s.shared("acme"), info("acme"));
    s.play(d, {{[&] { return d.now().confirmed == 10; }, {}}});
    BOOST_TEST(siem.count() == 10u);
    BOOST_TEST(d.now().held_back == 10);
}

BOOST_AUTO_TEST_CASE(start_passes_over_what_was_created_before)
{
    stage s;
    stream_collector siem;
    const std::int64_t ran = 1'700'000'000'000;
    s.fill("acme", 0, 10, "0.5", 0, ran - 7'200'000);    // two hours before
    s.fill("acme", 100, 10, "0.5", 0, ran - 1'800'000);  // half an hour before
    s.fill("acme", 200, 10, "0.5", 0, ran);
    auto with = settings_to({siem.port()});
    with.options.start = std::chrono::hours(1);
    deliver::delivery d(s.ctx.get_executor(), with, ran, quick());
    d.add_master(s.shared("acme"), info("acme"));
    s.play(d, {{[&] { return d.now().lag == 0; }, {}}});
    BOOST_TEST(siem.count() == 20u);
    BOOST_TEST(d.now().passed_over == 10);
    BOOST_TEST(s.cursor("acme") == 30);
    BOOST_TEST(*set_of(pbids_of(siem.messages())).begin() == 100);
}

BOOST_AUTO_TEST_CASE(start_counts_from_the_first_run_that_the_archive_knows)
{
    // The service's file was lost: it says that the destination runs for the first time, and breaches wait.
    stage s;
    stream_collector siem;
    const std::int64_t ran = 1'700'000'000'000;
    auto with = settings_to({siem.port()});
    with.options.start = std::chrono::hours(0);
    {
        deliver::delivery d(s.ctx.get_executor(), with, ran, quick());
        s.fill("acme", 0, 10, "0.5", 0, ran + 1000);
        d.add_master(s.shared("acme"), info("acme"));
        s.play(d, {{[&] { return d.now().confirmed == 10; }, {}}});
    }
    s.fill("acme", 100, 10, "0.5", 0, ran - 1000);  // before it ever ran
    s.fill("acme", 200, 10, "0.5", 0, ran + 60'000);
    s.fill("beta", 300, 10, "0.5", 0, ran + 60'000);  // never seen by the destination: `start` is its say
    const std::int64_t again = ran + 3'600'000;
    deliver::delivery d(s.ctx.get_executor(), with, again, quick());
    d.add_master(s.shared("acme"), info("acme"));
    d.add_master(s.shared("beta"), info("beta"));
    s.play(d, {{[&] { return d.now().lag == 0; }, {}}});
    BOOST_TEST(siem.count() == 20u);
    BOOST_TEST(d.now().confirmed == 10);
    BOOST_TEST(d.now().passed_over == 20);
}

BOOST_AUTO_TEST_CASE(what_cannot_be_made_to_fit_is_counted_and_passed_over)
{
    stage s;
    stream_collector siem;
    auto with = settings_to({siem.port()});
    with.options.format.max_message = 20;
    test::reformat(with);
    s.fill("acme", 0, 5);
    deliver::delivery d(s.ctx.get_executor(), with, 0, quick());
    d.add_master(s.shared("acme"), info("acme"));
    s.play(d, {{[&] { return d.now().lag == 0; }, {}}});
    BOOST_TEST(siem.count() == 0u);
    BOOST_TEST(d.now().undeliverable == 5);
    BOOST_TEST(s.cursor("acme") == 5);
    BOOST_TEST(s.store("acme").batches.back().undeliverable == 5);
}

BOOST_AUTO_TEST_CASE(a_stop_confirms_what_is_in_flight_and_a_new_start_repeats_nothing)
{
    stage s;
    stream_collector siem;
    s.fill("acme", 0, 500);
    {
        deliver::delivery d(s.ctx.get_executor(), settings_to({siem.port()}), 0, quick());
        d.add_master(s.shared("acme"), info("acme"));
        // Stopped while the first batches wait for their 250 ms.
        s.play(d, {{[&] { return siem.count() >= 100; }, {}}});
        BOOST_TEST((s.stopped_in < 2500ms));
        BOOST_TEST(d.now().unconfirmed == 0u);
    }
    BOOST_TEST(s.cursor("acme") == static_cast<std::int64_t>(siem.count()));
    BOOST_TEST(siem.halves() == 0u);
    deliver::delivery d(s.ctx.get_executor(), settings_to({siem.port()}), 0, quick());
    d.add_master(s.shared("acme"), info("acme"));
    s.play(d, {{[&] { return d.now().lag == 0; }, {}}});
    BOOST_TEST(siem.count() == 500u);
    BOOST_TEST((set_of(pbids_of(siem.messages())) == all_of(0, 499)));
}

BOOST_AUTO_TEST_CASE(a_cancellation_saves_what_was_confirmed)
{
    stage s;
    stream_collector siem;
    s.fill("acme", 0, 300);
    auto l = quick();
    l.lazy_commit = 1h;
    deliver::delivery d(s.ctx.get_executor(), settings_to({siem.port()}), 0, l);
    d.add_master(s.shared("acme"), info("acme"));
    s.play_and_cancel(d, {{[&] { return d.now().confirmed == 300; }, {}}});
    BOOST_TEST(s.cursor("acme") == 300);
}

BOOST_AUTO_TEST_CASE(new_rules_take_effect_without_loss_or_repeat)
{
    stage s;
    stream_collector siem;
    deliver::delivery d(s.ctx.get_executor(), settings_to({siem.port()}), 0, quick());
    s.fill("acme", 0, 100, "0.1");
    d.add_master(s.shared("acme"), info("acme"));
    s.play(d,
           {{[&] { return siem.count() == 100; },
             [&] {
                 // While the first hundred is in flight.
                 d.reconfigure(
                     settings_to({siem.port()}, transport::protocol::tcp, "[forward]\nmin_score = 0.4\n"));
                 s.fill_later(d, "acme", 1000, 100, "0.1");
                 s.fill_later(d, "acme", 2000, 100, "0.9");
             }},
            {[&] { return d.now().lag == 0 && d.now().confirmed == 200; }, {}}});
    BOOST_TEST(siem.count() == 200u);
    BOOST_TEST((set_of(pbids_of(siem.messages())).count(1000)) == 0u);
    BOOST_TEST(d.now().held_back == 100);
    BOOST_TEST(d.now().connects == 1);  // the connection did not change
    BOOST_TEST(s.cursor("acme") == 300);
    BOOST_TEST(s.store("acme").batches.front().policy_hash != s.store("acme").batches.back().policy_hash);
}

BOOST_AUTO_TEST_CASE(another_address_takes_over_without_loss_or_repeat)
{
    stage s;
    stream_collector before, after;
    deliver::delivery d(s.ctx.get_executor(), settings_to({before.port()}), 0, quick());
    s.fill("acme", 0, 3000);
    d.add_master(s.shared("acme"), info("acme"));
    s.play(d,
           {{[&] { return before.count() >= 500; },
             [&] {
                 d.reconfigure(settings_to({after.port()}));
                 // However far the first address has come by now, something is left for the second.
                 s.fill_later(d, "acme", 3000, 500);
             }},
            {[&] { return d.now().lag == 0 && d.now().confirmed == 3500; }, {}}});
    const auto first = set_of(pbids_of(before.messages()));
    const auto second = set_of(pbids_of(after.messages()));
    BOOST_TEST(before.count() + after.count() == 3500u);
    BOOST_TEST(after.count() >= 500u);
    auto both = first;
    both.insert(second.begin(), second.end());
    BOOST_TEST((both == all_of(0, 3499)));
    BOOST_TEST(s.cursor("acme") == 3500);
}

BOOST_AUTO_TEST_CASE(masters_come_and_go)
{
    stage s;
    stream_collector siem;
    deliver::delivery d(s.ctx.get_executor(), settings_to({siem.port()}), 0, quick());
    s.fill("acme", 0, 50);
    s.fill("beta", 10000, 50);
    d.add_master(s.shared("acme"), info("acme"));
    bool removed = false;
    s.play(d,
           {{[&] { return siem.count() == 50; },
             [&] {
                 asio::co_spawn(s.ctx, d.remove_master("acme"), [&](std::exception_ptr e) {
                     BOOST_TEST(!e);
                     removed = true;
                 });
             }},
            {[&] { return removed; },
             [&] {
                 s.fill_later(d, "acme", 100, 50);
                 d.add_master(s.shared("beta"), info("beta"));
             }},
            {[&] { return siem.count() == 100 && d.now().lag == 0; },
             [&] {
                 BOOST_TEST(d.now().cursors.size() == 1u);
                 d.add_master(s.shared("acme"), info("acme"));
             }},
            {[&] { return siem.count() == 150 && d.now().lag == 0; }, {}}});
    BOOST_TEST(siem.count() == 150u);
    BOOST_TEST(s.cursor("acme") == 100);
    BOOST_TEST(s.cursor("beta") == 50);
}

BOOST_AUTO_TEST_CASE(bridge_events_go_between_the_breaches_and_move_no_cursor)
{
    stage s;
    stream_collector siem;
    s.fill("acme", 0, 500);
    auto settings = settings_to({siem.port()});
    settings.version = "9.8.7";
    deliver::delivery d(s.ctx.get_executor(), std::move(settings), 0, quick());
    d.add_master(s.shared("acme"), info("acme"));
    // Before there is a connection, and of several heartbeats that waited only the newest.
    for (const auto* words : {"first", "second"})
        d.announce(event("heartbeat", words));
    s.play(d,
           {{[&] { return d.now().confirmed == 500; },
             [&] {
                 auto health = event("health", "all\nwell");
                 health.master = "acme";
                 d.announce(std::move(health));
             }},
            {[&] { return siem.count() == 502; }, {}}});
    std::vector<std::string> events;
    for (const auto& m : siem.messages())
    {
        if (m.find(R"("dtbridge":{"event":)") != std::string::npos)
            events.push_back(m);
    }
    BOOST_REQUIRE(events.size() == 2u);
    BOOST_TEST(events[0].find(R"("event":"heartbeat")") != std::string::npos);
    BOOST_TEST(events[0].find(R"("message":"second")") != std::string::npos);
    BOOST_TEST(events[0].find(R"("destination":"siem")") != std::string::npos);
    BOOST_TEST(events[1].find(R"("message":"all\nwell")") != std::string::npos);
    BOOST_TEST(events[1].find(R"("master":"acme")") != std::string::npos);
    BOOST_TEST(d.now().events == 2);
    BOOST_TEST(d.now().sent == 500);
    BOOST_TEST(s.cursor("acme") == 500);
}

BOOST_AUTO_TEST_CASE(bridge_events_that_wait_for_a_collector_are_bounded)
{
    stage s;
    const auto port = test::unused_port();
    deliver::delivery d(s.ctx.get_executor(), settings_to({port}), 0, quick());
    std::unique_ptr<stream_collector> siem;
    for (int i = 0; i < 100; ++i)
        d.announce(event("health", "number " + std::to_string(i)));
    s.play(d,
           {{[&] { return !d.now().error.empty(); },
             [&] { siem = std::make_unique<stream_collector>(nullptr, false, port); }},
            {[&] { return d.now().events == 64 && siem->count() == 64; }, {}}});
    BOOST_TEST(siem->messages().front().find("number 36\"") != std::string::npos);
    BOOST_TEST(siem->messages().back().find("number 99\"") != std::string::npos);
    BOOST_TEST(d.now().events_dropped == 36);
}

BOOST_AUTO_TEST_CASE(who_tells_of_a_breach_can_ask_whether_it_was_confirmed)
{
    using passage = deliver::delivery::passage;
    stage s;
    const auto port = test::unused_port();
    std::unique_ptr<stream_collector> siem;
    s.fill("acme", 0, 10);
    deliver::delivery d(s.ctx.get_executor(), settings_to({port}), 0, quick());
    BOOST_TEST((d.passage_of("acme", 10) == passage::never));
    d.add_master(s.shared("acme"), info("acme"));
    s.play(d,
           {{[&] { return !d.now().error.empty(); },
             [&] {
                 BOOST_TEST((d.passage_of("acme", 10) == passage::not_yet));
                 BOOST_TEST((d.passage_of("globex", 10) == passage::never));
                 // Half of the 64 that may wait are left to events that come one at a time.
                 for (std::size_t i = 0; i < 40; ++i)
                 {
                     BOOST_TEST(d.room_for_events() == 32 - std::min<std::size_t>(i, 32));
                     d.announce(event("health", "number " + std::to_string(i)));
                 }
                 siem = std::make_unique<stream_collector>(nullptr, false, port);
             }},
            {[&] { return d.now().confirmed == 10; }, {}}});
    BOOST_TEST((d.passage_of("acme", 10) == passage::passed));
    BOOST_TEST((d.passage_of("acme", 11) == passage::not_yet));
    BOOST_TEST(d.room_for_events() == 32u);
}

BOOST_AUTO_TEST_CASE(the_pace_is_kept)
{
    stage s;
    stream_collector siem;
    auto with = settings_to({siem.port()});
    with.options.pace_per_second = 100;
    s.fill("acme", 0, 45);
    deliver::delivery d(s.ctx.get_executor(), with, 0, quick());
    d.add_master(s.shared("acme"), info("acme"));
    const auto from = clock_type::now();
    s.play(d, {{[&] { return siem.count() == 45; }, {}}});
    BOOST_TEST((clock_type::now() - from >= 390ms));  // 45 at 100/s, less the first burst of 5
}

BOOST_AUTO_TEST_SUITE_END()
