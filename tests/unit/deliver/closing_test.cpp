/// Collectors that close connections which carried nothing: how soon the next one is made.

#include <dtbridge/deliver/delivery.hpp>

#include <boost/test/unit_test.hpp>

#include "stage.hpp"

using namespace dtbridge;
using namespace std::chrono_literals;
using test::habit;
using test::info;
using test::quick;
using test::settings_to;
using test::stage;
using test::stream_collector;
using clock_type = std::chrono::steady_clock;

namespace
{

/// Closes in order after that long, without having read anything.
habit closes_after(std::chrono::milliseconds d)
{
    return habit{.what = habit::then::close, .after = 0, .before_reading = d};
}

deliver::limits slow_to_retry()
{
    auto l = quick();
    l.proven = 30ms;
    l.first_retry = l.last_retry = 60s;  // longer than a step of the test may take
    return l;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(closing_collectors)

BOOST_AUTO_TEST_CASE(one_that_closes_soon_after_each_connect_is_backed_off_from)
{
    stage s;
    stream_collector siem([](std::size_t) { return closes_after(60ms); });
    auto l = quick();
    l.proven = 30ms;
    l.first_retry = 100ms;
    l.last_retry = 5s;
    deliver::delivery d(s.ctx.get_executor(), settings_to({siem.port()}), 0, l);
    d.add_master(s.shared("acme"), info("acme"));
    const auto from = clock_type::now();
    s.play(d, {{[&] { return clock_type::now() - from > 3s; }, {}}});
    // 60 ms each and waits of at least 50, 100, 200, 400, 800, 1600 ms; without them there would be 50.
    BOOST_TEST(siem.connections() >= 2u);
    BOOST_TEST(siem.connections() <= 8u);
    BOOST_TEST(d.now().breaks == 0);
    BOOST_TEST(d.now().error.empty());  // nothing is undelivered
}

BOOST_AUTO_TEST_CASE(what_comes_while_it_waits_is_delivered_at_once)
{
    stage s;
    stream_collector siem([](std::size_t n) { return n == 0 ? closes_after(100ms) : habit{}; });
    deliver::delivery d(s.ctx.get_executor(), settings_to({siem.port()}), 0, slow_to_retry());
    d.add_master(s.shared("acme"), info("acme"));
    s.play(d,
           {{[&] { return siem.connections() == 1 && d.now().now == deliver::status::state::waiting; },
             [&] { s.fill_later(d, "acme", 0, 1); }},
            {[&] { return d.now().lag == 0 && siem.count() == 1; }, {}}});
    BOOST_TEST(siem.connections() == 2u);
    BOOST_TEST(s.cursor("acme") == 1);
}

BOOST_AUTO_TEST_CASE(a_bridge_event_is_sent_at_once_too)
{
    stage s;
    stream_collector siem([](std::size_t n) { return n == 0 ? closes_after(100ms) : habit{}; });
    deliver::delivery d(s.ctx.get_executor(), settings_to({siem.port()}), 0, slow_to_retry());
    d.add_master(s.shared("acme"), info("acme"));
    format::formatter::event e;
    e.type = e.name = "health";
    s.play(d,
           {{[&] { return siem.connections() == 1 && d.now().now == deliver::status::state::waiting; },
             [&] { d.announce(e); }},
            {[&] { return siem.count() == 1; }, {}}});
}

BOOST_AUTO_TEST_CASE(but_only_once_where_it_is_in_vain)
{
    stage s;
    // What was written to it and not read is lost with a reset.
    stream_collector siem([](std::size_t) { return closes_after(100ms); });
    deliver::delivery d(s.ctx.get_executor(), settings_to({siem.port()}), 0, slow_to_retry());
    d.add_master(s.shared("acme"), info("acme"));
    clock_type::time_point from;
    s.play(d,
           {{[&] { return siem.connections() == 1 && d.now().now == deliver::status::state::waiting; },
             [&] { s.fill_later(d, "acme", 0, 1); }},
            {[&] { return siem.connections() == 2 && d.now().now == deliver::status::state::waiting; },
             [&] {
                 s.fill_later(d, "acme", 1, 1);
                 from = clock_type::now();
             }},
            {[&] { return clock_type::now() - from > 500ms; }, {}}});
    BOOST_TEST(siem.connections() == 2u);
    BOOST_TEST(d.now().lag == 2);
    BOOST_TEST(!d.now().error.empty());
}

BOOST_AUTO_TEST_CASE(one_that_was_idle_for_long_is_made_again_at_once)
{
    stage s;
    stream_collector siem([](std::size_t) { return closes_after(300ms); });
    auto l = slow_to_retry();
    l.lasting = 100ms;
    deliver::delivery d(s.ctx.get_executor(), settings_to({siem.port()}), 0, l);
    d.add_master(s.shared("acme"), info("acme"));
    s.play(d, {{[&] { return siem.connections() >= 4; }, {}}});
    BOOST_TEST(d.now().error.empty());
    BOOST_TEST(d.now().breaks == 0);
}

BOOST_AUTO_TEST_CASE(one_that_resets_what_carried_nothing_is_backed_off_from_and_named)
{
    stage s;
    stream_collector siem(
        [](std::size_t) { return habit{.what = habit::then::reset, .after = 0, .before_reading = 60ms}; });
    auto l = quick();
    l.proven = 30ms;
    l.first_retry = 100ms;
    l.last_retry = 5s;
    deliver::delivery d(s.ctx.get_executor(), settings_to({siem.port()}), 0, l);
    d.add_master(s.shared("acme"), info("acme"));
    const auto from = clock_type::now();
    bool named = false;
    s.play(d,
           {{[&] {
                 named = named || d.now().error.find("127.0.0.1") != std::string::npos;
                 return clock_type::now() - from > 3s;
             },
             {}}});
    BOOST_TEST(named);
    BOOST_TEST(siem.connections() >= 2u);
    BOOST_TEST(siem.connections() <= 8u);
}

BOOST_AUTO_TEST_SUITE_END()
