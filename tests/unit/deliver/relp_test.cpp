#include <dtbridge/deliver/delivery.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>

#include "stage.hpp"
#include "support/relp_collector.hpp"

using namespace dtbridge;
using namespace std::chrono_literals;
using test::all_of;
using test::info;
using test::pbids_of;
using test::quick;
using test::relp_collector;
using test::relp_habit;
using test::set_of;
using test::settings_to;
using test::stage;
using clock_type = std::chrono::steady_clock;

namespace
{

constexpr auto relp = transport::protocol::relp;

}  // namespace

BOOST_AUTO_TEST_SUITE(relp_deliveries)

BOOST_AUTO_TEST_CASE(every_breach_once_and_in_order_and_a_clean_end)
{
    stage s;
    relp_collector siem;
    s.fill("acme", 0, 1000);
    deliver::delivery d(s.ctx.get_executor(), settings_to({siem.port()}, relp), 0, quick());
    d.add_master(s.shared("acme"), info("acme"));
    s.play(d, {{[&] { return d.now().lag == 0; }, {}}});
    const auto got = pbids_of(siem.messages());
    BOOST_TEST(got.size() == 1000u);
    BOOST_TEST(std::is_sorted(got.begin(), got.end()));
    BOOST_TEST((set_of(got) == all_of(0, 999)));
    BOOST_TEST(s.cursor("acme") == 1000);
    BOOST_TEST(siem.closes() == 1u);
    BOOST_TEST(siem.malformed() == 0u);
    BOOST_TEST(siem.connections() == 1);
}

BOOST_AUTO_TEST_CASE(the_cursor_moves_on_answers_only_and_the_window_bounds_what_waits)
{
    stage s;
    relp_collector siem([](std::size_t) { return relp_habit{.answer = 25}; });
    s.fill("acme", 0, 1000);
    auto l = quick();
    l.relp_window = 16;
    deliver::delivery d(s.ctx.get_executor(), settings_to({siem.port()}, relp), 0, l);
    d.add_master(s.shared("acme"), info("acme"));
    clock_type::time_point from;
    s.play(d,
           {{[&] { return d.now().confirmed > 0 && d.now().unconfirmed == 16; },
             [&] { from = clock_type::now(); }},
            // More than what confirms with TCP.
            {[&] { return clock_type::now() - from > 600ms; }, {}}});
    BOOST_TEST(d.now().confirmed <= 25);
    BOOST_TEST(s.cursor("acme") == d.now().confirmed);
    BOOST_TEST(siem.count() <= 25u + 16u);
    BOOST_TEST(siem.most_waiting() <= 16u);
}

BOOST_AUTO_TEST_CASE(breaks_refusals_and_lost_answers_lose_nothing)
{
    using then = relp_habit::then;
    const std::vector<relp_habit> first = {
        {.take = 300, .answer = 200, .what = then::reset},
        {.take = 40, .answer = 0, .what = then::close},
        {.take = 70, .answer = 30, .what = then::server_close},
        {.take = 3, .what = then::close, .with = "500 not now"},
        {.take = 50, .answer = 10, .what = then::silent},
        {.take = 1, .answer = 1, .what = then::close},
    };
    stage s;
    relp_collector siem([&](std::size_t n) { return n < first.size() ? first[n] : relp_habit{}; });
    s.fill("acme", 0, 1000);
    auto l = quick();
    l.transport.answer = 300ms;
    deliver::delivery d(s.ctx.get_executor(), settings_to({siem.port()}, relp), 0, l);
    d.add_master(s.shared("acme"), info("acme"));
    std::set<std::string> errors;
    s.play(d,
           {{[&] {
                 errors.insert(d.now().error.substr(0, d.now().error.find_last_of('0')));
                 return d.now().lag == 0;
             },
             {}}});
    const auto got = pbids_of(siem.messages());
    BOOST_TEST((set_of(got) == all_of(0, 999)));
    BOOST_TEST((set_of(pbids_of(siem.answered())) == all_of(0, 999)));
    // Repeats only what was taken and not answered, or whose answer went down with a reset.
    BOOST_TEST(got.size() <= 1000u + 300u + 40u + 70u + 3u + 50u + 1u);
    BOOST_TEST(s.cursor("acme") == 1000);
    BOOST_TEST(d.now().error.empty());
    BOOST_TEST(siem.connections() == 7);
    const auto said = [&](const std::string& words) {
        return std::any_of(
            errors.begin(), errors.end(), [&](const auto& e) { return e.find(words) != std::string::npos; });
    };
    BOOST_TEST(said("refused a message with the answer 5"));
    BOOST_TEST(said("answered nothing"));
}

BOOST_AUTO_TEST_CASE(a_first_address_that_never_answers_is_left_for_the_second)
{
    stage s;
    relp_collector bad([](std::size_t) { return relp_habit{.answer = 0}; });
    relp_collector good;
    auto l = quick();
    l.transport.answer = 1300ms;  // longer than it takes a connection to look well
    deliver::delivery d(s.ctx.get_executor(), settings_to({bad.port(), good.port()}, relp), 0, l);
    s.fill("acme", 0, 100);
    d.add_master(s.shared("acme"), info("acme"));
    s.play(d, {{[&] { return d.now().lag == 0; }, {}}});
    BOOST_TEST((set_of(pbids_of(good.messages())) == all_of(0, 99)));
    BOOST_TEST(bad.connections() == 1);
}

BOOST_AUTO_TEST_SUITE_END()
