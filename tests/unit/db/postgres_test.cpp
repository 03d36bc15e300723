#include <dtbridge/db/postgres.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/test/unit_test.hpp>

#include <limits>

#include "support/postgres_server.hpp"
#include "support/skipped.hpp"

using namespace dtbridge;
namespace asio = boost::asio;
using namespace std::chrono_literals;
using test::postgres_server;

BOOST_AUTO_TEST_SUITE(postgres)

namespace
{

/// False, said once, where there is no PostgreSQL to test with.
bool is_installed()
{
    static const bool there = [] {
        const bool found = !postgres_server::programs().empty();
        if (!found)
            test::say_skipped("no PostgreSQL is installed");
        return found;
    }();
    return there;
}

db::postgres_options to(const std::string& url)
{
    db::postgres_options o;
    o.url = url;
    return o;
}

template <class F>
db::postgres_error failure_of(F f)
{
    try
    {
        f();
    }
    catch (const db::postgres_error& e)
    {
        return e;
    }
    BOOST_FAIL("nothing failed");
    throw std::logic_error("unreachable");
}

}  // namespace

BOOST_AUTO_TEST_CASE(urls)
{
    const auto read = [](const char* url) { return db::read_postgres_url(url).value(); };
    BOOST_TEST(read("postgresql://bridge@db.example:5433/dt").place ==
               "PostgreSQL at db.example:5433, database dt");
    BOOST_TEST(!read("postgresql://bridge@db.example:5433/dt").is_local);
    BOOST_TEST(!read("postgresql://bridge@db.example/dt").has_password);
    const auto secret = read("postgres://bridge:hunter2@db.example/dt?sslmode=require");
    BOOST_TEST(secret.has_password);
    BOOST_TEST(secret.place.find("hunter2") == std::string::npos);
    BOOST_TEST(secret.sslmode == "require");
    BOOST_TEST(read("postgresql://db/x?password=y").has_password);
    for (const char* local : {"postgresql:///dt",
                              "postgresql://localhost/dt",
                              "postgresql://127.0.0.1:5/dt",
                              "postgresql://[::1]:5/dt",
                              "postgresql:///dt?host=/run/postgresql",
                              "postgresql://%2Frun%2Fpostgresql/dt"})
        BOOST_TEST(read(local).is_local, local);
    for (const char* remote : {"postgresql://localhost,db.example/dt",
                               "postgresql:///dt?host=db.example",
                               "postgresql:///dt?hostaddr=192.0.2.1",
                               "postgresql://[2001:db8::1]/dt"})
        BOOST_TEST(!read(remote).is_local, remote);
    BOOST_TEST(!db::read_postgres_url("mysql://db/x"));
    BOOST_TEST(!db::read_postgres_url("host=db"));
}

BOOST_AUTO_TEST_CASE(values_come_back_as_they_went)
{
    if (!is_installed())
        return;
    db::postgres on(to(postgres_server::shared().new_database()));
    constexpr auto lowest = std::numeric_limits<std::int64_t>::min();
    constexpr auto highest = std::numeric_limits<std::int64_t>::max();
    const std::string odd("\0\xff'; DROP TABLE x; --\\\"", 24);
    const auto r = on.run("SELECT $1, $2, $3, $4, $5, $6, $7",
                          db::parameters()
                              .add(lowest)
                              .add(highest)
                              .add(std::optional<std::int64_t>())
                              .add(true)
                              .add("it's; \"text\" \xc3\xa9")
                              .bytes(odd)
                              .bytes(std::string_view()));
    BOOST_TEST(r.integer(0, 0) == lowest);
    BOOST_TEST(r.integer(0, 1) == highest);
    BOOST_TEST(r.is_null(0, 2));
    BOOST_TEST(!r.optional_integer(0, 2).has_value());
    BOOST_TEST(r.flag(0, 3));
    BOOST_TEST(r.bytes(0, 4) == "it's; \"text\" \xc3\xa9");
    BOOST_TEST(r.bytes(0, 5) == odd);
    BOOST_TEST(!r.is_null(0, 6));
    BOOST_TEST(r.bytes(0, 6) == "");
    BOOST_CHECK_THROW(r.integer(0, 4), db::error);

    const std::vector<std::int64_t> numbers = {3, lowest, -1};
    const std::vector<std::optional<std::int64_t>> some = {std::nullopt, 7, std::nullopt};
    const auto rows =
        on.run("SELECT * FROM unnest($1, $2, $3, $4)",
               db::parameters().add(numbers).add(some).flags({true, false, true}).blobs({odd, "", "b"}));
    BOOST_REQUIRE(rows.size() == 3);
    BOOST_TEST(rows.integer(1, 0) == lowest);
    BOOST_TEST(rows.is_null(0, 1));
    BOOST_TEST(rows.integer(1, 1) == 7);
    BOOST_TEST(!rows.flag(1, 2));
    BOOST_TEST(rows.bytes(0, 3) == odd);
    BOOST_TEST(rows.bytes(1, 3) == "");
    BOOST_TEST(on.run("SELECT * FROM unnest($1)", db::parameters().add(std::vector<std::int64_t>())).empty());
}

