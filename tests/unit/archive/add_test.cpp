#include <sys/stat.h>

#include <dtbridge/db/connection.hpp>

#include <dtbridge/archive/later_states.hpp>

#include "fixture.hpp"

using namespace dtbridge;
using test::archives;
using test::block_of;
using test::numbered;
using test::pbids;
using test::piece;

BOOST_AUTO_TEST_SUITE(adding)

DTBRIDGE_TEST_BOTH(bodies_come_back_byte_for_byte_in_order)
{
    archives a(kind);
    auto acme = a.open();
    std::string odd("{ \"pbid\" : 2,\n\"s\":\"\\u0000\xff\xfe\" }\0", 32);
    std::vector<piece> pieces = {{{9, 100}, "{\"pbid\":9}"}, {{2, 50}, odd}, {{7, 100}, "{\"pbid\":7}"}};
    auto done = a.must(acme->add(block_of(pieces)));
    BOOST_TEST(done.keys.size() == 3u);
    BOOST_TEST(done.last_seq == 3);
    BOOST_TEST(acme->last_seq() == 3);
    for (bool from_disk : {false, true})
    {
        if (from_disk)
            a.must(acme->close());
        auto span = a.must(acme->read(0, 100, 1 << 20));
        BOOST_REQUIRE(span.breaches.size() == 3u);
        for (std::size_t i = 0; i < 3; ++i)
        {
            BOOST_TEST(span.breaches[i].seq == static_cast<std::int64_t>(i) + 1);
            BOOST_TEST((span.breaches[i].key == pieces[i].key));
            BOOST_TEST(span.breaches[i].body == pieces[i].body);
            BOOST_TEST(span.breaches[i].archived == 1'700'000'000'000);
        }
        BOOST_TEST(span.scanned_to == 3);
    }
}

DTBRIDGE_TEST_BOTH(once_per_pbid_and_created)
{
    archives a(kind);
    auto acme = a.open();
    constexpr std::int64_t big = 9007199254740992;  // 2^53: the same double as its neighbour
    std::vector<piece> first = {{{big, 5}, "{\"pbid\":1}"},
                                {{big + 1, 5}, "{\"pbid\":2}"},
                                {{-3, 5}, "{\"pbid\":3}"},
                                {{INT64_MIN, INT64_MIN}, "{\"pbid\":4}"},
                                {{INT64_MAX, INT64_MAX}, "{\"pbid\":5}"},
                                {{big, 5}, "{\"other\":1}"}};
    auto one = a.must(acme->add(block_of(first)));
    BOOST_TEST(one.keys.size() == 5u);
    BOOST_TEST(one.repeated == 1);
    BOOST_TEST(one.reused_pbids == 0);
    auto again = a.must(acme->add(block_of(first)));
    BOOST_TEST(again.keys.empty());
    BOOST_TEST(again.repeated == 6);
    BOOST_TEST(again.last_seq == 5);

    std::vector<piece> reused = {{{-3, 6}, "{\"pbid\":-3}"}};
    auto other = a.must(acme->add(block_of(reused)));
    BOOST_TEST(other.keys.size() == 1u);
    BOOST_TEST(other.reused_pbids == 1);
    auto both = a.must(acme->find(-3));
    BOOST_REQUIRE(both.breaches.size() == 2u);
    BOOST_TEST(both.breaches[0].body == "{\"pbid\":3}");
    BOOST_TEST(both.breaches[1].body == "{\"pbid\":-3}");
    auto first_wins = a.must(acme->find(big));
    BOOST_REQUIRE(first_wins.breaches.size() == 1u);
    BOOST_TEST(first_wins.breaches[0].body == "{\"pbid\":1}");
    auto all = a.must(acme->scan(scan_order{}));
    BOOST_TEST(all.breaches.size() == 6u);

    // The same after memory has forgotten everything.
    acme.reset();
    acme = a.open();
    auto later = a.must(acme->add(block_of(first)));
    BOOST_TEST(later.repeated == 6);
    BOOST_TEST(a.must(acme->facts()).breaches == 6);
}

