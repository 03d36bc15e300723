// What is kept beside the breaches: later states, windows of activity, differences.

#include <algorithm>
#include <chrono>

#include "fixture.hpp"

using namespace dtbridge;
using namespace dtbridge::test;

BOOST_AUTO_TEST_SUITE(states)

namespace
{

shown_state shown(std::int64_t pbid, std::int64_t created, bool acknowledged, std::int64_t comments)
{
    return shown_state{breach_key{pbid, created}, acknowledged, comments, std::nullopt};
}

std::vector<std::int64_t> ids(const std::vector<breach_key>& keys)
{
    std::vector<std::int64_t> out;
    for (const auto& k : keys)
        out.push_back(k.pbid);
    return out;
}

key_order window(std::int64_t from, std::int64_t to)
{
    key_order o;
    o.from = from;
    o.to = to;
    return o;
}

}  // namespace

DTBRIDGE_TEST_BOTH(states_are_noted_once_each)
{
    archives a(kind);
    auto acme = a.open();
    a.must(acme->add(block_of({{{1, 1}, "{}", false, 2}})));
    breach_key key{1, 1};
    BOOST_TEST(a.must(acme->note_states({shown(1, 1, false, 2)})).empty());
    a.clock = 2000;
    auto noted = a.must(acme->note_states({shown(1, 1, true, 2), shown(9, 9, true, 1)}));
    BOOST_REQUIRE(noted.size() == 1u);
    BOOST_TEST(noted[0].seq == 1);
    BOOST_TEST(!noted[0].was_acknowledged);
    BOOST_TEST(noted[0].now.acknowledged);
    BOOST_TEST(!noted[0].archive_only);
    a.clock = 3000;
    noted = a.must(acme->note_states({shown(1, 1, true, 3), shown(1, 1, true, 3)}));
    BOOST_REQUIRE(noted.size() == 1u);
    BOOST_TEST(noted[0].was_acknowledged);
    BOOST_TEST(a.must(acme->note_states({shown(1, 1, true, 3)})).empty());
    BOOST_TEST(a.must(acme->note_states({shown(1, 2, true, 3)})).empty());
    acme.reset();
    acme = a.open();
    BOOST_TEST(a.must(acme->note_states({shown(1, 1, true, 3)})).empty());
    auto changes = a.must(acme->changes(key));
    BOOST_REQUIRE(changes.size() == 2u);
    BOOST_TEST(changes[0].at == 2000);
    BOOST_TEST(changes[0].acknowledged);
    BOOST_TEST(changes[0].comment_count == 2);
    BOOST_TEST(changes[1].comment_count == 3);
}