BOOST_AUTO_TEST_CASE(a_large_value_goes_both_ways)
{
    if (!is_installed())
        return;
    db::postgres on(to(postgres_server::shared().new_database()));
    const std::string large(20u << 20, 'x');
    BOOST_TEST((on.run("SELECT $1", db::parameters().bytes(large)).bytes(0, 0) == large));
}

BOOST_AUTO_TEST_CASE(failures_are_told_in_words)
{
    if (!is_installed())
        return;
    auto& server = postgres_server::shared();
    const auto url = server.new_database();
    db::postgres on(to(url));
    on.run("CREATE TABLE t(a bigint PRIMARY KEY)");
    BOOST_TEST(on.run("INSERT INTO t VALUES(1), (2)").changed() == 2);
    const auto twice = failure_of([&] { on.run("INSERT INTO t VALUES(1)"); });
    BOOST_TEST(twice.sqlstate() == "23505");
    BOOST_TEST(!twice.lost());
    BOOST_TEST(twice.reason().detail.find("PostgreSQL") == 0u);
    BOOST_TEST(on.is_idle());  // the connection is as good as before
    {
        db::postgres_transaction undone(on);
        on.run("DELETE FROM t");
        BOOST_TEST(!on.is_idle());
    }
    BOOST_TEST(on.run("SELECT count(*) FROM t").integer(0, 0) == 2);
    const auto unknown = failure_of([&] { db::postgres nobody(to(server.url("nowhere"))); });
    BOOST_TEST(unknown.lost());
    BOOST_TEST(unknown.reason().detail.find("nowhere") != std::string::npos);
    BOOST_TEST(unknown.reason().detail.find('\n') == std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_statement_has_a_time_limit)
{
    if (!is_installed())
        return;
    auto options = to(postgres_server::shared().new_database());
    options.statement_limit = 200ms;
    db::postgres on(options);
    const auto late = failure_of([&] { on.run("SELECT pg_sleep(60)"); });
    BOOST_TEST((late.reason().code == errc::timed_out));
    BOOST_TEST(late.lost());
    BOOST_TEST(!on.is_idle());
}

BOOST_AUTO_TEST_CASE(a_pool_gives_what_works)
{
    if (!is_installed())
        return;
    auto& server = postgres_server::shared();
    const auto url = server.new_database();
    auto pool = std::make_shared<db::postgres_pool>(to(url));
    {
        auto c = pool->take();
        auto other = pool->take();
        BOOST_TEST(pool->size() == 2u);
    }
    {
        auto c = pool->take();
        c->run("BEGIN");  // left open: not for the next one
    }
    BOOST_TEST(pool->size() == 1u);
    db::postgres on(to(url));
    on.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = "
        "current_database()");
    // The one that the server closed is noticed, before or when it is used; the next works.
    bool works = false;
    for (int i = 0; i < 3 && !works; ++i)
    {
        try
        {
            auto c = pool->take();
            works = c->run("SELECT 1::bigint").integer(0, 0) == 1;
        }
        catch (const db::postgres_error& e)
        {
            BOOST_TEST(e.lost());
        }
    }
    BOOST_TEST(works);
}

// A machine that is off says nothing. libpq alone would wait for it until the time is over, each time anew.
BOOST_AUTO_TEST_CASE(a_silent_server_is_not_waited_for_while_there_is_another)
{
    if (!is_installed())
        return;
    asio::io_context io;
    asio::ip::tcp::acceptor silent(io, {asio::ip::address_v4::loopback(), 0});
    const auto url = postgres_server::shared().new_database();
    const auto second = url.substr(url.find("host=") + 5);
    const auto both = url.substr(0, url.find("host=")) +
                      "port=" + std::to_string(silent.local_endpoint().port()) + ",5432&host=127.0.0.1," +
                      second;
    auto options = to(both);
    options.connect_limit = 2s;
    const auto connects = [&options] {
        const auto begun = std::chrono::steady_clock::now();
        db::postgres on(options);
        BOOST_TEST(on.run("SELECT 1::bigint").integer(0, 0) == 1);
        return std::chrono::steady_clock::now() - begun;
    };
    const auto first = connects();
    BOOST_TEST((first >= 900ms && first < 2s));
    BOOST_TEST((connects() < 900ms));  // it is known by now which one answers
}

BOOST_AUTO_TEST_CASE(a_database_that_is_down_is_tried_with_pauses)
{
    if (!is_installed())
        return;
    test::temp_dir nothing_there;
    auto pool = std::make_shared<db::postgres_pool>(to("postgresql:///dt?host=" + nothing_there.path()));
    const auto first = failure_of([&] { pool->take(); });
    BOOST_TEST(first.reason().detail.find("cannot be connected to") != std::string::npos);
    const auto second = failure_of([&] { pool->take(); });
    BOOST_TEST(second.reason().detail.find(first.reason().detail) == 0u);
    BOOST_TEST(second.reason().detail.find("it is tried again in 1 s") != std::string::npos);
    BOOST_TEST(pool->size() == 0u);
}

BOOST_AUTO_TEST_SUITE_END()