DTBRIDGE_TEST_BOTH(repeats_beyond_the_keys_in_memory_are_seen)
{
    archives a(kind);
    auto acme = a.open();
    a.must(acme->add(numbered(1, 3000, 60)));
    acme.reset();
    acme = a.open();  // which reads back the newest 1,024
    std::vector<breach_key> ask = {{1, 1000}, {1, 1001}, {3000, 3'000'000}, {3001, 3'001'000}};
    auto missing = a.must(acme->missing(ask));
    BOOST_REQUIRE(missing.size() == 2u);
    BOOST_TEST((missing[0] == breach_key{1, 1001}));
    BOOST_TEST((missing[1] == breach_key{3001, 3'001'000}));
    auto again = a.must(acme->add(numbered(1, 3001, 60)));
    BOOST_TEST(again.keys.size() == 1u);
    BOOST_TEST(again.repeated == 3000);
}

DTBRIDGE_TEST_BOTH(many_blocks_and_a_huge_element)
{
    archives a(kind);
    auto acme = a.open();
    auto pieces = test::pieces_of(1, 300, 3000);
    pieces.push_back(piece{{301, 1}, std::string(4u << 20, 'x')});
    pieces.push_back(piece{{302, 1}, "{}"});
    a.must(acme->add(block_of(pieces)));
    a.must(acme->close());
    std::int64_t at = 0;
    std::size_t n = 0;
    while (at < acme->last_seq())
    {
        auto span = a.must(acme->read(at, 70, 256 << 10));
        BOOST_REQUIRE(!span.breaches.empty());
        for (const auto& b : span.breaches)
            BOOST_REQUIRE(b.body == pieces[n++].body);
        at = span.scanned_to;
    }
    BOOST_TEST(n == pieces.size());
    // 300 x 3,000 bytes are four blocks of at most 256 KiB, the huge one and the last are one each.
    BOOST_TEST(a.value("SELECT count(*) FROM block") == 6);
    BOOST_TEST(a.value("SELECT max(size) FROM block WHERE size < 4194304") <= 256 << 10);
}

DTBRIDGE_TEST_BOTH(too_long_an_element_fails_its_block_whole)
{
    archives a(kind);
    auto acme = a.open();
    std::vector<piece> pieces = {{{1, 1}, "{}"}, {{2, 1}, std::string((4u << 20) + 1, 'x')}};
    auto refused = a.ask(acme->add(block_of(pieces)));
    BOOST_REQUIRE(!refused);
    BOOST_TEST((refused.error().code == errc::over_limit));
    auto foreign = block_of({{{1, 1}, "{}"}});
    static const std::string elsewhere = "not in the block's bytes";
    foreign.elements[0].body = elsewhere;
    auto outside = a.ask(acme->add(std::move(foreign)));
    BOOST_REQUIRE(!outside);
    BOOST_TEST((outside.error().code == errc::malformed));
    BOOST_TEST(a.must(acme->facts()).breaches == 0);
}

BOOST_AUTO_TEST_CASE(moving_a_short_block_keeps_its_views)
{
    auto b = block_of({{{1, 1}, "{}"}});
    archive_block c = std::move(b);
    BOOST_TEST(c.elements[0].body.data() == c.bytes.data());
    archive_block d;
    d = std::move(c);
    BOOST_TEST(d.elements[0].body.data() == d.bytes.data());
    BOOST_TEST(d.elements[0].body == "{}");
}

