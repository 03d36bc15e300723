#include "archive/pg_store.hpp"

#include <algorithm>
#include <limits>
#include <set>
#include <unordered_set>

#include <dtbridge/core/text.hpp>

#include "archive/block_codec.hpp"
#include "archive/bounds.hpp"
#include "archive/digest.hpp"
#include "archive/folder.hpp"
#include "archive/pg_leases.hpp"
#include "archive/pg_schema.hpp"
#include "archive/set_aside.hpp"

namespace dtbridge
{

namespace
{

constexpr std::int64_t blocks_at_once = 4;
constexpr std::size_t longest_identifier = 63;  // of PostgreSQL

// Whether a key, or its pbid, was archived before. With LIMIT the server looks each of them up; EXISTS it may
// answer by reading all keys of the master for every block.
constexpr const char* join_known_key =
    " LEFT JOIN LATERAL (SELECT true AS known FROM dtbridge.seen WHERE master = $1 AND pbid = u.pbid AND "
    "created = u.created LIMIT 1) AS k ON true";
constexpr const char* join_known_pbid =
    " LEFT JOIN LATERAL (SELECT true AS known FROM dtbridge.seen WHERE master = $1 AND pbid = u.pbid LIMIT "
    "1) AS p ON true";

/// Of parts of names that hold a-z, 0-9, '-' and '_' only.
std::string quoted(const std::string& schema, const std::string& table)
{
    return '"' + schema + "\".\"" + table + '"';
}

bool is_plain_name(const std::string& s)
{
    return std::all_of(s.begin(), s.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    });
}

}  // namespace

pg_store::pg_store(std::string master,
                   std::string folder,
                   access how,
                   std::shared_ptr<db::postgres_pool> pool,
                   std::shared_ptr<archive_budget> budget,
                   pg_layout layout,
                   std::shared_ptr<const cluster::permit> lease)
    : master_(std::move(master)),
      folder_(std::move(folder)),
      access_(how),
      pool_(std::move(pool)),
      budget_(std::move(budget)),
      layout_(layout),
      lease_(std::move(lease)),
      path_(pool_->place() + ", master " + master_),
      blocks_(budget_->blocks)
{
    ++budget_->archives;
}

pg_store::~pg_store()
{
    --budget_->archives;
}

// ---- opening
// --------------------------------------------------------------------------------------------------------

db::postgres_pool::borrowed pg_store::connect()
{
    auto c = pool_->take();
    if (!loaded_ || access_ == access::read)
        load(*c);
    loaded_ = true;
    return c;
}

void pg_store::refresh()
{
    connect();
}

void pg_store::recover_from(const failure& f)
{
    if (f.code == errc::disk_full || f.code == errc::over_limit || f.code == errc::malformed ||
        f.code == errc::not_found || f.code == errc::lease_lost)
        return;
    // Whether the last commit was made is not known, nor whether it is the same server that answers next: a
    // replica that took over may lack what was committed last.
    loaded_ = false;
    std::lock_guard lock(known_.mutex);
    known_.keys.clear();
}

void pg_store::take_over(const std::string& formerly)
{
    if (access_ != access::write)
        return;
    auto before = parent_folder(folder_) + "/" + formerly;
    if (folder_exists(before) && !folder_exists(folder_))
        rename_folder(before, folder_);
    auto c = pool_->take();
    pg_migrate(*c);
    const auto names = db::parameters().add(master_).add(formerly);
    const auto to_rename = "name = $2 AND NOT EXISTS(SELECT 1 FROM dtbridge.master WHERE name = $1)";
    if (c->run(std::string("SELECT 1::bigint FROM dtbridge.master WHERE ") + to_rename, names).empty())
        return;
    db::postgres_transaction renamed(*c);
    hold_lease(*c);
    // A bridge that has the master by its old name would go on writing.
    pg_refuse_owned(*c, formerly, lease_ ? lease_->session() : "");
    c->run(std::string("UPDATE dtbridge.master SET name = $1 WHERE ") + to_rename, names);
    renamed.commit();
}

void pg_store::open()
{
    if (access_ == access::read)
    {
        auto c = pool_->take();
        if (!pg_check_version(*c))
            throw db::error(fail(errc::not_found, path_ + ": there is no such archive"));
    }
    else
    {
        // What is set aside goes there; and so this host knows whose state it has.
        make_folder(folder_);
        auto c = pool_->take();
        pg_migrate(*c);
        if (c->run("SELECT 1::bigint FROM dtbridge.master WHERE name = $1", db::parameters().add(master_))
                .empty())
        {
            // An archive that is being copied has its suffix until it is whole.
            const std::string place =
                layout_.own_schemas ? "dtbridge_" + master_.substr(0, master_.find('.')) : "dtbridge";
            if (!is_plain_name(place) || place.size() > longest_identifier)
                throw db::error(fail(errc::malformed,
                                     path_ + ": \"" + place +
                                         "\" cannot be the name of a schema: at most 63 of a-z, 0-9 and -"));
            db::postgres_transaction made(*c);
            hold_lease(*c);
            make_partitions(*c, place);
            made.commit();
        }
    }
    connect();
    if (access_ == access::write && !lease_)
    {
        auto c = pool_->take();
        pg_refuse_owned(*c, master_);
    }
}

