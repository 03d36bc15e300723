#include "fixture.hpp"

#include <dtbridge/db/connection.hpp>

using namespace dtbridge;
using test::archives;
using test::numbered;

BOOST_AUTO_TEST_SUITE(fates)

namespace
{

throttle_window window_of(std::int64_t start, std::int64_t held)
{
    throttle_window w;
    w.throttle = "model|5|3600000";
    w.key = "Device/Test";
    w.start = start;
    w.ends = start + 3'600'000;
    w.passed = 5;
    w.held = held;
    w.first = start + 10;
    w.last = start + 20;
    w.last_model = "Device/Test";
    w.last_device = "pc-1";
    w.last_url = "https://dt.example/#modelbreach/7";
    return w;
}

confirmed_batch to(std::int64_t first, std::int64_t last)
{
    confirmed_batch b;
    b.first_seq = first;
    b.last_seq = last;
    return b;
}

}  // namespace

DTBRIDGE_TEST_BOTH(windows_are_saved_with_the_cursor)
{
    archives a(kind);
    auto acme = a.open();
    a.must(acme->add(numbered(1, 10)));
    a.must(acme->ensure_cursor("qradar", {"", 0}));
    BOOST_TEST(a.must(acme->throttle_windows("qradar")).empty());
    BOOST_TEST(a.must(acme->throttle_windows("nobody")).empty());
    auto batch = to(1, 3);
    batch.windows = {window_of(1000, 1), window_of(1000, 2)};
    a.must(acme->confirm("qradar", batch));
    // Refused as the cursor is there already: neither are its windows taken.
    auto again = to(1, 3);
    again.windows = {window_of(1000, 9)};
    BOOST_TEST(!a.must(acme->confirm("qradar", again)));
    acme.reset();
    acme = a.open();
    auto kept = a.must(acme->throttle_windows("qradar"));
    BOOST_REQUIRE(kept.size() == 1u);
    BOOST_TEST(kept[0].held == 2);
    BOOST_TEST(kept[0].passed == 5);
    BOOST_TEST(kept[0].ends == 3'601'000);
    BOOST_TEST(kept[0].last_url == "https://dt.example/#modelbreach/7");

    auto told = kept[0];
    told.summed_up = 2;
    BOOST_TEST(a.must(acme->note_summary("qradar", told)));
    auto later = to(4, 5);
    later.windows = {window_of(1000, 3)};  // knows nothing of the summary
    a.must(acme->confirm("qradar", later));
    BOOST_TEST(a.must(acme->throttle_windows("qradar"))[0].summed_up == 2);
    auto next = to(6, 7);
    next.windows = {window_of(4'000'000, 1)};
    a.must(acme->confirm("qradar", next));
    BOOST_TEST(a.must(acme->throttle_windows("qradar"))[0].summed_up == 0);
    BOOST_TEST(!a.must(acme->note_summary("qradar", told)));  // that window is over
    a.must(acme->forget_cursor("qradar"));
    a.must(acme->ensure_cursor("qradar", {"", 0}));
    BOOST_TEST(a.must(acme->throttle_windows("qradar")).empty());
}

