#include <dtbridge/db/connection.hpp>

#include <boost/test/unit_test.hpp>

#include <sqlite3.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <fstream>

#include "support/temp_dir.hpp"

using namespace dtbridge;

BOOST_AUTO_TEST_SUITE(connection)

namespace
{

db::open_options making()
{
    db::open_options o;
    o.create = true;
    o.incremental_vacuum = true;
    o.busy_limit = std::chrono::milliseconds(20);
    return o;
}

template <class F>
failure failure_of(F f)
{
    try
    {
        f();
    }
    catch (const db::error& e)
    {
        return e.reason();
    }
    return {};
}

constexpr std::array<const char*, 1> one_step = {"CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT)"};
constexpr std::array<const char*, 2> two_steps = {one_step[0],
                                                  "ALTER TABLE t ADD COLUMN c INTEGER DEFAULT 7"};

}  // namespace

BOOST_AUTO_TEST_CASE(values_come_back_as_they_went)
{
    test::temp_dir dir;
    db::connection c(dir / "a.db", making());
    c.exec("CREATE TABLE t(i INTEGER, t TEXT, b BLOB)");
    {
        db::query q(c.prepared("INSERT INTO t VALUES(?, ?, ?)"));
        q->bind(1, std::int64_t{INT64_MIN})
            .bind(2, std::string_view("a\0b", 3))
            .bind_blob(3, std::string_view());
        q->run();
        q->bind(1, std::optional<std::int64_t>()).bind(2, std::string_view("")).bind_null(3);
        q->run();
    }
    db::query q(c.prepared("SELECT i, t, b FROM t ORDER BY rowid"));
    BOOST_REQUIRE(q->step());
    BOOST_TEST(q->integer(0) == INT64_MIN);
    BOOST_TEST(q->text(1) == std::string_view("a\0b", 3));
    BOOST_TEST(!q->is_null(2));
    BOOST_REQUIRE(q->step());
    BOOST_TEST(!q->optional_integer(0).has_value());
    BOOST_TEST(!q->is_null(1));
    BOOST_TEST(q->is_null(2));
    BOOST_TEST(!q->step());
}

BOOST_AUTO_TEST_CASE(file_and_its_logs_are_not_for_everybody)
{
    test::temp_dir dir;
    ::umask(0022);
    db::connection c(dir / "a.db", making());
    c.exec("CREATE TABLE t(i)");
    for (const char* name : {"a.db", "a.db-wal", "a.db-shm"})
    {
        struct stat st;
        BOOST_REQUIRE(::stat((dir / name).c_str(), &st) == 0);
        BOOST_TEST((st.st_mode & 07777) == 0640u, name);
    }
    BOOST_TEST(c.value("PRAGMA auto_vacuum") == 2);
}

BOOST_AUTO_TEST_CASE(opening_again_writes_nothing)
{
    test::temp_dir dir;
    {
        db::connection c(dir / "a.db", making());
        c.exec("CREATE TABLE t(i)");
    }
    db::connection again(dir / "a.db", making());
    BOOST_TEST(again.value("SELECT count(*) FROM t") == 0);
    BOOST_TEST(std::filesystem::file_size(dir / "a.db-wal") == 0u);
    BOOST_TEST(again.value("PRAGMA auto_vacuum") == 2);
}

BOOST_AUTO_TEST_CASE(transaction_rolls_back_unless_committed)
{
    test::temp_dir dir;
    db::connection c(dir / "a.db", making());
    c.exec("CREATE TABLE t(i)");
    {
        db::transaction t(c);
        c.exec("INSERT INTO t VALUES(1)");
    }
    BOOST_TEST(c.value("SELECT count(*) FROM t") == 0);
    {
        db::transaction t(c);
        c.exec("INSERT INTO t VALUES(1)");
        t.commit();
    }
    BOOST_TEST(c.value("SELECT count(*) FROM t") == 1);
}

BOOST_AUTO_TEST_CASE(migration_goes_step_by_step_and_refuses_what_is_newer)
{
    test::temp_dir dir;
    {
        db::connection c(dir / "a.db", making());
        BOOST_TEST(db::migrate(c, 77, one_step, "thing") == 0);
        BOOST_TEST(c.value("PRAGMA user_version") == 1);
        c.exec("INSERT INTO t VALUES(1, 'x')");
    }
    {
        db::connection c(dir / "a.db", making());
        BOOST_TEST(db::migrate(c, 77, two_steps, "thing") == 1);
        BOOST_TEST(c.value("PRAGMA user_version") == 2);
        BOOST_TEST(c.value("SELECT c FROM t") == 7);
        BOOST_TEST(db::migrate(c, 77, two_steps, "thing") == 2);
    }
    db::connection c(dir / "a.db", making());
    auto newer = failure_of([&] { db::migrate(c, 77, one_step, "thing"); });
    BOOST_TEST((newer.code == errc::archive_newer));
    BOOST_TEST(newer.detail.find(dir / "a.db") != std::string::npos);
    BOOST_TEST(newer.detail.find("schema 2") != std::string::npos);
    auto foreign = failure_of([&] { db::migrate(c, 78, two_steps, "thing"); });
    BOOST_TEST((foreign.code == errc::archive_damaged));
}

