#include "archive/pg_schema.hpp"

#include <algorithm>
#include <chrono>
#include <mutex>
#include <string>
#include <thread>

#include <dtbridge/db/postgres.hpp>

namespace dtbridge
{

namespace
{

// Plain SQL: bigint, text, bytea and boolean; identity columns; declarative partitions by list and range. No
// extension, no trigger, no function of our own, no advisory lock, no session state, no NOTIFY.
constexpr const char* first_step[] = {
    // One row per master. Every transaction that writes of a master locks it first. last_seq outlives the
    // breaches, so that no seq is given twice. The counters number what is kept up to a count. place: the
    // schema of its partitions.
    R"(CREATE TABLE dtbridge.master(
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL UNIQUE,
    place       text NOT NULL,
    last_seq    bigint NOT NULL DEFAULT 0,
    breaches    bigint NOT NULL DEFAULT 0,
    bytes       bigint NOT NULL DEFAULT 0,
    position    bigint,
    by_activity boolean NOT NULL DEFAULT false,
    windows     bigint NOT NULL DEFAULT 0,
    losses      bigint NOT NULL DEFAULT 0,
    differences bigint NOT NULL DEFAULT 0,
    asides      bigint NOT NULL DEFAULT 0))",
    // Every key ever archived; outlives retention. The state is the one that the API showed last.
    R"(CREATE TABLE dtbridge.seen(
    master        bigint NOT NULL,
    pbid          bigint NOT NULL,
    created       bigint NOT NULL,
    seq           bigint NOT NULL,
    acknowledged  boolean NOT NULL,
    comment_count bigint NOT NULL,
    archive_only  boolean NOT NULL,
    late          boolean NOT NULL,
    PRIMARY KEY(master, pbid, created)) PARTITION BY LIST (master))",
    // Bodies of the breaches first_seq..last_seq, concatenated, one zstd frame of size bytes. directory:
    // pg_directory.hpp.
    R"(CREATE TABLE dtbridge.block(
    master       bigint NOT NULL,
    archived     bigint NOT NULL,
    last_seq     bigint NOT NULL,
    first_seq    bigint NOT NULL,
    created_from bigint NOT NULL,
    created_to   bigint NOT NULL,
    archive_only boolean NOT NULL,
    size         bigint NOT NULL,
    directory    bytea NOT NULL,
    data         bytea NOT NULL,
    PRIMARY KEY(master, last_seq, archived)) PARTITION BY LIST (master))",
    // The partitions of block that a master has: archived from starts, before ends.
    R"(CREATE TABLE dtbridge.part(
    master bigint NOT NULL,
    starts bigint NOT NULL,
    ends   bigint NOT NULL,
    PRIMARY KEY(master, starts)))",
    R"(CREATE TABLE dtbridge.cursor(
    id            bigint GENERATED ALWAYS AS IDENTITY,
    master        bigint NOT NULL,
    name          text NOT NULL,
    seq           bigint NOT NULL,
    sent          bigint NOT NULL DEFAULT 0,
    held_back     bigint NOT NULL DEFAULT 0,
    undeliverable bigint NOT NULL DEFAULT 0,
    throttled     bigint NOT NULL DEFAULT 0,
    lost          bigint NOT NULL DEFAULT 0,
    began         bigint,
    PRIMARY KEY(master, id),
    UNIQUE(master, name)))",
    // Policies and field maps by SHA-256 in hex. body is null where a batch named a hash that was never
    // given.
    R"(CREATE TABLE dtbridge.text(
    id     bigint GENERATED ALWAYS AS IDENTITY,
    master bigint NOT NULL,
    hash   text NOT NULL,
    used   bigint NOT NULL,
    body   bytea,
    name   bytea NOT NULL DEFAULT '',
    PRIMARY KEY(master, id),
    UNIQUE(master, hash)))",
    R"(CREATE TABLE dtbridge.batch(
    master        bigint NOT NULL,
    cursor        bigint NOT NULL,
    last_seq      bigint NOT NULL,
    first_seq     bigint NOT NULL,
    at            bigint NOT NULL,
    sent          bigint NOT NULL,
    held_back     bigint NOT NULL,
    undeliverable bigint NOT NULL,
    throttled     bigint NOT NULL,
    policy        bigint,
    fields        bigint,
    PRIMARY KEY(master, cursor, last_seq)))",
    // What retention dropped before a cursor had passed it.
    R"(CREATE TABLE dtbridge.lost(
    master    bigint NOT NULL,
    n         bigint NOT NULL,
    cursor    bigint NOT NULL,
    first_seq bigint NOT NULL,
    last_seq  bigint NOT NULL,
    at        bigint NOT NULL,
    count     bigint NOT NULL,
    PRIMARY KEY(master, n)))",
    R"(CREATE TABLE dtbridge.polled(
    master   bigint NOT NULL,
    n        bigint NOT NULL,
    at       bigint NOT NULL,
    starts   bigint NOT NULL,
    ends     bigint NOT NULL,
    sweep    boolean NOT NULL,
    shown    bigint NOT NULL,
    archived bigint NOT NULL,
    late     bigint NOT NULL,
    held     bigint NOT NULL,
    gone     bigint NOT NULL,
    PRIMARY KEY(master, n)))",
    // Later states of a breach; the last one is also in its row of seen.
    R"(CREATE TABLE dtbridge.change(
    master          bigint NOT NULL,
    seq             bigint NOT NULL,
    at              bigint NOT NULL,
    acknowledged    boolean NOT NULL,
    comment_count   bigint NOT NULL,
    acknowledged_at bigint,
    PRIMARY KEY(master, seq, at)))",
    R"(CREATE TABLE dtbridge.set_aside(
    master bigint NOT NULL,
    hash   bytea NOT NULL,
    n      bigint NOT NULL,
    at     bigint NOT NULL,
    PRIMARY KEY(master, hash)))",
    R"(CREATE INDEX set_aside_order ON dtbridge.set_aside(master, n))",
    // Breaches that a policy forwards and that did not go: how is 1 throttled, 2 undeliverable. Words and
    // keys
    // come from the network, so they are bytes, and found by their SHA-256.
    R"(CREATE TABLE dtbridge.reason(
    id     bigint GENERATED ALWAYS AS IDENTITY,
    master bigint NOT NULL,
    hash   bytea NOT NULL,
    words  bytea NOT NULL,
    PRIMARY KEY(master, id),
    UNIQUE(master, hash)))",
    R"(CREATE TABLE dtbridge.withheld(
    master bigint NOT NULL,
    cursor bigint NOT NULL,
    seq    bigint NOT NULL,
    how    bigint NOT NULL,
    reason bigint NOT NULL,
    PRIMARY KEY(master, cursor, seq)))",
    // The latest window of each key of a throttle, as far as this master's breaches are in it.
    R"(CREATE TABLE dtbridge.throttle(
    master      bigint NOT NULL,
    cursor      bigint NOT NULL,
    hash        bytea NOT NULL,
    throttle    bytea NOT NULL,
    key         bytea NOT NULL,
    starts      bigint NOT NULL,
    ends        bigint NOT NULL,
    passed      bigint NOT NULL,
    held        bigint NOT NULL,
    summed_up   bigint NOT NULL,
    first       bigint NOT NULL,
    last        bigint NOT NULL,
    last_model  bytea NOT NULL,
    last_device bytea NOT NULL,
    last_url    bytea NOT NULL,
    PRIMARY KEY(master, cursor, hash)))",
    R"(CREATE INDEX throttle_age ON dtbridge.throttle(master, cursor, starts))",
    // Where the API and the archive differed, each once.
    R"(CREATE TABLE dtbridge.difference(
    master  bigint NOT NULL,
    pbid    bigint NOT NULL,
    created bigint NOT NULL,
    kind    bigint NOT NULL,
    n       bigint NOT NULL,
    at      bigint NOT NULL,
    PRIMARY KEY(master, pbid, created, kind)))",
    R"(CREATE INDEX difference_order ON dtbridge.difference(master, n))",
};

