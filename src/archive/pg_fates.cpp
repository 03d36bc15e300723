/// What became of breaches in a PostgreSQL archive: batches, what they passed over and why, the windows of
/// throttles, and all of it together for `explain`.

#include <algorithm>
#include <set>

#include "archive/digest.hpp"
#include "archive/pg_store.hpp"

namespace dtbridge
{

namespace
{

/// One value for a throttle and a key of any length.
std::string window_hash(const throttle_window& w)
{
    return sha256(std::to_string(w.throttle.size()) + ':' + w.throttle + w.key);
}

}  // namespace

void pg_store::save_withheld(db::postgres& on, std::int64_t cursor, const std::vector<withheld_breach>& rows)
{
    if (rows.empty())
        return;
    std::map<std::string, std::int64_t> ids;  // by words
    std::map<std::int64_t, const withheld_breach*> last;
    for (const auto& row : rows)
    {
        ids.emplace(row.reason, 0);
        last[row.seq] = &row;
    }
    for (auto& [words, id] : ids)
    {
        const auto hash = sha256(words);
        on.run("INSERT INTO dtbridge.reason(master, hash, words) VALUES($1, $2, $3) ON CONFLICT DO NOTHING",
               ours().bytes(hash).bytes(words));
        const auto r =
            on.run("SELECT id FROM dtbridge.reason WHERE master = $1 AND hash = $2", ours().bytes(hash));
        id = r.integer(0, 0);
    }
    std::vector<std::int64_t> seqs, hows, reasons;
    for (const auto& [seq, row] : last)
    {
        seqs.push_back(seq);
        hows.push_back(static_cast<std::int64_t>(row->why));
        reasons.push_back(ids[row->reason]);
    }
    on.run(
        "INSERT INTO dtbridge.withheld(master, cursor, seq, how, reason) SELECT $1, $2, u.seq, u.how, "
        "u.reason FROM "
        "unnest($3, $4, $5) AS u(seq, how, reason) ON CONFLICT(master, cursor, seq) DO UPDATE SET how = "
        "excluded.how, reason = excluded.reason",
        ours().add(cursor).add(seqs).add(hows).add(reasons));
}

void pg_store::save_windows(db::postgres& on,
                            std::int64_t cursor,
                            const std::vector<throttle_window>& windows)
{
    if (windows.empty())
        return;
    // One statement may change a row once: of one key the last counts.
    std::map<std::string, const throttle_window*> latest;
    for (const auto& w : windows)
        latest[window_hash(w)] = &w;
    std::vector<std::string_view> hashes, throttles, keys, models, devices, urls;
    std::vector<std::int64_t> starts, ends, passed, held, summed_up, first, last;
    for (const auto& [hash, w] : latest)
    {
        hashes.push_back(hash);
        throttles.push_back(w->throttle);
        keys.push_back(w->key);
        starts.push_back(w->start);
        ends.push_back(w->ends);
        passed.push_back(w->passed);
        held.push_back(w->held);
        summed_up.push_back(w->summed_up);
        first.push_back(w->first);
        last.push_back(w->last);
        models.push_back(w->last_model);
        devices.push_back(w->last_device);
        urls.push_back(w->last_url);
    }
    // A summary may have been noted ahead of its batch: what it told of stays told.
    on.run(
        "INSERT INTO dtbridge.throttle AS t (master, cursor, hash, throttle, key, starts, ends, passed, "
        "held, "
        "summed_up, first, last, last_model, last_device, last_url) SELECT $1, $2, u.hash, u.throttle, "
        "u.key, "
        "u.starts, u.ends, u.passed, u.held, u.summed_up, u.first, u.last, u.last_model, u.last_device, "
        "u.last_url "
        "FROM unnest($3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) AS u(hash, throttle, key, "
        "starts, "
        "ends, passed, held, summed_up, first, last, last_model, last_device, last_url) ON CONFLICT(master, "
        "cursor, "
        "hash) DO UPDATE SET summed_up = greatest(excluded.summed_up, CASE WHEN t.starts = excluded.starts "
        "THEN "
        "t.summed_up ELSE 0 END), starts = excluded.starts, ends = excluded.ends, passed = excluded.passed, "
        "held = "
        "excluded.held, first = excluded.first, last = excluded.last, last_model = excluded.last_model, "
        "last_device = excluded.last_device, last_url = excluded.last_url",
        ours()
            .add(cursor)
            .blobs(hashes)
            .blobs(throttles)
            .blobs(keys)
            .add(starts)
            .add(ends)
            .add(passed)
            .add(held)
            .add(summed_up)
            .add(first)
            .add(last)
            .blobs(models)
            .blobs(devices)
            .blobs(urls));
    windows_since_trim_ += windows.size();
    if (windows_since_trim_ < windows_between_trims)
        return;
    windows_since_trim_ = 0;
    on.run(
        "DELETE FROM dtbridge.throttle WHERE master = $1 AND cursor = $2 AND starts < (SELECT starts FROM "
        "dtbridge.throttle WHERE master = $1 AND cursor = $2 ORDER BY starts DESC LIMIT 1 OFFSET $3)",
        ours().add(cursor).add(most_windows_read));
}

std::vector<throttle_window> pg_store::throttle_windows(const std::string& destination)
{
    std::vector<throttle_window> out;
    auto c = connect();
    const auto at = known_.cursors.find(destination);
    if (at == known_.cursors.end())
        return out;
    const auto r = c->run(
        "SELECT throttle, key, starts, ends, passed, held, summed_up, first, last, last_model, "
        "last_device, last_url FROM dtbridge.throttle WHERE master = $1 AND cursor = $2 ORDER BY "
        "starts DESC LIMIT $3",
        ours().add(at->second.id).add(most_windows_read));
    for (int i = 0; i < r.size(); ++i)
    {
        throttle_window w;
        w.throttle = r.bytes(i, 0);
        w.key = r.bytes(i, 1);
        w.start = r.integer(i, 2);
        w.ends = r.integer(i, 3);
        w.passed = r.integer(i, 4);
        w.held = r.integer(i, 5);
        w.summed_up = r.integer(i, 6);
        w.first = r.integer(i, 7);
        w.last = r.integer(i, 8);
        w.last_model = r.bytes(i, 9);
        w.last_device = r.bytes(i, 10);
        w.last_url = r.bytes(i, 11);
        out.push_back(std::move(w));
    }
    return out;
}

bool pg_store::note_summary(const std::string& destination, const throttle_window& w)
{
    connect();
    const auto at = known_.cursors.find(destination);
    if (at == known_.cursors.end())
        return false;
    const auto hash = window_hash(w);
    return write([&](db::postgres& on) {
        const auto r = on.run(
            "UPDATE dtbridge.throttle SET summed_up = greatest(summed_up, $4) WHERE master = $1 AND "
            "cursor = $2 AND hash = $3 AND starts = $5",
            ours().add(at->second.id).bytes(hash).add(w.summed_up).add(w.start));
        return r.changed() > 0;
    });
}

std::vector<confirmed_record> pg_store::batches_of(db::postgres& on, std::int64_t seq)
{
    std::vector<confirmed_record> out;
    for (const auto& [name, cursor] : known_.cursors)
    {
        const auto q = on.run(
            "SELECT b.first_seq, b.last_seq, b.at, b.sent, b.held_back, b.undeliverable, coalesce(p.hash, "
            "''), "
            "coalesce(f.hash, ''), b.throttled, coalesce(p.name, '') FROM dtbridge.batch AS b LEFT JOIN "
            "dtbridge.text AS p ON p.master = b.master AND p.id = b.policy LEFT JOIN dtbridge.text AS f ON "
            "f.master = b.master AND f.id = b.fields WHERE b.master = $1 AND b.cursor = $2 AND b.last_seq >= "
            "$3 "
            "ORDER BY b.last_seq LIMIT 1",
            ours().add(cursor.id).add(seq));
        if (q.empty() || q.integer(0, 0) > seq)
            continue;
        confirmed_record r;
        r.destination = name;
        r.batch.first_seq = q.integer(0, 0);
        r.batch.last_seq = q.integer(0, 1);
        r.at = q.integer(0, 2);
        r.batch.sent = q.integer(0, 3);
        r.batch.held_back = q.integer(0, 4);
        r.batch.undeliverable = q.integer(0, 5);
        r.batch.policy_hash = q.bytes(0, 6);
        r.batch.fields_hash = q.bytes(0, 7);
        r.batch.throttled = q.integer(0, 8);
        r.policy_name = q.bytes(0, 9);
        out.push_back(std::move(r));
    }
    return out;
}

std::vector<confirmed_record> pg_store::confirmed(std::int64_t seq)
{
    auto c = connect();
    return batches_of(*c, seq);
}

std::vector<breach_history::fate> pg_store::fates_of(db::postgres& on, std::int64_t seq)
{
    std::vector<breach_history::fate> out;
    auto batches = batches_of(on, seq);
    for (const auto& [name, cursor] : known_.cursors)
    {
        breach_history::fate f;
        f.destination = name;
        f.cursor = cursor.seq;
        const auto batch =
            std::find_if(batches.begin(), batches.end(), [&name = name](const confirmed_record& r) {
                return r.destination == name;
            });
        if (batch != batches.end())
            f.batch = std::move(*batch);
        const auto kept = on.run(
            "SELECT w.how, coalesce(r.words, '') FROM dtbridge.withheld AS w LEFT JOIN "
            "dtbridge.reason AS r ON r.master = w.master AND r.id = w.reason WHERE w.master = $1 "
            "AND w.cursor = $2 AND w.seq = $3",
            ours().add(cursor.id).add(seq));
        if (!kept.empty())
        {
            withheld_breach w;
            w.seq = seq;
            w.why = cause_of(kept.integer(0, 0));
            w.reason = kept.bytes(0, 1);
            f.withheld = std::move(w);
        }
        const auto lost = on.run(
            "SELECT at FROM dtbridge.lost WHERE master = $1 AND cursor = $2 AND first_seq <= $3 "
            "AND last_seq >= $3 ORDER BY n LIMIT 1",
            ours().add(cursor.id).add(seq));
        if (!lost.empty())
            f.lost_at = lost.integer(0, 0);
        out.push_back(std::move(f));
    }
    return out;
}

std::vector<std::pair<std::string, withheld_breach>> pg_store::withheld(std::int64_t first_seq,
                                                                        std::int64_t last_seq)
{
    std::vector<std::pair<std::string, withheld_breach>> out;
    auto c = connect();
    for (const auto& [name, cursor] : known_.cursors)
    {
        const auto r = c->run(
            "SELECT w.seq, w.how, coalesce(r.words, '') FROM dtbridge.withheld AS w LEFT JOIN "
            "dtbridge.reason AS r ON r.master = w.master AND r.id = w.reason WHERE w.master = $1 AND "
            "w.cursor = $2 AND w.seq BETWEEN $3 AND $4 ORDER BY w.seq LIMIT $5",
            ours().add(cursor.id).add(first_seq).add(last_seq).add(most_withheld -
                                                                   static_cast<std::int64_t>(out.size())));
        for (int i = 0; i < r.size(); ++i)
        {
            withheld_breach w;
            w.seq = r.integer(i, 0);
            w.why = cause_of(r.integer(i, 1));
            w.reason = r.bytes(i, 2);
            out.emplace_back(name, std::move(w));
        }
    }
    return out;
}

std::map<std::int64_t, std::int64_t> pg_store::still_there(db::postgres& on,
                                                           const std::vector<std::int64_t>& seqs)
{
    std::map<std::int64_t, std::int64_t> out;
    if (seqs.empty())
        return out;
    const auto r = on.run(
        "SELECT u.seq, (SELECT CASE WHEN b.first_seq <= u.seq THEN b.archived END FROM "
        "dtbridge.block AS b WHERE b.master = $1 AND b.last_seq >= u.seq ORDER BY b.last_seq LIMIT 1) "
        "FROM unnest($2) AS u(seq)",
        ours().add(seqs));
    for (int i = 0; i < r.size(); ++i)
        if (!r.is_null(i, 1))
            out[r.integer(i, 0)] = r.integer(i, 1);
    return out;
}

std::vector<breach_history> pg_store::history(std::int64_t pbid)
{
    auto c = connect();
    std::vector<breach_history> out;
    std::vector<std::int64_t> seqs;
    {
        const auto r = c->run(
            "SELECT seq, pbid, created, late, archive_only, acknowledged, comment_count FROM "
            "dtbridge.seen WHERE master = $1 AND pbid = $2 ORDER BY seq LIMIT $3",
            ours().add(pbid).add(most_histories));
        for (int i = 0; i < r.size(); ++i)
        {
            breach_history h;
            h.seq = r.integer(i, 0);
            h.key = breach_key{r.integer(i, 1), r.integer(i, 2)};
            h.late = r.flag(i, 3);
            h.archive_only = r.flag(i, 4);
            h.acknowledged = r.flag(i, 5);
            h.comment_count = r.integer(i, 6);
            seqs.push_back(h.seq);
            out.push_back(std::move(h));
        }
    }
    const auto there = still_there(*c, seqs);
    for (auto& h : out)
    {
        const auto at = there.find(h.seq);
        h.dropped = at == there.end();
        if (h.dropped)
        {
            h.late = h.archive_only = h.acknowledged = false;
            h.comment_count = 0;
        }
        else
            h.archived = at->second;
        h.fates = fates_of(*c, h.seq);
    }
    return out;
}

}  // namespace dtbridge