BOOST_AUTO_TEST_CASE(failed_step_leaves_the_version)
{
    test::temp_dir dir;
    db::connection c(dir / "a.db", making());
    std::array<const char*, 2> steps = {one_step[0], "CREATE TABLE u(a); CREATE TABLE t(a)"};
    BOOST_CHECK_THROW(db::migrate(c, 77, steps, "thing"), db::error);
    BOOST_TEST(c.value("PRAGMA user_version") == 1);
    BOOST_TEST(c.value("SELECT count(*) FROM sqlite_schema WHERE name = 'u'") == 0);
}

BOOST_AUTO_TEST_CASE(full_disk_is_named)
{
    test::temp_dir dir;
    db::connection c(dir / "a.db", making());
    c.exec("CREATE TABLE t(b BLOB)");
    c.exec("PRAGMA max_page_count=20");
    auto f = failure_of([&] {
        db::transaction t(c);
        c.exec("INSERT INTO t VALUES(zeroblob(1000000))");
        t.commit();
    });
    BOOST_TEST((f.code == errc::disk_full));
    BOOST_TEST(f.detail.find(dir / "a.db") != std::string::npos);
    BOOST_TEST(!c.in_transaction());
    BOOST_TEST(c.value("SELECT count(*) FROM t") == 0);
}

BOOST_AUTO_TEST_CASE(file_that_is_none_is_damaged)
{
    test::temp_dir dir;
    std::ofstream(dir / "a.db") << std::string(8192, 'x');
    auto f = failure_of([&] { db::connection c(dir / "a.db", making()); });
    BOOST_TEST((f.code == errc::archive_damaged));
    BOOST_TEST(f.detail.find("dtbridge recover") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(missing_file_and_folder_say_so)
{
    test::temp_dir dir;
    auto options = making();
    options.create = false;
    auto f = failure_of([&] { db::connection c(dir / "a.db", options); });
    BOOST_TEST(f.code.value() == ENOENT);
    auto g = failure_of([&] { db::connection c(dir / "none/a.db", making()); });
    BOOST_TEST(g.code.value() == ENOENT);
}

BOOST_AUTO_TEST_CASE(busy_is_bounded)
{
    test::temp_dir dir;
    db::connection a(dir / "a.db", making());
    a.exec("CREATE TABLE t(i)");
    db::connection b(dir / "a.db", making());
    db::transaction holds(a);
    auto f = failure_of([&] { db::transaction waits(b); });
    BOOST_TEST((f.code == errc::locked));
}

BOOST_AUTO_TEST_CASE(reader_cannot_write)
{
    test::temp_dir dir;
    db::connection a(dir / "a.db", making());
    a.exec("CREATE TABLE t(i)");
    auto options = making();
    options.writable = false;
    options.create = false;
    db::connection b(dir / "a.db", options);
    BOOST_CHECK_THROW(b.exec("INSERT INTO t VALUES(1)"), db::error);
    BOOST_TEST(b.value("SELECT count(*) FROM t") == 0);
}

BOOST_AUTO_TEST_CASE(oversized_value_is_refused)
{
    test::temp_dir dir;
    auto options = making();
    options.max_value_bytes = 1000;
    db::connection c(dir / "a.db", options);
    c.exec("CREATE TABLE t(b BLOB)");
    BOOST_CHECK_THROW(c.exec("INSERT INTO t VALUES(zeroblob(2000))"), db::error);
}

BOOST_AUTO_TEST_CASE(codes_become_reasons)
{
    auto code = [](int sqlite, int system) { return db::describe(sqlite, system, "/f", "m").code; };
    BOOST_TEST((code(SQLITE_FULL, 0) == errc::disk_full));
    BOOST_TEST((code(SQLITE_IOERR_WRITE, ENOSPC) == errc::disk_full));
    BOOST_TEST((code(SQLITE_IOERR_FSYNC, EDQUOT) == errc::disk_full));
    BOOST_TEST((code(SQLITE_CORRUPT_INDEX, 0) == errc::archive_damaged));
    BOOST_TEST((code(SQLITE_IOERR_SHORT_READ, 0) == errc::archive_damaged));
    BOOST_TEST((code(SQLITE_BUSY_SNAPSHOT, 0) == errc::locked));
    BOOST_TEST(code(SQLITE_CANTOPEN, EMFILE).value() == EMFILE);
    BOOST_TEST(code(SQLITE_IOERR_READ, EIO).value() == EIO);
    BOOST_TEST(code(SQLITE_READONLY, 0).value() == EACCES);
}

BOOST_AUTO_TEST_SUITE_END()
