#include "archive/schema.hpp"

namespace dtbridge
{

namespace
{

constexpr const char* archive_steps[] = {
    R"(
-- One row. last_seq outlives the breaches, so that no seq is given twice.
CREATE TABLE state(
    id          INTEGER PRIMARY KEY CHECK(id = 1),
    last_seq    INTEGER NOT NULL,
    breaches    INTEGER NOT NULL,
    position    INTEGER,
    by_activity INTEGER NOT NULL);
INSERT INTO state VALUES(1, 0, 0, NULL, 0);

-- Bodies of the breaches id..last_seq, concatenated, one zstd frame; id is the first seq.
CREATE TABLE block(
    id       INTEGER PRIMARY KEY,
    last_seq INTEGER NOT NULL,
    archived INTEGER NOT NULL,
    size     INTEGER NOT NULL,
    data     BLOB NOT NULL);

CREATE TABLE breach(
    seq           INTEGER PRIMARY KEY,
    pbid          INTEGER NOT NULL,
    created       INTEGER NOT NULL,
    time          INTEGER,
    block         INTEGER NOT NULL,
    begins        INTEGER NOT NULL,
    length        INTEGER NOT NULL,
    acknowledged  INTEGER NOT NULL,
    comment_count INTEGER NOT NULL,
    archive_only  INTEGER NOT NULL);

-- Every key ever archived; outlives retention.
CREATE TABLE seen(
    pbid    INTEGER NOT NULL,
    created INTEGER NOT NULL,
    seq     INTEGER NOT NULL,
    PRIMARY KEY(pbid, created)) WITHOUT ROWID;

CREATE TABLE cursor(
    id            INTEGER PRIMARY KEY,
    name          TEXT NOT NULL UNIQUE,
    seq           INTEGER NOT NULL,
    sent          INTEGER NOT NULL,
    held_back     INTEGER NOT NULL,
    undeliverable INTEGER NOT NULL,
    lost          INTEGER NOT NULL);

-- Policies and field maps by SHA-256 in hex. body is NULL where a batch named a hash that was never given.
CREATE TABLE text(
    id   INTEGER PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    used INTEGER NOT NULL,
    body BLOB);

CREATE TABLE batch(
    cursor        INTEGER NOT NULL,
    last_seq      INTEGER NOT NULL,
    first_seq     INTEGER NOT NULL,
    at            INTEGER NOT NULL,
    sent          INTEGER NOT NULL,
    held_back     INTEGER NOT NULL,
    undeliverable INTEGER NOT NULL,
    policy        INTEGER,
    fields        INTEGER,
    PRIMARY KEY(cursor, last_seq)) WITHOUT ROWID;

-- What retention dropped before a cursor had passed it.
CREATE TABLE lost(
    id        INTEGER PRIMARY KEY,
    cursor    INTEGER NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq  INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    count     INTEGER NOT NULL);

CREATE TABLE window(
    id       INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,
    starts   INTEGER NOT NULL,
    ends     INTEGER NOT NULL,
    sweep    INTEGER NOT NULL,
    shown    INTEGER NOT NULL,
    archived INTEGER NOT NULL,
    late     INTEGER NOT NULL);

-- Later states of a breach; the last one is also in its row.
CREATE TABLE change(
    seq           INTEGER NOT NULL,
    at            INTEGER NOT NULL,
    acknowledged  INTEGER NOT NULL,
    comment_count INTEGER NOT NULL,
    PRIMARY KEY(seq, at)) WITHOUT ROWID;

CREATE TABLE set_aside(
    id   INTEGER PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    at   INTEGER NOT NULL);
)",
    R"(
-- Found after polling had passed its time.
ALTER TABLE breach ADD COLUMN late INTEGER NOT NULL DEFAULT 0;
-- The file's name, for reasons that are worked out again.
ALTER TABLE text ADD COLUMN name TEXT NOT NULL DEFAULT '';

ALTER TABLE cursor ADD COLUMN throttled INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batch ADD COLUMN throttled INTEGER NOT NULL DEFAULT 0;

-- Breaches that a policy forwards and that did not go: how is 1 throttled, 2 undeliverable.
CREATE TABLE withheld(
    cursor INTEGER NOT NULL,
    seq    INTEGER NOT NULL,
    how    INTEGER NOT NULL,
    reason INTEGER NOT NULL,
    PRIMARY KEY(cursor, seq)) WITHOUT ROWID;
CREATE TABLE reason(
    id    INTEGER PRIMARY KEY,
    words TEXT NOT NULL UNIQUE);

-- The latest window of each key of a throttle, as far as this master's breaches are in it.
CREATE TABLE throttle(
    cursor      INTEGER NOT NULL,
    throttle    TEXT NOT NULL,
    key         TEXT NOT NULL,
    start       INTEGER NOT NULL,
    ends        INTEGER NOT NULL,
    passed      INTEGER NOT NULL,
    held        INTEGER NOT NULL,
    summed_up   INTEGER NOT NULL,
    first       INTEGER NOT NULL,
    last        INTEGER NOT NULL,
    last_model  TEXT NOT NULL,
    last_device TEXT NOT NULL,
    last_url    TEXT NOT NULL,
    PRIMARY KEY(cursor, throttle, key)) WITHOUT ROWID;
CREATE INDEX throttle_age ON throttle(cursor, start);
)",
    R"(
-- Of sweeps: how many breaches the archive holds in the window, and how many of them the API shows no longer.
ALTER TABLE window ADD COLUMN held INTEGER NOT NULL DEFAULT 0;
ALTER TABLE window ADD COLUMN gone INTEGER NOT NULL DEFAULT 0;

-- When it was acknowledged, by the master.
ALTER TABLE change ADD COLUMN acknowledged_at INTEGER;

-- Where the API and the archive differed, each once.
CREATE TABLE difference(
    id      INTEGER PRIMARY KEY,
    kind    INTEGER NOT NULL,
    pbid    INTEGER NOT NULL,
    created INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    UNIQUE(pbid, created, kind));
)",
    R"(
-- When the destination first ran (ms), so that `start` means the same without the service's file; null: not known.
ALTER TABLE cursor ADD COLUMN began INTEGER;
)",
};

constexpr const char* service_steps[] = {
    R"(
CREATE TABLE destination(
    name      TEXT PRIMARY KEY,
    first_ran INTEGER NOT NULL) WITHOUT ROWID;
)",
    R"(
-- How often the lines of a destination's policy spoke. line: file and text.
CREATE TABLE policy_line(
    id          INTEGER PRIMARY KEY,
    destination TEXT NOT NULL,
    line        TEXT NOT NULL,
    since       INTEGER NOT NULL,
    last_spoke  INTEGER NOT NULL,
    UNIQUE(destination, line));
CREATE TABLE policy_hour(
    line  INTEGER NOT NULL,
    hour  INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY(line, hour)) WITHOUT ROWID;
)",
};

}  // namespace

std::span<const char* const> archive_schema()
{
    return archive_steps;
}

std::span<const char* const> service_schema()
{
    return service_steps;
}

}  // namespace dtbridge
