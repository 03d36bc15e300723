#include <dtbridge/db/connection.hpp>

#include "fixture.hpp"

using namespace dtbridge;
using test::archives;
using test::numbered;

BOOST_AUTO_TEST_SUITE(retention)

namespace
{

constexpr std::int64_t hour = 3'600'000;

/// Ten blocks an hour apart, of twenty breaches each: seqs 1 to 200.
void ten_hours(archives& a, archive& to)
{
    for (int i = 0; i < 10; ++i)
    {
        a.must(to.add(numbered(1 + 20 * i, 20, 2000)));
        a.clock += hour;
    }
}

}  // namespace

DTBRIDGE_TEST_BOTH(by_age_and_keys_stay)
{
    archives a(kind);
    auto acme = a.open();
    auto start = a.clock.load();
    ten_hours(a, *acme);
    retention_order order;
    order.older_than = start + 3 * hour;
    auto result = a.must(acme->prune(order));
    BOOST_TEST(result.dropped == 60);
    BOOST_TEST(result.lost.empty());
    auto facts = a.must(acme->facts());
    BOOST_TEST(facts.breaches == 140);
    BOOST_TEST(facts.oldest_seq == 61);
    BOOST_TEST(facts.last_seq == 200);
    BOOST_TEST(facts.oldest_archived == start + 3 * hour);
    auto span = a.must(acme->read(0, 5, 1 << 20));
    BOOST_TEST(span.breaches.front().seq == 61);
    BOOST_TEST(a.must(acme->find(1)).breaches.empty());
    acme.reset();
    acme = a.open();
    BOOST_TEST(a.must(acme->add(numbered(1, 20, 2000))).repeated == 20);
    BOOST_TEST(a.must(acme->facts()).oldest_seq == 61);
    BOOST_TEST(a.must(acme->facts()).breaches == 140);
}

DTBRIDGE_TEST_BOTH(age_waits_for_who_is_kept_for)
{
    archives a(kind);
    auto acme = a.open();
    ten_hours(a, *acme);
    a.must(acme->ensure_cursor("slow", {"", 0}));
    confirmed_batch batch;
    batch.first_seq = 1;
    batch.last_seq = 50;  // in the middle of the third block
    a.must(acme->confirm("slow", batch));
    retention_order order;
    order.older_than = a.clock;
    order.keep_for = {archive_cursor{"slow", 10}};  // older than what the archive knows
    order.drop_undelivered = true;                  // speaks of size only
    auto result = a.must(acme->prune(order));
    BOOST_TEST(result.dropped == 40);
    BOOST_TEST(result.lost.empty());
    BOOST_TEST(a.must(acme->read(50, 1, 1 << 20)).breaches[0].seq == 51);
    BOOST_TEST(a.must(acme->confirmed(45)).size() == 1u);

    // Not waited for any longer: dropped, and counted lost.
    order.keep_for.clear();
    result = a.must(acme->prune(order));
    BOOST_TEST(result.dropped == 160);
    BOOST_REQUIRE(result.lost.size() == 1u);
    BOOST_TEST(result.lost[0].first == "slow");
    BOOST_TEST(result.lost[0].second == 150);
    BOOST_TEST(a.must(acme->cursors())[0].lost == 150);
    acme.reset();
    acme = a.open();
    BOOST_TEST(a.must(acme->cursors())[0].lost == 150);
    BOOST_TEST(a.must(acme->confirmed(45)).empty());
}

DTBRIDGE_TEST_BOTH(seq_is_never_given_twice)
{
    archives a(kind);
    auto acme = a.open();
    ten_hours(a, *acme);
    retention_order all;
    all.older_than = INT64_MAX;
    BOOST_TEST(a.must(acme->prune(all)).dropped == 200);
    auto facts = a.must(acme->facts());
    BOOST_TEST(facts.breaches == 0);
    BOOST_TEST(facts.oldest_seq == 201);
    BOOST_TEST(facts.oldest_archived == 0);
    a.must(acme->close());
    acme.reset();
    acme = a.open();
    BOOST_TEST(acme->last_seq() == 200);
    auto done = a.must(acme->add(numbered(1000, 1)));
    BOOST_TEST(done.last_seq == 201);
    BOOST_TEST(a.must(acme->facts()).oldest_seq == 201);
    BOOST_TEST(a.must(acme->read(0, 10, 1 << 20)).breaches[0].seq == 201);
}

