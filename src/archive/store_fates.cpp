/// What became of breaches: batches, what they passed over and why, the windows of throttles, and all of it
/// together for `explain`.

#include "archive/store.hpp"

#include <algorithm>

namespace dtbridge
{

void store::save_withheld(std::int64_t cursor, const std::vector<withheld_breach>& rows)
{
    if (rows.empty())
        return;
    auto& file = *file_->db;
    db::query known(file.prepared("SELECT id FROM reason WHERE words = ?"));
    db::query add(file.prepared("INSERT INTO reason(words) VALUES(?) RETURNING id"));
    db::query note(
        file.prepared("INSERT OR REPLACE INTO withheld(cursor, seq, how, reason) VALUES(?, ?, ?, ?)"));
    const std::string* last = nullptr;
    std::int64_t reason = 0;
    for (const auto& row : rows)
    {
        if (last == nullptr || *last != row.reason)
        {
            known->bind(1, row.reason);
            const bool is_known = known->step();
            reason = is_known ? known->integer(0) : 0;
            known->reset();
            if (!is_known)
            {
                add->bind(1, row.reason);
                if (add->step())
                    reason = add->integer(0);
                add->run();
            }
            last = &row.reason;
        }
        note->bind(1, cursor).bind(2, row.seq).bind(3, static_cast<std::int64_t>(row.why)).bind(4, reason);
        note->run();
    }
}

void store::save_windows(std::int64_t cursor, const std::vector<throttle_window>& windows)
{
    if (windows.empty())
        return;
    auto& file = *file_->db;
    {
        // A summary may have been noted ahead of its batch: what it told of stays told.
        db::query q(file.prepared(
            "INSERT INTO throttle(cursor, throttle, key, start, ends, passed, held, summed_up, first, last, "
            "last_model, last_device, last_url) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT(cursor, throttle, key) DO UPDATE SET "
            "summed_up = max(excluded.summed_up, "
            "CASE WHEN start = excluded.start THEN summed_up ELSE 0 END), "
            "start = excluded.start, ends = excluded.ends, passed = excluded.passed, held = excluded.held, "
            "first = excluded.first, last = excluded.last, last_model = excluded.last_model, "
            "last_device = excluded.last_device, last_url = excluded.last_url"));
        for (const auto& w : windows)
        {
            q->bind(1, cursor).bind(2, w.throttle).bind(3, w.key).bind(4, w.start).bind(5, w.ends);
            q->bind(6, w.passed).bind(7, w.held).bind(8, w.summed_up).bind(9, w.first).bind(10, w.last);
            q->bind(11, w.last_model).bind(12, w.last_device).bind(13, w.last_url);
            q->run();
        }
    }
    windows_since_trim_ += windows.size();
    if (windows_since_trim_ < windows_between_trims)
        return;
    windows_since_trim_ = 0;
    db::query trim(
        file.prepared("DELETE FROM throttle WHERE cursor = ?1 AND start < (SELECT start FROM throttle "
                      "WHERE cursor = ?1 ORDER BY start DESC LIMIT 1 OFFSET ?2)"));
    trim->bind(1, cursor).bind(2, most_windows_read);
    trim->run();
}

std::vector<throttle_window> store::throttle_windows(const std::string& destination)
{
    std::vector<throttle_window> out;
    auto& file = db();
    const auto at = known_.cursors.find(destination);
    if (at == known_.cursors.end())
        return out;
    db::query q(
        file.prepared("SELECT throttle, key, start, ends, passed, held, summed_up, first, last, last_model, "
                      "last_device, last_url FROM throttle WHERE cursor = ? ORDER BY start DESC LIMIT ?"));
    q->bind(1, at->second.id).bind(2, most_windows_read);
    while (q->step())
    {
        throttle_window w;
        w.throttle = q->text(0);
        w.key = q->text(1);
        w.start = q->integer(2);
        w.ends = q->integer(3);
        w.passed = q->integer(4);
        w.held = q->integer(5);
        w.summed_up = q->integer(6);
        w.first = q->integer(7);
        w.last = q->integer(8);
        w.last_model = q->text(9);
        w.last_device = q->text(10);
        w.last_url = q->text(11);
        out.push_back(std::move(w));
    }
    return out;
}

bool store::note_summary(const std::string& destination, const throttle_window& w)
{
    auto& file = db();
    const auto at = known_.cursors.find(destination);
    if (at == known_.cursors.end())
        return false;
    file.set_durability(db::connection::durability::normal);
    db::transaction commit(file);
    std::int64_t changed = 0;
    {
        db::query q(
            file.prepared("UPDATE throttle SET summed_up = max(summed_up, ?) WHERE cursor = ? AND "
                          "throttle = ? AND key = ? AND start = ?"));
        q->bind(1, w.summed_up).bind(2, at->second.id).bind(3, w.throttle).bind(4, w.key).bind(5, w.start);
        q->run();
        changed = file.changes();
    }
    commit.commit();
    return changed > 0;
}

std::vector<confirmed_record> store::confirmed(std::int64_t seq)
{
    auto& file = db();
    std::vector<confirmed_record> out;
    db::query q(
        file.prepared("SELECT b.first_seq, b.last_seq, b.at, b.sent, b.held_back, b.undeliverable, "
                      "coalesce(p.hash, ''), coalesce(f.hash, ''), b.throttled, coalesce(p.name, '') "
                      "FROM batch AS b "
                      "LEFT JOIN text AS p ON p.id = b.policy LEFT JOIN text AS f ON f.id = b.fields "
                      "WHERE b.cursor = ?1 AND b.last_seq >= ?2 ORDER BY b.last_seq LIMIT 1"));
    for (const auto& [name, cursor] : known_.cursors)
    {
        q->reset();
        q->bind(1, cursor.id).bind(2, seq);
        if (!q->step() || q->integer(0) > seq)
            continue;
        confirmed_record r;
        r.destination = name;
        r.batch.first_seq = q->integer(0);
        r.batch.last_seq = q->integer(1);
        r.at = q->integer(2);
        r.batch.sent = q->integer(3);
        r.batch.held_back = q->integer(4);
        r.batch.undeliverable = q->integer(5);
        r.batch.policy_hash = q->text(6);
        r.batch.fields_hash = q->text(7);
        r.batch.throttled = q->integer(8);
        r.policy_name = q->text(9);
        out.push_back(std::move(r));
    }
    return out;
}

std::vector<breach_history::fate> store::fates_of(std::int64_t seq)
{
    auto& file = *file_->db;
    std::vector<breach_history::fate> out;
    auto batches = confirmed(seq);
    db::query kept(
        file.prepared("SELECT w.how, coalesce(r.words, '') FROM withheld AS w LEFT JOIN reason AS r "
                      "ON r.id = w.reason WHERE w.cursor = ? AND w.seq = ?"));
    db::query lost(file.prepared(
        "SELECT at FROM lost WHERE cursor = ?1 AND first_seq <= ?2 AND last_seq >= ?2 ORDER BY id LIMIT 1"));
    for (const auto& [name, cursor] : known_.cursors)
    {
        breach_history::fate f;
        f.destination = name;
        f.cursor = cursor.seq;
        const auto batch = std::find_if(
            batches.begin(), batches.end(), [&](const confirmed_record& r) { return r.destination == name; });
        if (batch != batches.end())
            f.batch = std::move(*batch);
        kept->bind(1, cursor.id).bind(2, seq);
        if (kept->step())
        {
            withheld_breach w;
            w.seq = seq;
            w.why = cause_of(kept->integer(0));
            w.reason = kept->text(1);
            f.withheld = std::move(w);
        }
        kept->reset();
        lost->bind(1, cursor.id).bind(2, seq);
        if (lost->step())
            f.lost_at = lost->integer(0);
        lost->reset();
        out.push_back(std::move(f));
    }
    return out;
}

std::vector<std::pair<std::string, withheld_breach>> store::withheld(std::int64_t first_seq,
                                                                     std::int64_t last_seq)
{
    std::vector<std::pair<std::string, withheld_breach>> out;
    auto& file = db();
    db::query q(
        file.prepared("SELECT w.seq, w.how, coalesce(r.words, '') FROM withheld AS w LEFT JOIN reason AS r "
                      "ON r.id = w.reason WHERE w.cursor = ? AND w.seq BETWEEN ? AND ? ORDER BY w.seq "
                      "LIMIT ?"));
    for (const auto& [name, cursor] : known_.cursors)
    {
        q->reset();
        q->bind(1, cursor.id).bind(2, first_seq).bind(3, last_seq);
        q->bind(4, most_withheld - static_cast<std::int64_t>(out.size()));
        while (q->step())
        {
            withheld_breach w;
            w.seq = q->integer(0);
            w.why = cause_of(q->integer(1));
            w.reason = q->text(2);
            out.emplace_back(name, std::move(w));
        }
    }
    return out;
}

std::vector<breach_history> store::history(std::int64_t pbid)
{
    auto& file = db();
    std::vector<breach_history> out;
    {
        db::query q(
            file.prepared("SELECT s.seq, s.pbid, s.created, b.seq IS NULL, k.archived, b.late, "
                          "b.archive_only, b.acknowledged, b.comment_count FROM seen AS s "
                          "LEFT JOIN breach AS b ON b.seq = s.seq LEFT JOIN block AS k ON k.id = b.block "
                          "WHERE s.pbid = ? ORDER BY s.seq LIMIT ?"));
        q->bind(1, pbid).bind(2, most_histories);
        while (q->step())
        {
            breach_history h;
            h.seq = q->integer(0);
            h.key = breach_key{q->integer(1), q->integer(2)};
            h.dropped = q->integer(3) != 0;
            h.archived = q->integer(4);
            h.late = q->integer(5) != 0;
            h.archive_only = q->integer(6) != 0;
            h.acknowledged = q->integer(7) != 0;
            h.comment_count = q->integer(8);
            out.push_back(std::move(h));
        }
    }
    for (auto& h : out)
        h.fates = fates_of(h.seq);
    return out;
}

}  // namespace dtbridge