void pg_store::make_partitions(db::postgres& on, const std::string& place)
{
    const auto row =
        on.run("INSERT INTO dtbridge.master(name, place) VALUES($1, $2) ON CONFLICT DO NOTHING RETURNING id",
               db::parameters().add(master_).add(place));
    if (row.empty())
        return;  // another bridge was faster
    const auto id = std::to_string(row.integer(0, 0));
    if (on.run("SELECT 1::bigint FROM pg_catalog.pg_namespace WHERE nspname = $1",
               db::parameters().add(place))
            .empty())
        on.run("CREATE SCHEMA \"" + place + "\"");
    // Made first and then attached: that waits for nobody who reads the others (a backup, for hours).
    const auto seen = quoted(place, "seen_" + id);
    on.run("CREATE TABLE " + seen + " (LIKE dtbridge.seen INCLUDING ALL)");
    on.run("ALTER TABLE dtbridge.seen ATTACH PARTITION " + seen + " FOR VALUES IN (" + id + ")");
    const auto block = quoted(place, "block_" + id);
    on.run("CREATE TABLE " + block + " (LIKE dtbridge.block INCLUDING ALL) PARTITION BY RANGE (archived)");
    on.run("ALTER TABLE dtbridge.block ATTACH PARTITION " + block + " FOR VALUES IN (" + id + ")");
}

std::string pg_store::part_name(std::int64_t starts) const
{
    return quoted(place_, "block_" + std::to_string(id_) + "_" + std::to_string(starts));
}