DTBRIDGE_TEST_BOTH(only_the_newest_windows_are_kept)
{
    archives a(kind);
    auto acme = a.open();
    a.must(acme->add(numbered(1, 10)));
    a.must(acme->ensure_cursor("qradar", {"", 0}));
    auto batch = to(1, 1);
    for (std::int64_t i = 0; i < 20'000; ++i)
    {
        auto w = window_of(i, 0);
        w.key = std::to_string(i);
        batch.windows.push_back(w);
    }
    a.must(acme->confirm("qradar", batch));
    const auto kept = a.must(acme->throttle_windows("qradar"));
    BOOST_REQUIRE(kept.size() == 16'384u);
    BOOST_TEST(kept.front().start == 19'999);
    BOOST_TEST(a.value("SELECT count(*) FROM throttle") <= 16'385);
}

DTBRIDGE_TEST_BOTH(the_history_of_a_pbid_tells_every_fate)
{
    archives a(kind);
    auto acme = a.open();
    auto late = numbered(1, 1);
    late.elements[0].late = true;
    a.must(acme->add(std::move(late)));
    a.must(acme->add(numbered(2, 4)));
    auto quiet = test::block_of({{{2, 77}, "{\"pbid\":2,\"again\":true}"}});
    quiet.archive_only = true;
    a.must(acme->add(std::move(quiet)));
    for (const char* d : {"behind", "qradar", "splunk"})
        a.must(acme->ensure_cursor(d, {"", 0}));
    auto batch = to(1, 4);
    batch.sent = 1;
    batch.throttled = 1;
    batch.undeliverable = 1;
    batch.policy_hash = a.must(acme->remember("[forward]\n", "stage-2.toml"));
    batch.withheld = {{2, withheld_breach::cause::throttled, "throttle by model"},
                      {3, withheld_breach::cause::undeliverable, "too long"},
                      {4, withheld_breach::cause::throttled, "throttle by model"}};
    a.must(acme->confirm("qradar", batch));
    a.must(acme->confirm("splunk", to(1, 6)));

    const auto one = a.must(acme->history(1));
    BOOST_REQUIRE(one.size() == 1u);
    BOOST_TEST(one[0].late);
    BOOST_TEST(!one[0].archive_only);
    BOOST_TEST(one[0].archived == a.clock);
    BOOST_TEST(one[0].fates[0].cursor == 0);
    BOOST_TEST(!one[0].fates[0].batch);
    BOOST_REQUIRE(one[0].fates.size() == 3u);
    BOOST_TEST(one[0].fates[0].destination == "behind");
    BOOST_REQUIRE(one[0].fates[1].batch.has_value());
    BOOST_TEST(one[0].fates[1].batch->policy_name == "stage-2.toml");
    BOOST_TEST(one[0].fates[1].batch->batch.throttled == 1);
    BOOST_TEST(!one[0].fates[1].withheld);

    const auto two = a.must(acme->history(2));
    BOOST_REQUIRE(two.size() == 2u);
    BOOST_REQUIRE(two[0].fates[1].withheld.has_value());
    BOOST_TEST(two[0].fates[1].withheld->reason == "throttle by model");
    BOOST_TEST((two[0].fates[1].withheld->why == withheld_breach::cause::throttled));
    BOOST_TEST(!two[0].fates[2].withheld);  // of another destination
    BOOST_TEST(two[1].archive_only);
    BOOST_TEST(two[1].key.created == 77);
    const auto three = a.must(acme->history(3));
    BOOST_TEST((three[0].fates[1].withheld->why == withheld_breach::cause::undeliverable));
    BOOST_TEST(three[0].fates[1].withheld->reason == "too long");
    const auto all = a.must(acme->withheld(3, 9));
    BOOST_REQUIRE(all.size() == 2u);
    BOOST_TEST(all[0].first == one[0].fates[1].destination);
    BOOST_TEST(all[0].second.seq == 3);
    BOOST_TEST((all[0].second.why == withheld_breach::cause::undeliverable));
    BOOST_TEST(all[1].second.seq == 4);
    BOOST_TEST(all[1].second.reason == "throttle by model");
    BOOST_TEST(a.must(acme->withheld(1, 1)).empty());
    BOOST_TEST(a.must(acme->history(99)).empty());

    // Retention takes the block from the one that is behind; the keys stay and say so.
    retention_order order;
    order.older_than = 0;
    order.max_bytes = 1;
    order.drop_undelivered = true;
    a.clock += 1000;
    a.must(acme->prune(order));
    const auto gone = a.must(acme->history(1));
    BOOST_REQUIRE(gone.size() == 1u);
    BOOST_TEST(gone[0].dropped);
    BOOST_TEST(gone[0].fates[0].lost_at == a.clock);
    BOOST_TEST(gone[0].fates[2].lost_at == 0);
    BOOST_TEST(a.value("SELECT count(*) FROM withheld") == 0);
    BOOST_TEST(a.value("SELECT count(*) FROM reason") == 0);
}

BOOST_AUTO_TEST_CASE(an_archive_of_the_first_schema_takes_what_came_with_the_second)
{
    archives a;
    test::make_file(a.file(), "archive-v1.sql");
    auto acme = a.open();
    auto of_seven = a.must(acme->history(7));
    BOOST_REQUIRE(of_seven.size() == 1u);
    BOOST_TEST(!of_seven[0].late);
    BOOST_REQUIRE(of_seven[0].fates.size() == 1u);
    BOOST_REQUIRE(of_seven[0].fates[0].batch.has_value());
    BOOST_TEST(of_seven[0].fates[0].batch->batch.sent == 3);
    BOOST_TEST(of_seven[0].fates[0].batch->batch.throttled == 0);
    BOOST_TEST(of_seven[0].fates[0].batch->policy_name == "");
    BOOST_TEST(a.must(acme->history(3))[0].fates[0].lost_at > 0);  // dropped before the cursor came by
    const auto cursor = a.must(acme->ensure_cursor("qradar", {"", 0, 5000}));
    BOOST_TEST(cursor.seq == 8);
    BOOST_TEST(cursor.began == 5000);
    auto batch = to(9, 10);
    batch.throttled = 1;
    batch.withheld = {{10, withheld_breach::cause::throttled, "throttle by model"}};
    batch.windows = {window_of(1000, 1)};
    BOOST_TEST(a.must(acme->confirm("qradar", batch)));
    BOOST_TEST(a.must(acme->history(10))[0].fates[0].withheld->reason == "throttle by model");
    BOOST_TEST(a.must(acme->throttle_windows("qradar")).size() == 1u);
}

BOOST_AUTO_TEST_SUITE_END()
