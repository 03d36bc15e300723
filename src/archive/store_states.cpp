/// What is kept beside the breaches of an archive: states that the API showed later, windows that were asked
/// for, and where the API and the archive differed.

#include <algorithm>
#include <set>

#include "archive/bounds.hpp"
#include "archive/store.hpp"

namespace dtbridge
{

std::vector<noted_change> store::note_states(const std::vector<shown_state>& shown, std::int64_t now)
{
    auto& file = db();
    std::vector<noted_change> out;
    std::set<breach_key> changed;
    {
        db::query q(
            file.prepared("SELECT b.seq, b.acknowledged, b.comment_count, b.archive_only FROM seen AS s "
                          "JOIN breach AS b ON b.seq = s.seq WHERE s.pbid = ? AND s.created = ?"));
        for (const auto& s : shown)
        {
            q->reset();
            q->bind(1, s.key.pbid).bind(2, s.key.created);
            if (!q->step() || ((q->integer(1) != 0) == s.acknowledged && q->integer(2) == s.comment_count))
                continue;
            noted_change c;
            c.key = s.key;
            c.seq = q->integer(0);
            c.was_acknowledged = q->integer(1) != 0;
            c.archive_only = q->integer(3) != 0;
            c.now = state_change{now, s.acknowledged, s.comment_count, s.acknowledged_at};
            c.acknowledged_by = s.acknowledged_by;
            c.model = s.model;
            // An answer that shows one breach twice changes it once.
            if (changed.insert(s.key).second)
                out.push_back(c);
        }
    }
    if (out.empty())
        return out;
    file.set_durability(db::connection::durability::normal);
    db::transaction commit(file);
    {
        db::query q(file.prepared("UPDATE breach SET acknowledged = ?, comment_count = ? WHERE seq = ?"));
        db::query note(
            file.prepared("INSERT OR REPLACE INTO change(seq, at, acknowledged, comment_count, "
                          "acknowledged_at) VALUES(?, ?, ?, ?, ?)"));
        for (const auto& c : out)
        {
            q->bind(1, std::int64_t{c.now.acknowledged}).bind(2, c.now.comment_count).bind(3, c.seq);
            q->run();
            note->bind(1, c.seq).bind(2, c.now.at).bind(3, std::int64_t{c.now.acknowledged});
            note->bind(4, c.now.comment_count).bind(5, c.now.acknowledged_at);
            note->run();
        }
    }
    commit.commit();
    std::lock_guard lock(known_.mutex);
    for (const auto& c : out)
        known_.keys.update(c.key, recent_keys::shown{c.now.acknowledged, c.now.comment_count});
    return out;
}

std::vector<state_change> store::changes(const breach_key& key)
{
    std::vector<state_change> out;
    db::query q(
        db().prepared("SELECT c.at, c.acknowledged, c.comment_count, c.acknowledged_at FROM seen AS s "
                      "JOIN change AS c ON c.seq = s.seq WHERE s.pbid = ? AND s.created = ? ORDER BY c.at"));
    q->bind(1, key.pbid).bind(2, key.created);
    while (q->step())
    {
        state_change c{q->integer(0), q->integer(1) != 0, q->integer(2), std::nullopt};
        if (!q->is_null(3))
            c.acknowledged_at = q->integer(3);
        out.push_back(c);
    }
    return out;
}

std::vector<window_counts> store::windows(std::size_t max_count)
{
    std::vector<window_counts> out;
    db::query q(
        db().prepared("SELECT starts, ends, sweep, shown, archived, late, held, gone FROM window "
                      "ORDER BY id DESC LIMIT ?"));
    q->bind(1, static_cast<std::int64_t>(std::min<std::size_t>(max_count, most_windows)));
    while (q->step())
    {
        window_counts w;
        w.start = q->integer(0);
        w.end = q->integer(1);
        w.sweep = q->integer(2) != 0;
        w.shown = q->integer(3);
        w.archived = q->integer(4);
        w.late = q->integer(5);
        w.held = q->integer(6);
        w.gone = q->integer(7);
        out.push_back(w);
    }
    return out;
}

/// The first block that was archived at that time or after. Blocks are in order of their times but where the
/// clock was set back; there it is one of those that come after an earlier one.
std::int64_t store::first_block_since(std::int64_t archived)
{
    std::int64_t low = known_.oldest_seq;
    std::int64_t high = known_.last_seq + 1;
    db::query q(db().prepared("SELECT id, last_seq, archived FROM block WHERE id >= ? ORDER BY id LIMIT 1"));
    while (low < high)
    {
        const auto middle = low + (high - low) / 2;
        q->reset();
        q->bind(1, middle);
        if (!q->step() || q->integer(2) >= archived)
            high = middle;
        else
            low = q->integer(1) + 1;
    }
    return low;
}

key_span store::keys(const key_order& what)
{
    auto& file = db();
    key_span out;
    const auto first = std::max(what.after_seq + 1, first_block_since(what.archived_from));
    db::query q(
        file.prepared("SELECT seq, pbid, created, coalesce(time, created) FROM breach "
                      "WHERE seq >= ? ORDER BY seq LIMIT ?"));
    const auto most = std::max<std::int64_t>(1, static_cast<std::int64_t>(what.max_scanned));
    q->bind(1, first).bind(2, most);
    std::int64_t scanned = 0;
    out.scanned_to = std::max(what.after_seq, known_.last_seq);
    std::int64_t last = 0;
    while (q->step())
    {
        ++scanned;
        last = q->integer(0);
        const auto time = q->integer(3);
        if (time >= what.from && time <= what.to)
            out.keys.push_back(breach_key{q->integer(1), q->integer(2)});
    }
    out.end = scanned < most;
    if (!out.end)
        out.scanned_to = last;
    return out;
}

std::vector<difference> store::note_differences(std::vector<difference> found, std::int64_t now)
{
    auto& file = db();
    file.set_durability(db::connection::durability::normal);
    std::vector<difference> out;
    db::transaction commit(file);
    {
        db::query q(file.prepared(
            "INSERT INTO difference(kind, pbid, created, at) VALUES(?, ?, ?, ?) ON CONFLICT DO NOTHING"));
        for (auto& d : found)
        {
            q->bind(1, static_cast<std::int64_t>(d.what)).bind(2, d.key.pbid).bind(3, d.key.created);
            q->bind(4, now);
            q->run();
            d.at = now;
            if (file.changes() > 0)
                out.push_back(d);
        }
        db::query trim(
            file.prepared("DELETE FROM difference WHERE id <= (SELECT max(id) FROM difference) - ?"));
        trim->bind(1, most_differences);
        trim->run();
    }
    commit.commit();
    return out;
}

bool store::settle_differences(difference::kind what, const std::vector<breach_key>& keys)
{
    auto& file = db();
    file.set_durability(db::connection::durability::normal);
    db::transaction commit(file);
    db::query q(file.prepared("DELETE FROM difference WHERE pbid = ? AND created = ? AND kind = ?"));
    for (const auto& k : keys)
    {
        q->bind(1, k.pbid).bind(2, k.created).bind(3, static_cast<std::int64_t>(what));
        q->run();
    }
    commit.commit();
    return true;
}

std::vector<difference> store::differences(std::size_t max_count)
{
    std::vector<difference> out;
    db::query q(db().prepared("SELECT kind, pbid, created, at FROM difference ORDER BY id DESC LIMIT ?"));
    q->bind(1, static_cast<std::int64_t>(std::min<std::size_t>(max_count, most_differences)));
    while (q->step())
    {
        difference d;
        d.what = static_cast<difference::kind>(q->integer(0));
        d.key = breach_key{q->integer(1), q->integer(2)};
        d.at = q->integer(3);
        out.push_back(d);
    }
    return out;
}

}  // namespace dtbridge
