// An archive in PostgreSQL under a lease: who lost it writes nothing.

#include <dtbridge/archive/copy.hpp>
#include <dtbridge/archive/leases.hpp>

#include <boost/asio/ip/tcp.hpp>

#include <dtbridge/cluster/permit.hpp>

#include "archive/pg_leases.hpp"
#include "archive/pg_schema.hpp"
#include "fixture.hpp"

using namespace dtbridge;
using namespace dtbridge::test;
using namespace std::chrono_literals;
using cluster::identity;

namespace
{

bool is_installed()
{
    return both().size() > 1;
}

/// Bridges that share the database of a; each one's archives are of a pool of its own.
struct bridges : archives
{
    bridges() : archives(store_kind::postgresql)
    {
        // To make the tables may take longer than a question waits.
        db::postgres on(to_connect());
        pg_migrate(on);
        for (const auto& who : {node1, node2})
        {
            cluster::renewal r;
            r.who = who;
            r.join = true;
            must(leases->renew(std::move(r)));
        }
    }

    const identity node1 = {"node1", "s1"}, node2 = {"node2", "s2"};
    archive_pool elsewhere{
        workers.get_executor(), dir / "elsewhere", [this] { return clock.load(); }, database};
    std::unique_ptr<cluster::lease_store> leases = open_lease_store(database);

    db::postgres_options to_connect() const
    {
        db::postgres_options o;
        o.url = database.url;
        return o;
    }
    void run(const std::string& sql) { db::postgres(to_connect()).run(sql); }
    std::int64_t count(const std::string& sql)
    {
        return db::postgres(to_connect()).run("SELECT (" + sql + ")::bigint").integer(0, 0);
    }