DTBRIDGE_TEST_BOTH(states_of_breaches_that_memory_forgot_are_compared_on_disk)
{
    archives a(kind);
    auto acme = a.open();
    a.must(acme->add(numbered(1, 20'000, 60)));  // 16,384 keys are kept
    auto quiet = numbered(30'000, 1);
    quiet.archive_only = true;
    a.must(acme->add(std::move(quiet)));
    std::vector<shown_state> all;
    for (std::int64_t i = 1; i <= 20'000; ++i)
        all.push_back(shown(i, 1000 * i, i % 5000 == 0, 0));
    all.push_back(shown(30'000, 30'000'000, false, 1));
    auto noted = a.must(acme->note_states(std::move(all)));
    BOOST_REQUIRE(noted.size() == 5u);
    BOOST_TEST(noted[0].key.pbid == 5000);
    BOOST_TEST(noted[3].key.pbid == 20'000);
    BOOST_TEST(noted[4].archive_only);
}

DTBRIDGE_TEST_BOTH(keys_of_a_window_are_by_time_inclusive)
{
    archives a(kind);
    auto acme = a.open();
    a.must(acme->add(numbered(1, 10)));  // time is half of created: 500, 1000, .. 5000
    auto quiet = block_of({{{77, 4000}, "{}"}});
    quiet.archive_only = true;
    quiet.elements[0].time = std::nullopt;  // then created counts
    a.must(acme->add(std::move(quiet)));
    auto span = a.must(acme->keys(window(1500, 2500)));
    BOOST_TEST(ids(span.keys) == (std::vector<std::int64_t>{3, 4, 5}), boost::test_tools::per_element());
    BOOST_TEST(span.end);
    BOOST_TEST(ids(a.must(acme->keys(window(3600, 4200))).keys) == (std::vector<std::int64_t>{8, 77}),
               boost::test_tools::per_element());
    // In portions of what is looked at.
    auto order = window(0, 10'000);
    order.max_scanned = 4;
    std::vector<std::int64_t> seen;
    for (int turn = 0; turn < 10; ++turn)
    {
        span = a.must(acme->keys(order));
        for (const auto id : ids(span.keys))
            seen.push_back(id);
        if (span.end)
            break;
        order.after_seq = span.scanned_to;
    }
    BOOST_TEST(seen.size() == 11u);
    BOOST_TEST(span.end);
    // Nothing there.
    BOOST_TEST(a.must(acme->keys(window(20'000, 30'000))).keys.empty());
    auto empty = a.open("other");
    BOOST_TEST(a.must(empty->keys(window(0, 1))).end);
}

DTBRIDGE_TEST_BOTH(keys_are_looked_for_from_the_first_block_of_that_time_on)
{
    archives a(kind);
    auto acme = a.open();
    const std::int64_t base = a.clock;
    // A block an hour; all of the same time, so that only the block's time tells them apart.
    for (std::int64_t hour = 0; hour < 50; ++hour)
    {
        a.clock = base + hour * 3'600'000;
        auto block = numbered(1 + hour * 10, 10);
        for (auto& e : block.elements)
            e.time = 42;
        a.must(acme->add(std::move(block)));
    }
    for (const std::int64_t hour : {0, 1, 17, 48, 49, 50})
    {
        auto order = window(42, 42);
        order.archived_from = base + hour * 3'600'000;
        auto found = a.must(acme->keys(order));
        BOOST_TEST(found.keys.size() == static_cast<std::size_t>(500 - hour * 10), "hour " << hour);
        BOOST_TEST(found.end);
    }
    // Also where the first blocks were dropped.
    retention_order old;
    old.older_than = base + 20 * 3'600'000;
    a.must(acme->prune(old));
    auto order = window(42, 42);
    order.archived_from = base + 10 * 3'600'000;
    BOOST_TEST(a.must(acme->keys(order)).keys.size() == 300u);
    order.archived_from = base + 30 * 3'600'000;
    BOOST_TEST(a.must(acme->keys(order)).keys.size() == 200u);
}

DTBRIDGE_TEST_BOTH(differences_are_kept_once_and_settled)
{
    archives a(kind);
    auto acme = a.open();
    const difference late{difference::kind::late, {1, 10}, 0};
    const difference gone{difference::kind::gone, {1, 10}, 0};
    const difference other{difference::kind::gone, {2, 20}, 0};
    a.clock = 5000;
    BOOST_TEST(a.must(acme->note_differences({late, gone, late})).size() == 2u);
    a.clock = 6000;
    auto fresh = a.must(acme->note_differences({gone, other}));
    BOOST_REQUIRE(fresh.size() == 1u);
    BOOST_TEST(fresh[0].key.pbid == 2);
    BOOST_TEST(fresh[0].at == 6000);
    acme.reset();
    acme = a.open();
    auto kept = a.must(acme->differences(10));
    BOOST_REQUIRE(kept.size() == 3u);
    BOOST_TEST(kept[0].key.pbid == 2);
    BOOST_TEST(kept[2].at == 5000);
    BOOST_TEST((kept[2].what == difference::kind::late));
    a.must(acme->settle_differences(difference::kind::gone, {{1, 10}, {3, 30}}));
    BOOST_TEST(a.must(acme->differences(10)).size() == 2u);
    BOOST_TEST(a.must(acme->note_differences({gone})).size() == 1u);
    // Bounded: the oldest go.
    std::vector<difference> many;
    for (std::int64_t i = 0; i < 10'050; ++i)
        many.push_back({difference::kind::gone, {1000 + i, 1}, 0});
    a.must(acme->note_differences(std::move(many)));
    kept = a.must(acme->differences(20'000));
    BOOST_TEST(kept.size() <= 10'000u);
    BOOST_TEST(kept[0].key.pbid == 1000 + 10'049);
    BOOST_TEST(std::none_of(kept.begin(), kept.end(), [](const difference& d) { return d.key.pbid == 1; }));
}

BOOST_AUTO_TEST_SUITE_END()
