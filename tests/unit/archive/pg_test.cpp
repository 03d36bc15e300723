// What only an archive in PostgreSQL has.

#include "fixture.hpp"

using namespace dtbridge;
using namespace dtbridge::test;

BOOST_AUTO_TEST_SUITE(postgresql)

namespace
{

constexpr std::int64_t hour = 3'600'000;

bool is_installed()
{
    return both().size() > 1;
}

std::string text(archives& a, const std::string& sql)
{
    db::postgres_options options;
    options.url = a.database.url;
    db::postgres c(options);
    const auto rows = c.run(sql);
    return rows.empty() ? "" : std::string(rows.bytes(0, 0));
}

}  // namespace

BOOST_AUTO_TEST_CASE(retention_drops_partitions_and_keys_stay)
{
    if (!is_installed())
        return;
    archives a(store_kind::postgresql);
    auto acme = a.open();
    auto other = a.open("other");
    for (int i = 0; i < 5; ++i)
    {
        a.must(acme->add(numbered(1 + 20 * i, 20)));
        a.must(other->add(numbered(1 + 20 * i, 20)));
        a.clock += hour;
    }
    BOOST_TEST(a.value("SELECT count(*) FROM part") == 10);
    retention_order order;
    order.older_than = a.clock - 2 * hour;
    BOOST_TEST(a.must(acme->prune(order)).dropped == 60);
    BOOST_TEST(a.value("SELECT count(*) FROM part") == 7);
    BOOST_TEST(
        text(a, "SELECT count(*)::text FROM pg_inherits WHERE inhparent = 'dtbridge.block_1'::regclass") ==
        "2");
    BOOST_TEST(a.value("SELECT count(*) FROM seen") == 200);
    BOOST_TEST(a.must(other->facts()).breaches == 100);
    // A block that is younger than its partition's end stays until that is over.
    order.older_than = a.clock - 2 * hour + 1;
    BOOST_TEST(a.must(acme->prune(order)).dropped == 0);
}

BOOST_AUTO_TEST_CASE(partitions_of_another_width_fit_between)
{
    if (!is_installed())
        return;
    archives a(store_kind::postgresql);
    a.must(a.open()->add(numbered(1, 5)));
    a.clock += 10 * hour;
    a.must(a.open()->add(numbered(6, 5)));
    archive_database wider = a.database;
    wider.partition = std::chrono::hours(24 * 7);
    archive_pool pool(
        a.workers.get_executor(), a.dir / "masters", [&] { return a.clock.load(); }, wider);
    auto acme = a.must(archive::open(pool, "acme", ""));
    for (const std::int64_t later : {0, 3, 5, 200, 400})
    {
        a.clock += later * hour;
        a.must(acme->add(numbered(100 + later, 1)));
    }
    a.clock -= 604 * hour;  // between the first two
    a.must(acme->add(numbered(900, 1)));
    BOOST_TEST(a.must(acme->scan(scan_order{})).breaches.size() == 16u);
}

