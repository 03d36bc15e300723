/// What a PostgreSQL archive lets go: by age whole partitions, which costs nothing and gives the space back
/// at once; by size block by block from the oldest on, where a whole partition would be too much.

#include <algorithm>
#include <limits>

#include "archive/bounds.hpp"
#include "archive/pg_store.hpp"

namespace dtbridge
{

archive_facts pg_store::facts() const
{
    archive_facts f;
    f.bytes = bytes_;
    std::lock_guard lock(known_.mutex);
    f.oldest_seq = known_.oldest_seq;
    f.last_seq = known_.last_seq;
    f.breaches = known_.breaches;
    f.oldest_archived = known_.oldest_archived;
    return f;
}

bool pg_store::has_to_prune(const retention_order& order, std::int64_t) const
{
    if (order.max_bytes > 0 && bytes_ > order.max_bytes)
        return true;
    return std::any_of(
        parts_.begin(), parts_.end(), [&](const auto& part) { return part.second <= order.older_than; });
}

std::vector<pg_store::block_facts> pg_store::blocks_of_part(db::postgres& on,
                                                            std::int64_t starts,
                                                            std::int64_t ends)
{
    std::vector<block_facts> out;
    const auto r = on.run(
        "SELECT first_seq, last_seq, archived, archive_only, (octet_length(data) + "
        "octet_length(directory))::bigint FROM dtbridge.block WHERE master = $1 AND archived >= $2 AND "
        "archived < $3 ORDER BY last_seq",
        ours().add(starts).add(ends));
    for (int i = 0; i < r.size(); ++i)
        out.push_back({r.integer(i, 0), r.integer(i, 1), r.integer(i, 2), r.integer(i, 4), r.flag(i, 3)});
    return out;
}

/// Counts what goes, and for whom it is lost.
void pg_store::count_lost(db::postgres& on,
                          const std::vector<block_facts>& gone,
                          std::int64_t now,
                          dropping& d)
{
    for (const auto& b : gone)
    {
        d.breaches += b.last_seq - b.first_seq + 1;
        d.bytes += b.bytes;
        d.last_seq = std::max(d.last_seq, b.last_seq);
    }
    std::vector<std::int64_t> cursors, firsts, lasts, counts, numbers;
    for (const auto& [name, cursor] : known_.cursors)
    {
        std::int64_t all = 0;
        for (const auto& b : gone)
        {
            const auto first = std::max(b.first_seq, cursor.seq + 1);
            if (b.archive_only || first > b.last_seq)
                continue;
            const auto count = b.last_seq - first + 1;
            all += count;
            if (!cursors.empty() && cursors.back() == cursor.id && lasts.back() + 1 == first)
            {
                lasts.back() = b.last_seq;
                counts.back() += count;
                continue;
            }
            cursors.push_back(cursor.id);
            firsts.push_back(first);
            lasts.push_back(b.last_seq);
            counts.push_back(count);
            numbers.push_back(static_cast<std::int64_t>(numbers.size()) + 1);
        }
        if (all == 0)
            continue;
        d.lost[name] += all;
        on.run("UPDATE dtbridge.cursor SET lost = lost + $3 WHERE master = $1 AND id = $2",
               ours().add(cursor.id).add(all));
    }
    if (cursors.empty())
        return;
    const auto n = static_cast<std::int64_t>(cursors.size());
    const auto r = on.run("UPDATE dtbridge.master SET losses = losses + $2 WHERE id = $1 RETURNING losses",
                          ours().add(n));
    const auto last = r.integer(0, 0);
    on.run(
        "INSERT INTO dtbridge.lost(master, n, cursor, first_seq, last_seq, at, count) SELECT $1, $2 + u.n, "
        "u.cursor, "
        "u.first_seq, u.last_seq, $3, u.count FROM unnest($4, $5, $6, $7, $8) AS u(n, cursor, first_seq, "
        "last_seq, "
        "count)",
        ours().add(last - n).add(now).add(numbers).add(cursors).add(firsts).add(lasts).add(counts));
    on.run("DELETE FROM dtbridge.lost WHERE master = $1 AND n <= $2", ours().add(last - most_lost_spans));
}

void pg_store::drop_part(db::postgres& on, std::int64_t starts, std::int64_t now, dropping& d)
{
    const auto ends = parts_.at(starts);
    const auto gone = blocks_of_part(on, starts, ends);
    count_lost(on, gone, now, d);
    pg_wait_briefly(on);  // then it is for the next time
    on.run("DROP TABLE IF EXISTS " + part_name(starts));
    on.run("DELETE FROM dtbridge.part WHERE master = $1 AND starts = $2", ours().add(starts));
    d.parts.push_back(starts);
    d.any = true;
    d.more = true;
}

void pg_store::drop_old(
    db::postgres& on, const retention_order& order, std::int64_t floor, std::int64_t now, dropping& d)
{
    for (const auto& [starts, ends] : parts_)
    {
        if (ends > order.older_than)
            continue;
        const auto r = on.run(
            "SELECT max(last_seq) FROM dtbridge.block WHERE master = $1 AND archived >= $2 AND "
            "archived < $3",
            ours().add(starts).add(ends));
        if (r.optional_integer(0, 0).value_or(0) > floor)
            continue;
        drop_part(on, starts, now, d);
        return;
    }
}

void pg_store::drop_over(
    db::postgres& on, const retention_order& order, std::int64_t floor, std::int64_t now, dropping& d)
{
    auto over = bytes_ - order.max_bytes;
    if (order.max_bytes <= 0 || over <= 0)
        return;
    const auto may_go = [&](std::int64_t last_seq) { return last_seq <= floor || order.drop_undelivered; };
    const auto r = on.run(
        "SELECT first_seq, last_seq, archived, archive_only, (octet_length(data) + "
        "octet_length(directory))::bigint FROM dtbridge.block WHERE master = $1 ORDER BY last_seq LIMIT "
        "$2",
        ours().add(blocks_per_step));
    if (r.empty() || !may_go(r.integer(0, 1)))
        return;
    // The oldest partition as a whole, where all of it has to go.
    auto part = parts_.upper_bound(r.integer(0, 2));
    if (part != parts_.begin())
    {
        part = std::prev(part);
        const auto all = blocks_of_part(on, part->first, part->second);
        std::int64_t bytes = 0;
        bool may = !all.empty();
        for (const auto& b : all)
        {
            bytes += b.bytes;
            may = may && may_go(b.last_seq);
        }
        if (may && bytes <= over)
        {
            drop_part(on, part->first, now, d);
            return;
        }
    }
    std::vector<block_facts> gone;
    std::vector<std::int64_t> lasts, times;
    for (int i = 0; i < r.size() && over > 0; ++i)
    {
        if (!may_go(r.integer(i, 1)))
            break;
        gone.push_back({r.integer(i, 0), r.integer(i, 1), r.integer(i, 2), r.integer(i, 4), r.flag(i, 3)});
        lasts.push_back(gone.back().last_seq);
        times.push_back(gone.back().archived);
        over -= gone.back().bytes;
    }
    count_lost(on, gone, now, d);
    on.run(
        "DELETE FROM dtbridge.block AS b USING unnest($2, $3) AS u(last_seq, archived) WHERE b.master = $1 "
        "AND "
        "b.last_seq = u.last_seq AND b.archived = u.archived",
        ours().add(lasts).add(times));
    d.any = true;
    d.more = over > 0 && static_cast<std::int64_t>(gone.size()) == blocks_per_step;
}

bool pg_store::prune_step(const retention_order& order, std::int64_t now, retention_result& dropped_now)
{
    connect();
    auto floor = std::numeric_limits<std::int64_t>::max();
    for (const auto& keep : order.keep_for)
    {
        const auto it = known_.cursors.find(keep.destination);
        floor = std::min(floor, it == known_.cursors.end() ? keep.seq : std::max(keep.seq, it->second.seq));
    }
    dropping d;
    write([&](db::postgres& on) {
        d = dropping();
        drop_old(on, order, floor, now, d);
        if (!d.any)
            drop_over(on, order, floor, now, d);
        if (!d.any)
            return true;
        on.run("UPDATE dtbridge.master SET breaches = breaches - $2, bytes = bytes - $3 WHERE id = $1",
               ours().add(d.breaches).add(d.bytes));
        const auto r = on.run(
            "SELECT first_seq, archived FROM dtbridge.block WHERE master = $1 ORDER BY last_seq LIMIT 1",
            ours());
        d.oldest_seq = r.empty() ? known_.last_seq + 1 : r.integer(0, 0);
        d.oldest_archived = r.empty() ? 0 : r.integer(0, 1);
        return true;
    });
    if (!d.any)
        return false;
    last_block_.reset();
    blocks_.release(d.last_seq);
    bytes_ -= d.bytes;
    for (const auto starts : d.parts)
        parts_.erase(starts);
    dropped_now.dropped = d.breaches;
    dropped_now.lost.assign(d.lost.begin(), d.lost.end());
    std::lock_guard lock(known_.mutex);
    known_.breaches -= d.breaches;
    known_.oldest_seq = d.oldest_seq;
    known_.oldest_archived = d.oldest_archived;
    for (const auto& [name, count] : d.lost)
        known_.cursors[name].lost += count;
    return d.more;
}

void pg_store::forget_dropped()
{
    connect();
    write([&](db::postgres& on) {
        const auto oldest = known_.oldest_seq;
        on.run("DELETE FROM dtbridge.batch WHERE master = $1 AND last_seq < $2", ours().add(oldest));
        on.run("DELETE FROM dtbridge.withheld WHERE master = $1 AND seq < $2", ours().add(oldest));
        on.run("DELETE FROM dtbridge.change WHERE master = $1 AND seq < $2", ours().add(oldest));
        on.run(
            "DELETE FROM dtbridge.reason AS r WHERE r.master = $1 AND NOT EXISTS(SELECT 1 FROM "
            "dtbridge.withheld AS "
            "w WHERE w.master = $1 AND w.reason = r.id)",
            ours());
        // Policies are remembered at start and reload: those in force are among the newest, used by a batch
        // or not.
        on.run(
            "DELETE FROM dtbridge.text AS t WHERE t.master = $1 AND NOT EXISTS(SELECT 1 FROM dtbridge.batch "
            "AS b "
            "WHERE b.master = $1 AND (b.policy = t.id OR b.fields = t.id)) AND t.id NOT IN (SELECT id FROM "
            "dtbridge.text WHERE master = $1 ORDER BY used DESC, id DESC LIMIT $2)",
            ours().add(most_unused_texts));
        return true;
    });
}

}  // namespace dtbridge