// Which bridges there are and which master each has (cluster/lease_store.hpp). Times are ms by the server's
// clock. A row of lease outlives its master's archive, so that no number is given twice.
constexpr const char* second_step[] = {
    R"(CREATE TABLE dtbridge.bridge(
    name    text PRIMARY KEY,
    session text NOT NULL,
    expires bigint NOT NULL,
    state   text NOT NULL))",
    // UNIQUE(master, number): a writer's lock FOR KEY SHARE keeps number, and nothing else, as it is.
    R"(CREATE TABLE dtbridge.lease(
    master  text PRIMARY KEY,
    owner   text,
    session text,
    number  bigint NOT NULL,
    expires bigint NOT NULL,
    UNIQUE(master, number)))",
    R"(CREATE INDEX lease_session ON dtbridge.lease(session))",
};

constexpr std::span<const char* const> steps[] = {first_step, second_step};

/// -1: there is nothing yet.
std::int64_t found_version(db::postgres& on)
{
    const auto there = on.run(
        "SELECT EXISTS(SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = 'dtbridge' AND tablename = "
        "'version')");
    if (!there.flag(0, 0))
        return -1;
    const auto v = on.run("SELECT version FROM dtbridge.version");
    const auto version = v.empty() ? 0 : v.integer(0, 0);
    const auto newest = static_cast<std::int64_t>(std::size(steps));
    if (version > newest)
        throw db::error(fail(errc::archive_newer,
                             on.place() + ": this archive was written by a newer dtbridge (schema " +
                                 std::to_string(version) + ", this version knows up to " +
                                 std::to_string(newest) + "); install that version again"));
    return version;
}

}  // namespace