DTBRIDGE_TEST_BOTH(position_and_window_go_with_the_block)
{
    archives a(kind);
    auto acme = a.open();
    BOOST_TEST(!a.must(acme->position()).has_value());
    auto block = numbered(1, 3);
    block.position = poll_position{777, true};
    block.window.emplace();
    block.window->start = 700;
    block.window->end = 777;
    block.window->sweep = true;
    block.window->shown = 5;
    block.window->archived = 2;
    block.window->late = 1;
    block.window->held = 9;
    block.window->gone = 4;
    a.must(acme->add(std::move(block)));
    a.must(acme->save_position(poll_position{888, false}));
    acme.reset();
    acme = a.open();
    auto position = a.must(acme->position());
    BOOST_REQUIRE(position.has_value());
    BOOST_TEST(position->position == 888);
    BOOST_TEST(!position->by_activity);
    auto windows = a.must(acme->windows(10));
    BOOST_REQUIRE(windows.size() == 1u);
    BOOST_TEST(windows[0].start == 700);
    BOOST_TEST(windows[0].end == 777);
    BOOST_TEST(windows[0].sweep);
    BOOST_TEST(windows[0].shown == 5);
    BOOST_TEST(windows[0].archived == 5);
    BOOST_TEST(windows[0].late == 1);
    BOOST_TEST(windows[0].held == 9);
    BOOST_TEST(windows[0].gone == 4);
}

DTBRIDGE_TEST_BOTH(archive_only_is_kept_and_not_delivered)
{
    archives a(kind);
    auto acme = a.open();
    a.must(acme->add(numbered(1, 2)));
    auto quiet = numbered(3, 2);
    quiet.archive_only = true;
    a.must(acme->add(std::move(quiet)));
    for (bool from_disk : {false, true})
    {
        if (from_disk)
            a.must(acme->close());
        auto span = a.must(acme->read(0, 100, 1 << 20));
        BOOST_TEST(pbids(span) == (std::vector<std::int64_t>{1, 2}), boost::test_tools::per_element());
        BOOST_TEST(span.scanned_to == 4);
        auto after = a.must(acme->read(2, 100, 1 << 20));
        BOOST_TEST(after.breaches.empty());
        BOOST_TEST(after.scanned_to == 4);
    }
    BOOST_TEST(a.must(acme->scan(scan_order{})).breaches.size() == 4u);
    BOOST_TEST(a.must(acme->find(4)).breaches.size() == 1u);
    a.must(acme->add(numbered(5, 1)));
    auto span = a.must(acme->read(1, 100, 1 << 20));
    BOOST_TEST(pbids(span) == (std::vector<std::int64_t>{2, 5}), boost::test_tools::per_element());
}

DTBRIDGE_TEST_BOTH(scan_by_created)
{
    archives a(kind);
    auto acme = a.open();
    a.must(acme->add(numbered(1, 100)));
    scan_order what;
    what.created_from = 10'000;
    what.created_before = 20'000;
    what.max_count = 4;
    std::vector<std::int64_t> seen;
    for (;;)
    {
        auto span = a.must(acme->scan(what));
        if (span.breaches.empty())
        {
            BOOST_TEST(span.scanned_to == 100);
            break;
        }
        auto some = pbids(span);
        seen.insert(seen.end(), some.begin(), some.end());
        what.after_seq = span.scanned_to;
    }
    BOOST_TEST(seen == (std::vector<std::int64_t>{10, 11, 12, 13, 14, 15, 16, 17, 18, 19}),
               boost::test_tools::per_element());
}

DTBRIDGE_TEST_BOTH(bounds_of_a_span)
{
    archives a(kind);
    auto acme = a.open();
    a.must(acme->add(numbered(1, 20, 200)));
    for (bool from_disk : {false, true})
    {
        if (from_disk)
            a.must(acme->close());
        auto three = a.must(acme->read(4, 3, 1 << 20));
        BOOST_TEST(pbids(three) == (std::vector<std::int64_t>{5, 6, 7}), boost::test_tools::per_element());
        BOOST_TEST(three.scanned_to == 7);
        auto by_bytes = a.must(acme->read(0, 100, 450));
        BOOST_TEST(by_bytes.breaches.size() == 2u);
        auto at_least_one = a.must(acme->read(0, 100, 1));
        BOOST_TEST(at_least_one.breaches.size() == 1u);
        auto end = a.must(acme->read(20, 100, 1 << 20));
        BOOST_TEST(end.breaches.empty());
        BOOST_TEST(end.scanned_to == 20);
    }
}

