// From SQLite to PostgreSQL and back: everything that the interface answers is the same.

#include <dtbridge/archive/copy.hpp>

#include <sstream>

#include "fixture.hpp"

using namespace dtbridge;
using namespace dtbridge::test;

namespace
{

constexpr std::int64_t hour = 3'600'000;

void put(std::ostream& out, const archive_span& span)
{
    for (const auto& b : span.breaches)
        out << b.seq << ' ' << b.archived << ' ' << b.key.pbid << ' ' << b.key.created << ' ' << b.body
            << '\n';
    out << "to " << span.scanned_to << '\n';
}

/// All that an archive tells, as text.
std::string everything(archives& a, archive& from)
{
    std::stringstream out;
    put(out, a.must(from.read(0, 1000, 8 << 20)));
    put(out, a.must(from.scan(scan_order{})));
    const auto facts = a.must(from.facts());
    out << facts.oldest_seq << ' ' << facts.last_seq << ' ' << facts.breaches << ' ' << facts.oldest_archived
        << '\n';
    if (const auto p = a.must(from.position()))
        out << "position " << p->position << ' ' << p->by_activity << '\n';
    for (const auto& c : a.must(from.cursors()))
    {
        out << "cursor " << c.destination << ' ' << c.seq << ' ' << c.lost << ' ' << c.began << '\n';
        for (const auto& w : a.must(from.throttle_windows(c.destination)))
            out << w.throttle << ' ' << w.key << ' ' << w.start << ' ' << w.ends << ' ' << w.passed << ' '
                << w.held << ' ' << w.summed_up << ' ' << w.first << ' ' << w.last << ' ' << w.last_model
                << ' ' << w.last_device << ' ' << w.last_url << '\n';
    }
    for (std::int64_t pbid = 1; pbid < 130; ++pbid)
        for (const auto& h : a.must(from.history(pbid)))
        {
            out << h.seq << ' ' << h.key.pbid << ' ' << h.key.created << ' ' << h.dropped << ' ' << h.archived
                << ' ' << h.late << ' ' << h.archive_only << ' ' << h.acknowledged << ' ' << h.comment_count
                << '\n';
            for (const auto& f : h.fates)
            {
                out << "  " << f.destination << ' ' << f.cursor << ' ' << f.lost_at;
                if (f.batch)
                    out << ' ' << f.batch->at << ' ' << f.batch->policy_name << ' '
                        << f.batch->batch.policy_hash << ' ' << f.batch->batch.fields_hash << ' '
                        << f.batch->batch.sent << ' ' << f.batch->batch.throttled;
                if (f.withheld)
                    out << ' ' << static_cast<int>(f.withheld->why) << ' ' << f.withheld->reason;
                out << '\n';
            }
            for (const auto& s : a.must(from.changes(h.key)))
                out << "  " << s.at << ' ' << s.acknowledged << ' ' << s.comment_count << ' '
                    << s.acknowledged_at.value_or(-1) << '\n';
        }
    for (const auto& w : a.must(from.windows(100)))
        out << w.start << ' ' << w.end << ' ' << w.sweep << ' ' << w.shown << ' ' << w.archived << ' '
            << w.late << ' ' << w.held << ' ' << w.gone << '\n';
    for (const auto& d : a.must(from.differences(100)))
        out << static_cast<int>(d.what) << ' ' << d.key.pbid << ' ' << d.key.created << ' ' << d.at << '\n';
    key_order times;
    times.to = 10'000'000;
    for (const auto& k : a.must(from.keys(times)).keys)
        out << k.pbid << ' ';
    return out.str();
}

/// An archive with some of everything, of which retention has dropped the first 20.
void fill(archives& a, archive& to)
{
    for (int i = 0; i < 5; ++i)
    {
        auto block = numbered(1 + 20 * i, 20, 500);
        block.position = poll_position{1000 + i, i == 4};
        block.window = window_counts{i, i + 1, i == 2, 30, 5, 1, 7, 2};
        for (auto& e : block.elements)
            e.late = e.key.pbid % 7 == 0;
        a.must(to.add(std::move(block)));
        a.clock += hour;
    }
    auto quiet = numbered(101, 5);
    quiet.archive_only = true;
    quiet.elements[0].time = std::nullopt;
    a.must(to.add(std::move(quiet)));
    a.must(to.add(block_of({{{3, 77}, "{\"pbid\":3}"}})));
    a.must(to.ensure_cursor("behind", {"", 0, 500}));
    a.must(to.ensure_cursor("siem", {"", 0}));
    confirmed_batch batch;
    batch.first_seq = 1;
    batch.last_seq = 60;
    batch.sent = 58;
    batch.throttled = 1;
    batch.policy_hash = a.must(to.remember("[forward]\n", "stage-2.toml"));
    batch.fields_hash = std::string(64, 'a');
    batch.withheld = {{30, withheld_breach::cause::throttled, "throttle by model"},
                      {31, withheld_breach::cause::undeliverable, "too \xff long"}};
    throttle_window w;
    w.throttle = "model|5";
    w.key = "Device/Test";
    w.start = 1;
    w.ends = 2;
    w.passed = 3;
    w.held = 4;
    w.summed_up = 5;
    w.first = 6;
    w.last = 7;
    w.last_model = "m\xfe";
    w.last_url = "https://x/";
    batch.windows = {w};
    a.must(to.confirm("siem", batch));
    a.must(
        to.note_states({shown_state{{50, 50'000}, true, 3, 9}, shown_state{{101, 101'000}, false, 1, {}}}));
    a.clock += 5;
    a.must(to.note_states({shown_state{{50, 50'000}, false, 3, {}}}));
    a.must(to.note_differences(
        {{difference::kind::gone, {5, 5000}, 0}, {difference::kind::late, {6, 6000}, 0}}));
    a.must(to.set_aside("[1]", "not an object"));
    retention_order order;
    order.older_than = a.clock - 5 * hour;
    a.must(to.prune(order));
}

outcome<archive_copy> copy(archives& a, bool to_database)
{
    const auto nothing = [](std::int64_t) {};
    return to_database ? copy_archive_to_database(a.dir / "masters", "acme", a.database, nothing)
                       : copy_archive_to_files(a.dir / "masters", "acme", a.database, nothing);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(copying)

BOOST_AUTO_TEST_CASE(there_and_back_again)
{
    if (both().size() < 2)
        return;
    archives a(store_kind::postgresql);
    archive_pool files(a.workers.get_executor(), a.dir / "masters", [&] { return a.clock.load(); });
    auto first = a.must(archive::open(files, "acme", ""));
    fill(a, *first);
    const auto before = everything(a, *first);
    BOOST_TEST(before.find("throttle by model") != std::string::npos);
    a.must(first->close());
    first.reset();

    const auto there = copy(a, true);
    BOOST_REQUIRE(there);
    BOOST_TEST(there->breaches == 86);
    BOOST_TEST(there->keys == 106);
    BOOST_TEST(there->cursors == 2);
    auto second = a.must(archive::open(a.pool, "acme", ""));
    BOOST_TEST(everything(a, *second) == before);
    // Whatever comes next is numbered on, and what was set aside is known.
    BOOST_TEST(a.must(second->add(numbered(120, 2))).last_seq == 108);
    BOOST_TEST(!a.must(second->set_aside("[1]", "not an object")));
    BOOST_TEST(a.must(second->note_differences({{difference::kind::gone, {7, 7000}, 0}})).size() == 1u);
    BOOST_TEST(a.must(second->add(numbered(1, 100))).repeated == 100);
    auto block = numbered(122, 1);
    block.window = window_counts{90, 91, false, 1, 0, 0, 0, 0};
    a.must(second->add(std::move(block)));
    const auto then = everything(a, *second);
    for (const bool to_database : {true, false})
    {
        const auto there_already = copy(a, to_database);
        BOOST_REQUIRE(!there_already);
        BOOST_TEST((there_already.error().code == boost::system::errc::file_exists));
    }
    second.reset();

    std::filesystem::remove(a.file());
    const auto back = copy(a, false);
    BOOST_REQUIRE(back);
    BOOST_TEST(back->breaches == 89);
    auto third = a.must(archive::open(files, "acme", ""));
    BOOST_TEST(everything(a, *third) == then);
    // 106 to 119, 123 and 124 are new.
    BOOST_TEST(a.must(third->add(numbered(1, 124))).keys.size() == 16u);
    BOOST_TEST(!std::filesystem::exists(a.dir / "masters/acme.copying"));
}

BOOST_AUTO_TEST_CASE(a_copy_that_was_cut_short_is_begun_anew)
{
    if (both().size() < 2)
        return;
    archives a(store_kind::postgresql);
    archive_pool files(a.workers.get_executor(), a.dir / "masters", [&] { return a.clock.load(); });
    auto first = a.must(archive::open(files, "acme", ""));
    a.must(first->add(numbered(1, 50)));
    a.must(first->close());
    first.reset();
    const auto cut = [](std::int64_t) { throw db::error(fail(errc::timed_out, "cut short")); };
    BOOST_TEST(!copy_archive_to_database(a.dir / "masters", "acme", a.database, cut));
    BOOST_TEST(a.must(archive::names(a.pool)).empty());
    BOOST_TEST(copy(a, true)->breaches == 50);
    std::filesystem::remove(a.file());
    BOOST_TEST(!copy_archive_to_files(a.dir / "masters", "acme", a.database, cut));
    BOOST_TEST(!std::filesystem::exists(a.file()));
    BOOST_TEST(copy(a, false)->breaches == 50);
    BOOST_TEST(a.value("SELECT count(*) FROM master") == 1);
}

/// As `recover` leaves it: rows of a block are gone.
BOOST_AUTO_TEST_CASE(a_block_with_gaps_becomes_several)
{
    if (both().size() < 2)
        return;
    archives a(store_kind::postgresql);
    archive_pool files(a.workers.get_executor(), a.dir / "masters", [&] { return a.clock.load(); });
    auto first = a.must(archive::open(files, "acme", ""));
    a.must(first->add(numbered(1, 10)));
    a.must(first->close());
    {
        db::connection c(a.file(), db::open_options{});
        c.exec("DELETE FROM breach WHERE seq IN (1, 5, 6)");
    }
    first.reset();
    first = a.must(archive::open(files, "acme", ""));
    const auto before = a.must(first->scan(scan_order{}));
    BOOST_REQUIRE(before.breaches.size() == 7u);
    a.must(first->close());
    first.reset();
    BOOST_TEST(copy(a, true)->breaches == 7);
    auto second = a.must(archive::open(a.pool, "acme", ""));
    const auto after = a.must(second->scan(scan_order{}));
    BOOST_REQUIRE(after.breaches.size() == 7u);
    for (std::size_t i = 0; i < 7; ++i)
    {
        BOOST_TEST(after.breaches[i].seq == before.breaches[i].seq);
        BOOST_TEST(after.breaches[i].body == before.breaches[i].body);
    }
    BOOST_TEST(a.must(second->find(5)).breaches.empty());
    BOOST_TEST(a.must(second->history(5)).at(0).dropped);
}

BOOST_AUTO_TEST_SUITE_END()