std::span<const std::span<const char* const>> pg_archive_schema()
{
    return steps;
}

namespace
{

void migrate(db::postgres& on)
{
    const auto newest = static_cast<std::int64_t>(std::size(steps));
    if (found_version(on) == newest)
        return;
    // Not by IF NOT EXISTS alone: that asks for the right to create even where nothing is to be created.
    if (on.run("SELECT 1::bigint FROM pg_catalog.pg_namespace WHERE nspname = 'dtbridge'").empty())
        on.run("CREATE SCHEMA IF NOT EXISTS dtbridge");
    on.run("CREATE TABLE IF NOT EXISTS dtbridge.version(one bigint PRIMARY KEY, version bigint NOT NULL)");
    on.run("INSERT INTO dtbridge.version VALUES(1, 0) ON CONFLICT DO NOTHING");
    for (;;)
    {
        db::postgres_transaction step(on);
        // Of several bridges that start together one makes each step.
        const auto v = on.run("SELECT version FROM dtbridge.version WHERE one = 1 FOR UPDATE");
        const auto at = v.empty() ? 0 : v.integer(0, 0);
        if (at >= newest)
            break;
        for (const char* sql : steps[static_cast<std::size_t>(at)])
            on.run(sql);
        on.run("UPDATE dtbridge.version SET version = $1 WHERE one = 1", db::parameters().add(at + 1));
        step.commit();
    }
    found_version(on);
}

/// Somebody else made the same schema, table or row at the same moment.
bool was_faster(const db::postgres_error& e)
{
    return e.sqlstate() == "23505" || e.sqlstate() == "42P06" || e.sqlstate() == "42P07" ||
           e.may_succeed_again();
}

}  // namespace

void pg_migrate(db::postgres& on)
{
    // Where there is nothing to do nobody waits for another connection.
    if (found_version(on) == static_cast<std::int64_t>(std::size(steps)))
        return;
    // All masters of this process open at once when it starts; other bridges may do the same.
    static std::mutex one_at_a_time;
    std::lock_guard lock(one_at_a_time);
    for (int tries = 1;; ++tries)
    {
        try
        {
            return migrate(on);
        }
        catch (const db::postgres_error& e)
        {
            if (!was_faster(e) || tries >= 5)
                throw;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(50 * tries));
    }
}

pg_schema_version pg_look_at_schema(db::postgres& on)
{
    return {std::max<std::int64_t>(found_version(on), 0), static_cast<std::int64_t>(std::size(steps))};
}

bool pg_check_version(db::postgres& on)
{
    const auto found = found_version(on);
    if (found <= 0)
        return false;
    if (found < static_cast<std::int64_t>(std::size(steps)))
        throw db::error(fail(errc::unsupported,
                             on.place() + ": this archive has the older schema " + std::to_string(found) +
                                 "; start the service once, which brings it forward"));
    return true;
}

}  // namespace dtbridge