DTBRIDGE_TEST_BOTH(a_cursor_knows_when_its_destination_first_ran)
{
    archives a(kind);
    auto acme = a.open();
    BOOST_TEST(a.must(acme->ensure_cursor("qradar", {})).began == 0);
    BOOST_TEST(a.must(acme->ensure_cursor("qradar", {"", 0, 1000})).began == 1000);
    BOOST_TEST(a.must(acme->ensure_cursor("qradar", {"", 0, 2000})).began == 1000);
    BOOST_TEST(a.must(acme->ensure_cursor("lake", {"", 0, 3000})).began == 3000);
    acme.reset();
    acme = a.open();
    const auto renamed = a.must(acme->ensure_cursor("splunk", {"qradar", 0, 4000}));
    BOOST_TEST(renamed.began == 1000);
    const auto cursors = a.must(acme->cursors());
    BOOST_REQUIRE(cursors.size() == 2u);
    BOOST_TEST(cursors[0].began == 3000);
    BOOST_TEST(cursors[1].began == 1000);
}

DTBRIDGE_TEST_BOTH(cursors_move_forward_and_are_explained)
{
    archives a(kind);
    auto acme = a.open();
    a.must(acme->add(numbered(1, 10)));
    BOOST_TEST(a.must(acme->ensure_cursor("qradar", {"", 4})).seq == 4);
    BOOST_TEST(a.must(acme->ensure_cursor("qradar", {"", 9})).seq == 4);
    auto policy = a.must(acme->remember("[forward]\n"));
    // what sha256sum says of that text
    BOOST_TEST(policy == "7de5f66ba85f4c6056c97ff3f8b91deab1f5014e649e36a0ff460298afe77b21");
    confirmed_batch batch;
    batch.first_seq = 5;
    batch.last_seq = 7;
    batch.sent = 2;
    batch.held_back = 1;
    batch.policy_hash = policy;
    batch.fields_hash = std::string(64, 'a');
    BOOST_TEST(a.must(acme->confirm("qradar", batch)));
    BOOST_TEST(!a.must(acme->confirm("qradar", batch)));
    batch.last_seq = 6;
    BOOST_TEST(!a.must(acme->confirm("qradar", batch)));
    auto unknown = a.ask(acme->confirm("nobody", batch));
    BOOST_REQUIRE(!unknown);
    BOOST_TEST((unknown.error().code == errc::not_found));

    acme.reset();
    acme = a.open();
    BOOST_TEST(a.must(acme->ensure_cursor("splunk", {"qradar", 0})).seq == 7);
    auto cursors = a.must(acme->cursors());
    BOOST_REQUIRE(cursors.size() == 1u);
    BOOST_TEST(cursors[0].destination == "splunk");
    BOOST_TEST(cursors[0].seq == 7);
    auto of_six = a.must(acme->confirmed(6));
    BOOST_REQUIRE(of_six.size() == 1u);
    BOOST_TEST(of_six[0].destination == "splunk");
    BOOST_TEST(of_six[0].at == 1'700'000'000'000);
    BOOST_TEST(of_six[0].batch.first_seq == 5);
    BOOST_TEST(of_six[0].batch.last_seq == 7);
    BOOST_TEST(of_six[0].batch.sent == 2);
    BOOST_TEST(of_six[0].batch.held_back == 1);
    BOOST_TEST(of_six[0].batch.policy_hash == policy);
    BOOST_TEST(of_six[0].batch.fields_hash == std::string(64, 'a'));
    BOOST_TEST(a.must(acme->confirmed(4)).empty());
    BOOST_TEST(a.must(acme->confirmed(8)).empty());
    BOOST_TEST(a.must(acme->recall(policy)).value() == "[forward]\n");
    BOOST_TEST(!a.must(acme->recall(std::string(64, 'a'))).has_value());
    BOOST_TEST(a.must(acme->forget_cursor("splunk")));
    BOOST_TEST(!a.must(acme->forget_cursor("splunk")));
    BOOST_TEST(a.must(acme->cursors()).empty());
}

