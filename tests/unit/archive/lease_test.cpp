// The leases of masters in PostgreSQL: what cluster/lease_store.hpp asks of their store.

#include <dtbridge/archive/leases.hpp>

#include <algorithm>
#include <future>
#include <set>
#include <thread>

#include "archive/pg_schema.hpp"
#include "fixture.hpp"

using namespace dtbridge;
using namespace dtbridge::test;
using namespace std::chrono_literals;
using cluster::bridge_state;
using cluster::claim;
using cluster::identity;
using cluster::lease_number;

BOOST_AUTO_TEST_SUITE(leases)

namespace
{

bool is_installed()
{
    return both().size() > 1;
}

db::postgres_options options_of(const archive_database& d)
{
    db::postgres_options o;
    o.url = d.url;
    return o;
}

/// One bridge's store, asked from a context of its own.
struct bridge
{
    identity me;
    asio::io_context ctx;
    std::unique_ptr<cluster::lease_store> store;

    bridge(const archive_database& d, identity who, std::chrono::milliseconds lease = 10s)
        : me(std::move(who))
    {
        cluster::options timing;
        timing.lease = lease;
        store = open_lease_store(d, timing);
    }

    template <class T>
    outcome<T> ask(asio::awaitable<outcome<T>> task)
    {
        return run_coro(ctx, std::move(task), 30s);
    }
    template <class T>
    T must(asio::awaitable<outcome<T>> task)
    {
        auto answer = ask(std::move(task));
        if (!answer)
            throw std::runtime_error(answer.error().detail);
        return std::move(*answer);
    }

    cluster::renewal_answer renew(std::vector<lease_number> leases = {},
                                  bool join = false,
                                  bridge_state state = bridge_state::serving)
    {
        cluster::renewal r;
        r.who = me;
        r.join = join;
        r.state = state;
        r.leases = std::move(leases);
        return must(store->renew(std::move(r)));
    }
    void join() { BOOST_REQUIRE(!renew({}, true).superseded); }
    /// The same where the tables are not there yet: to make them may take longer than a question waits.
    void join_first()
    {
        cluster::renewal r;
        r.who = me;
        r.join = true;
        const auto until = std::chrono::steady_clock::now() + 60s;
        auto joined = ask(store->renew(r));
        while (!joined && joined.error().code == errc::timed_out && std::chrono::steady_clock::now() < until)
            joined = ask(store->renew(r));
        if (!joined)
            throw std::runtime_error(joined.error().detail);
    }
    std::vector<lease_number> acquire(std::vector<claim> claims)
    {
        auto won = must(store->try_acquire(me, std::move(claims)));
        std::sort(won.begin(), won.end(), [](const auto& a, const auto& b) { return a.master < b.master; });
        return won;
    }
    cluster::snapshot read(std::vector<std::string> masters)
    {
        return must(store->read(me, std::move(masters)));
    }
    std::int64_t release(std::vector<lease_number> leases)
    {
        return must(store->release(me, std::move(leases)));
    }
};

using numbers = std::vector<lease_number>;

/// A database, and somebody who looks at it.
struct stage
{
    archive_database database = database_for(store_kind::postgresql);

    stage() : stage(true) {}
    /// with_tables: to make them may take longer than a question waits.
    explicit stage(bool with_tables)
    {
        if (!with_tables)
            return;
        db::postgres on(options_of(database));
        pg_migrate(on);
    }

    cluster::lease_row row(bridge& b, const std::string& master)
    {
        const auto all = b.read({master});
        for (const auto& l : all.leases)
            if (l.master == master)
                return l;
        return {};
    }
    void run(const std::string& sql) { db::postgres(options_of(database)).run(sql); }
    /// What it would be if the lease's time had passed.
    void expire(const std::string& master)
    {
        run("UPDATE dtbridge.lease SET expires = 1 WHERE master = '" + master + "'");
    }
};

}  // namespace