    /// who takes master; number: the one it has.
    std::shared_ptr<const cluster::permit> take(const identity& who,
                                                std::int64_t number,
                                                const std::string& master = "acme")
    {
        run("UPDATE dtbridge.lease SET expires = 1 WHERE master = '" + master + "'");
        const auto won = must(leases->try_acquire(who, {{master, number, ""}}));
        BOOST_REQUIRE(won.size() == 1u);
        return std::make_shared<cluster::permit>(master, won[0].number, who.session);
    }
    std::shared_ptr<archive> open_owned(archive_pool& of, std::shared_ptr<const cluster::permit> lease)
    {
        const auto master = lease->master();
        return must(archive::open(of, master, "", std::move(lease)));
    }
    /// Everything that is stored of all masters, in short.
    std::string stored()
    {
        std::string out;
        db::postgres c(to_connect());
        for (const std::string table : {"master",
                                        "seen",
                                        "block",
                                        "part",
                                        "cursor",
                                        "text",
                                        "batch",
                                        "lost",
                                        "polled",
                                        "change",
                                        "set_aside",
                                        "reason",
                                        "withheld",
                                        "throttle",
                                        "difference"})
        {
            const auto r =
                c.run("SELECT coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') FROM dtbridge." +
                      table + " AS t");
            out += table + "=" + std::string(r.bytes(0, 0)) + "\n";
        }
        return out;
    }
};

confirmed_batch batch_to(std::int64_t seq)
{
    confirmed_batch b;
    b.first_seq = 1;
    b.last_seq = seq;
    b.sent = seq;
    return b;
}

throttle_window window_of(const std::string& key)
{
    throttle_window w;
    w.throttle = "model";
    w.key = key;
    w.start = 1;
    w.ends = 2;
    return w;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(fencing)

BOOST_AUTO_TEST_CASE(whoever_lost_the_lease_writes_nothing)
{
    if (!is_installed())
        return;
    bridges a;
    auto old = a.open_owned(a.pool, a.take(a.node1, 0));
    a.must(old->add(numbered(1, 20)));
    a.must(old->ensure_cursor("siem", {"", 0}));
    a.must(old->note_differences({{difference::kind::late, {1, 1000}}}));
    a.must(old->confirm("siem", batch_to(10)));
    a.clock += 5 * 3'600'000;
    a.take(a.node2, 1);
    const auto before = a.stored();
    const auto refused = [&](const auto& answer) {
        BOOST_TEST(!answer);
        if (!answer)
            BOOST_TEST((answer.error().code == errc::lease_lost), answer.error().detail);
    };
    refused(a.ask(old->add(numbered(21, 5))));
    archive_block only_position;
    only_position.position = poll_position{7, false};
    refused(a.ask(old->add(std::move(only_position))));
    refused(a.ask(old->save_position({5, false})));
    refused(a.ask(old->ensure_cursor("other", {"", 0})));
    refused(a.ask(old->ensure_cursor("renamed", {"siem", 0})));
    refused(a.ask(old->confirm("siem", batch_to(20))));
    refused(a.ask(old->forget_cursor("siem")));
    refused(a.ask(old->note_summary("siem", window_of("k"))));
    refused(a.ask(old->remember("a policy", "p.toml")));
    refused(a.ask(old->set_aside("no breach", "why")));
    refused(a.ask(old->note_states({{{1, 1000}, true, 2, {}}})));
    refused(a.ask(old->note_differences({{difference::kind::gone, {2, 2000}}})));
    refused(a.ask(old->settle_differences(difference::kind::late, {{1, 1000}})));
    retention_order order;
    order.older_than = a.clock;
    refused(a.ask(old->prune(order)));
    order = {};
    order.max_bytes = 1;
    order.drop_undelivered = true;
    refused(a.ask(old->prune(order)));
    BOOST_TEST(a.stored() == before);
    // Nor does one that opens it anew with the old lease.
    archive_pool again(
        a.workers.get_executor(), a.dir / "again", [&] { return a.clock.load(); }, a.database);
    auto late = a.must(archive::open(again, "acme", "", std::make_shared<cluster::permit>("acme", 1, "s1")));
    refused(a.ask(late->add(numbered(21, 5))));
    refused(a.ask(archive::open(again, "new", "acme", std::make_shared<cluster::permit>("new", 1, "s1"))));
    BOOST_TEST(a.stored() == before);
}

BOOST_AUTO_TEST_CASE(the_next_owner_knows_what_the_last_one_did)
{
    if (!is_installed())
        return;
    bridges a;
    auto one = a.open_owned(a.pool, a.take(a.node1, 0));
    a.must(one->ensure_cursor("siem", {"", 0, 1234}));
    auto first = numbered(1, 20);
    first.position = poll_position{99, true};
    a.must(one->add(std::move(first)));
    auto batch = batch_to(12);
    batch.windows = {window_of("k")};
    a.must(one->confirm("siem", batch));
    auto two = a.open_owned(a.elsewhere, a.take(a.node2, 1));
    BOOST_TEST(two->last_seq() == 20);
    BOOST_TEST(a.must(two->position())->position == 99);
    const auto cursors = a.must(two->cursors());
    BOOST_REQUIRE(cursors.size() == 1u);
    BOOST_TEST(cursors[0].seq == 12);
    BOOST_TEST(cursors[0].began == 1234);
    BOOST_TEST(a.must(two->throttle_windows("siem")).size() == 1u);
    BOOST_TEST(a.must(two->read(12, 100, 1 << 20)).breaches.size() == 8u);
    const auto more = a.must(two->add(numbered(15, 10)));
    BOOST_TEST(more.repeated == 6);
    BOOST_TEST(more.last_seq == 24);
    a.must(two->confirm("siem", batch_to(24)));
    // And back again: by another number, and anew.
    auto three = a.open_owned(a.pool, a.take(a.node1, 2));
    BOOST_TEST(a.must(three->cursors())[0].seq == 24);
    BOOST_TEST(a.must(three->add(numbered(20, 6))).keys.size() == 1u);
    BOOST_TEST(!a.ask(two->confirm("siem", batch_to(25))));
    BOOST_TEST(!a.ask(one->save_position({5, false})));
}

BOOST_AUTO_TEST_CASE(a_lease_that_was_given_back_writes_nothing)
{
    if (!is_installed())
        return;
    bridges a;
    auto one = a.open_owned(a.pool, a.take(a.node1, 0));
    a.must(one->add(numbered(1, 3)));
    BOOST_TEST(a.must(a.leases->release(a.node1, {{"acme", 1}})) == 1);
    auto refused = a.ask(one->add(numbered(4, 3)));
    BOOST_REQUIRE(!refused);
    BOOST_TEST((refused.error().code == errc::lease_lost));
}

BOOST_AUTO_TEST_CASE(as_long_as_nobody_took_it_an_expired_lease_writes)
{
    if (!is_installed())
        return;
    bridges a;
    auto one = a.open_owned(a.pool, a.take(a.node1, 0));
    a.run("UPDATE dtbridge.lease SET expires = 1");
    a.must(one->add(numbered(1, 3)));
    BOOST_TEST(a.value("SELECT count(*) FROM seen") == 3);
}

/// A bridge that is stopped, or cut off, in the middle of a transaction.
BOOST_AUTO_TEST_CASE(a_writer_that_stands_still_holds_nobody_up_for_long)
{
    if (!is_installed())
        return;
    bridges a;
    const auto lease = a.take(a.node1, 0);
    auto one = a.open_owned(a.pool, lease);
    a.must(one->add(numbered(1, 3)));
    db::postgres stopped(a.to_connect());
    db::postgres_transaction writes(stopped);
    BOOST_REQUIRE(pg_hold_lease(stopped, *lease));
    stopped.run("UPDATE dtbridge.master SET last_seq = 100");
    a.run("UPDATE dtbridge.lease SET expires = 1");
    const auto began = std::chrono::steady_clock::now();
    std::vector<cluster::lease_number> won;
    int skipped = 0;
    for (; won.empty(); ++skipped)
    {
        BOOST_REQUIRE((std::chrono::steady_clock::now() - began < 30s));
        const auto asked = std::chrono::steady_clock::now();
        won = a.must(a.leases->try_acquire(a.node2, {{"acme", 1, ""}}));
        BOOST_TEST((std::chrono::steady_clock::now() - asked < 2s));
        std::this_thread::sleep_for(50ms);
    }
    const auto took = std::chrono::steady_clock::now() - began;
    BOOST_TEST(skipped > 1);
    BOOST_TEST((took > 3s && took < 12s), "half a lease is 5 s");
    BOOST_TEST(won[0].number == 2);
    auto two = a.open_owned(a.elsewhere, std::make_shared<cluster::permit>("acme", 2, "s2"));
    BOOST_TEST(two->last_seq() == 3);
    BOOST_TEST(a.must(two->add(numbered(4, 1))).last_seq == 4);
    try
    {
        stopped.run("UPDATE dtbridge.master SET last_seq = 200");
        BOOST_ERROR("the transaction went on");
    }
    catch (const db::postgres_error& e)
    {
        BOOST_TEST(e.lost(), e.reason().detail);
    }
}

/// One that is cut off in the middle of a statement: there the server's limit of idling does not hold.
BOOST_AUTO_TEST_CASE(whoever_holds_a_lease_is_probed_for_the_transaction)
{
    if (!is_installed())
        return;
    bridges a;
    const auto lease = a.take(a.node1, 0);
    auto& server = postgres_server::shared();
    std::string port;
    {
        asio::io_context io;
        asio::ip::tcp::acceptor free(io, {asio::ip::address_v4::loopback(), 0});
        port = std::to_string(free.local_endpoint().port());
    }
    const auto settings = [](db::postgres& on) {
        return std::string(on.run("SELECT current_setting('tcp_keepalives_idle') || ' ' || "
                                  "current_setting('tcp_keepalives_interval') || ' ' || "
                                  "current_setting('tcp_keepalives_count') || ' ' || "
                                  "current_setting('idle_in_transaction_session_timeout')")
                               .bytes(0, 0));
    };
    db::postgres_options options;
    const auto database = a.database.url.substr(0, a.database.url.find('?'));
    options.url = database + "?user=test&host=127.0.0.1&port=" + port;
    server.listen_on(port);
    {
        db::postgres on(options);
        const auto before = settings(on);
        {
            db::postgres_transaction writes(on);
            BOOST_REQUIRE(pg_hold_lease(on, *lease));
            BOOST_TEST(settings(on) == "5 2 2 5s");
            writes.commit();
        }
        BOOST_TEST(settings(on) == before);
        db::postgres_transaction writes(on);
        pg_refuse_owned(on, "acme", lease->session());
        BOOST_TEST(settings(on) == "5 2 2 5s");
    }
    server.listen_on("");
}

BOOST_AUTO_TEST_CASE(commands_keep_away_from_a_master_that_a_bridge_has)
{
    if (!is_installed())
        return;
    bridges a;
    auto lone = a.open();
    a.must(lone->add(numbered(1, 3)));
    a.must(lone->ensure_cursor("siem", {"", 0}));
    a.take(a.node1, 0);
    const auto copied = a.dir / "copied";
    std::filesystem::create_directories(copied);
    const auto before = a.stored();
    const auto refused = [&](const auto& answer) {
        BOOST_REQUIRE(!answer);
        BOOST_TEST((answer.error().code == errc::locked));
        BOOST_TEST(answer.error().detail.find("bridge node1 has master acme") != std::string::npos,
                   answer.error().detail);
    };
    refused(a.ask(lone->add(numbered(4, 3))));
    refused(a.ask(lone->forget_cursor("siem")));
    refused(a.ask(archive::open(a.elsewhere, "acme", "")));
    refused(a.ask(archive::erase(a.pool, "acme")));
    refused(copy_archive_to_database(a.dir / "masters", "acme", a.database, [](std::int64_t) {}));
    refused(copy_archive_to_files(copied, "acme", a.database, [](std::int64_t) {}));
    BOOST_TEST(!std::filesystem::exists(copied + "/acme/archive.db"));
    BOOST_TEST(a.stored() == before);
    // A master that the bridge has by its old name keeps it.
    a.must(a.open("old")->add(numbered(1, 1)));
    a.take(a.node1, 0, "old");
    auto renamed = a.ask(archive::open(a.elsewhere, "new", "old", a.take(a.node2, 0, "new")));
    BOOST_REQUIRE(!renamed);
    BOOST_TEST((renamed.error().code == errc::locked));
    BOOST_TEST(a.count("SELECT count(*) FROM dtbridge.master WHERE name = 'old'") == 1);
    // A bridge that was killed keeps nobody away for longer than its lease.
    a.run("UPDATE dtbridge.lease SET expires = 1");
    a.must(lone->add(numbered(4, 3)));
    // One that comes in the middle of a copy goes on with its archive, and the copy is none.
    refused(copy_archive_to_files(copied, "acme", a.database, [&](std::int64_t) {
        a.run("UPDATE dtbridge.lease SET expires = 9000000000000000");
    }));
    BOOST_TEST(!std::filesystem::exists(copied + "/acme/archive.db"));
    a.run("UPDATE dtbridge.lease SET expires = 1");
    BOOST_TEST(copy_archive_to_files(copied, "acme", a.database, [](std::int64_t) {})->breaches == 6);
    BOOST_TEST(a.must(archive::erase(a.pool, "acme")));
    // The number goes on after the archive is gone.
    a.take(a.node2, 1);
    BOOST_TEST(a.count("SELECT number FROM dtbridge.lease WHERE master = 'acme'") == 2);
}

BOOST_AUTO_TEST_CASE(files_know_no_leases)
{
    archives a(store_kind::sqlite);
    auto acme = a.must(archive::open(a.pool, "acme", "", std::make_shared<cluster::permit>("acme", 7, "x")));
    BOOST_TEST(a.must(acme->add(numbered(1, 3))).last_seq == 3);
}

BOOST_AUTO_TEST_SUITE_END()