/// Many breaches' later states at once, beside the writer.
DTBRIDGE_TEST_BOTH(later_states_of_many)
{
    archives a(kind);
    auto acme = a.open();
    a.must(acme->add(block_of(test::pieces_of(1, 5))));
    a.clock = 10;
    a.must(acme->note_states({shown_state{{2, 2000}, true, 0, 7}}));
    a.clock = 20;
    a.must(acme->note_states({shown_state{{2, 2000}, false, 0, {}}}));
    auto states = later_states::open(a.dir / "masters", "acme", a.database);
    BOOST_REQUIRE(states);
    a.must(acme->note_states({shown_state{{4, 4000}, true, 7, {}}}));
    auto changes = (*states)->between(1, 5);
    BOOST_REQUIRE(changes);
    BOOST_REQUIRE(changes->size() == 3u);
    BOOST_TEST((*changes)[0].first == 2);
    BOOST_TEST((*changes)[0].second.at == 10);
    BOOST_TEST((*changes)[0].second.acknowledged);
    BOOST_TEST((*changes)[0].second.acknowledged_at.value() == 7);
    BOOST_TEST(!(*changes)[1].second.acknowledged);
    BOOST_TEST(!(*changes)[1].second.acknowledged_at.has_value());
    BOOST_TEST((*changes)[2].first == 4);
    BOOST_TEST((*changes)[2].second.comment_count == 7);
    BOOST_TEST((*states)->between(3, 3)->empty());
    BOOST_TEST((*states)->between(4, 9)->size() == 1u);
    BOOST_TEST(!later_states::open(a.dir / "masters", "nobody", a.database));
}

BOOST_AUTO_TEST_CASE(files_and_folders_are_not_for_everybody)
{
    ::umask(0022);
    archives a;
    auto acme = a.open();
    struct stat st;
    BOOST_REQUIRE(::stat(a.file().c_str(), &st) == 0);
    BOOST_TEST((st.st_mode & 07777) == 0640u);
    BOOST_REQUIRE(::stat((a.dir / "masters/acme").c_str(), &st) == 0);
    BOOST_TEST((st.st_mode & 07777) == 0750u);
}

DTBRIDGE_TEST_BOTH(formerly_takes_over_the_archive)
{
    archives a(kind);
    {
        auto old = a.open("old");
        a.must(old->add(numbered(1, 3)));
        a.must(old->ensure_cursor("qradar", {"", 2}));
        a.must(old->close());
    }
    auto renamed = a.open("new", "old");
    BOOST_TEST(renamed->last_seq() == 3);
    BOOST_TEST(a.must(renamed->cursors())[0].seq == 2);
    BOOST_TEST(!std::filesystem::exists(a.dir / "masters/old"));
    // Another master takes the old name: its archive is not touched by a "formerly" that stays in the
    // configuration.
    auto other = a.open("old");
    a.must(other->add(numbered(9, 1)));
    a.must(renamed->close());
    renamed.reset();
    renamed = a.open("new", "old");
    BOOST_TEST(renamed->last_seq() == 3);
    BOOST_TEST(other->last_seq() == 1);
}

DTBRIDGE_TEST_BOTH(names_stay_inside_their_folder)
{
    archives a(kind);
    for (const char* name : {"", ".", "..", "../x", "a/b"})
    {
        auto refused = a.ask(archive::open(a.pool, name, ""));
        BOOST_TEST(!refused, name);
    }
    auto refused = a.ask(archive::open(a.pool, "good", "../x"));
    BOOST_TEST(!refused);
}

BOOST_AUTO_TEST_SUITE_END()