BOOST_AUTO_TEST_CASE(numbers_rise_and_a_lease_is_one_bridge_s)
{
    if (!is_installed())
        return;
    stage s;
    bridge a(s.database, {"node1", "a"}), b(s.database, {"node2", "b"});
    a.join();
    b.join();
    BOOST_TEST((a.acquire({{"acme", 0}, {"other", 0}}) == numbers{{"acme", 1}, {"other", 1}}));
    BOOST_TEST(b.acquire({{"acme", 0}}).empty());
    BOOST_TEST(b.acquire({{"acme", 1}}).empty());  // alive
    const auto held = s.row(b, "acme");
    BOOST_TEST((held.owner == a.me));
    BOOST_TEST(held.number == 1);
    s.expire("acme");
    BOOST_TEST(b.acquire({{"acme", 0}}).empty());  // not the number that it has
    BOOST_TEST((b.acquire({{"acme", 1}}) == numbers{{"acme", 2}}));
    BOOST_TEST((s.row(a, "acme").owner == b.me));
    // The one that had it renews what it still has, and takes nothing back.
    BOOST_TEST((a.renew({{"acme", 1}, {"other", 1}}).renewed == numbers{{"other", 1}}));
    BOOST_TEST(a.release({{"acme", 1}}) == 0);
    BOOST_TEST((b.renew({{"acme", 2}}).renewed == numbers{{"acme", 2}}));
}

