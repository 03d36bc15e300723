/// What is kept beside the breaches of a PostgreSQL archive: states that the API showed later, windows that
/// were asked for, and where the API and the archive differed.

#include <algorithm>
#include <set>

#include "archive/bounds.hpp"
#include "archive/pg_store.hpp"

namespace dtbridge
{

namespace
{

constexpr std::int64_t most_changes_read = 100000;
constexpr std::int64_t directories_at_once = 64;

state_change change_in(const db::rows& r, int row, int column)
{
    state_change c{r.integer(row, column), r.flag(row, column + 1), r.integer(row, column + 2), std::nullopt};
    c.acknowledged_at = r.optional_integer(row, column + 3);
    return c;
}

}  // namespace

std::vector<noted_change> pg_store::note_states(const std::vector<shown_state>& shown, std::int64_t now)
{
    std::vector<std::int64_t> numbers, pbids, created, comments;
    std::vector<bool> acknowledged;
    for (const auto& s : shown)
    {
        numbers.push_back(static_cast<std::int64_t>(numbers.size()));
        pbids.push_back(s.key.pbid);
        created.push_back(s.key.created);
        acknowledged.push_back(s.acknowledged);
        comments.push_back(s.comment_count);
    }
    std::vector<noted_change> out;
    {
        auto c = connect();
        const auto r = c->run(
            "SELECT u.n, s.seq, s.acknowledged, s.archive_only FROM unnest($2, $3, $4, $5, $6) AS "
            "u(n, pbid, created, acknowledged, comment_count) JOIN dtbridge.seen AS s ON s.master = "
            "$1 AND s.pbid = u.pbid AND s.created = u.created WHERE s.acknowledged <> u.acknowledged "
            "OR s.comment_count <> u.comment_count ORDER BY u.n",
            ours().add(numbers).add(pbids).add(created).flags(acknowledged).add(comments));
        std::vector<std::int64_t> seqs;
        std::set<breach_key> changed;
        for (int i = 0; i < r.size(); ++i)
        {
            const auto& s = shown.at(static_cast<std::size_t>(r.integer(i, 0)));
            // An answer that shows one breach twice changes it once.
            if (!changed.insert(s.key).second)
                continue;
            noted_change n;
            n.key = s.key;
            n.seq = r.integer(i, 1);
            n.was_acknowledged = r.flag(i, 2);
            n.archive_only = r.flag(i, 3);
            n.now = state_change{now, s.acknowledged, s.comment_count, s.acknowledged_at};
            n.acknowledged_by = s.acknowledged_by;
            n.model = s.model;
            seqs.push_back(n.seq);
            out.push_back(std::move(n));
        }
        const auto there = still_there(*c, seqs);
        std::erase_if(out, [&](const noted_change& n) { return there.find(n.seq) == there.end(); });
    }
    if (out.empty())
        return out;
    pbids.clear();
    created.clear();
    comments.clear();
    acknowledged.clear();
    std::vector<std::int64_t> seqs;
    std::vector<std::optional<std::int64_t>> when;
    for (const auto& n : out)
    {
        pbids.push_back(n.key.pbid);
        created.push_back(n.key.created);
        seqs.push_back(n.seq);
        acknowledged.push_back(n.now.acknowledged);
        comments.push_back(n.now.comment_count);
        when.push_back(n.now.acknowledged_at);
    }
    write([&](db::postgres& on) {
        on.run(
            "UPDATE dtbridge.seen AS s SET acknowledged = u.acknowledged, comment_count = u.comment_count "
            "FROM "
            "unnest($2, $3, $4, $5) AS u(pbid, created, acknowledged, comment_count) WHERE s.master = $1 AND "
            "s.pbid "
            "= u.pbid AND s.created = u.created",
            ours().add(pbids).add(created).flags(acknowledged).add(comments));
        on.run(
            "INSERT INTO dtbridge.change(master, seq, at, acknowledged, comment_count, acknowledged_at) "
            "SELECT $1, "
            "u.seq, $2, u.acknowledged, u.comment_count, u.acknowledged_at FROM unnest($3, $4, $5, $6) AS "
            "u(seq, "
            "acknowledged, comment_count, acknowledged_at) ON CONFLICT(master, seq, at) DO UPDATE SET "
            "acknowledged = "
            "excluded.acknowledged, comment_count = excluded.comment_count, acknowledged_at = "
            "excluded.acknowledged_at",
            ours().add(now).add(seqs).flags(acknowledged).add(comments).add(when));
        return true;
    });
    std::lock_guard lock(known_.mutex);
    for (const auto& n : out)
        known_.keys.update(n.key, recent_keys::shown{n.now.acknowledged, n.now.comment_count});
    return out;
}

std::vector<state_change> pg_store::changes(const breach_key& key)
{
    std::vector<state_change> out;
    auto c = connect();
    const auto r = c->run(
        "SELECT c.at, c.acknowledged, c.comment_count, c.acknowledged_at FROM dtbridge.seen AS s JOIN "
        "dtbridge.change AS c ON c.master = s.master AND c.seq = s.seq WHERE s.master = $1 AND s.pbid "
        "= $2 AND s.created = $3 ORDER BY c.at",
        ours().add(key.pbid).add(key.created));
    for (int i = 0; i < r.size(); ++i)
        out.push_back(change_in(r, i, 0));
    return out;
}

std::vector<std::pair<std::int64_t, state_change>> pg_store::changes_between(std::int64_t first,
                                                                             std::int64_t last)
{
    std::vector<std::pair<std::int64_t, state_change>> out;
    auto c = connect();
    const auto r = c->run(
        "SELECT seq, at, acknowledged, comment_count, acknowledged_at FROM dtbridge.change WHERE "
        "master = $1 AND seq BETWEEN $2 AND $3 ORDER BY seq, at LIMIT $4",
        ours().add(first).add(last).add(most_changes_read));
    for (int i = 0; i < r.size(); ++i)
        out.emplace_back(r.integer(i, 0), change_in(r, i, 1));
    return out;
}

std::vector<window_counts> pg_store::windows(std::size_t max_count)
{
    std::vector<window_counts> out;
    auto c = connect();
    const auto r = c->run(
        "SELECT starts, ends, sweep, shown, archived, late, held, gone FROM dtbridge.polled WHERE "
        "master = $1 ORDER BY n DESC LIMIT $2",
        ours().add(static_cast<std::int64_t>(std::min<std::size_t>(max_count, most_windows))));
    for (int i = 0; i < r.size(); ++i)
    {
        window_counts w;
        w.start = r.integer(i, 0);
        w.end = r.integer(i, 1);
        w.sweep = r.flag(i, 2);
        w.shown = r.integer(i, 3);
        w.archived = r.integer(i, 4);
        w.late = r.integer(i, 5);
        w.held = r.integer(i, 6);
        w.gone = r.integer(i, 7);
        out.push_back(w);
    }
    return out;
}

key_span pg_store::keys(const key_order& what)
{
    auto c = connect();
    key_span out;
    const auto most = std::max<std::size_t>(1, what.max_scanned);
    std::size_t scanned = 0;
    auto after = what.after_seq;
    for (;;)
    {
        const auto r = c->run(
            "SELECT first_seq, last_seq, directory FROM dtbridge.block WHERE master = $1 AND last_seq "
            "> $2 AND archived >= $3 ORDER BY last_seq LIMIT $4",
            ours().add(after).add(what.archived_from).add(directories_at_once));
        for (int i = 0; i < r.size(); ++i)
        {
            const auto first = r.integer(i, 0);
            const auto directory = r.bytes(i, 2);
            const auto count = directory.size() / directory_entry_bytes;
            for (auto n = static_cast<std::size_t>(std::max<std::int64_t>(after + 1 - first, 0)); n < count;
                 ++n)
            {
                if (scanned == most)
                {
                    out.scanned_to = after;
                    return out;
                }
                const auto e = entry_at(directory, n);
                const auto time = e.time.value_or(e.key.created);
                if (time >= what.from && time <= what.to)
                    out.keys.push_back(e.key);
                after = first + static_cast<std::int64_t>(n);
                ++scanned;
            }
        }
        if (r.size() < directories_at_once)
            break;
    }
    out.scanned_to = std::max(what.after_seq, known_.last_seq);
    out.end = true;
    return out;
}

std::vector<difference> pg_store::note_differences(std::vector<difference> found, std::int64_t now)
{
    std::vector<std::int64_t> numbers, kinds, pbids, created;
    std::set<std::pair<difference::kind, breach_key>> here;
    std::vector<difference> candidates;
    for (auto& d : found)
    {
        if (!here.emplace(d.what, d.key).second)
            continue;
        d.at = now;
        numbers.push_back(static_cast<std::int64_t>(numbers.size()));
        kinds.push_back(static_cast<std::int64_t>(d.what));
        pbids.push_back(d.key.pbid);
        created.push_back(d.key.created);
        candidates.push_back(d);
    }
    if (candidates.empty())
        return {};
    return write([&](db::postgres& on) {
        std::vector<difference> out;
        const auto count = static_cast<std::int64_t>(candidates.size());
        const auto counter = on.run(
            "UPDATE dtbridge.master SET differences = differences + $2 WHERE id = $1 RETURNING differences",
            ours().add(count));
        const auto last = counter.integer(0, 0);
        const auto r = on.run(
            "INSERT INTO dtbridge.difference(master, pbid, created, kind, n, at) SELECT $1, u.pbid, "
            "u.created, u.kind, $2 + u.n, $3 FROM unnest($4, $5, $6, $7) AS u(n, pbid, created, kind) "
            "ON CONFLICT DO NOTHING RETURNING n",
            ours().add(last - count + 1).add(now).add(numbers).add(pbids).add(created).add(kinds));
        std::set<std::int64_t> kept;
        for (int i = 0; i < r.size(); ++i)
            kept.insert(r.integer(i, 0) - (last - count + 1));
        for (const auto n : kept)
            out.push_back(candidates.at(static_cast<std::size_t>(n)));
        on.run("DELETE FROM dtbridge.difference WHERE master = $1 AND n <= $2",
               ours().add(last - most_differences));
        return out;
    });
}

bool pg_store::settle_differences(difference::kind what, const std::vector<breach_key>& keys)
{
    std::vector<std::int64_t> pbids, created;
    for (const auto& k : keys)
    {
        pbids.push_back(k.pbid);
        created.push_back(k.created);
    }
    return write([&](db::postgres& on) {
        on.run(
            "DELETE FROM dtbridge.difference AS d USING unnest($3, $4) AS u(pbid, created) WHERE d.master = "
            "$1 AND "
            "d.kind = $2 AND d.pbid = u.pbid AND d.created = u.created",
            ours().add(static_cast<std::int64_t>(what)).add(pbids).add(created));
        return true;
    });
}

std::vector<difference> pg_store::differences(std::size_t max_count)
{
    std::vector<difference> out;
    auto c = connect();
    const auto r = c->run(
        "SELECT kind, pbid, created, at FROM dtbridge.difference WHERE master = $1 ORDER BY n DESC "
        "LIMIT $2",
        ours().add(static_cast<std::int64_t>(std::min<std::size_t>(max_count, most_differences))));
    for (int i = 0; i < r.size(); ++i)
    {
        difference d;
        d.what = static_cast<difference::kind>(r.integer(i, 0));
        d.key = breach_key{r.integer(i, 1), r.integer(i, 2)};
        d.at = r.integer(i, 3);
        out.push_back(d);
    }
    return out;
}

}  // namespace dtbridge