BOOST_AUTO_TEST_CASE(each_master_in_a_schema_of_its_own)
{
    if (!is_installed())
        return;
    archives a(store_kind::postgresql);
    archive_database own = a.database;
    own.own_schemas = true;
    archive_pool pool(
        a.workers.get_executor(), a.dir / "masters", [&] { return a.clock.load(); }, own);
    auto acme = a.must(archive::open(pool, "acme", ""));
    auto other = a.must(archive::open(pool, "big-co", ""));
    a.must(acme->add(numbered(1, 3)));
    a.must(other->add(numbered(1, 4)));
    BOOST_TEST(text(a, "SELECT count(*)::text FROM \"dtbridge_big-co\".block_2") == "1");
    BOOST_TEST(text(a, "SELECT count(*)::text FROM dtbridge_acme.seen_1") == "3");
    BOOST_TEST(a.must(archive::names(pool)) == (std::vector<std::string>{"acme", "big-co"}),
               boost::test_tools::per_element());
    acme.reset();
    BOOST_TEST(a.must(archive::erase(pool, "acme")));
    BOOST_TEST(!a.must(archive::erase(pool, "acme")));
    BOOST_TEST(a.value("SELECT count(*) FROM seen") == 4);
    BOOST_TEST(a.must(other->read(0, 10, 10'000)).breaches.size() == 4u);
    // A new one of that name begins anew.
    BOOST_TEST(a.must(archive::open(pool, "acme", ""))->last_seq() == 0);
}

/// Whoever waits to drop a partition holds up everybody who comes after.
BOOST_AUTO_TEST_CASE(an_archive_that_a_backup_reads_is_not_waited_for_long)
{
    if (!is_installed())
        return;
    archives a(store_kind::postgresql);
    a.must(a.open()->add(numbered(1, 3)));
    auto other = a.open("other");
    db::postgres_options options;
    options.url = a.database.url;
    db::postgres backup(options);
    {
        db::postgres_transaction reads(backup);
        // What locks would be waited for without end is over then, and the test fails.
        backup.run("SET LOCAL idle_in_transaction_session_timeout = '20s'");
        backup.run("LOCK TABLE dtbridge.block, dtbridge.seen IN ACCESS SHARE MODE");
        const auto began = std::chrono::steady_clock::now();
        const auto refused = a.ask(archive::erase(a.pool, "acme"));
        BOOST_TEST((std::chrono::steady_clock::now() - began < std::chrono::seconds(15)));
        BOOST_REQUIRE(!refused);
        BOOST_TEST((refused.error().code == errc::locked));
        BOOST_TEST(refused.error().detail.find("a backup?") != std::string::npos, refused.error().detail);
        a.must(other->add(numbered(1, 3)));
        BOOST_TEST(a.value("SELECT count(*) FROM seen") == 6);
    }
    BOOST_TEST(a.must(archive::erase(a.pool, "acme")));
    BOOST_TEST(a.value("SELECT count(*) FROM seen") == 3);
}

BOOST_AUTO_TEST_CASE(a_database_that_goes_and_comes_back)
{
    if (!is_installed())
        return;
    archives a(store_kind::postgresql);
    auto acme = a.open();
    a.must(acme->ensure_cursor("siem", {"", 0}));
    a.must(acme->add(numbered(1, 20)));
    auto& server = postgres_server::shared();
    server.stop();
    auto refused = a.ask(acme->add(numbered(21, 20)));
    BOOST_REQUIRE(!refused);
    BOOST_TEST(refused.error().detail.find("PostgreSQL") == 0u);
    confirmed_batch batch;
    batch.last_seq = 20;
    BOOST_TEST(!a.ask(acme->confirm("siem", batch)));
    // What memory knows is still answered.
    BOOST_TEST(a.must(acme->read(0, 100, 1 << 20)).breaches.size() == 20u);
    server.start();
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    outcome<added> again = a.ask(acme->add(numbered(1, 40)));
    while (!again && std::chrono::steady_clock::now() < until)
        again = a.ask(acme->add(numbered(1, 40)));
    BOOST_REQUIRE(again);
    BOOST_TEST(again->keys.size() == 20u);
    BOOST_TEST(a.must(acme->confirm("siem", batch)));
    BOOST_TEST(a.must(acme->read(20, 100, 1 << 20)).breaches.size() == 20u);
}

BOOST_AUTO_TEST_CASE(a_second_writer_is_noticed_before_it_does_harm)
{
    if (!is_installed())
        return;
    archives a(store_kind::postgresql);
    auto one = a.open();
    archive_pool elsewhere(
        a.workers.get_executor(), a.dir / "elsewhere", [&] { return a.clock.load(); }, a.database);
    auto two = a.must(archive::open(elsewhere, "acme", ""));
    a.must(one->add(numbered(1, 3)));
    auto refused = a.ask(two->add(numbered(2, 3)));
    BOOST_REQUIRE(!refused);
    BOOST_TEST((refused.error().code == errc::locked));
    BOOST_TEST(a.value("SELECT count(*) FROM seen") == 3);
    const auto then = a.must(two->add(numbered(2, 3)));
    BOOST_TEST(then.keys.size() == 1u);
    BOOST_TEST(then.repeated == 2);
    BOOST_TEST(two->last_seq() == 4);
}

/// As when a service starts on an empty database.
BOOST_AUTO_TEST_CASE(many_masters_open_at_once)
{
    if (!is_installed())
        return;
    archives a(store_kind::postgresql);
    int good = 0;
    const auto count = [&good](std::exception_ptr e, outcome<std::shared_ptr<archive>> opened) {
        if (e || !opened)
            BOOST_ERROR((e ? "thrown" : opened.error().detail));
        else
            ++good;
    };
    for (int i = 0; i < 12; ++i)
        boost::asio::co_spawn(a.ctx, archive::open(a.pool, "m" + std::to_string(i), ""), count);
    a.ctx.restart();
    a.ctx.run_for(std::chrono::seconds(30));
    BOOST_TEST(good == 12);
    BOOST_TEST(a.pool.open_connections() <= 3u);  // as many as there are workers
}

BOOST_AUTO_TEST_CASE(a_newer_schema_is_refused)
{
    if (!is_installed())
        return;
    archives a(store_kind::postgresql);
    a.open();
    text(a, "UPDATE dtbridge.version SET version = 99");
    auto refused = a.ask(archive::open(a.pool, "acme", ""));
    BOOST_REQUIRE(!refused);
    BOOST_TEST((refused.error().code == errc::archive_newer));
    BOOST_TEST(!a.ask(archive::open_to_read(a.pool, "acme")));
}

BOOST_AUTO_TEST_CASE(words_of_the_network_need_not_be_text)
{
    if (!is_installed())
        return;
    archives a(store_kind::postgresql);
    auto acme = a.open();
    a.must(acme->add(numbered(1, 3)));
    a.must(acme->ensure_cursor("siem", {"", 0}));
    confirmed_batch batch;
    batch.first_seq = 1;
    batch.last_seq = 3;
    const std::string odd("a\0b\xff\xfe'", 6);
    batch.withheld = {{2, withheld_breach::cause::throttled, odd}};
    throttle_window w;
    w.throttle = "model";
    w.key = odd + std::string(5000, 'k');  // longer than an index takes
    w.last_model = odd;
    batch.windows = {w};
    a.must(acme->confirm("siem", batch));
    BOOST_TEST(a.must(acme->withheld(1, 3)).at(0).second.reason == odd);
    const auto kept = a.must(acme->throttle_windows("siem"));
    BOOST_REQUIRE(kept.size() == 1u);
    BOOST_TEST(kept[0].key == w.key);
    BOOST_TEST(kept[0].last_model == odd);
}

BOOST_AUTO_TEST_SUITE_END()