DTBRIDGE_TEST_BOTH(by_size_delivered_ones_first_and_space_is_given_back)
{
    archives a(kind);
    auto acme = a.open();
    for (int i = 0; i < 20; ++i)
        a.must(acme->add(numbered(1 + 100 * i, 100, 2000)));
    a.must(acme->ensure_cursor("dead", {"", 500}));
    auto before = a.must(acme->facts());
    BOOST_TEST(before.bytes > 3'000'000);
    retention_order order;
    order.max_bytes = 1'000'000;
    order.keep_for = {archive_cursor{"dead", 500}};
    auto delivered = a.must(acme->prune(order));
    BOOST_TEST(delivered.dropped == 500);
    BOOST_TEST(delivered.lost.empty());
    auto between = a.must(acme->facts());
    BOOST_TEST(between.oldest_seq == 501);
    BOOST_TEST(between.bytes < before.bytes - 600'000);

    order.drop_undelivered = true;
    auto rest = a.must(acme->prune(order));
    auto after = a.must(acme->facts());
    // 64 pages may stay free for the next block, beside the log's index.
    BOOST_TEST(after.bytes <= order.max_bytes + 64 * 4096 + 32768);
    BOOST_TEST(after.breaches > 0);
    BOOST_REQUIRE(rest.lost.size() == 1u);
    BOOST_TEST(rest.lost[0].second == rest.dropped);
    BOOST_TEST(rest.dropped + after.breaches == 1500);
    BOOST_TEST(a.must(acme->read(500, 1, 1 << 20)).breaches[0].seq == after.oldest_seq);
    BOOST_TEST(a.must(acme->prune(order)).dropped == 0);
}

DTBRIDGE_TEST_BOTH(what_was_only_archived_is_not_lost)
{
    archives a(kind);
    auto acme = a.open();
    auto block = numbered(1, 10);
    block.archive_only = true;
    a.must(acme->add(std::move(block)));
    a.must(acme->add(numbered(11, 5)));
    a.must(acme->ensure_cursor("qradar", {"", 0}));
    retention_order all;
    all.older_than = INT64_MAX;
    auto result = a.must(acme->prune(all));
    BOOST_TEST(result.dropped == 15);
    BOOST_REQUIRE(result.lost.size() == 1u);
    BOOST_TEST(result.lost[0].second == 5);
}

DTBRIDGE_TEST_BOTH(a_clock_that_was_ahead_stops_nothing)
{
    archives a(kind);
    auto acme = a.open();
    auto right = a.clock.load();
    a.clock = right + 1000 * hour;
    a.must(acme->add(numbered(1, 10)));
    a.clock = right;
    a.must(acme->add(numbered(11, 10)));
    a.clock = right + 100 * hour;
    retention_order order;
    order.older_than = right + 90 * hour;
    BOOST_TEST(a.must(acme->prune(order)).dropped == 10);
    BOOST_TEST(a.must(acme->find(11)).breaches.empty());
    BOOST_TEST(a.must(acme->find(1)).breaches.size() == 1u);
}

DTBRIDGE_TEST_BOTH(texts_of_batches_stay_as_long_as_they)
{
    archives a(kind);
    auto acme = a.open();
    ten_hours(a, *acme);
    a.must(acme->ensure_cursor("qradar", {"", 0}));
    auto hash = a.must(acme->remember("policy"));
    confirmed_batch batch;
    batch.first_seq = 1;
    batch.last_seq = 200;
    batch.policy_hash = hash;
    a.must(acme->confirm("qradar", batch));
    retention_order order;
    order.older_than = a.clock - 2 * hour;
    a.must(acme->prune(order));
    BOOST_TEST(a.must(acme->confirmed(190)).size() == 1u);
    BOOST_TEST(a.must(acme->recall(hash)).value() == "policy");
}

BOOST_AUTO_TEST_SUITE_END()