/// Sees to a partition for what is archived now.
void pg_store::make_part(std::int64_t now)
{
    const auto covers = [&] {
        auto after = parts_.upper_bound(now);
        return after != parts_.begin() && std::prev(after)->second > now;
    };
    connect();
    if (covers())
        return;
    const auto width = std::max<std::int64_t>(layout_.partition.count(), 60'000);
    auto made = write([&](db::postgres& on) {
        auto starts = now - ((now % width) + width) % width;
        auto ends = starts + width;
        // The width may have been another one before.
        const auto beside = on.run(
            "SELECT max(ends) FILTER (WHERE ends <= $2), min(starts) FILTER (WHERE "
            "starts > $2) FROM dtbridge.part WHERE master = $1",
            ours().add(now));
        starts = std::max(starts, beside.optional_integer(0, 0).value_or(starts));
        ends = std::min(ends, beside.optional_integer(0, 1).value_or(ends));
        on.run("INSERT INTO dtbridge.part(master, starts, ends) VALUES($1, $2, $3)",
               ours().add(starts).add(ends));
        const auto name = part_name(starts);
        on.run("CREATE TABLE " + name + " (LIKE dtbridge.block INCLUDING ALL)");
        on.run("ALTER TABLE " + quoted(place_, "block_" + std::to_string(id_)) + " ATTACH PARTITION " + name +
               " FOR VALUES FROM (" + std::to_string(starts) + ") TO (" + std::to_string(ends) + ")");
        return std::make_pair(starts, ends);
    });
    parts_.insert(made);
}

void pg_store::load(db::postgres& on)
{
    std::optional<poll_position> position;
    const auto row = on.run(
        "SELECT id, place, last_seq, breaches, bytes, position, by_activity FROM dtbridge.master WHERE name "
        "= $1",
        db::parameters().add(master_));
    if (row.empty())
        throw db::error(fail(errc::not_found, path_ + ": there is no such archive"));
    if (id_ != row.integer(0, 0))
        last_block_.reset();
    id_ = row.integer(0, 0);
    place_ = std::string(row.bytes(0, 1));
    if (!is_plain_name(place_))
        throw db::error(
            fail(errc::archive_damaged, path_ + ": the name of its schema is not one of dtbridge's"));
    const auto last_seq = row.integer(0, 2);
    if (!row.is_null(0, 5))
        position = poll_position{row.integer(0, 5), row.flag(0, 6)};
    std::map<std::string, known_facts::cursor> cursors;
    {
        const auto r = on.run(
            "SELECT name, id, seq, lost, coalesce(began, 0) FROM dtbridge.cursor WHERE master = $1", ours());
        for (int i = 0; i < r.size(); ++i)
            cursors[std::string(r.bytes(i, 0))] =
                known_facts::cursor{r.integer(i, 1), r.integer(i, 2), r.integer(i, 3), r.integer(i, 4)};
    }
    std::map<std::int64_t, std::int64_t> parts;
    {
        const auto r = on.run("SELECT starts, ends FROM dtbridge.part WHERE master = $1", ours());
        for (int i = 0; i < r.size(); ++i)
            parts[r.integer(i, 0)] = r.integer(i, 1);
    }
    recent_keys keys;
    if (access_ == access::write)
    {
        const auto limit = std::min(keys_at_open, budget_->keys_each());
        std::vector<breach_key> newest;
        std::vector<std::int64_t> pbids, created;
        {
            const auto r = on.run(
                "SELECT directory FROM dtbridge.block WHERE master = $1 ORDER BY last_seq DESC LIMIT 32",
                ours());
            for (int i = 0; i < r.size() && newest.size() < limit; ++i)
            {
                const auto directory = r.bytes(i, 0);
                for (auto n = directory.size() / directory_entry_bytes; n > 0 && newest.size() < limit; --n)
                    newest.push_back(entry_at(directory, n - 1).key);
            }
        }
        std::reverse(newest.begin(), newest.end());
        for (const auto& k : newest)
        {
            pbids.push_back(k.pbid);
            created.push_back(k.created);
        }
        const auto r = on.run(
            "SELECT s.pbid, s.created, s.acknowledged, s.comment_count FROM unnest($2, $3) AS "
            "u(pbid, created) JOIN dtbridge.seen AS s ON s.master = $1 AND s.pbid = u.pbid AND "
            "s.created = u.created ORDER BY s.seq",
            ours().add(pbids).add(created));
        for (int i = 0; i < r.size(); ++i)
            keys.add(breach_key{r.integer(i, 0), r.integer(i, 1)},
                     recent_keys::shown{r.flag(i, 2), r.integer(i, 3)},
                     limit);
        blocks_.clear();
    }
    std::int64_t oldest_seq = 0, oldest_archived = 0;
    {
        const auto r = on.run(
            "SELECT first_seq, archived FROM dtbridge.block WHERE master = $1 ORDER BY last_seq LIMIT 1",
            ours());
        oldest_seq = r.empty() ? last_seq + 1 : r.integer(0, 0);
        oldest_archived = r.empty() ? 0 : r.integer(0, 1);
    }
    bytes_ = row.integer(0, 4);
    parts_ = std::move(parts);
    std::lock_guard lock(known_.mutex);
    known_.last_seq = last_seq;
    known_.breaches = row.integer(0, 3);
    known_.oldest_seq = oldest_seq;
    known_.oldest_archived = oldest_archived;
    known_.position = position;
    known_.cursors = std::move(cursors);
    known_.keys = std::move(keys);
}

void pg_store::raise_lease_lost() const
{
    throw db::error(fail(errc::lease_lost,
                         path_ + ": this bridge's lease on the master is over, so nothing was written"));
}

void pg_store::hold_lease(db::postgres& on)
{
    if (!lease_)
        pg_refuse_owned(on, master_);
    else if (!pg_hold_lease(on, *lease_))
        raise_lease_lost();
}

void pg_store::enter(db::postgres& on)
{
    hold_lease(on);
    // A writer without a lease, a server that lost commits.
    const auto row = on.run("SELECT last_seq FROM dtbridge.master WHERE id = $1 FOR UPDATE", ours());
    if (!row.empty() && row.integer(0, 0) == known_.last_seq)
        return;
    loaded_ = false;
    throw db::error(fail(errc::locked, path_ + ": somebody else wrote this archive; it is read anew"));
}

void pg_store::close()
{
    blocks_.clear();
    last_block_.reset();
    pool_->close_idle();
}

// ---- adding
// ---------------------------------------------------------------------------------------------------------

added pg_store::add(archive_block& block, std::int64_t now)
{
    check_bodies(block, path_);
    std::vector<const archive_element*> unknown;
    unknown.reserve(block.elements.size());
    std::int64_t known_repeats = 0;
    added out;
    {
        std::lock_guard lock(known_.mutex);
        for (const auto& e : block.elements)
        {
            if (known_.keys.find(e.key))
                ++known_repeats;
            else
                unknown.push_back(&e);
        }
        out.last_seq = known_.last_seq;
        out.repeated = known_repeats;
    }
    if (unknown.empty() && !block.position && !block.window)
        return out;

    if (!unknown.empty())
        make_part(now);
    std::vector<std::int64_t> numbers, pbids, created;
    for (const auto* e : unknown)
    {
        numbers.push_back(static_cast<std::int64_t>(numbers.size()));
        pbids.push_back(e->key.pbid);
        created.push_back(e->key.created);
    }
    std::shared_ptr<added_block> brought;
    std::vector<const archive_element*> fresh;
    std::int64_t bytes = 0;
    write([&](db::postgres& on) {
        out.repeated = known_repeats;
        out.reused_pbids = 0;
        fresh.clear();
        bytes = 0;
        brought = std::make_shared<added_block>();
        brought->first_seq = known_.last_seq + 1;
        brought->archived = now;
        brought->archive_only = block.archive_only;
        std::vector<bool> has_key(unknown.size()), has_pbid(unknown.size());
        if (!unknown.empty())
        {
            const auto r = on.run(std::string("SELECT u.n, k.known, p.known FROM unnest($2, $3, $4) AS "
                                              "u(n, pbid, created)") +
                                      join_known_key + join_known_pbid,
                                  ours().add(numbers).add(pbids).add(created));
            for (int i = 0; i < r.size(); ++i)
            {
                const auto n = static_cast<std::size_t>(r.integer(i, 0));
                if (n >= unknown.size())
                    continue;
                has_key[n] = r.flag(i, 1);
                has_pbid[n] = r.flag(i, 2);
            }
        }
        std::set<breach_key> here;
        std::unordered_set<std::int64_t> pbids_here;
        std::size_t room = 0;
        for (std::size_t n = 0; n < unknown.size(); ++n)
        {
            const auto& key = unknown[n]->key;
            if (has_key[n] || !here.insert(key).second)
            {
                ++out.repeated;
                continue;
            }
            if (!pbids_here.insert(key.pbid).second || has_pbid[n])
                ++out.reused_pbids;
            fresh.push_back(unknown[n]);
            room += unknown[n]->body.size();
        }
        brought->bytes.reserve(room);
        brought->entries.reserve(fresh.size());

        std::vector<std::int64_t> new_pbids, new_created, seqs, comments;
        std::vector<bool> acknowledged, late;
        std::int64_t seq = brought->first_seq;
        std::int64_t block_first = seq;
        std::size_t block_begins = 0;
        std::string directory;
        auto created_from = std::numeric_limits<std::int64_t>::max();
        auto created_to = std::numeric_limits<std::int64_t>::min();
        const auto end_block = [&] {
            if (seq == block_first)
                return;
            const auto bodies = std::string_view(brought->bytes).substr(block_begins);
            const auto frame = compress_block(bodies);
            on.run(
                "INSERT INTO dtbridge.block(master, archived, last_seq, first_seq, created_from, created_to, "
                "archive_only, size, directory, data) VALUES($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
                ours()
                    .add(now)
                    .add(seq - 1)
                    .add(block_first)
                    .add(created_from)
                    .add(created_to)
                    .add(block.archive_only)
                    .add(static_cast<std::int64_t>(bodies.size()))
                    .bytes(directory)
                    .bytes(frame));
            bytes += static_cast<std::int64_t>(directory.size() + frame.size());
            block_first = seq;
            block_begins = brought->bytes.size();
            directory.clear();
            created_from = std::numeric_limits<std::int64_t>::max();
            created_to = std::numeric_limits<std::int64_t>::min();
        };
        for (const auto* e : fresh)
        {
            if (brought->bytes.size() - block_begins + e->body.size() > block_target_bytes)
                end_block();
            directory_entry d;
            d.key = e->key;
            d.time = e->time;
            d.begins = static_cast<std::uint32_t>(brought->bytes.size() - block_begins);
            d.length = static_cast<std::uint32_t>(e->body.size());
            append_entry(directory, d);
            created_from = std::min(created_from, e->key.created);
            created_to = std::max(created_to, e->key.created);
            brought->entries.push_back(added_block::entry{e->key, brought->bytes.size(), e->body.size()});
            brought->bytes.append(e->body);
            new_pbids.push_back(e->key.pbid);
            new_created.push_back(e->key.created);
            seqs.push_back(seq);
            acknowledged.push_back(e->acknowledged);
            comments.push_back(e->comment_count);
            late.push_back(e->late);
            ++seq;
        }
        end_block();
        const auto count = static_cast<std::int64_t>(fresh.size());
        if (count > 0)
        {
            const auto inserted = on.run(
                "INSERT INTO dtbridge.seen(master, pbid, created, seq, acknowledged, comment_count, "
                "archive_only, late) SELECT $1, u.pbid, u.created, u.seq, u.acknowledged, "
                "u.comment_count, $2, u.late FROM unnest($3, $4, $5, $6, $7, $8) AS u(pbid, created, seq, "
                "acknowledged, comment_count, late) ON CONFLICT DO NOTHING",
                ours()
                    .add(block.archive_only)
                    .add(new_pbids)
                    .add(new_created)
                    .add(seqs)
                    .flags(acknowledged)
                    .add(comments)
                    .flags(late));
            if (inserted.changed() != count)
                throw db::error(fail(errc::locked, path_ + ": somebody else archived the same breaches"));
        }
        std::optional<std::int64_t> position;
        if (block.position)
            position = block.position->position;
        const auto r = on.run(
            "UPDATE dtbridge.master SET last_seq = last_seq + $2, breaches = breaches + $2, bytes = "
            "bytes + $3, position = coalesce($4, position), by_activity = CASE WHEN $4 IS NULL "
            "THEN by_activity ELSE $5 END, windows = windows + $6 WHERE id = $1 RETURNING windows",
            ours()
                .add(count)
                .add(bytes)
                .add(position)
                .add(block.position && block.position->by_activity)
                .add(std::int64_t{block.window.has_value()}));
        if (block.window)
        {
            const auto& w = *block.window;
            const auto n = r.integer(0, 0);
            on.run(
                "INSERT INTO dtbridge.polled(master, n, at, starts, ends, sweep, shown, archived, late, "
                "held, "
                "gone) VALUES($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
                ours()
                    .add(n)
                    .add(now)
                    .add(w.start)
                    .add(w.end)
                    .add(w.sweep)
                    .add(w.shown)
                    .add(w.archived + count)
                    .add(w.late)
                    .add(w.held)
                    .add(w.gone));
            on.run("DELETE FROM dtbridge.polled WHERE master = $1 AND n <= $2", ours().add(n - most_windows));
        }
        return true;
    });

    // From here on nothing throws but for want of memory: what is stored becomes known.
    const auto count = static_cast<std::int64_t>(fresh.size());
    bytes_ += bytes;
    known_.take_in(fresh, brought->first_seq, block.position, now, budget_->keys_each(), out);
    if (count > 0)
        blocks_.add(std::move(brought));
    return out;
}

void pg_store::save_position(const poll_position& p)
{
    write([&](db::postgres& on) {
        on.run("UPDATE dtbridge.master SET position = $2, by_activity = $3 WHERE id = $1",
               ours().add(p.position).add(p.by_activity));
        return true;
    });
    std::lock_guard lock(known_.mutex);
    known_.position = p;
}

std::vector<breach_key> pg_store::missing(const std::vector<breach_key>& keys)
{
    std::vector<std::int64_t> numbers, pbids, created;
    for (const auto& k : keys)
    {
        numbers.push_back(static_cast<std::int64_t>(numbers.size()));
        pbids.push_back(k.pbid);
        created.push_back(k.created);
    }
    auto c = connect();
    const auto r = c->run(std::string("SELECT u.n FROM unnest($2, $3, $4) AS u(n, pbid, created)") +
                              join_known_key + " WHERE k.known IS NULL ORDER BY u.n",
                          ours().add(numbers).add(pbids).add(created));
    std::vector<breach_key> out;
    for (int i = 0; i < r.size(); ++i)
        out.push_back(keys.at(static_cast<std::size_t>(r.integer(i, 0))));
    return out;
}

// ---- reading
// --------------------------------------------------------------------------------------------------------

void pg_store::raise_damaged(std::int64_t first_seq, const std::string& what) const
{
    throw db::error(fail(errc::archive_damaged,
                         path_ + ": the block of seq " + std::to_string(first_seq) + " " + what +
                             "; the database's storage is damaged, restore it from a backup"));
}

std::shared_ptr<const pg_store::disk_part> pg_store::take_part(const db::rows& r, int row)
{
    auto b = std::make_shared<disk_part>();
    b->first_seq = r.integer(row, 0);
    b->last_seq = r.integer(row, 1);
    b->archived = r.integer(row, 2);
    b->archive_only = r.flag(row, 3);
    b->directory = std::string(r.bytes(row, 5));
    try
    {
        b->bytes = expand_block(r.bytes(row, 6), r.integer(row, 4), block_limit_bytes, path_, b->first_seq);
    }
    catch (const db::error&)
    {
        raise_damaged(b->first_seq, "cannot be decompressed");
    }
    if (b->directory.size() % directory_entry_bytes != 0 ||
        static_cast<std::int64_t>(b->count()) != b->last_seq - b->first_seq + 1)
        raise_damaged(b->first_seq, "does not say where its breaches are");
    if (b->bytes.size() <= worth_keeping_bytes)
        last_block_ = b;
    return b;
}

archived_breach pg_store::breach_in(const disk_part& b, std::size_t n) const
{
    const auto e = entry_at(b.directory, n);
    if (e.begins > b.bytes.size() || e.length > b.bytes.size() - e.begins)
        raise_damaged(b.first_seq, "is shorter than its breaches");
    archived_breach out;
    out.seq = b.first_seq + static_cast<std::int64_t>(n);
    out.key = e.key;
    out.archived = b.archived;
    out.body = std::string_view(b.bytes).substr(e.begins, e.length);
    return out;
}

std::vector<std::shared_ptr<const pg_store::disk_part>> pg_store::parts_after(db::postgres& on,
                                                                              const scan_order& what,
                                                                              bool all)
{
    std::vector<std::shared_ptr<const disk_part>> out;
    if (last_block_ && last_block_->first_seq <= what.after_seq + 1 &&
        last_block_->last_seq > what.after_seq && (all || !last_block_->archive_only))
    {
        out.push_back(last_block_);
        return out;
    }
    const auto r = on.run(
        "SELECT first_seq, last_seq, archived, archive_only, size, directory, data FROM dtbridge.block WHERE "
        "master "
        "= $1 AND last_seq > $2 AND (NOT archive_only OR $3) AND created_to >= $4 AND (created_from < $5 OR "
        "$5 = "
        "9223372036854775807) ORDER BY last_seq LIMIT $6",
        ours()
            .add(what.after_seq)
            .add(all)
            .add(what.created_from)
            .add(what.created_before)
            .add(std::clamp<std::int64_t>(
                static_cast<std::int64_t>(what.max_bytes / block_target_bytes), 1, blocks_at_once)));
    for (int i = 0; i < r.size(); ++i)
        out.push_back(take_part(r, i));
    return out;
}

archive_span pg_store::collect(const scan_order& what, bool all)
{
    auto c = connect();
    archive_span span;
    auto held = std::make_shared<std::vector<std::shared_ptr<const disk_part>>>();
    const auto through = std::max(what.after_seq, known_.last_seq);
    constexpr auto no_bound = std::numeric_limits<std::int64_t>::max();
    std::size_t bytes = 0;
    auto from = what;
    for (;;)
    {
        const auto some = parts_after(*c, from, all);
        if (some.empty())
            break;
        for (const auto& b : some)
        {
            bool is_held = false;
            const auto skip =
                static_cast<std::size_t>(std::max<std::int64_t>(from.after_seq + 1 - b->first_seq, 0));
            for (auto n = skip; n < b->count(); ++n)
            {
                const auto found = breach_in(*b, n);
                if (found.key.created < what.created_from ||
                    (found.key.created >= what.created_before && what.created_before != no_bound))
                    continue;
                const bool full =
                    span.breaches.size() >= what.max_count || bytes + found.body.size() > what.max_bytes;
                if (full && !span.breaches.empty())
                {
                    span.scanned_to = span.breaches.back().seq;
                    span.hold = std::move(held);
                    return span;
                }
                // What nothing was taken of is let go: few of many breaches would hold all of their blocks.
                if (!is_held)
                    held->push_back(b);
                is_held = true;
                span.breaches.push_back(found);
                bytes += found.body.size();
            }
            from.after_seq = b->last_seq;
        }
        // What follows is not fetched only to see that it has no room.
        if (from.after_seq < through && !span.breaches.empty() &&
            (span.breaches.size() >= what.max_count || bytes >= what.max_bytes))
        {
            span.scanned_to = span.breaches.back().seq;
            span.hold = std::move(held);
            return span;
        }
    }
    span.scanned_to = through;
    span.hold = std::move(held);
    return span;
}

archive_span pg_store::read(std::int64_t after_seq, std::size_t max_count, std::size_t max_bytes)
{
    scan_order what;
    what.after_seq = after_seq;
    what.max_count = max_count;
    what.max_bytes = max_bytes;
    return collect(what, false);
}

archive_span pg_store::scan(const scan_order& what)
{
    return collect(what, true);
}

archive_span pg_store::find(std::int64_t pbid)
{
    auto c = connect();
    archive_span span;
    auto held = std::make_shared<std::vector<std::shared_ptr<const disk_part>>>();
    span.scanned_to = known_.last_seq;
    const auto keys = c->run(
        "SELECT seq FROM dtbridge.seen WHERE master = $1 AND pbid = $2 AND seq >= $3 ORDER BY seq "
        "LIMIT $4",
        ours().add(pbid).add(known_.oldest_seq).add(static_cast<std::int64_t>(most_found)));
    std::size_t bytes = 0;
    for (int i = 0; i < keys.size(); ++i)
    {
        const auto seq = keys.integer(i, 0);
        if (held->empty() || held->back()->last_seq < seq)
        {
            const auto r = c->run(
                "SELECT first_seq, last_seq, archived, archive_only, size, directory, data FROM "
                "dtbridge.block WHERE "
                "master = $1 AND last_seq >= $2 ORDER BY last_seq LIMIT 1",
                ours().add(seq));
            if (r.empty() || r.integer(0, 0) > seq)
                continue;  // retention took it
            held->push_back(take_part(r, 0));
        }
        const auto& b = *held->back();
        if (b.first_seq > seq)
            continue;
        const auto found = breach_in(b, static_cast<std::size_t>(seq - b.first_seq));
        if (bytes + found.body.size() > block_limit_bytes && !span.breaches.empty())
        {
            span.scanned_to = span.breaches.back().seq;
            break;
        }
        span.breaches.push_back(found);
        bytes += found.body.size();
    }
    span.hold = std::move(held);
    return span;
}

// ---- cursors
// --------------------------------------------------------------------------------------------------------

archive_cursor pg_store::ensure_cursor(const std::string& destination, const new_cursor& otherwise)
{
    connect();
    const auto at = known_.cursors.find(destination);
    if (at != known_.cursors.end() && (at->second.began != 0 || otherwise.began == 0))
        return archive_cursor{destination, at->second.seq, at->second.lost, at->second.began};
    const auto before = at != known_.cursors.end()   ? at
                        : otherwise.formerly.empty() ? known_.cursors.end()
                                                     : known_.cursors.find(otherwise.formerly);
    known_facts::cursor taken;
    if (before != known_.cursors.end())
    {
        taken = before->second;
        if (taken.began == 0)
            taken.began = otherwise.began;
        write([&](db::postgres& on) {
            on.run(
                "UPDATE dtbridge.cursor SET name = $2, began = nullif($3, 0) WHERE master = $1 AND id = $4",
                ours().add(destination).add(taken.began).add(taken.id));
            return true;
        });
    }
    else
    {
        taken.seq = otherwise.seq;
        taken.began = otherwise.began;
        taken.id = write([&](db::postgres& on) {
            const auto r = on.run(
                "INSERT INTO dtbridge.cursor(master, name, seq, began) VALUES($1, $2, $3, nullif($4, "
                "0)) RETURNING id",
                ours().add(destination).add(taken.seq).add(taken.began));
            return r.integer(0, 0);
        });
    }
    std::lock_guard lock(known_.mutex);
    if (before != known_.cursors.end())
        known_.cursors.erase(before);
    known_.cursors[destination] = taken;
    return archive_cursor{destination, taken.seq, taken.lost, taken.began};
}

std::optional<std::int64_t> pg_store::text_id(db::postgres& on, const std::string& hash, std::int64_t now)
{
    if (hash.empty())
        return std::nullopt;
    const auto known =
        on.run("SELECT id FROM dtbridge.text WHERE master = $1 AND hash = $2", ours().add(hash));
    if (!known.empty())
        return known.integer(0, 0);
    // A batch that was delivered is noted even where its policy's text was never given.
    const auto made = on.run("INSERT INTO dtbridge.text(master, hash, used) VALUES($1, $2, $3) RETURNING id",
                             ours().add(hash).add(now));
    return made.integer(0, 0);
}

bool pg_store::confirm(const std::string& destination, const confirmed_batch& batch, std::int64_t now)
{
    connect();
    const auto it = known_.cursors.find(destination);
    if (it == known_.cursors.end())
        throw db::error(fail(errc::not_found, path_ + ": no cursor of destination \"" + destination + "\""));
    if (batch.last_seq <= it->second.seq)
        return false;
    const auto id = it->second.id;
    write([&](db::postgres& on) {
        const auto policy = text_id(on, batch.policy_hash, now);
        const auto fields = text_id(on, batch.fields_hash, now);
        const auto moved = on.run(
            "UPDATE dtbridge.cursor SET seq = $3, sent = sent + $4, held_back = held_back + $5, "
            "undeliverable = undeliverable + $6, throttled = throttled + $7 WHERE master = $1 AND "
            "id = $2",
            ours()
                .add(id)
                .add(batch.last_seq)
                .add(batch.sent)
                .add(batch.held_back)
                .add(batch.undeliverable)
                .add(batch.throttled));
        if (moved.changed() != 1)
            throw db::error(
                fail(errc::not_found, path_ + ": no cursor of destination \"" + destination + "\""));
        on.run(
            "INSERT INTO dtbridge.batch(master, cursor, last_seq, first_seq, at, sent, held_back, "
            "undeliverable, "
            "throttled, policy, fields) VALUES($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO "
            "NOTHING",
            ours()
                .add(id)
                .add(batch.last_seq)
                .add(batch.first_seq)
                .add(now)
                .add(batch.sent)
                .add(batch.held_back)
                .add(batch.undeliverable)
                .add(batch.throttled)
                .add(policy)
                .add(fields));
        save_withheld(on, id, batch.withheld);
        save_windows(on, id, batch.windows);
        return true;
    });
    std::int64_t everybody = batch.last_seq;
    {
        std::lock_guard lock(known_.mutex);
        known_.cursors[destination].seq = batch.last_seq;
        for (const auto& [name, cursor] : known_.cursors)
            everybody = std::min(everybody, cursor.seq);
    }
    blocks_.release(everybody);
    return true;
}

bool pg_store::forget_cursor(const std::string& destination)
{
    connect();
    const auto it = known_.cursors.find(destination);
    if (it == known_.cursors.end())
        return false;
    const auto id = it->second.id;
    write([&](db::postgres& on) {
        for (const char* sql : {"DELETE FROM dtbridge.batch WHERE master = $1 AND cursor = $2",
                                "DELETE FROM dtbridge.lost WHERE master = $1 AND cursor = $2",
                                "DELETE FROM dtbridge.withheld WHERE master = $1 AND cursor = $2",
                                "DELETE FROM dtbridge.throttle WHERE master = $1 AND cursor = $2",
                                "DELETE FROM dtbridge.cursor WHERE master = $1 AND id = $2"})
            on.run(sql, ours().add(id));
        return true;
    });
    std::lock_guard lock(known_.mutex);
    known_.cursors.erase(destination);
    return true;
}

// ---- texts, set aside
// -----------------------------------------------------------------------------------------------

std::string pg_store::remember(const std::string& text, const std::string& name, std::int64_t now)
{
    if (text.size() > block_limit_bytes)
        throw db::error(fail(errc::over_limit, path_ + ": a policy or field map of over 4 MiB is not kept"));
    auto hash = text::hex(sha256(text));
    const auto frame = compress_block(text);
    write([&](db::postgres& on) {
        on.run(
            "INSERT INTO dtbridge.text(master, hash, used, body, name) VALUES($1, $2, $3, $4, $5) ON "
            "CONFLICT(master, hash) DO UPDATE SET used = excluded.used, body = excluded.body, name = "
            "excluded.name",
            ours().add(hash).add(now).bytes(frame).bytes(name));
        return true;
    });
    return hash;
}

std::optional<std::string> pg_store::recall(const std::string& hash)
{
    auto c = connect();
    const auto r = c->run("SELECT body FROM dtbridge.text WHERE master = $1 AND hash = $2", ours().add(hash));
    if (r.empty() || r.is_null(0, 0))
        return std::nullopt;
    return expand_text(r.bytes(0, 0), block_limit_bytes, path_, hash);
}

bool pg_store::set_aside(const std::string& raw, const std::string& reason, std::int64_t now)
{
    const auto hash = sha256(raw);
    if (known_.set_aside.has(hash))
        return false;
    bool repeated = false;
    {
        auto c = connect();
        repeated = !c->run("SELECT 1::bigint FROM dtbridge.set_aside WHERE master = $1 AND hash = $2",
                           ours().bytes(hash))
                        .empty();
    }
    if (!repeated)
    {
        // The line first: a crash in between repeats a line, the other way round would lose the element.
        append_line(folder_ + "/set-aside.ndjson", set_aside_line(now, reason, raw), max_set_aside_bytes);
        write([&](db::postgres& on) {
            const auto r = on.run(
                "UPDATE dtbridge.master SET asides = asides + 1 WHERE id = $1 RETURNING asides", ours());
            const auto n = r.integer(0, 0);
            on.run(
                "INSERT INTO dtbridge.set_aside(master, hash, n, at) VALUES($1, $2, $3, $4) ON CONFLICT DO "
                "NOTHING",
                ours().bytes(hash).add(n).add(now));
            on.run("DELETE FROM dtbridge.set_aside WHERE master = $1 AND n <= $2",
                   ours().add(n - most_set_aside));
            return true;
        });
    }
    known_.set_aside.add(hash);
    return !repeated;
}

// ---- all archives
// ---------------------------------------------------------------------------------------------------

std::vector<std::string> pg_archive_names(db::postgres_pool& pool)
{
    std::vector<std::string> out;
    auto c = pool.take();
    if (!pg_check_version(*c))
        return out;
    const auto r = c->run("SELECT name FROM dtbridge.master WHERE position('.' in name) = 0 ORDER BY name");
    for (int i = 0; i < r.size(); ++i)
        out.emplace_back(r.bytes(i, 0));
    return out;
}

void pg_wait_briefly(db::postgres& on)
{
    on.run("SET LOCAL lock_timeout = '3s'");
}

namespace
{

/// Deletes it in a transaction of its own. False: there is none.
bool erase_at_once(db::postgres& on, const std::string& master)
{
    db::postgres_transaction all(on);
    pg_wait_briefly(on);
    pg_refuse_owned(on, master);
    const auto r = on.run("SELECT id, place FROM dtbridge.master WHERE name = $1 FOR UPDATE",
                          db::parameters().add(master));
    if (r.empty())
        return false;
    const auto id = r.integer(0, 0);
    const std::string place(r.bytes(0, 1));
    if (!is_plain_name(place))
        return false;
    for (const char* sql : {"DELETE FROM dtbridge.part WHERE master = $1",
                            "DELETE FROM dtbridge.cursor WHERE master = $1",
                            "DELETE FROM dtbridge.text WHERE master = $1",
                            "DELETE FROM dtbridge.batch WHERE master = $1",
                            "DELETE FROM dtbridge.lost WHERE master = $1",
                            "DELETE FROM dtbridge.polled WHERE master = $1",
                            "DELETE FROM dtbridge.change WHERE master = $1",
                            "DELETE FROM dtbridge.set_aside WHERE master = $1",
                            "DELETE FROM dtbridge.reason WHERE master = $1",
                            "DELETE FROM dtbridge.withheld WHERE master = $1",
                            "DELETE FROM dtbridge.throttle WHERE master = $1",
                            "DELETE FROM dtbridge.difference WHERE master = $1"})
        on.run(sql, db::parameters().add(id));
    on.run("DROP TABLE " + quoted(place, "block_" + std::to_string(id)));
    on.run("DROP TABLE " + quoted(place, "seen_" + std::to_string(id)));
    on.run("DELETE FROM dtbridge.master WHERE id = $1", db::parameters().add(id));
    all.commit();
    return true;
}

}  // namespace

bool pg_erase_archive(db::postgres_pool& pool, const std::string& master)
{
    auto c = pool.take();
    if (!pg_check_version(*c))
        return false;
    try
    {
        return erase_at_once(*c, master);
    }
    catch (const db::postgres_error& e)
    {
        if (e.sqlstate() != "55P03")  // lock_not_available
            throw;
        throw db::error(fail(errc::locked,
                             pool.place() + ", master " + master +
                                 ": nothing was deleted, as somebody has read or written archives for 3 s (a "
                                 "backup?); try again when that is over"));
    }
}

}  // namespace dtbridge
