#include <dtbridge/deliver/delivery.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>

#include "stage.hpp"
#include "support/lease.hpp"

using namespace dtbridge;
using namespace std::chrono_literals;
using test::all_of;
using test::habit;
using test::held_lease;
using test::info;
using test::pbids_of;
using test::quick;
using test::set_of;
using test::settings_to;
using test::stage;
using test::stream_collector;

namespace
{

std::int64_t seq_of(const deliver::delivery& d, const std::string& master)
{
    for (const auto& c : d.now().cursors)
        if (c.master == master)
            return c.seq;
    return -1;
}

/// The first connection is accepted and never read.
habit stalls_first(std::size_t n)
{
    return n == 0 ? habit{.what = habit::then::stall} : habit{};
}

/// Nothing but the lease is to end a connection.
deliver::limits patient()
{
    auto l = quick();
    l.transport.write = 60s;
    l.transport.stay_up = 10s;
    return l;
}

/// Breaches of acme, pbids from 0 on: more than the kernels take. Those of other are from 1000 on.
void fill(stage& s)
{
    for (int i = 0; i < 10; ++i)
        s.fill("acme", i * 100, 100, "0.5", 30000);
    s.fill("other", 1000, 20);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(leases)

BOOST_AUTO_TEST_CASE(a_lease_that_ends_while_the_collector_takes_nothing_frees_the_other_masters)
{
    stage s;
    stream_collector siem(stalls_first);
    fill(s);
    held_lease acme("acme"), other("other");
    auto l = patient();
    l.transport.stay_up = 250ms;
    deliver::delivery d(s.ctx.get_executor(), settings_to({siem.port()}), 0, l);
    d.add_master(s.shared("acme"), info("acme"), acme.permit());
    std::int64_t sent = 0;
    s.play(d,
           {{[&] { return siem.connections() == 1 && d.now().unconfirmed > 0; },
             [&] {
                 acme.end();
                 d.lapse("acme");
                 sent = d.now().sent;
                 d.add_master(s.shared("other"), info("other"), other.permit());
             }},
            {[&] { return seq_of(d, "other") == 20; }, {}}});
    BOOST_TEST(siem.connections() == 2u);
    BOOST_TEST((set_of(pbids_of(siem.messages())) == all_of(1000, 1019)));
    BOOST_TEST(d.now().sent == sent + 20);
    BOOST_TEST(d.now().breaks == 0);
    BOOST_TEST(d.now().error.empty());
    BOOST_TEST(s.cursor("acme") == 0);
    BOOST_TEST(s.cursor("other") == 20);
}

BOOST_AUTO_TEST_CASE(a_lease_that_was_renewed_goes_on_where_it_was)
{
    stage s;
    stream_collector siem;
    s.fill("acme", 0, 50);
    held_lease acme("acme", -1s);  // it has lapsed
    deliver::delivery d(s.ctx.get_executor(), settings_to({siem.port()}), 0, quick());
    d.add_master(s.shared("acme"), info("acme"), acme.permit());
    s.fill("other", 1000, 20);
    d.add_master(s.shared("other"), info("other"));
    s.play(d,
           {{[&] { return seq_of(d, "other") == 20; },
             [&] {
                 BOOST_TEST(seq_of(d, "acme") == 0);
                 BOOST_TEST(d.now().sent == 20);
                 acme.renew();
             }},
            {[&] { return seq_of(d, "acme") == 50; }, {}}});
    BOOST_TEST(siem.connections() == 1u);
    BOOST_TEST(s.cursor("acme") == 50);
    BOOST_TEST(pbids_of(siem.messages()).size() == 70u);
}

BOOST_AUTO_TEST_CASE(what_was_not_confirmed_when_a_lease_lapsed_is_sent_again_when_it_is_renewed)
{
    stage s;
    stream_collector siem;
    s.fill("acme", 0, 50);
    held_lease acme("acme");
    auto l = patient();
    l.transport.stay_up = 1s;
    deliver::delivery d(s.ctx.get_executor(), settings_to({siem.port()}), 0, l);
    d.add_master(s.shared("acme"), info("acme"), acme.permit());
    s.play(d,
           {{[&] { return siem.count() == 50; },
             [&] {
                 BOOST_TEST(seq_of(d, "acme") == 0);
                 d.lapse("acme");
             }},
            {[&] { return seq_of(d, "acme") == 50; }, {}}});
    BOOST_TEST(siem.connections() == 2u);
    BOOST_TEST(siem.count() == 100u);
    BOOST_TEST(d.now().breaks == 0);
    BOOST_TEST(s.cursor("acme") == 50);
}

BOOST_AUTO_TEST_CASE(nothing_is_in_flight_of_a_master_whose_lease_lapses)
{
    stage s;
    stream_collector siem;
    s.fill("acme", 0, 50);
    held_lease acme("acme");
    deliver::delivery d(s.ctx.get_executor(), settings_to({siem.port()}), 0, quick());
    d.add_master(s.shared("acme"), info("acme"), acme.permit());
    s.play(d,
           {{[&] { return seq_of(d, "acme") == 50; },
             [&] {
                 acme.end();
                 d.lapse("acme");
                 s.fill_later(d, "acme", 50, 10);
             }},
            {[&] { return d.now().lag == 10; }, {}}});
    BOOST_TEST(siem.connections() == 1u);
    BOOST_TEST(siem.count() == 50u);
    BOOST_TEST(s.cursor("acme") == 50);
}

BOOST_AUTO_TEST_CASE(a_master_that_is_anothers_is_dropped_and_saves_nothing)
{
    stage s;
    stream_collector siem;
    s.fill("acme", 0, 50);
    s.fill("other", 1000, 20);
    held_lease acme("acme");
    auto l = patient();
    l.transport.stay_up = 1s;
    deliver::delivery d(s.ctx.get_executor(), settings_to({siem.port()}), 0, l);
    d.add_master(s.shared("acme"), info("acme"), acme.permit());
    d.add_master(s.shared("other"), info("other"));
    bool dropped = false;
    int reads = 0;
    s.play(d,
           {{[&] { return siem.count() == 70; },
             [&] {
                 acme.end();
                 asio::co_spawn(s.ctx, d.drop_master("acme"), [&](std::exception_ptr) { dropped = true; });
             }},
            {[&] { return dropped; }, [&] { reads = s.store("acme").reads; }},
            {[&] { return seq_of(d, "other") == 20; }, {}}});
    BOOST_TEST(s.store("acme").reads == reads);
    BOOST_TEST(s.store("acme").confirms == 0);
    BOOST_TEST(s.cursor("acme") == 0);
    BOOST_TEST(s.cursor("other") == 20);
    BOOST_TEST(siem.count() == 90u);  // those of the other master once more
    BOOST_TEST(d.now().cursors.size() == 1u);
}

BOOST_AUTO_TEST_CASE(bridge_events_need_no_lease)
{
    stage s;
    stream_collector siem;
    s.fill("acme", 0, 5);
    held_lease acme("acme", -1s);
    deliver::delivery d(s.ctx.get_executor(), settings_to({siem.port()}), 0, quick());
    d.add_master(s.shared("acme"), info("acme"), acme.permit());
    format::formatter::event e;
    e.type = "test";
    e.name = "Test";
    e.message = "is it there?";
    d.announce(e);
    s.play(d, {{[&] { return siem.count() == 1; }, {}}});
    BOOST_TEST(siem.messages().front().find("is it there?") != std::string::npos);
    BOOST_TEST(d.now().sent == 0);
}

BOOST_AUTO_TEST_SUITE_END()
