#pragma once

#include <dtbridge/archive/archive.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include <dtbridge/db/connection.hpp>

#include "support/postgres_server.hpp"
#include "support/run_coro.hpp"
#include "support/skipped.hpp"
#include "support/temp_dir.hpp"

namespace dtbridge::test
{

struct piece
{
    breach_key key;
    std::string body;
    bool acknowledged = false;
    std::int64_t comment_count = 0;
};

inline archive_block block_of(const std::vector<piece>& pieces)
{
    archive_block b;
    for (const auto& p : pieces)
        b.bytes += p.body + ",";
    std::size_t at = 0;
    for (const auto& p : pieces)
    {
        archive_element e;
        e.key = p.key;
        e.time = p.key.created / 2;
        e.body = std::string_view(b.bytes).substr(at, p.body.size());
        e.acknowledged = p.acknowledged;
        e.comment_count = p.comment_count;
        b.elements.push_back(e);
        at += p.body.size() + 1;
    }
    return b;
}

/// n breaches with pbids from first on, created = 1000 x pbid, bodies that no compressor makes much smaller.
inline std::vector<piece> pieces_of(std::int64_t first, std::int64_t n, std::size_t size = 200)
{
    std::vector<piece> out;
    std::uint64_t x = 88172645463325252u ^ static_cast<std::uint64_t>(first * 7919);
    for (std::int64_t i = first; i < first + n; ++i)
    {
        std::string body = "{\"pbid\":" + std::to_string(i) + ",\"x\":\"";
        while (body.size() < size - 2)
        {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            body += static_cast<char>('0' + x % 75);
        }
        for (auto& c : body)
            if (c == '\\')
                c = '_';
        out.push_back(piece{breach_key{i, 1000 * i}, body + "\"}"});
    }
    return out;
}

inline archive_block numbered(std::int64_t first, std::int64_t n, std::size_t size = 200)
{
    return block_of(pieces_of(first, n, size));
}

/// What archives are kept in: the same tests hold for both.
enum class store_kind { sqlite, postgresql };

inline std::ostream& operator<<(std::ostream& out, store_kind k)
{
    return out << (k == store_kind::sqlite ? "sqlite" : "postgresql");
}

inline const std::vector<store_kind>& both()
{
    static const std::vector<store_kind> kinds = [] {
        std::vector<store_kind> out = {store_kind::sqlite};
        if (!postgres_server::programs().empty())
            out.push_back(store_kind::postgresql);
        else
            say_skipped("no PostgreSQL is installed, archives in it are not tested");
        return out;
    }();
    return kinds;
}

#define DTBRIDGE_TEST_BOTH(name) \
    BOOST_DATA_TEST_CASE(name, boost::unit_test::data::make(dtbridge::test::both()), kind)

/// Blocks of these tests are an hour apart; what is older goes by partitions of an hour.
inline archive_database database_for(store_kind kind)
{
    archive_database d;
    if (kind == store_kind::postgresql)
        d.url = postgres_server::shared().new_database();
    d.partition = std::chrono::hours(1);
    return d;
}

/// A pool of archives in a folder of the test's own, with the test's clock.
struct archives
{
    archives() : archives(store_kind::sqlite) {}
    explicit archives(store_kind k) : kind(k), database(database_for(k)) {}

    store_kind kind;
    archive_database database;
    temp_dir dir;
    asio::io_context ctx;
    asio::thread_pool workers{3};
    std::atomic<std::int64_t> clock{1'700'000'000'000};
    archive_pool pool{workers.get_executor(), dir / "masters", [this] { return clock.load(); }, database};

    template <class T>
    outcome<T> ask(awaitable<outcome<T>> task)
    {
        return run_coro(ctx, std::move(task), std::chrono::seconds(60));
    }
    /// The answer; its failure fails the test.
    template <class T>
    T must(awaitable<outcome<T>> task)
    {
        auto answer = ask(std::move(task));
        if (!answer)
            BOOST_FAIL(answer.error().detail);
        return std::move(*answer);
    }
    std::shared_ptr<archive> open(const std::string& master = "acme", const std::string& formerly = "")
    {
        return must(archive::open(pool, master, formerly));
    }
    /// The first column of what sql finds in the tables of the one archive there is; no rows where it only
    /// changes them.
    std::int64_t value(std::string sql)
    {
        if (kind == store_kind::sqlite)
        {
            db::connection c(file(), db::open_options{});
            return c.value(sql.c_str());
        }
        sql.replace(sql.find("FROM ") + 5, 0, "dtbridge.");
        db::postgres_options options;
        options.url = database.url;
        db::postgres c(options);
        const auto rows = c.run(sql);
        return rows.empty() ? 0 : rows.integer(0, 0);
    }
    std::string file(const std::string& master = "acme") const
    {
        return dir / "masters/" + master + "/archive.db";
    }
};

/// The file that an SQL dump of tests/data is of; its folders, too.
inline void make_file(const std::string& path, const std::string& dump)
{
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ifstream in(DTBRIDGE_TEST_DATA "/" + dump, std::ios::binary);
    BOOST_REQUIRE_MESSAGE(in.good(), dump);
    const std::string sql(std::istreambuf_iterator<char>(in), {});
    db::open_options options;
    options.create = true;
    db::connection file(path, options);
    file.exec(sql.c_str());
}

inline std::vector<std::int64_t> pbids(const archive_span& span)
{
    std::vector<std::int64_t> out;
    for (const auto& b : span.breaches)
        out.push_back(b.key.pbid);
    return out;
}

}  // namespace dtbridge::test
