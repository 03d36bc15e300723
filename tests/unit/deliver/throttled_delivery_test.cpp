#include <dtbridge/deliver/delivery.hpp>

#include <boost/test/unit_test.hpp>

#include <dtbridge/core/time.hpp>
#include <dtbridge/deliver/replay_source.hpp>

#include "support/run_coro.hpp"

#include "stage.hpp"

using namespace dtbridge;
using namespace std::chrono_literals;
using test::info;
using test::pbids_of;
using test::quick;
using test::settings_to;
using test::stage;
using test::stream_collector;

namespace
{

const char* const three_an_hour = "[[throttle]]\nby = [\"model\"]\nlimit = 3\nper = \"1h\"\n";

/// What explain would say held this pbid back, "" where nothing did.
std::string held_by(stage& s, std::int64_t pbid)
{
    auto all = test::run_coro(s.ctx, s.store("acme").history(pbid), 10s);
    BOOST_REQUIRE(all);
    BOOST_REQUIRE(all->size() == 1u);
    const auto& fates = all->front().fates;
    return fates.empty() || !fates[0].withheld ? std::string() : fates[0].withheld->reason;
}

std::int64_t count_of(const std::vector<std::string>& messages, std::string_view needle)
{
    return std::count_if(messages.begin(), messages.end(), [needle](const std::string& m) {
        return m.find(needle) != std::string::npos;
    });
}

std::vector<std::int64_t> breaches_of(const std::vector<std::string>& messages)
{
    auto all = pbids_of(messages);
    std::erase(all, -1);
    return all;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(throttled_deliveries)

BOOST_AUTO_TEST_CASE(a_breach_dated_ahead_opens_no_window_there)
{
    stage s;
    stream_collector siem;
    deliver::delivery d(s.ctx.get_executor(),
                        settings_to({siem.port()}, transport::protocol::tcp, three_an_hour),
                        0,
                        quick());
    s.fill("acme", 0, 1, "0.5", 0, now_ms() + 365 * std::chrono::milliseconds(24h).count());
    d.add_master(s.shared("acme"), info("acme"));
    s.play(d, {{[&] { return d.now().lag == 0 && !s.store("acme").batches.empty(); }, {}}});
    const auto& windows = s.store("acme").batches.front().windows;
    BOOST_REQUIRE(windows.size() == 1u);
    BOOST_TEST(windows[0].start <= now_ms());
}

BOOST_AUTO_TEST_CASE(what_is_over_the_limit_is_noted_and_summed_up)
{
    stage s;
    stream_collector siem;
    deliver::delivery d(s.ctx.get_executor(),
                        settings_to({siem.port()}, transport::protocol::tcp, three_an_hour),
                        0,
                        quick());
    s.fill("acme", 0, 200);
    d.add_master(s.shared("acme"), info("acme"));
    // Created in 2023: the window is over as soon as everything was read.
    s.play(d, {{[&] { return d.now().lag == 0 && d.now().events == 1; }, {}}});
    BOOST_TEST(breaches_of(siem.messages()) == (std::vector<std::int64_t>{0, 1, 2}),
               boost::test_tools::per_element());
    const auto now = d.now();
    BOOST_TEST(now.forwarded == 3);
    BOOST_TEST(now.throttled == 197);
    BOOST_TEST(now.held_back == 0);
    BOOST_TEST(s.cursor("acme") == 200);
    BOOST_TEST(held_by(s, 2) == "");
    BOOST_TEST(held_by(s, 3) == "throttle by model: 3 per 1h (rules.toml:1)");
    BOOST_TEST(held_by(s, 199) == "throttle by model: 3 per 1h (rules.toml:1)");
    std::int64_t sum = 0;
    for (const auto& b : s.store("acme").batches)
        sum += b.throttled;
    BOOST_TEST(sum == 197);
    std::string summary;
    for (const auto& m : siem.messages())
        if (m.find("\"event\":\"throttled\"") != std::string::npos)
            summary = m;
    BOOST_TEST_CONTEXT(summary)
    {
        BOOST_TEST(summary.find("197 breaches of model \\\"Device/Test\\\"") != std::string::npos);
        BOOST_TEST(summary.find("on device \\\"did 1\\\"") != std::string::npos);
        BOOST_TEST(summary.find(rfc3339_ms(1'700'000'000'003)) != std::string::npos);
        BOOST_TEST(summary.find(rfc3339_ms(1'700'000'000'199)) != std::string::npos);
        BOOST_TEST(summary.find("https://acme.example/#modelbreach/199") != std::string::npos);
        BOOST_TEST(summary.find("\"master\":\"acme\"") != std::string::npos);
    }
}

BOOST_AUTO_TEST_CASE(a_master_that_is_behind_has_one_summary_for_a_window_whatever_others_are_at)
{
    stage s;
    stream_collector siem;
    auto l = quick();
    l.slow_read = 50ms;
    deliver::delivery d(s.ctx.get_executor(),
                        settings_to({siem.port()},
                                    transport::protocol::tcp,
                                    "[[throttle]]\nby = [\"master\"]\nlimit = 3\nper = \"1h\"\n"),
                        0,
                        l);
    s.fill("live", 0, 1, "0.5", 0, now_ms());
    s.fill("hangs", 0, 1);
    for (const auto* m : {"acme", "hangs", "live"})
        d.add_master(s.shared(m), info(m));
    s.store("hangs").hang_reads = true;
    s.play(d,
           {{[&] { return d.now().confirmed == 1; }, [&] { s.fill_later(d, "acme", 0, 2000); }},
            {[&] { return d.now().throttled == 1997 && d.now().events >= 1; },
             [&] { s.store("hangs").release(); }},
            {[&] { return d.now().lag == 0; }, {}}});
    BOOST_TEST(d.now().events == 1);
    BOOST_TEST(count_of(siem.messages(), "1997 breaches") == 1);
}

BOOST_AUTO_TEST_CASE(a_restart_neither_forgets_nor_tells_twice)
{
    stage s;
    stream_collector siem;
    const auto with = settings_to({siem.port()}, transport::protocol::tcp, three_an_hour);
    s.fill("acme", 0, 2);
    {
        deliver::delivery d(s.ctx.get_executor(), with, 0, quick());
        d.add_master(s.shared("acme"), info("acme"));
        s.play(d, {{[&] { return d.now().lag == 0; }, {}}});
    }
    s.fill("acme", 2, 5);
    {
        deliver::delivery d(s.ctx.get_executor(), with, 0, quick());
        d.add_master(s.shared("acme"), info("acme"));
        s.play(d, {{[&] { return d.now().lag == 0 && d.now().events == 1; }, {}}});
        BOOST_TEST(d.now().throttled == 4);
    }
    {
        deliver::delivery d(s.ctx.get_executor(), with, 0, quick());
        d.add_master(s.shared("acme"), info("acme"));
        const auto from = std::chrono::steady_clock::now();
        s.play(d, {{[&] { return d.now().lag == 0 && std::chrono::steady_clock::now() - from > 1s; }, {}}});
        BOOST_TEST(d.now().events == 0);
    }
    BOOST_TEST(breaches_of(siem.messages()) == (std::vector<std::int64_t>{0, 1, 2}),
               boost::test_tools::per_element());
    BOOST_TEST(count_of(siem.messages(), "\"event\":\"throttled\"") == 1);
    BOOST_TEST(held_by(s, 6) != "");
}

BOOST_AUTO_TEST_CASE(after_a_break_everything_is_decided_as_before_and_counted_once)
{
    stage s;
    // The first connection is reset after 20 messages, when everything behind them was decided already.
    stream_collector siem([](std::size_t n) {
        test::habit h;
        h.what = n == 0 ? test::habit::then::reset : test::habit::then::read_on;
        h.after = 20;
        return h;
    });
    deliver::delivery d(s.ctx.get_executor(),
                        settings_to({siem.port()},
                                    transport::protocol::tcp,
                                    "[[throttle]]\nby = [\"model\"]\nlimit = 40\nper = \"1h\"\n"),
                        0,
                        quick());
    s.fill("acme", 0, 1000);
    d.add_master(s.shared("acme"), info("acme"));
    s.play(d,
           {{[&] { return d.now().breaks > 0; }, {}},
            {[&] { return d.now().lag == 0 && d.now().events >= 1; }, {}}});
    BOOST_TEST(d.now().breaks > 0);
    BOOST_TEST(d.now().forwarded == 40);
    BOOST_TEST(d.now().throttled == 960);
    auto got = breaches_of(siem.messages());
    BOOST_TEST(got.size() > 40u);  // some came twice
    std::set<std::int64_t> which(got.begin(), got.end());
    BOOST_TEST(which.size() == 40u);
    BOOST_TEST(*which.rbegin() == 39);
    const auto rows = test::run_coro(s.ctx, s.store("acme").throttle_windows("siem"), 10s);
    BOOST_REQUIRE(rows->size() == 1u);
    BOOST_TEST(rows->front().passed == 40);
    BOOST_TEST(rows->front().held == 960);
    BOOST_TEST(rows->front().summed_up == 960);
    BOOST_TEST(held_by(s, 39) == "");
    BOOST_TEST(held_by(s, 40) != "");
    BOOST_TEST(held_by(s, 999) != "");
}

BOOST_AUTO_TEST_CASE(a_break_with_all_that_may_be_remembered_stops_no_master)
{
    stage s;
    // Reset when as much is remembered as may be; and an end in order confirms at once.
    stream_collector siem([](std::size_t n) {
        test::habit h;
        h.what = n == 0 ? test::habit::then::reset : test::habit::then::close;
        h.after = 3;
        h.before_reading = n == 0 ? 100ms : 0ms;
        return h;
    });
    auto l = quick();
    l.remembered = 100;
    l.transport.stay_up = 10s;
    deliver::delivery d(
        s.ctx.get_executor(), settings_to({siem.port()}, transport::protocol::tcp, three_an_hour), 0, l);
    s.fill("acme", 0, 1000);
    d.add_master(s.shared("acme"), info("acme"));
    s.play(d, {{[&] { return d.now().breaks > 0; }, {}}, {[&] { return d.now().lag == 0; }, {}}});
    BOOST_TEST(d.now().throttled == 997);
    BOOST_TEST(s.cursor("acme") == 1000);
}

BOOST_AUTO_TEST_CASE(a_reload_keeps_the_state_and_the_counters)
{
    stage s;
    stream_collector siem;
    deliver::delivery d(s.ctx.get_executor(),
                        settings_to({siem.port()}, transport::protocol::tcp, three_an_hour),
                        0,
                        quick());
    s.fill("acme", 0, 2);
    d.add_master(s.shared("acme"), info("acme"));
    const auto again = std::string("[forward]\nmin_score = 0.1\n") + three_an_hour;
    s.play(d,
           {{[&] { return d.now().confirmed == 2; },
             [&] {
                 d.reconfigure(settings_to({siem.port()}, transport::protocol::tcp, again));
                 s.fill_later(d, "acme", 2, 3);
             }},
            {[&] { return d.now().lag == 0 && d.now().throttled == 2; },
             [&] {
                 d.reconfigure(settings_to({siem.port()}));
                 s.fill_later(d, "acme", 5, 2);
             }},
            {[&] { return d.now().lag == 0 && d.now().confirmed == 5; }, {}}});
    BOOST_TEST(breaches_of(siem.messages()) == (std::vector<std::int64_t>{0, 1, 2, 5, 6}),
               boost::test_tools::per_element());
    BOOST_TEST(count_of(siem.messages(), "\"event\":\"throttled\"") == 1);
}

BOOST_AUTO_TEST_CASE(a_held_breach_has_passed_when_the_archive_knows_what_held_it)
{
    using passage = deliver::delivery::passage;
    stage s;
    stream_collector siem;
    auto l = quick();
    l.lazy_commit = 1h;
    deliver::delivery d(
        s.ctx.get_executor(), settings_to({siem.port()}, transport::protocol::tcp, three_an_hour), 0, l);
    s.fill("acme", 0, 3);
    d.add_master(s.shared("acme"), info("acme"));
    s.play(d,
           {{[&] { return (d.passage_of("acme", 3) == passage::passed); },
             [&] { s.fill_later(d, "acme", 3, 1); }},
            {[&] { return d.now().throttled == 1 && d.now().lag == 0; },
             [&] { BOOST_TEST((d.passage_of("acme", 4) == passage::not_yet)); }}});
    BOOST_TEST((d.passage_of("acme", 4) == passage::passed));
    BOOST_TEST(held_by(s, 3) != "");
}

BOOST_AUTO_TEST_CASE(undeliverable_ones_are_noted_with_their_reason)
{
    stage s;
    stream_collector siem;
    auto with = settings_to({siem.port()});
    with.options.format.max_message = 100;
    test::reformat(with);
    deliver::delivery d(s.ctx.get_executor(), with, 0, quick());
    s.fill("acme", 0, 2);
    d.add_master(s.shared("acme"), info("acme"));
    s.play(d, {{[&] { return d.now().lag == 0; }, {}}});
    BOOST_TEST(held_by(s, 1) == "does not fit max_message, not even shortened");
}

BOOST_AUTO_TEST_CASE(a_replay_sends_what_is_asked_for_and_moves_no_cursor)
{
    stage s;
    stream_collector siem;
    s.fill("acme", 0, 300);
    {
        deliver::delivery d(s.ctx.get_executor(),
                            settings_to({siem.port()}, transport::protocol::tcp, three_an_hour),
                            0,
                            quick());
        d.add_master(s.shared("acme"), info("acme"));
        s.play(d, {{[&] { return d.now().lag == 0; }, {}}});
    }
    const auto rows = test::run_coro(s.ctx, s.store("acme").throttle_windows("siem"), 10s);
    const auto batches = s.store("acme").batches.size();
    stream_collector second;
    auto with = settings_to({second.port()}, transport::protocol::tcp, three_an_hour);
    with.throttled = false;
    deliver::replay_order order;
    order.created_from = 1'700'000'000'010;
    order.created_before = 1'700'000'000'200;
    const auto end = s.store("acme").last_seq();
    auto source = deliver::make_replay_source(s.shared("acme"), order, end);
    s.fill("acme", 1000, 5, "0.5", 0, 1'699'999'999'100);  // after it was asked: created inside the span
    deliver::delivery d(s.ctx.get_executor(), with, 0, quick());
    d.add_master(source, info("acme"));
    s.play(d, {{[&] { return d.now().lag == 0; }, {}}});
    const auto got = pbids_of(second.messages());
    BOOST_TEST(got.size() == 190u);
    BOOST_TEST(got.front() == 10);
    BOOST_TEST(got.back() == 199);
    BOOST_TEST(d.now().confirmed == 190);
    BOOST_TEST(d.now().throttled == 0);
    BOOST_TEST(s.cursor("acme") == 300);
    BOOST_TEST(s.store("acme").batches.size() == batches);
    const auto after = test::run_coro(s.ctx, s.store("acme").throttle_windows("siem"), 10s);
    BOOST_TEST(after->front().passed == rows->front().passed);

    deliver::replay_order one;
    one.pbid = 7;
    one.model = "device / t*";
    auto single = deliver::make_replay_source(s.shared("acme"), one, end);
    deliver::delivery e(s.ctx.get_executor(), with, 0, quick());
    e.add_master(single, info("acme"));
    s.play(e, {{[&] { return e.now().lag == 0; }, {}}});
    BOOST_TEST(pbids_of(second.messages()).back() == 7);
    BOOST_TEST(e.now().confirmed == 1);
    one.model = "Compliance / *";
    auto none = deliver::make_replay_source(s.shared("acme"), one, end);
    deliver::delivery f(s.ctx.get_executor(), with, 0, quick());
    f.add_master(none, info("acme"));
    s.play(f, {{[&] { return f.now().lag == 0; }, {}}});
    BOOST_TEST(f.now().confirmed == 0);
}

BOOST_AUTO_TEST_CASE(an_inventory_labels_breaches_from_the_next_batch_on)
{
    stage s;
    stream_collector siem;
    auto with =
        settings_to({siem.port()},
                    transport::protocol::tcp,
                    "[devices]\n\"label:site=plant-*\" = \"never\"\n\"label:site=office\" = \"always\"\n");
    with.options.format.annotate = true;
    test::reformat(with);
    deliver::delivery d(s.ctx.get_executor(), with, 0, quick());
    auto& store = s.store("acme");
    const auto add = [&](std::int64_t pbid, const std::string& host) {
        archive_block b;
        b.bytes = "{\"pbid\":" + std::to_string(pbid) + ",\"score\":0.5,\"device\":{\"hostname\":\"" + host +
                  "\"}}";
        b.bytes.reserve(256);
        archive_element e;
        e.key = {pbid, pbid};
        e.body = b.bytes;
        b.elements.push_back(e);
        test::run_coro(s.ctx, store.add(std::move(b)), 10s);
    };
    add(1, "pc-1");
    add(2, "PC-2");
    add(3, "pc-3");
    d.add_master(s.shared("acme"), info("acme"));
    auto inventory = rules::load_inventory_text(
        "hostname,site,owner\npc-1,plant-7,ann\npc-2,office,bob\n", "a.csv", rules::inventory_key::hostname);
    BOOST_REQUIRE(inventory.value != nullptr);
    d.enrich("acme", inventory.value);
    s.play(d, {{[&] { return d.now().lag == 0; }, {}}});
    const auto got = siem.messages();
    BOOST_REQUIRE(got.size() == 2u);
    BOOST_TEST(got[0].find("\"labels\":{\"site\":\"office\",\"owner\":\"bob\"}") != std::string::npos);
    BOOST_TEST(got[0].find("always by device \\\"label:site=office\\\"") != std::string::npos);
    BOOST_TEST(got[1].find("\"labels\":{}") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
