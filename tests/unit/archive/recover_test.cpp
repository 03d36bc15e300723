/// Really damaged files: what is readable is saved byte for byte, what is not is counted, nothing is
/// invented.

#include <dtbridge/archive/recover.hpp>

#include <sys/mount.h>
#include <sys/stat.h>

#include <fstream>
#include <map>
#include <random>
#include <set>
#include <sstream>

#include <dtbridge/db/connection.hpp>

#include "archive/saved_blocks.hpp"
#include "fixture.hpp"

using namespace dtbridge;
using test::archives;
namespace fs = std::filesystem;

BOOST_AUTO_TEST_SUITE(recovering)

namespace
{

constexpr std::int64_t total = 900;
constexpr std::int64_t per_block = 60;  // as add() was called; each makes one block
constexpr std::int64_t delivered = 500;
constexpr std::int64_t now = 1'700'000'600'000;  // 2023-11-14T22:23:20Z

/// Like test::pieces_of, with bodies that say when they were created.
std::vector<test::piece> pieces_of(std::int64_t first, std::int64_t n, std::size_t size = 200)
{
    auto out = test::pieces_of(first, n, size);
    for (auto& p : out)
        p.body.insert(1, "\"creationTime\":" + std::to_string(p.key.created) + ",");
    return out;
}

archive_block numbered(std::int64_t first, std::int64_t n, std::size_t size = 200)
{
    return test::block_of(pieces_of(first, n, size));
}

std::string bytes_of(const std::string& path)
{
    std::ifstream in(path, std::ios::binary);
    std::stringstream all;
    all << in.rdbuf();
    return all.str();
}

void write(const std::string& path, const std::string& bytes)
{
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

/// An archive with everything in it, closed; whole holds its file's bytes.
struct damaged_archive : archives
{
    damaged_archive()
    {
        auto acme = open();
        must(acme->ensure_cursor("qradar", {"", 0}));
        must(acme->ensure_cursor("splunk", {"", 0}));
        for (std::int64_t n = 0; n < total / per_block; ++n)
        {
            auto block = numbered(1 + n * per_block, per_block, 1500);
            block.position = poll_position{1'700'000'000'000 + n, false};
            must(acme->add(std::move(block)));
        }
        confirmed_batch batch;
        batch.first_seq = 1;
        batch.last_seq = delivered;
        batch.sent = delivered;
        batch.policy_hash = must(acme->remember("[forward]\nmin_score = 0.4\n"));
        must(acme->confirm("qradar", batch));
        batch.last_seq = total;
        must(acme->confirm("splunk", batch));
        must(acme->note_states({shown_state{{7, 7000}, true, 3, {}}}));
        must(acme->set_aside("[1]", "not an object"));
        must(acme->close());
        for (std::int64_t n = 0; n < total / per_block; ++n)
        {
            for (auto& p : pieces_of(1 + n * per_block, per_block, 1500))
                bodies[p.key.pbid] = p.body;
        }
        acme.reset();
        whole = bytes_of(file());
        BOOST_REQUIRE(!fs::exists(file() + "-wal"));
    }

    /// Of the whole archive after that SQL.
    recovery recover_from(const char* damage)
    {
        write(file(), whole);
        {
            db::connection harmed(file(), db::open_options{});
            harmed.exec(damage);
        }
        return recover();
    }

    std::string folder() const { return dir / "masters/acme"; }
    recovery recover()
    {
        auto r = recover_archive(folder(), now, {});
        if (!r)
            BOOST_FAIL(r.error().detail);
        return std::move(*r);
    }

    /// Opens what was recovered: sound, and each breach is what was archived. The pbids that are there.
    std::set<std::int64_t> check(const recovery& r)
    {
        std::set<std::int64_t> there;
        {
            auto acme = open();
            std::int64_t at = 0;
            for (;;)
            {
                auto span = must(acme->read(at, 1000, 4 << 20));
                for (const auto& b : span.breaches)
                {
                    // Here seq is the pbid.
                    if (b.seq != b.key.pbid || b.key.created != 1000 * b.key.pbid ||
                        b.body != bodies[b.key.pbid])
                        BOOST_FAIL("breach " << b.seq << " is not what was archived");
                    there.insert(b.key.pbid);
                }
                if (span.breaches.empty())
                    break;
                at = span.scanned_to;
            }
            BOOST_TEST(acme->last_seq() == total);
            BOOST_TEST(must(acme->facts()).breaches == r.breaches);
            must(acme->close());
        }
        BOOST_TEST(static_cast<std::int64_t>(there.size()) == r.breaches);
        db::connection file(this->file(), db::open_options{});
        db::query check(file.prepared("PRAGMA integrity_check"));
        BOOST_REQUIRE(check->step());
        BOOST_TEST(check->text(0) == "ok");
        BOOST_TEST(!fs::exists(this->file() + ".recovered"));
        return there;
    }

    std::string whole;
    std::map<std::int64_t, std::string> bodies;
};

/// Every row of every table, as SQL writes it.
std::vector<std::string> rows_of(const std::string& path)
{
    std::vector<std::string> selects, out;
    db::connection file(path, db::open_options{});
    {
        db::query tables(file.prepared(
            "SELECT t.name, (SELECT group_concat('quote(\"' || name || '\")', ' || '','' || ') FROM "
            "pragma_table_info(t.name)) FROM sqlite_schema AS t WHERE type = 'table' ORDER BY t.name"));
        while (tables->step())
        {
            const std::string name(tables->text(0));
            selects.push_back("SELECT '" + name + ": ' || " + std::string(tables->text(1)) + " FROM \"" +
                              name + "\" ORDER BY 1");
        }
    }
    for (const auto& select : selects)
    {
        db::query rows(file.prepared(select.c_str()));
        while (rows->step())
            out.emplace_back(rows->text(0));
    }
    return out;
}

std::set<std::int64_t> lost_of(const recovery& r)
{
    std::set<std::int64_t> out;
    for (const auto& [first, last] : r.lost)
    {
        for (auto seq = first; seq <= last; ++seq)
            out.insert(seq);
    }
    return out;
}

std::string rubbish(std::mt19937& random, std::size_t size)
{
    std::string out(size, '\0');
    for (auto& c : out)
        c = static_cast<char>(random());
    return out;
}

std::size_t number_at(const std::string& bytes, std::size_t at, std::size_t size)
{
    std::size_t n = 0;
    for (std::size_t i = 0; i < size; ++i)
        n = n << 8 | static_cast<unsigned char>(bytes[at + i]);
    return n;
}

/// The pages of a table, parents first, but for those that only hold the rest of a long row.
std::vector<std::size_t> pages_of(const std::string& file, std::size_t root)
{
    std::vector<std::size_t> out = {root};
    const auto begins = (root - 1) * 4096;
    if (file[begins] != 5)
        return out;
    const auto add = [&](std::size_t child) {
        for (const auto page : pages_of(file, child))
            out.push_back(page);
    };
    for (std::size_t n = 0; n < number_at(file, begins + 3, 2); ++n)
        add(number_at(file, begins + number_at(file, begins + 12 + 2 * n, 2), 4));
    add(number_at(file, begins + 8, 4));
    return out;
}

}  // namespace

BOOST_AUTO_TEST_CASE(whole_archive_is_left_alone)
{
    damaged_archive a;
    const auto r = a.recover();
    BOOST_TEST(r.was_whole);
    BOOST_TEST(r.breaches == total);
    BOOST_TEST(r.kept_as == "");
    BOOST_TEST((bytes_of(a.file()) == a.whole));
    BOOST_TEST(!fs::exists(a.file() + ".recovered"));
}

/// Rows that were written before a step of the schema added columns lack them in the file.
BOOST_AUTO_TEST_CASE(rows_of_older_schemas_are_saved)
{
    archives a;
    test::make_file(a.file(), "archive-v1.sql");
    auto acme = a.open();
    a.must(acme->close());
    acme.reset();
    const auto before = rows_of(a.file());
    BOOST_TEST(before.size() > 20u);
    const auto whole = recover_archive(a.dir / "masters/acme", now, {});
    BOOST_REQUIRE(whole);
    BOOST_TEST(whole->was_whole);
    BOOST_TEST(whole->breaches == 7);
    BOOST_TEST(whole->lost_count == 0);
    // And where another page is damaged: the only one of a table without rows.
    const auto page = a.value("SELECT rootpage FROM sqlite_schema WHERE name = 'difference'");
    auto harmed = bytes_of(a.file());
    harmed.replace(static_cast<std::size_t>(page - 1) * 4096, 4096, std::string(4096, '\x5a'));
    write(a.file(), harmed);
    const auto saved = recover_archive(a.dir / "masters/acme", now, {});
    BOOST_REQUIRE(saved);
    BOOST_TEST(!saved->was_whole);
    BOOST_TEST(saved->lost_count == 0);
    BOOST_TEST(rows_of(a.file()) == before, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(any_page_may_be_rubbish)
{
    damaged_archive a;
    std::mt19937 random(20260104);
    const auto pages = a.whole.size() / 4096;
    BOOST_REQUIRE(pages > 200);
    std::size_t tried = 0;
    std::size_t found = 0;
    std::size_t without_loss = 0;
    for (std::size_t page = 0; page < pages; page += page < 24 ? 1 : 5)  // the first are the tables' roots
    {
        ++tried;
        auto harmed = a.whole;
        harmed.replace(page * 4096, 4096, rubbish(random, 4096));
        write(a.file(), harmed);
        const auto r = a.recover();
        if (r.was_whole)
        {
            // A page of parents (auto_vacuum) or a free one holds nothing of worth.
            BOOST_TEST(r.breaches == total);
            continue;
        }
        ++found;
        BOOST_TEST((bytes_of(r.kept_as) == harmed));
        const auto there = a.check(r);
        const auto lost = lost_of(r);
        BOOST_TEST(static_cast<std::int64_t>(lost.size()) == r.lost_count);
        BOOST_TEST(there.size() + lost.size() == static_cast<std::size_t>(total));
        for (const auto seq : lost)
            BOOST_TEST(!there.contains(seq));
        // A page holds the beginnings of at most eight long rows; elsewhere it is one block's, or nobody's.
        BOOST_TEST(r.lost_count <= 8 * per_block);
        without_loss += r.lost_count == 0 ? 1u : 0u;
        for (const auto& c : r.cursors)
        {
            const auto expected = c.destination == "qradar" ? delivered : total;
            BOOST_TEST(c.seq == expected);
        }
        fs::remove(r.kept_as);
    }
    BOOST_TEST(found > tried * 8 / 10);
    BOOST_TEST(without_loss > 5u);  // rows of breaches, keys, cursors, inner pages
}

BOOST_AUTO_TEST_CASE(many_pages_at_once)
{
    damaged_archive a;
    for (unsigned seed = 0; seed < 12; ++seed)
    {
        std::mt19937 random(seed);
        auto harmed = a.whole;
        for (int n = 0; n < 12; ++n)
        {
            const auto at = random() % harmed.size();
            const auto size = std::min<std::size_t>(1 + random() % 9000, harmed.size() - at);
            harmed.replace(at, size, rubbish(random, size));
        }
        write(a.file(), harmed);
        const auto r = a.recover();
        BOOST_TEST(!r.was_whole);
        BOOST_TEST(r.breaches > 0);
        std::set<std::int64_t> there;
        {
            auto acme = a.open();
            auto all = a.must(acme->scan(scan_order{0, 0, INT64_MAX, 5000, 64 << 20}));
            for (const auto& b : all.breaches)
            {
                BOOST_TEST((b.body == a.bodies[b.key.pbid]));
                there.insert(b.seq);
            }
            // It can be written on, under numbers that were never given.
            const auto more = a.must(acme->add(numbered(total + 1, 5)));
            BOOST_TEST(more.keys.size() == 5u);
            BOOST_TEST(more.last_seq >= total + 5);
            a.must(acme->close());
        }
        for (const auto seq : lost_of(r))
            BOOST_TEST(!there.contains(seq));
        fs::remove(r.kept_as);
    }
}

BOOST_AUTO_TEST_CASE(truncated_file)
{
    damaged_archive a;
    for (const std::size_t size : {a.whole.size() - 1, a.whole.size() * 3 / 4, a.whole.size() / 2})
    {
        write(a.file(), a.whole.substr(0, size));
        const auto r = a.recover();
        BOOST_TEST(!r.was_whole);
        const auto there = a.check(r);
        BOOST_TEST(there.size() + static_cast<std::size_t>(r.lost_count) == static_cast<std::size_t>(total));
        BOOST_TEST(there.size() >= static_cast<std::size_t>(total) * size / a.whole.size() - 2 * per_block);
        fs::remove(r.kept_as);
    }
    for (const std::size_t size : {std::size_t{0}, std::size_t{50}, std::size_t{4000}})
    {
        write(a.file(), a.whole.substr(0, size));
        const auto r = a.recover();
        BOOST_TEST(r.breaches == 0);
        BOOST_TEST(r.cursors.empty());
        BOOST_TEST(!r.position.has_value());
        auto acme = a.open();
        BOOST_TEST(a.must(acme->add(numbered(1, 3))).keys.size() == 3u);
        a.must(acme->close());
        acme.reset();
        fs::remove(r.kept_as);
    }
}

BOOST_AUTO_TEST_CASE(first_page_gone)
{
    damaged_archive a;
    auto harmed = a.whole;
    harmed.replace(0, 4096, std::string(4096, '\0'));
    write(a.file(), harmed);
    const auto r = a.recover();
    BOOST_TEST(a.check(r).size() == static_cast<std::size_t>(total));
    BOOST_TEST(r.lost_count == 0);
    BOOST_TEST(r.cursors.size() == 2u);
    BOOST_TEST(r.position.value_or(0) == 1'700'000'000'000 + total / per_block - 1);
    BOOST_TEST(r.kept_as == a.file() + ".damaged-20231114T222320Z");
    auto acme = a.open();
    BOOST_TEST(a.must(acme->changes(breach_key{7, 7000})).size() == 1u);
    BOOST_TEST(a.must(acme->confirmed(3)).size() == 2u);
    BOOST_TEST(!a.must(acme->set_aside("[1]", "not an object")));
    a.must(acme->close());
}

BOOST_AUTO_TEST_CASE(torn_log)
{
    archives a;
    std::string main, log;
    {
        auto acme = a.open();
        a.must(acme->add(numbered(1, 50, 2000)));
        a.must(acme->close());
        // Three commits that are in the log only.
        for (std::int64_t n = 1; n <= 3; ++n)
            a.must(acme->add(numbered(50 * n + 1, 50, 2000)));
        main = bytes_of(a.file());
        log = bytes_of(a.file() + "-wal");
        BOOST_REQUIRE(log.size() > 200'000u);
        a.must(acme->close());
    }
    const auto put = [&](const std::string& m, const std::string& l) {
        fs::remove(a.file() + "-shm");
        write(a.file(), m);
        write(a.file() + "-wal", l);
        auto r = recover_archive(a.dir / "masters/acme", now, {});
        BOOST_REQUIRE_MESSAGE(r, (r ? "" : r.error().detail));
        return std::move(*r);
    };
    // Damage in the main file, of the first block, which fills its last pages; the log is whole and counts.
    auto harmed = main;
    harmed.replace(harmed.size() - 4096, 4096, std::string(4096, 'x'));
    auto r = put(harmed, log);
    BOOST_TEST(r.breaches == 150);
    BOOST_TEST(r.lost_count == 50);
    BOOST_TEST((bytes_of(r.kept_as + "-wal") == log));
    BOOST_TEST(!fs::exists(a.file() + "-wal"));
    fs::remove(r.kept_as);
    fs::remove(r.kept_as + "-wal");
    // The log torn in its last commit, or damaged in the middle: what was committed before counts.
    r = put(harmed, log.substr(0, log.size() - 100));
    BOOST_TEST(r.breaches == 100);
    BOOST_TEST(r.lost_count == 50);
    fs::remove(r.kept_as);
    fs::remove(r.kept_as + "-wal");
    auto bad_log = log;
    bad_log.replace(log.size() / 2, 64, std::string(64, 'x'));
    r = put(harmed, bad_log);
    BOOST_TEST(r.breaches == 50);
    BOOST_TEST(r.lost_count == 50);
    // What is in the log only may be all that is damaged in the file.
    r = put(std::string(4096, 'x') + main.substr(4096), log);
    BOOST_TEST(r.was_whole);
    BOOST_TEST(r.breaches == 200);
    auto acme = a.open();
    BOOST_TEST(a.must(acme->add(numbered(201, 5))).last_seq == 205);
    a.must(acme->close());
}

BOOST_AUTO_TEST_CASE(lost_breaches_may_come_again_where_somebody_lacks_them)
{
    damaged_archive a;
    {
        db::connection file(a.file(), db::open_options{});
        // Block 61 was delivered to both, block 661 (seq 661 to 720) to splunk only.
        file.exec(
            "UPDATE block SET data = substr(data, 1, 2000) || x'00112233' || substr(data, 2005) "
            "WHERE id IN (61, 661)");
    }
    const auto r = a.recover();
    const auto there = a.check(r);
    BOOST_TEST(r.lost_count == 2 * per_block);
    BOOST_REQUIRE(r.lost.size() == 2u);
    BOOST_TEST(r.lost[0].first == 61);
    BOOST_TEST(r.lost[0].second == 120);
    BOOST_TEST(r.lost[1].first == 661);
    BOOST_TEST(r.forgotten == per_block);
    BOOST_REQUIRE(r.cursors.size() == 2u);
    BOOST_TEST(r.cursors[0].destination == "qradar");
    BOOST_TEST(r.cursors[0].lost == per_block);
    BOOST_TEST(r.cursors[1].lost == 0);
    auto acme = a.open();
    std::vector<breach_key> keys = {{61, 61'000}, {120, 120'000}, {661, 661'000}, {720, 720'000}};
    const auto missing = a.must(acme->missing(keys));
    BOOST_REQUIRE(missing.size() == 2u);
    BOOST_TEST(missing[0].pbid == 661);
    BOOST_TEST(missing[1].pbid == 720);
    for (const auto& c : a.must(acme->cursors()))
        BOOST_TEST(c.lost == (c.destination == "qradar" ? per_block : 0));
    const auto again = a.must(acme->add(numbered(661, 60, 1500)));
    BOOST_TEST(again.keys.size() == 60u);
    BOOST_TEST(again.last_seq == total + 60);
    a.must(acme->close());
}

BOOST_AUTO_TEST_CASE(rows_are_made_anew_from_the_bytes)
{
    damaged_archive a;
    {
        db::connection file(a.file(), db::open_options{});
        file.exec("DELETE FROM breach WHERE seq BETWEEN 100 AND 300; DELETE FROM seen WHERE pbid < 200");
        file.exec("UPDATE breach SET begins = 99999999 WHERE seq = 400");
    }
    const auto r = a.recover();
    BOOST_TEST(!r.was_whole);
    BOOST_TEST(r.rebuilt == 202);
    BOOST_TEST(r.lost_count == 0);
    BOOST_TEST(a.check(r).size() == static_cast<std::size_t>(total));
    auto acme = a.open();
    std::vector<breach_key> keys = {{1, 1000}, {150, 150'000}, {899, 899'000}};
    BOOST_TEST(a.must(acme->missing(keys)).empty());
    a.must(acme->close());
}

/// Rows that point into their block, but not at their breach, or that say another key.
BOOST_AUTO_TEST_CASE(rows_that_their_bytes_contradict_are_corrected)
{
    damaged_archive a;
    const std::string before = "SELECT acknowledged FROM breach WHERE seq = 7";
    for (const char* damage : {"UPDATE breach SET begins = begins + 4 WHERE seq = 7",
                               "UPDATE breach SET begins = begins - 4 WHERE seq = 7",
                               "UPDATE breach SET length = length - 1 WHERE seq = 7",
                               "UPDATE breach SET length = -1 WHERE seq = 7",
                               "UPDATE breach SET pbid = 1031 WHERE seq = 7",
                               "UPDATE breach SET created = 1031 WHERE seq = 7",
                               "UPDATE breach SET block = 61 WHERE seq = 7",
                               "DELETE FROM breach WHERE seq = 7; UPDATE breach SET seq = 7 WHERE seq = 6"})
    {
        BOOST_TEST_CONTEXT(damage)
        {
            const auto r = a.recover_from(damage);
            BOOST_TEST(!r.was_whole);
            BOOST_TEST(r.rebuilt == (std::string_view(damage).starts_with("DELETE") ? 2 : 1));
            BOOST_TEST(r.lost_count == 0);
            BOOST_TEST(a.check(r).size() == static_cast<std::size_t>(total));
            if (r.rebuilt == 1)
                BOOST_TEST(a.value(before) == 1);  // what a later state changed stays
            BOOST_TEST(a.recover().was_whole);
        }
    }
}

/// What an earlier recovery counted, or found that everybody had, is counted once.
BOOST_AUTO_TEST_CASE(what_was_lost_before_is_not_lost_again)
{
    using list = std::vector<std::pair<std::int64_t, std::int64_t>>;
    damaged_archive a;
    const auto lose = [&](const char* sql) {
        db::connection file(a.file(), db::open_options{});
        file.exec(sql);
    };
    lose(
        "UPDATE block SET data = substr(data, 1, 2000) || x'00112233' || substr(data, 2005) "
        "WHERE id IN (61, 661, 841)");
    BOOST_TEST(a.recover().lost_count == 3 * per_block);
    const auto before = rows_of(a.file());
    auto r = a.recover();
    BOOST_TEST(r.was_whole);
    BOOST_TEST(r.lost_count == 0);
    BOOST_TEST(r.breaches == total - 3 * per_block);
    BOOST_TEST(rows_of(a.file()) == before, boost::test_tools::per_element());
    // Another one, with the cursors where they were.
    lose("UPDATE block SET data = x'00' WHERE id = 721");
    r = a.recover();
    BOOST_TEST((r.lost == list{{721, 780}}));
    BOOST_TEST(r.forgotten == per_block);
    BOOST_REQUIRE(r.cursors.size() == 2u);
    BOOST_TEST(r.cursors[0].lost == per_block);
    BOOST_TEST(a.value("SELECT lost FROM cursor WHERE name = 'qradar'") == 3 * per_block);
    // The archive's own count tells, too, where nothing was noted; 61 and 661 were before.
    lose("DELETE FROM lost");
    r = a.recover();
    BOOST_TEST(r.was_whole);
    lose(
        "DELETE FROM breach WHERE seq <= 60; DELETE FROM block WHERE id = 1; UPDATE state SET last_seq = 1 "
        "<< 40");
    lose(
        "INSERT INTO lost(cursor, first_seq, last_seq, at, count) VALUES(0, 61, 120, 1, 60), (0, 661, 780, "
        "1, "
        "120)");
    r = a.recover();
    BOOST_TEST((r.lost == list{{1, 60}}));
    BOOST_TEST(a.value("SELECT lost FROM cursor WHERE name = 'qradar'") == 3 * per_block);
}

/// One bit of a number is enough to name the highest of all.
BOOST_AUTO_TEST_CASE(one_damaged_number_moves_nothing)
{
    damaged_archive a;
    for (const char* damage : {"UPDATE seen SET seq = seq + (1 << 40) WHERE pbid = 7",
                               "UPDATE seen SET seq = seq + 256 WHERE pbid = 7",
                               "UPDATE breach SET seq = seq + 1048576 WHERE seq = 7",
                               "UPDATE breach SET seq = seq + 4611686018427387904 WHERE seq = 7",
                               "UPDATE block SET last_seq = last_seq + (1 << 40) WHERE id = 61",
                               "UPDATE block SET last_seq = last_seq - 1 WHERE id = 61",
                               "UPDATE block SET id = id + 1048576 WHERE id = 61",
                               "UPDATE block SET id = 63 WHERE id = 61",
                               "UPDATE block SET size = size + 256 WHERE id = 61",
                               "UPDATE cursor SET seq = seq + (1 << 40) WHERE name = 'qradar'",
                               "UPDATE cursor SET seq = seq + 512 WHERE name = 'qradar'",
                               "UPDATE batch SET last_seq = last_seq + (1 << 40) WHERE last_seq = 500",
                               "UPDATE state SET breaches = breaches + (1 << 40)",
                               "UPDATE state SET breaches = breaches - 512",
                               "UPDATE state SET last_seq = last_seq - 512"})
    {
        BOOST_TEST_CONTEXT(damage)
        {
            const auto r = a.recover_from(damage);
            BOOST_TEST(!r.was_whole);
            BOOST_TEST(r.corrected > 0);
            BOOST_TEST(r.lost_count == 0);
            BOOST_TEST(r.forgotten == 0);
            BOOST_TEST(a.check(r).size() == static_cast<std::size_t>(total));
            BOOST_REQUIRE(r.cursors.size() == 2u);
            BOOST_TEST(r.cursors[0].seq == delivered);
            BOOST_TEST(r.cursors[0].corrected ==
                       (std::string_view(damage).find("cursor") != std::string::npos));
            BOOST_TEST(a.value("SELECT count(*) FROM seen WHERE seq <> pbid") == 0);
            BOOST_TEST(a.value("SELECT count(*) FROM block WHERE last_seq - id <> 59") == 0);
            BOOST_TEST(a.recover().was_whole);
        }
    }
}

/// A cursor behind the last breach would pass over the next ones; one without a batch is left nothing twice.
BOOST_AUTO_TEST_CASE(a_cursor_passes_over_nothing_new)
{
    damaged_archive a;
    {
        db::connection file(a.file(), db::open_options{});
        file.exec("DELETE FROM batch; UPDATE cursor SET seq = seq + 1048576 WHERE name = 'qradar'");
    }
    const auto r = a.recover();
    BOOST_REQUIRE(r.cursors.size() == 2u);
    BOOST_TEST(r.cursors[0].seq == total);
    BOOST_TEST(r.cursors[0].corrected);
    BOOST_TEST(!r.cursors[1].corrected);
    auto acme = a.open();
    const auto added = a.must(acme->add(numbered(total + 1, 5)));
    BOOST_TEST(added.last_seq == total + 5);
    BOOST_TEST(a.must(acme->read(r.cursors[0].seq, 100, 1 << 20)).breaches.size() == 5u);
    a.must(acme->close());
}

/// The row of state replaces the one that every new file has; one of rubbish does not, and stops nothing.
BOOST_AUTO_TEST_CASE(rubbish_for_a_state)
{
    damaged_archive a;
    const auto page = a.value("SELECT rootpage FROM sqlite_schema WHERE name = 'state'");
    auto harmed = a.whole;
    const auto begins = static_cast<std::size_t>(page - 1) * 4096;
    const auto cell = begins + number_at(harmed, begins + 8, 2);
    BOOST_REQUIRE(harmed[cell + 1] == 1);  // the rowid
    harmed[cell + 1] = 5;
    write(a.file(), harmed);
    const auto r = a.recover();
    BOOST_TEST(!r.was_whole);
    BOOST_TEST(r.lost_count == 0);
    BOOST_TEST(a.check(r).size() == static_cast<std::size_t>(total));
}

/// Nothing that is still there tells of them, but the archive has counted its breaches.
BOOST_AUTO_TEST_CASE(the_oldest_or_all_may_be_lost)
{
    damaged_archive a;
    const auto root_of = [&](const char* table) {
        return static_cast<std::size_t>(
            a.value("SELECT rootpage FROM sqlite_schema WHERE name = '" + std::string(table) + "'"));
    };
    const auto breach = pages_of(a.whole, root_of("breach"));
    const auto block = pages_of(a.whole, root_of("block"));
    BOOST_REQUIRE(breach.size() > 3u);
    BOOST_REQUIRE(block.size() > 2u);
    const auto zeroed = [&](std::string file, const std::vector<std::size_t>& pages) {
        for (const auto page : pages)
            file.replace((page - 1) * 4096, 4096, std::string(4096, '\0'));
        return file;
    };
    {
        write(a.file(), zeroed(a.whole, {breach[1], block[1]}));
        const auto r = a.recover();
        const auto there = a.check(r);
        BOOST_TEST(!there.contains(1));
        BOOST_TEST(r.lost_count == total - r.breaches);
        BOOST_REQUIRE(r.lost.size() == 1u);
        BOOST_TEST(r.lost[0].first == 1);
        BOOST_TEST(r.lost[0].second == r.lost_count);
        BOOST_TEST(r.forgotten == 0);  // everybody had them
    }
    auto all = breach;
    all.insert(all.end(), block.begin(), block.end());
    write(a.file(), zeroed(a.whole, all));
    const auto r = a.recover();
    BOOST_TEST(r.breaches == 0);
    BOOST_TEST(r.lost_count == total);
    BOOST_REQUIRE(r.cursors.size() == 2u);
    BOOST_TEST(r.cursors[0].lost == total - delivered);
    BOOST_TEST(r.cursors[1].lost == 0);
    BOOST_TEST(r.forgotten == total - delivered);
    auto acme = a.open();
    const auto again = a.must(acme->add(numbered(1, total, 1500)));
    BOOST_TEST(again.keys.size() == static_cast<std::size_t>(total - delivered));
    BOOST_TEST(again.last_seq == total + total - delivered);
    a.must(acme->close());
}

BOOST_AUTO_TEST_CASE(what_retention_dropped_is_no_loss)
{
    damaged_archive a;
    {
        auto acme = a.open();
        a.clock += 60'000;
        retention_order order;
        order.older_than = a.clock;
        order.keep_for = a.must(acme->cursors());
        BOOST_TEST(a.must(acme->prune(order)).dropped == 480);
        a.must(acme->close());
    }
    auto harmed = bytes_of(a.file());
    harmed.replace(0, 4096, std::string(4096, '\0'));
    write(a.file(), harmed);
    const auto r = a.recover();
    BOOST_TEST(r.breaches == total - 480);
    BOOST_TEST(r.lost_count == 0);
    // Nothing that was dropped comes back, and its keys are still known.
    {
        auto acme = a.open();
        BOOST_TEST(a.must(acme->facts()).oldest_seq == 481);
        std::vector<breach_key> keys = {{1, 1000}};
        BOOST_TEST(a.must(acme->missing(keys)).empty());
        a.must(acme->close());
    }
    // What is lost behind it is.
    {
        db::connection file(a.file(), db::open_options{});
        file.exec("DELETE FROM breach WHERE seq <= 540; DELETE FROM block WHERE id <= 540");
    }
    const auto second = a.recover();
    BOOST_TEST((second.lost == std::vector<std::pair<std::int64_t, std::int64_t>>{{481, 540}}));
}

BOOST_AUTO_TEST_CASE(older_schema_stays_what_it_is)
{
    archives a;
    test::make_file(a.file(), "archive-v1.sql");
    {
        db::connection file(a.file(), db::open_options{});
        file.exec("UPDATE breach SET begins = 77777 WHERE seq = 7");
    }
    auto r = recover_archive(a.dir / "masters/acme", now, {});
    BOOST_REQUIRE_MESSAGE(r, (r ? "" : r.error().detail));
    BOOST_TEST(r->breaches == 7);
    BOOST_TEST(r->rebuilt == 1);
    {
        db::connection file(a.file(), db::open_options{});
        BOOST_TEST(file.value("PRAGMA user_version") == 1);
    }
    auto acme = a.open();
    BOOST_TEST(acme->last_seq() == 12);
    BOOST_TEST(a.must(acme->position())->by_activity);
    BOOST_TEST(a.must(acme->cursors()).at(0).seq == 8);
    BOOST_TEST(a.must(acme->cursors()).at(0).lost == 5);
    a.must(acme->close());
}

BOOST_AUTO_TEST_CASE(service_file)
{
    test::temp_dir dir;
    {
        auto store = service_store::open(dir.path());
        BOOST_REQUIRE(store);
        BOOST_TEST((*store)->first_ran("qradar", "", 1000).value() == 1000);
        BOOST_TEST((*store)->first_ran("splunk", "", 2000).value() == 2000);
        // Nobody else may mend it meanwhile.
        auto second = service_store::lock(dir.path());
        BOOST_REQUIRE(!second);
        BOOST_TEST((second.error().code == errc::locked));
    }
    auto r = recover_service(dir.path(), now);
    BOOST_REQUIRE_MESSAGE(r, (r ? "" : r.error().detail));
    BOOST_TEST(r->was_whole);
    auto harmed = bytes_of(dir / "service.db");
    harmed.replace(0, 4096, std::string(4096, 'x'));
    write(dir / "service.db", harmed);
    BOOST_TEST(!service_store::open(dir.path()));
    r = recover_service(dir.path(), now);
    BOOST_REQUIRE_MESSAGE(r, (r ? "" : r.error().detail));
    BOOST_TEST(!r->was_whole);
    BOOST_TEST(r->destinations == 2);
    BOOST_TEST((bytes_of(r->kept_as) == harmed));
    auto store = service_store::open(dir.path());
    BOOST_REQUIRE(store);
    BOOST_TEST((*store)->first_ran("qradar", "", 9000).value() == 1000);
    BOOST_TEST((*store)->first_ran("splunk", "", 9000).value() == 2000);
}

BOOST_AUTO_TEST_CASE(refusals)
{
    archives a;
    auto none = recover_archive(a.dir / "masters/acme", now, {});
    BOOST_REQUIRE(!none);
    BOOST_TEST((none.error().code == errc::not_found));
    {
        auto acme = a.open();
        a.must(acme->add(numbered(1, 3)));
        a.must(acme->close());
    }
    {
        db::connection file(a.file(), db::open_options{});
        file.exec("PRAGMA user_version=99");
    }
    const auto before = bytes_of(a.file());
    auto newer = recover_archive(a.dir / "masters/acme", now, {});
    BOOST_REQUIRE(!newer);
    BOOST_TEST((newer.error().code == errc::archive_newer));
    BOOST_TEST((bytes_of(a.file()) == before));
}

BOOST_AUTO_TEST_CASE(full_disk_leaves_the_damaged_file_in_its_place)
{
    damaged_archive a;
    auto harmed = a.whole;
    harmed.replace(0, 4096, std::string(4096, '\0'));
    const auto disk = a.dir / "small";
    ::mkdir(disk.c_str(), 0750);
    if (::mount("dtbridge-test", disk.c_str(), "tmpfs", 0, "size=3m") != 0)
    {
        test::say_skipped("this user may not mount a small file system");
        return;
    }
    BOOST_REQUIRE(harmed.size() > 1u << 20 && harmed.size() < 2u << 20);
    fs::create_directories(disk + "/acme");
    write(disk + "/acme/archive.db", harmed);
    write(disk + "/filler", std::string((2u << 20) - harmed.size(), 'x'));
    const auto refused = recover_archive(disk + "/acme", now, {});
    BOOST_TEST(!refused);
    if (!refused)
        BOOST_TEST((refused.error().code == errc::disk_full), refused.error().detail);
    BOOST_TEST((bytes_of(disk + "/acme/archive.db") == harmed));
    BOOST_TEST(!fs::exists(disk + "/acme/archive.db.recovered"));
    ::umount2(disk.c_str(), MNT_DETACH);
}

BOOST_AUTO_TEST_CASE(blocks_are_split_at_their_objects)
{
    using views = std::vector<std::string_view>;
    BOOST_TEST((split_block("{\"a\":1}{\"b\":\"}\\\"{\"} ,\n{\"c\":[{},{}]}") ==
                views{"{\"a\":1}", "{\"b\":\"}\\\"{\"}", "{\"c\":[{},{}]}"}));
    BOOST_TEST(split_block("").empty());
    BOOST_TEST(split_block("{\"a\":1}{").empty());
    BOOST_TEST(split_block("{\"a\":1}x").empty());
    BOOST_TEST(split_block("{\"a\":\"}").empty());
    BOOST_TEST(split_block("]{}").empty());
}

BOOST_AUTO_TEST_SUITE_END()