BOOST_AUTO_TEST_CASE(what_is_read_is_one_moment_by_the_database_s_clock)
{
    if (!is_installed())
        return;
    stage s;
    bridge a(s.database, {"node1", "a"}), b(s.database, {"node2", "b"});
    const auto before = b.read({}).now;
    a.join();
    a.renew({}, false, bridge_state::established);
    b.renew({}, true, bridge_state::joining);
    a.acquire({{"one", 0}, {"two", 0}, {"three", 0}});
    auto seen = b.read({"two", "never"});
    BOOST_TEST(seen.now >= before);
    BOOST_REQUIRE(seen.members.size() == 2u);
    std::sort(seen.members.begin(), seen.members.end(), [](const auto& x, const auto& y) {
        return x.who.name < y.who.name;
    });
    BOOST_TEST((seen.members[0].who == a.me && seen.members[1].who == b.me));
    BOOST_TEST((seen.members[0].state == bridge_state::established));
    BOOST_TEST((seen.members[1].state == bridge_state::joining));
    for (const auto& m : seen.members)
        BOOST_TEST((m.expires > seen.now && m.expires <= seen.now + 10'000));
    BOOST_REQUIRE(seen.leases.size() == 1u);
    BOOST_TEST(seen.leases[0].master == "two");
    BOOST_TEST((seen.leases[0].expires > seen.now && seen.leases[0].expires <= seen.now + 10'000));
    // A bridge's own are there, asked for or not; everything is what status asks for.
    BOOST_TEST(a.read({}).leases.size() == 3u);
    const auto all = b.must(b.store->read_all());
    BOOST_TEST(all.leases.size() == 3u);
    BOOST_TEST(all.members.size() == 2u);
    BOOST_TEST(all.now >= seen.now);
}

BOOST_AUTO_TEST_CASE(a_renewal_that_the_server_held_up_takes_nothing_back)
{
    if (!is_installed())
        return;
    stage s;
    bridge a(s.database, {"node1", "a"});
    a.join();
    a.acquire({{"acme", 0}});
    // What a renewal of five seconds later would have given, of ten seconds' leases.
    s.run("UPDATE dtbridge.lease SET expires = expires + 5000");
    s.run("UPDATE dtbridge.bridge SET expires = expires + 5000");
    const auto before = a.read({"acme"});
    a.renew({{"acme", 1}});
    auto after = a.read({"acme"});
    BOOST_TEST(after.leases.at(0).expires == before.leases.at(0).expires);
    BOOST_TEST(after.members.at(0).expires == before.members.at(0).expires);
    // An end an hour ahead is of before the server's clock was set back.
    s.run("UPDATE dtbridge.lease SET expires = expires + 3600000");
    s.run("UPDATE dtbridge.bridge SET expires = expires + 3600000");
    a.renew({{"acme", 1}});
    after = a.read({"acme"});
    BOOST_TEST(after.leases.at(0).expires <= after.now + 10'000);
    BOOST_TEST(after.members.at(0).expires <= after.now + 10'000);
}

BOOST_AUTO_TEST_CASE(a_lease_ends_by_itself_and_a_late_renewal_keeps_it)
{
    if (!is_installed())
        return;
    stage s;
    bridge a(s.database, {"node1", "a"}, 300ms), b(s.database, {"node2", "b"});
    a.join();
    b.join();
    BOOST_REQUIRE((a.acquire({{"acme", 0}}) == numbers{{"acme", 1}}));
    const auto began = std::chrono::steady_clock::now();
    while (s.row(b, "acme").expires > b.read({}).now)
        BOOST_REQUIRE((std::chrono::steady_clock::now() - began < 20s));
    BOOST_TEST((std::chrono::steady_clock::now() - began < 10s));
    // Nobody took it meanwhile.
    BOOST_TEST((a.renew({{"acme", 1}}).renewed == numbers{{"acme", 1}}));
    while (s.row(b, "acme").expires > b.read({}).now)
        BOOST_REQUIRE((std::chrono::steady_clock::now() - began < 20s));
    BOOST_TEST((b.acquire({{"acme", 1}}) == numbers{{"acme", 2}}));
    BOOST_TEST(a.renew({{"acme", 1}}).renewed.empty());
}

BOOST_AUTO_TEST_CASE(a_later_session_of_a_name_supersedes)
{
    if (!is_installed())
        return;
    stage s;
    bridge a(s.database, {"node1", "a"}), again(s.database, {"node1", "b"});
    a.join();
    BOOST_REQUIRE(a.acquire({{"acme", 0}}).size() == 1u);
    const auto ends = s.row(a, "acme").expires;
    again.join();
    const auto refused = a.renew({{"acme", 1}});
    BOOST_TEST(refused.superseded);
    BOOST_TEST(refused.renewed.empty());
    BOOST_TEST(s.row(again, "acme").expires == ends);
    BOOST_TEST(a.acquire({{"new", 0}}).empty());
    // Two runs of one name are two owners.
    BOOST_TEST(again.acquire({{"acme", 1}}).empty());
    BOOST_TEST((s.row(again, "acme").owner == a.me));
    // The old one's end takes nothing from the new one.
    BOOST_TEST(a.must(a.store->release_all(a.me)) == 1);
    BOOST_TEST(!again.renew().superseded);
    BOOST_TEST((again.acquire({{"acme", 1}}) == numbers{{"acme", 2}}));
}

BOOST_AUTO_TEST_CASE(released_leases_are_free_and_their_numbers_go_on)
{
    if (!is_installed())
        return;
    stage s;
    bridge a(s.database, {"node1", "a"}), b(s.database, {"node2", "b"});
    a.join();
    b.join();
    a.acquire({{"one", 0}, {"two", 0}, {"three", 0}});
    BOOST_TEST(b.release({{"one", 1}}) == 0);  // not its own
    BOOST_TEST(a.release({{"one", 1}, {"two", 7}}) == 1);
    const auto freed = s.row(b, "one");
    BOOST_TEST(freed.owner.name == "");
    BOOST_TEST(freed.number == 1);
    BOOST_TEST((b.acquire({{"one", 1}}) == numbers{{"one", 2}}));
    // A bridge that leaves takes nothing more.
    a.renew({{"two", 1}, {"three", 1}}, false, bridge_state::leaving);
    BOOST_TEST(a.acquire({{"four", 0}}).empty());
    BOOST_TEST(a.must(a.store->release_all(a.me)) == 2);
    const auto left = b.must(b.store->read_all());
    BOOST_REQUIRE(left.members.size() == 1u);
    BOOST_TEST((left.members[0].who == b.me));
    BOOST_TEST((b.acquire({{"three", 1}, {"two", 1}}) == numbers{{"three", 2}, {"two", 2}}));
    BOOST_TEST(a.renew().superseded);  // nobody is brought back but by joining
}

BOOST_AUTO_TEST_CASE(of_many_that_claim_at_once_one_wins_each)
{
    if (!is_installed())
        return;
    stage s;
    constexpr int bridges = 6;
    constexpr int masters = 40;
    std::vector<std::unique_ptr<bridge>> all;
    for (int i = 0; i < bridges; ++i)
    {
        all.push_back(
            std::make_unique<bridge>(s.database, identity{"node" + std::to_string(i), std::to_string(i)}));
        all.back()->join();
    }
    for (std::int64_t number = 0; number < 4; ++number)
    {
        std::vector<std::future<numbers>> asked;
        for (int i = 0; i < bridges; ++i)
            asked.push_back(std::async(std::launch::async, [&, i] {
                // Each in another order, as hashing gives it.
                std::vector<claim> claims;
                for (int m = 0; m < masters; ++m)
                    claims.push_back({"m" + std::to_string((m * 7 + i * 11) % masters), number});
                auto& b = *all[static_cast<std::size_t>(i)];
                numbers won;
                // What another one's statement holds is skipped; claimed again as at the next look.
                for (int look = 0; look < 3; ++look)
                    for (const auto& n : b.acquire(claims))
                        won.push_back(n);
                return won;
            }));
        std::set<std::string> taken;
        for (auto& a : asked)
            for (const auto& n : a.get())
            {
                BOOST_TEST(n.number == number + 1);
                BOOST_TEST(taken.insert(n.master).second);
            }
        BOOST_TEST(taken.size() == static_cast<std::size_t>(masters));
        s.run("UPDATE dtbridge.lease SET expires = 1");
    }
}

/// As when several bridges are started on an empty database.
BOOST_AUTO_TEST_CASE(stores_and_archives_begin_on_an_empty_database_at_once)
{
    if (!is_installed())
        return;
    stage s(false);
    std::vector<std::future<void>> all;
    for (int i = 0; i < 10; ++i)
        all.push_back(std::async(std::launch::async, [&s, i] {
            bridge b(s.database, {"node" + std::to_string(i), "s"});
            b.join_first();
            temp_dir dir;
            asio::thread_pool worker(1);
            archive_pool pool(worker.get_executor(), dir / "masters", s.database);
            b.must(archive::open(pool, "m" + std::to_string(i % 4), ""));
        }));
    for (auto& a : all)
        BOOST_CHECK_NO_THROW(a.get());
    bridge looks(s.database, {"looks", "x"});
    BOOST_TEST(looks.must(looks.store->read_all()).members.size() == 10u);
}

BOOST_AUTO_TEST_CASE(an_earlier_schema_is_brought_forward)
{
    if (!is_installed())
        return;
    archives a(store_kind::postgresql);
    a.must(a.open()->add(numbered(1, 5)));
    // As the version before leases left it.
    db::postgres on(options_of(a.database));
    on.run("DROP TABLE dtbridge.lease, dtbridge.bridge");
    on.run("UPDATE dtbridge.version SET version = 1");
    bridge b(a.database, {"node1", "b"});
    b.join();
    BOOST_TEST((b.acquire({{"acme", 0}}) == numbers{{"acme", 1}}));
    BOOST_TEST(a.value("SELECT version FROM version") == 2);
    BOOST_TEST(a.must(a.open("other")->facts()).breaches == 0);
    BOOST_TEST(a.value("SELECT count(*) FROM seen") == 5);
}

BOOST_AUTO_TEST_CASE(a_role_that_may_create_nothing_uses_what_is_there)
{
    if (!is_installed())
        return;
    stage s;
    {
        bridge owner(s.database, {"owner", "o"});
        owner.join();
    }
    s.run("CREATE ROLE weak LOGIN");
    s.run("GRANT USAGE ON SCHEMA dtbridge TO weak");
    s.run("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA dtbridge TO weak");
    auto weak = s.database;
    weak.url.replace(weak.url.find("user=test"), 9, "user=weak");
    bridge b(weak, {"node1", "b"});
    b.join();
    BOOST_TEST((b.acquire({{"acme", 0}}) == numbers{{"acme", 1}}));
}

BOOST_AUTO_TEST_CASE(a_schema_that_somebody_else_made_is_filled)
{
    if (!is_installed())
        return;
    stage s(false);
    s.run("CREATE ROLE lodger LOGIN");
    s.run("REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    s.run("CREATE SCHEMA dtbridge AUTHORIZATION lodger");
    auto lodger = s.database;
    lodger.url.replace(lodger.url.find("user=test"), 9, "user=lodger");
    bridge b(lodger, {"node1", "b"});
    b.join_first();
    BOOST_TEST((b.acquire({{"acme", 0}}) == numbers{{"acme", 1}}));
}

BOOST_AUTO_TEST_CASE(a_database_that_goes_and_comes_back_under_a_store)
{
    if (!is_installed())
        return;
    stage s;
    bridge a(s.database, {"node1", "a"});
    a.join();
    BOOST_REQUIRE(a.acquire({{"acme", 0}}).size() == 1u);
    auto& server = postgres_server::shared();
    server.stop();
    const auto began = std::chrono::steady_clock::now();
    const auto refused = a.ask(a.store->read(a.me, {}));
    BOOST_REQUIRE(!refused);
    BOOST_TEST(refused.error().detail.find("PostgreSQL") == 0u);
    BOOST_TEST((std::chrono::steady_clock::now() - began < 3s));
    server.start();
    // The connection is gone, and the next question makes another one.
    BOOST_TEST((a.renew({{"acme", 1}}).renewed == numbers{{"acme", 1}}));
    server.stop();
    server.start();
    // Nobody asked while it was away: the same.
    BOOST_TEST((a.renew({{"acme", 1}}).renewed == numbers{{"acme", 1}}));
}

BOOST_AUTO_TEST_CASE(a_statement_that_is_not_answered_is_given_up_after_two_seconds)
{
    if (!is_installed())
        return;
    stage s;
    bridge a(s.database, {"node1", "a"});
    a.join();
    BOOST_REQUIRE(a.acquire({{"acme", 0}}).size() == 1u);
    db::postgres other(options_of(s.database));
    {
        db::postgres_transaction holds(other);
        other.run("LOCK TABLE dtbridge.lease");
        const auto began = std::chrono::steady_clock::now();
        cluster::renewal r;
        r.who = a.me;
        r.leases = {{"acme", 1}};
        const auto late = a.ask(a.store->renew(r));
        const auto took = std::chrono::steady_clock::now() - began;
        BOOST_REQUIRE(!late);
        BOOST_TEST((late.error().code == errc::timed_out));
        BOOST_TEST((took > 1900ms && took < 4s));
    }
    BOOST_TEST((a.renew({{"acme", 1}}).renewed == numbers{{"acme", 1}}));
}

BOOST_AUTO_TEST_CASE(what_a_writer_holds_is_skipped_and_not_waited_for)
{
    if (!is_installed())
        return;
    stage s;
    bridge a(s.database, {"node1", "a"}), b(s.database, {"node2", "b"});
    a.join();
    b.join();
    a.acquire({{"busy", 0}, {"idle", 0}});
    s.expire("busy");
    s.expire("idle");
    db::postgres writer(options_of(s.database));
    {
        db::postgres_transaction writes(writer);
        writer.run(
            "SELECT 1::bigint FROM dtbridge.lease WHERE master = 'busy' AND number = 1 AND session = 'a' FOR "
            "KEY SHARE");
        // Renewing changes no key: it waits for no writer.
        BOOST_TEST(a.renew({{"busy", 1}}).renewed.size() == 1u);
        s.expire("busy");
        const auto began = std::chrono::steady_clock::now();
        BOOST_TEST((b.acquire({{"busy", 1}, {"idle", 1}}) == numbers{{"idle", 2}}));
        BOOST_TEST((std::chrono::steady_clock::now() - began < 1900ms));
    }
    BOOST_TEST((b.acquire({{"busy", 1}}) == numbers{{"busy", 2}}));
}

BOOST_AUTO_TEST_CASE(bridges_that_are_long_gone_are_forgotten)
{
    if (!is_installed())
        return;
    stage s;
    bridge a(s.database, {"node1", "a"}), b(s.database, {"node2", "b"}), c(s.database, {"node3", "c"});
    a.join();
    b.join();
    s.run("UPDATE dtbridge.bridge SET expires = 1 WHERE name = 'node1'");
    s.run("UPDATE dtbridge.bridge SET expires = expires - 3600000 WHERE name = 'node2'");
    c.join();
    std::set<std::string> names;
    for (const auto& m : c.read({}).members)
        names.insert(m.who.name);
    BOOST_TEST((names == std::set<std::string>{"node2", "node3"}));
}

BOOST_AUTO_TEST_SUITE_END()
