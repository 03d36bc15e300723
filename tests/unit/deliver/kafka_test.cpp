#include <dtbridge/deliver/delivery.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <map>

#include "stage.hpp"
#include "support/kafka_cluster.hpp"

using namespace dtbridge;
using namespace std::chrono_literals;
using test::all_of;
using test::info;
using test::kafka_cluster;
using test::pbid_of;
using test::quick;
using test::stage;

namespace
{

constexpr int partitions = 4;

deliver::settings settings_to(const kafka_cluster& brokers)
{
    auto s = test::settings_to({}, transport::protocol::kafka);
    s.options.transport.addresses = brokers.addresses();
    s.options.transport.kafka.topic = "breaches";
    s.options.transport.max_message = 64u << 10;
    return s;
}

/// By key, in the order of the topic; breaches alone.
std::map<std::string, std::vector<std::int64_t>> pbids_by_key(const kafka_cluster& brokers)
{
    std::map<std::string, std::vector<std::int64_t>> out;
    for (const auto& r : brokers.read("breaches", partitions))
        if (!r.header("pbid").empty())
            out[r.key].push_back(pbid_of(r.value));
    return out;
}

/// Every one is there; a repeat stands behind all that its first time stood behind, so that the last of each
/// are in order.
void check_all(const std::vector<std::int64_t>& got, std::int64_t first, std::int64_t last)
{
    BOOST_TEST((test::set_of(got) == all_of(first, last)));
    std::vector<std::int64_t> lasts;
    for (auto at = got.rbegin(); at != got.rend(); ++at)
        if (std::find(lasts.begin(), lasts.end(), *at) == lasts.end())
            lasts.push_back(*at);
    BOOST_TEST(std::is_sorted(lasts.rbegin(), lasts.rend()));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(kafka_deliveries, *boost::unit_test::enable_if<test::kafka_can_run>())

BOOST_AUTO_TEST_CASE(every_breach_once_in_order_with_its_key_and_headers_and_events_too)
{
    kafka_cluster brokers(3);
    brokers.create("breaches", partitions);
    stage s;
    s.fill("acme", 0, 1000);
    s.fill("globex", 5000, 500);
    deliver::delivery d(s.ctx.get_executor(), settings_to(brokers), 0, quick());
    d.add_master(s.shared("acme"), info("acme"));
    d.add_master(s.shared("globex"), info("globex"));
    format::formatter::event e;
    e.type = "heartbeat";
    e.name = "Heartbeat";
    e.message = "alive";
    d.announce(e);
    s.play(d, {{[&] { return d.now().lag == 0 && d.now().events == 1 && d.now().unconfirmed == 0; }, {}}});
    BOOST_TEST(d.now().sent == 1500);
    BOOST_TEST(d.now().confirmed == 1500);
    BOOST_TEST(d.now().error.empty());
    BOOST_TEST(s.cursor("acme") == 1000);
    BOOST_TEST(s.cursor("globex") == 500);
    BOOST_TEST((s.stopped_in < 3s));
    std::map<std::string, std::vector<std::int64_t>> by_master;
    std::size_t events = 0, wrong = 0;
    for (const auto& r : brokers.read("breaches", partitions))
    {
        if (r.header("pbid").empty())
        {
            ++events;
            wrong += r.value.find("\"event\":\"heartbeat\"") == std::string::npos;
            continue;
        }
        const auto master = r.header("master");
        by_master[r.key].push_back(pbid_of(r.value));
        wrong += r.key.rfind(master + "/", 0) != 0;
        wrong += r.header("pbid") != std::to_string(pbid_of(r.value));
        wrong += r.header("format") != "json";
        wrong += (pbid_of(r.value) < 5000) != (master == "acme");
    }
    BOOST_TEST(events == 1u);
    BOOST_TEST(wrong == 0u);
    std::size_t count = 0;
    for (const auto& [key, pbids] : by_master)
    {
        BOOST_TEST_CONTEXT(key)
        BOOST_TEST(std::is_sorted(pbids.begin(), pbids.end()));
        count += test::set_of(pbids).size();
    }
    BOOST_TEST(count == 1500u);
}

BOOST_AUTO_TEST_CASE(a_dead_cluster_is_a_cursor_that_lags_and_nothing_is_lost)
{
    kafka_cluster brokers;
    brokers.create("breaches", partitions);
    stage s;
    s.fill("acme", 0, 3000);
    auto l = quick();
    l.transport.answer = 500ms;
    l.kafka_window.messages = 200;
    deliver::delivery d(s.ctx.get_executor(), settings_to(brokers), 0, l);
    d.add_master(s.shared("acme"), info("acme"));
    std::string said;
    std::int64_t stood_at = 0;
    s.play(d,
           {{[&] { return d.now().confirmed > 200; }, [&] { brokers.set_down(); }},
            {[&] { return d.now().connected_to.empty() && !d.now().error.empty(); },
             [&] { stood_at = d.now().confirmed; }},
            {[&] {
                 said = d.now().error;
                 return said.find("Connection refused") != std::string::npos;
             },
             [&] { brokers.set_up(); }},
            {[&] { return d.now().lag == 0; }, {}}});
    BOOST_TEST(stood_at < 3000);
    BOOST_TEST(d.now().breaks >= 1);
    BOOST_TEST(d.now().error.empty());
    BOOST_TEST(s.cursor("acme") == 3000);
    std::size_t records = 0;
    for (const auto& [key, pbids] : pbids_by_key(brokers))
    {
        BOOST_TEST_CONTEXT(key)
        check_all(pbids, 0, 2999);
        records += pbids.size();
    }
    // Repeats are of what was in flight.
    BOOST_TEST(records >= 3000u);
    BOOST_TEST(records <= 3200u);
}

BOOST_AUTO_TEST_CASE(broker_errors_are_librdkafkas_to_mend)
{
    kafka_cluster brokers;
    brokers.create("breaches", partitions);
    stage s;
    s.fill("acme", 0, 1000);
    brokers.fail_next_writes(
        {RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT});
    deliver::delivery d(s.ctx.get_executor(), settings_to(brokers), 0, quick());
    d.add_master(s.shared("acme"), info("acme"));
    s.play(d, {{[&] { return d.now().lag == 0; }, {}}});
    BOOST_TEST(d.now().breaks == 0);
    std::size_t records = 0;
    for (const auto& [_, pbids] : pbids_by_key(brokers))
        records += pbids.size();
    BOOST_TEST(records == 1000u);
}

BOOST_AUTO_TEST_CASE(what_is_too_large_for_the_topic_is_passed_over_and_named)
{
    kafka_cluster brokers;
    brokers.create("breaches", partitions);
    stage s;
    s.fill("acme", 0, 1, "0.5", 80'000);
    auto settings = settings_to(brokers);
    settings.options.format.max_message = 0;
    test::reformat(settings);
    brokers.fail_next_writes({RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE});
    deliver::delivery d(s.ctx.get_executor(), settings, 0, quick());
    d.add_master(s.shared("acme"), info("acme"));
    s.play(d,
           {{[&] { return d.now().lag == 0 && d.now().undeliverable == 1; },
             [&] { s.fill_later(d, "acme", 1, 9); }},
            {[&] { return d.now().lag == 0 && d.now().confirmed == 9; }, {}}});
    BOOST_TEST(d.now().sent == 9);
    BOOST_TEST(d.now().undeliverable == 1);
    BOOST_TEST(d.now().breaks == 0);
    BOOST_TEST(s.cursor("acme") == 10);
    // What `explain` reads.
    std::vector<withheld_breach> withheld;
    std::int64_t sent = 0;
    for (const auto& b : s.store("acme").batches)
    {
        withheld.insert(withheld.end(), b.withheld.begin(), b.withheld.end());
        sent += b.sent;
    }
    BOOST_TEST(sent == 9);
    BOOST_REQUIRE(withheld.size() == 1u);
    BOOST_TEST(withheld[0].seq == 1);
    BOOST_TEST(withheld[0].reason.find("too large for the topic") != std::string::npos);
    std::size_t records = 0;
    for (const auto& [_, pbids] : pbids_by_key(brokers))
    {
        check_all(pbids, 1, 9);
        records += pbids.size();
    }
    BOOST_TEST(records == 9u);
}

BOOST_AUTO_TEST_SUITE_END()
