#include "archive/store.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include <dtbridge/core/text.hpp>

#include "archive/block_codec.hpp"
#include "archive/bounds.hpp"
#include "archive/digest.hpp"
#include "archive/folder.hpp"
#include "archive/schema.hpp"
#include "archive/set_aside.hpp"

namespace dtbridge
{

namespace
{

constexpr std::size_t keys_in_all = 131072;  // about 80 bytes each
constexpr std::size_t most_keys_each = 16384;
constexpr std::size_t fewest_keys_each = 256;
constexpr std::int64_t pages_kept_free = 64;

db::open_options options_for(store::access how, bool create)
{
    db::open_options options;
    options.create = create;
    options.writable = how == store::access::write;
    options.incremental_vacuum = true;
    options.max_value_bytes = static_cast<int>(2 * block_limit_bytes);
    return options;
}

failure no_cursor(const std::string& path, const std::string& destination)
{
    return fail(errc::not_found, path + ": no cursor of destination \"" + destination + "\"");
}

}  // namespace

void check_bodies(const archive_block& block, const std::string& path)
{
    auto first = reinterpret_cast<std::uintptr_t>(block.bytes.data());
    for (const auto& e : block.elements)
    {
        auto at = reinterpret_cast<std::uintptr_t>(e.body.data());
        if (e.body.size() > max_element_bytes)
            throw db::error(fail(errc::over_limit,
                                 path + ": element with pbid " + std::to_string(e.key.pbid) + " has " +
                                     std::to_string(e.body.size()) + " bytes, over the limit of " +
                                     std::to_string(max_element_bytes)));
        if (at < first || at - first > block.bytes.size() ||
            e.body.size() > block.bytes.size() - (at - first))
            throw db::error(fail(
                errc::malformed,
                path + ": the body of pbid " + std::to_string(e.key.pbid) + " does not lie in its block"));
    }
}

std::size_t archive_budget::keys_each() const
{
    auto n = std::max<std::size_t>(archives.load(), 1);
    return std::clamp(keys_in_all / n, fewest_keys_each, most_keys_each);
}

store::store(std::string folder, access how, std::shared_ptr<archive_budget> budget)
    : folder_(std::move(folder)),
      path_(folder_ + "/archive.db"),
      access_(how),
      budget_(std::move(budget)),
      blocks_(budget_->blocks)
{
    ++budget_->archives;
}

store::~store()
{
    std::lock_guard lock(file_->busy);
    budget_->files.close(file_);
    --budget_->archives;
}

db::connection& store::db()
{
    budget_->files.use(file_);
    try
    {
        if (!file_->db)
        {
            auto opened = std::make_unique<db::connection>(path_, options_for(access_, false));
            auto newest = static_cast<int>(archive_schema().size());
            int found = db::check_version(*opened, archive_application_id, newest, "archive");
            if (found < newest)
                throw db::error(fail(errc::unsupported,
                                     path_ + ": this archive has the older schema " + std::to_string(found) +
                                         "; start the service once, which brings it forward"));
            file_->db = std::move(opened);
            // Another file may have been put in its place while it was closed.
            if (loaded_ && file_->db->value("SELECT last_seq FROM state") != known_.last_seq)
                loaded_ = false;
        }
        if (!loaded_ || access_ == access::read)
            load(*file_->db);
        loaded_ = true;
        return *file_->db;
    }
    catch (...)
    {
        budget_->files.close(file_);
        throw;
    }
}

void store::take_over(const std::string& formerly)
{
    auto before = parent_folder(folder_) + "/" + formerly;
    if (folder_exists(before) && !folder_exists(folder_))
        rename_folder(before, folder_);
}

void store::open()
{
    if (access_ == access::write)
    {
        make_folder(folder_);
        budget_->files.use(file_);
        try
        {
            file_->db = std::make_unique<db::connection>(path_, options_for(access_, true));
            db::migrate(*file_->db, archive_application_id, archive_schema(), "archive");
        }
        catch (...)
        {
            budget_->files.close(file_);
            throw;
        }
        sync_folder(folder_);
    }
    else if (::access(path_.c_str(), F_OK) != 0 && errno == ENOENT)
    {
        throw db::error(fail(errc::not_found, path_ + ": there is no such archive"));
    }
    db();
}

void store::close()
{
    if (file_->db && access_ == access::write)
        file_->db->checkpoint();
    budget_->files.close(file_);
    blocks_.clear();
}

void store::recover_from(const failure& f)
{
    if (f.code == errc::disk_full || f.code == errc::locked || f.code == errc::over_limit ||
        f.code == errc::malformed || f.code == errc::not_found)
        return;
    budget_->files.close(file_);
}

void store::load(db::connection& file)
{
    std::int64_t last_seq = 0;
    std::int64_t breaches = 0;
    std::optional<poll_position> position;
    {
        db::query q(
            file.prepared("SELECT last_seq, breaches, position, by_activity FROM state WHERE id = 1"));
        if (!q->step())
            throw db::error(
                fail(errc::archive_damaged,
                     path_ + ": the file is damaged (its state is missing); `dtbridge recover` saves what "
                             "is readable"));
        last_seq = q->integer(0);
        breaches = q->integer(1);
        if (!q->is_null(2))
            position = poll_position{q->integer(2), q->integer(3) != 0};
    }
    last_seq = std::max(last_seq, file.value("SELECT max(seq) FROM breach"));
    std::map<std::string, known_facts::cursor> cursors;
    {
        db::query q(file.prepared("SELECT name, id, seq, lost, ifnull(began, 0) FROM cursor"));
        while (q->step())
            cursors[std::string(q->text(0))] =
                known_facts::cursor{q->integer(1), q->integer(2), q->integer(3), q->integer(4)};
    }
    std::int64_t oldest_seq = last_seq + 1;
    std::int64_t oldest_archived = 0;
    {
        db::query q(file.prepared("SELECT id, archived FROM block ORDER BY id LIMIT 1"));
        if (q->step())
        {
            oldest_seq = q->integer(0);
            oldest_archived = q->integer(1);
        }
    }
    recent_keys keys;
    if (access_ == access::write)
    {
        db::query q(
            file.prepared("SELECT * FROM (SELECT seq, pbid, created, acknowledged, comment_count FROM breach "
                          "ORDER BY seq DESC LIMIT ?) ORDER BY seq"));
        auto limit = std::min(keys_at_open, budget_->keys_each());
        q->bind(1, static_cast<std::int64_t>(limit));
        while (q->step())
        {
            breach_key key{q->integer(1), q->integer(2)};
            recent_keys::shown shown{q->integer(3) != 0, q->integer(4)};
            keys.add(key, shown, limit);
        }
        blocks_.clear();
    }
    std::lock_guard lock(known_.mutex);
    known_.last_seq = last_seq;
    known_.breaches = breaches;
    known_.oldest_seq = oldest_seq;
    known_.oldest_archived = oldest_archived;
    known_.position = position;
    known_.cursors = std::move(cursors);
    known_.keys = std::move(keys);
}

void store::load_oldest(std::int64_t& oldest_seq, std::int64_t& oldest_archived)
{
    db::query q(file_->db->prepared("SELECT id, archived FROM block ORDER BY id LIMIT 1"));
    bool any = q->step();
    oldest_seq = any ? q->integer(0) : known_.last_seq + 1;
    oldest_archived = any ? q->integer(1) : 0;
}

added store::add(archive_block& block, std::int64_t now)
{
    check_bodies(block, path_);
    added out;
    std::vector<const archive_element*> unknown;
    unknown.reserve(block.elements.size());
    {
        std::lock_guard lock(known_.mutex);
        for (const auto& e : block.elements)
        {
            if (known_.keys.find(e.key))
                ++out.repeated;
            else
                unknown.push_back(&e);
        }
        out.last_seq = known_.last_seq;
    }
    if (unknown.empty() && !block.position && !block.window)
        return out;

    auto& file = db();
    file.set_durability(unknown.empty() ? db::connection::durability::normal
                                        : db::connection::durability::full);
    auto brought = std::make_shared<added_block>();
    brought->first_seq = known_.last_seq + 1;
    brought->archived = now;
    brought->archive_only = block.archive_only;
    std::size_t bytes = 0;
    for (const auto* e : unknown)
        bytes += e->body.size();
    brought->bytes.reserve(bytes);
    brought->entries.reserve(unknown.size());
    std::vector<const archive_element*> fresh;
    fresh.reserve(unknown.size());

    db::transaction commit(file);
    {
        db::query see(
            file.prepared("INSERT INTO seen(pbid, created, seq) VALUES(?, ?, ?) ON CONFLICT DO NOTHING"));
        db::query reused(file.prepared("SELECT 1 FROM seen WHERE pbid = ? AND created <> ? LIMIT 1"));
        db::query insert(
            file.prepared("INSERT INTO breach(seq, pbid, created, time, block, begins, length, acknowledged, "
                          "comment_count, archive_only, late) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"));
        db::query insert_block(
            file.prepared("INSERT INTO block(id, last_seq, archived, size, data) VALUES(?, ?, ?, ?, ?)"));
        std::int64_t block_id = brought->first_seq;
        std::size_t block_begins = 0;
        std::int64_t seq = brought->first_seq;
        auto end_block = [&] {
            auto bodies = std::string_view(brought->bytes).substr(block_begins);
            if (seq == block_id)
                return;
            std::string frame = compress_block(bodies);
            insert_block->bind(1, block_id).bind(2, seq - 1).bind(3, now);
            insert_block->bind(4, static_cast<std::int64_t>(bodies.size())).bind_blob(5, frame);
            insert_block->run();
            block_id = seq;
            block_begins = brought->bytes.size();
        };
        for (const auto* e : unknown)
        {
            see->bind(1, e->key.pbid).bind(2, e->key.created).bind(3, seq);
            see->run();
            if (file.changes() == 0)
            {
                ++out.repeated;
                continue;
            }
            reused->bind(1, e->key.pbid).bind(2, e->key.created);
            if (reused->step())
                ++out.reused_pbids;
            reused->reset();
            if (brought->bytes.size() - block_begins + e->body.size() > block_target_bytes)
                end_block();
            auto begins = brought->bytes.size();
            brought->bytes.append(e->body);
            brought->entries.push_back(added_block::entry{e->key, begins, e->body.size()});
            insert->bind(1, seq)
                .bind(2, e->key.pbid)
                .bind(3, e->key.created)
                .bind(4, e->time)
                .bind(5, block_id);
            insert->bind(6, static_cast<std::int64_t>(begins - block_begins));
            insert->bind(7, static_cast<std::int64_t>(e->body.size()));
            insert->bind(8, std::int64_t{e->acknowledged}).bind(9, e->comment_count);
            insert->bind(10, std::int64_t{block.archive_only}).bind(11, std::int64_t{e->late});
            insert->run();
            fresh.push_back(e);
            ++seq;
        }
        end_block();
    }
    auto count = static_cast<std::int64_t>(fresh.size());
    if (count > 0 || block.position)
    {
        db::query q(
            file.prepared("UPDATE state SET last_seq = ?, breaches = breaches + ?, "
                          "position = coalesce(?, position), by_activity = coalesce(?, by_activity)"));
        std::optional<std::int64_t> position;
        std::optional<std::int64_t> by_activity;
        if (block.position)
        {
            position = block.position->position;
            by_activity = block.position->by_activity;
        }
        q->bind(1, known_.last_seq + count).bind(2, count).bind(3, position).bind(4, by_activity);
        q->run();
    }
    if (block.window)
    {
        const auto& w = *block.window;
        db::query q(
            file.prepared("INSERT INTO window(at, starts, ends, sweep, shown, archived, late, held, gone) "
                          "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)"));
        q->bind(1, now).bind(2, w.start).bind(3, w.end).bind(4, std::int64_t{w.sweep}).bind(5, w.shown);
        q->bind(6, w.archived + count).bind(7, w.late).bind(8, w.held).bind(9, w.gone);
        q->run();
        db::query trim(file.prepared("DELETE FROM window WHERE id <= last_insert_rowid() - ?"));
        trim->bind(1, most_windows);
        trim->run();
    }
    commit.commit();

    // From here on nothing throws but for want of memory: what is on disk becomes known.
    known_.take_in(fresh, brought->first_seq, block.position, now, budget_->keys_each(), out);
    if (count > 0)
        blocks_.add(std::move(brought));
    return out;
}

void store::save_position(const poll_position& p)
{
    auto& file = db();
    file.set_durability(db::connection::durability::normal);
    db::transaction commit(file);
    db::query q(file.prepared("UPDATE state SET position = ?, by_activity = ?"));
    q->bind(1, p.position).bind(2, std::int64_t{p.by_activity});
    q->run();
    commit.commit();
    std::lock_guard lock(known_.mutex);
    known_.position = p;
}

std::vector<breach_key> store::missing(const std::vector<breach_key>& keys)
{
    std::vector<breach_key> out;
    db::query q(db().prepared("SELECT 1 FROM seen WHERE pbid = ? AND created = ?"));
    for (const auto& key : keys)
    {
        q->bind(1, key.pbid).bind(2, key.created);
        if (!q->step())
            out.push_back(key);
        q->reset();
    }
    return out;
}

std::shared_ptr<const disk_block> store::body_block(std::int64_t id)
{
    if (file_->last_block && file_->last_block->id == id)
        return file_->last_block;
    db::query q(file_->db->prepared("SELECT archived, size, data FROM block WHERE id = ?"));
    q->bind(1, id);
    if (!q->step())
        raise_damaged_block(path_, id, "is missing");
    auto block = std::make_shared<disk_block>();
    block->id = id;
    block->archived = q->integer(0);
    block->bytes = expand_block(q->blob(2), q->integer(1), block_limit_bytes, path_, id);
    if (block->bytes.size() <= worth_keeping_bytes)
        file_->last_block = block;
    return block;
}

archive_span store::collect(db::statement& rows,
                            std::size_t max_count,
                            std::size_t max_bytes,
                            std::int64_t through)
{
    archive_span span;
    auto held = std::make_shared<std::vector<std::shared_ptr<const disk_block>>>();
    std::size_t bytes = 0;
    span.scanned_to = through;
    while (rows.step())
    {
        auto length = static_cast<std::uint64_t>(rows.integer(5));
        bool full = span.breaches.size() >= max_count || bytes + length > max_bytes;
        if (full && !span.breaches.empty())
        {
            span.scanned_to = span.breaches.back().seq;
            break;
        }
        auto id = rows.integer(3);
        if (held->empty() || held->back()->id != id)
            held->push_back(body_block(id));
        const auto& block = *held->back();
        auto begins = static_cast<std::uint64_t>(rows.integer(4));
        // Negative numbers have become huge ones.
        if (begins > block.bytes.size() || length > block.bytes.size() - begins)
            raise_damaged_block(path_, id, "is shorter than its breaches");
        archived_breach b;
        b.seq = rows.integer(0);
        b.key = breach_key{rows.integer(1), rows.integer(2)};
        b.archived = block.archived;
        b.body = std::string_view(block.bytes).substr(begins, length);
        span.breaches.push_back(b);
        bytes += length;
    }
    span.hold = std::move(held);
    return span;
}

archive_span store::read(std::int64_t after_seq, std::size_t max_count, std::size_t max_bytes)
{
    auto& file = db();
    db::query q(
        file.prepared("SELECT seq, pbid, created, block, begins, length FROM breach "
                      "WHERE seq > ? AND archive_only = 0 ORDER BY seq"));
    q->bind(1, after_seq);
    return collect(*q, max_count, max_bytes, std::max(after_seq, known_.last_seq));
}

archive_span store::find(std::int64_t pbid)
{
    auto& file = db();
    db::query q(
        file.prepared("SELECT b.seq, b.pbid, b.created, b.block, b.begins, b.length FROM seen AS s "
                      "JOIN breach AS b ON b.seq = s.seq WHERE s.pbid = ? ORDER BY b.seq"));
    q->bind(1, pbid);
    return collect(*q, most_found, block_limit_bytes, known_.last_seq);
}

archive_span store::scan(const scan_order& what)
{
    auto& file = db();
    // Without a bound even the highest int64 belongs to the answer, which "before" alone would leave out.
    db::query q(file.prepared(
        "SELECT seq, pbid, created, block, begins, length FROM breach WHERE seq > ?1 AND created >= ?2 "
        "AND (created < ?3 OR ?3 = 9223372036854775807) ORDER BY seq"));
    q->bind(1, what.after_seq).bind(2, what.created_from).bind(3, what.created_before);
    return collect(*q, what.max_count, what.max_bytes, std::max(what.after_seq, known_.last_seq));
}

archive_cursor store::ensure_cursor(const std::string& destination, const new_cursor& otherwise)
{
    auto& file = db();
    const auto at = known_.cursors.find(destination);
    if (at != known_.cursors.end() && (at->second.began != 0 || otherwise.began == 0))
        return archive_cursor{destination, at->second.seq, at->second.lost, at->second.began};
    const auto before = at != known_.cursors.end()   ? at
                        : otherwise.formerly.empty() ? known_.cursors.end()
                                                     : known_.cursors.find(otherwise.formerly);
    file.set_durability(db::connection::durability::full);
    db::transaction commit(file);
    known_facts::cursor taken;
    if (before != known_.cursors.end())
    {
        taken = before->second;
        if (taken.began == 0)
            taken.began = otherwise.began;
        db::query q(file.prepared("UPDATE cursor SET name = ?, began = nullif(?, 0) WHERE id = ?"));
        q->bind(1, destination).bind(2, taken.began).bind(3, taken.id);
        q->run();
    }
    else
    {
        taken.seq = otherwise.seq;
        taken.began = otherwise.began;
        db::query q(
            file.prepared("INSERT INTO cursor(name, seq, sent, held_back, undeliverable, lost, began) "
                          "VALUES(?, ?, 0, 0, 0, 0, nullif(?, 0)) RETURNING id"));
        q->bind(1, destination).bind(2, taken.seq).bind(3, taken.began);
        if (q->step())
            taken.id = q->integer(0);
        q->run();
    }
    commit.commit();
    std::lock_guard lock(known_.mutex);
    if (before != known_.cursors.end())
        known_.cursors.erase(before);
    known_.cursors[destination] = taken;
    return archive_cursor{destination, taken.seq, taken.lost, taken.began};
}

std::optional<std::int64_t> store::text_id(const std::string& hash, std::int64_t now)
{
    if (hash.empty())
        return std::nullopt;
    auto& file = *file_->db;
    {
        db::query q(file.prepared("SELECT id FROM text WHERE hash = ?"));
        q->bind(1, hash);
        if (q->step())
            return q->integer(0);
    }
    // A batch that was delivered is noted even where its policy's text was never given.
    db::query q(file.prepared("INSERT INTO text(hash, used, body) VALUES(?, ?, NULL) RETURNING id"));
    q->bind(1, hash).bind(2, now);
    std::optional<std::int64_t> id;
    if (q->step())
        id = q->integer(0);
    q->run();
    return id;
}

bool store::confirm(const std::string& destination, const confirmed_batch& batch, std::int64_t now)
{
    auto& file = db();
    auto it = known_.cursors.find(destination);
    if (it == known_.cursors.end())
        throw db::error(no_cursor(path_, destination));
    auto id = it->second.id;
    if (batch.last_seq <= it->second.seq)
        return false;
    file.set_durability(db::connection::durability::normal);
    db::transaction commit(file);
    auto policy = text_id(batch.policy_hash, now);
    auto fields = text_id(batch.fields_hash, now);
    {
        db::query q(
            file.prepared("UPDATE cursor SET seq = ?, sent = sent + ?, held_back = held_back + ?, "
                          "undeliverable = undeliverable + ?, throttled = throttled + ? WHERE id = ?"));
        q->bind(1, batch.last_seq)
            .bind(2, batch.sent)
            .bind(3, batch.held_back)
            .bind(4, batch.undeliverable)
            .bind(5, batch.throttled)
            .bind(6, id);
        q->run();
        if (file.changes() != 1)
            throw db::error(no_cursor(path_, destination));
    }
    {
        db::query q(
            file.prepared("INSERT OR REPLACE INTO batch(cursor, last_seq, first_seq, at, sent, held_back, "
                          "undeliverable, policy, fields, throttled) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"));
        q->bind(1, id).bind(2, batch.last_seq).bind(3, batch.first_seq).bind(4, now).bind(5, batch.sent);
        q->bind(6, batch.held_back).bind(7, batch.undeliverable).bind(8, policy).bind(9, fields);
        q->bind(10, batch.throttled);
        q->run();
    }
    save_withheld(id, batch.withheld);
    save_windows(id, batch.windows);
    commit.commit();
    std::int64_t everybody = batch.last_seq;
    {
        std::lock_guard lock(known_.mutex);
        it->second.seq = batch.last_seq;
        for (const auto& [name, cursor] : known_.cursors)
            everybody = std::min(everybody, cursor.seq);
    }
    blocks_.release(everybody);
    return true;
}

bool store::forget_cursor(const std::string& destination)
{
    auto& file = db();
    auto it = known_.cursors.find(destination);
    if (it == known_.cursors.end())
        return false;
    file.set_durability(db::connection::durability::full);
    db::transaction commit(file);
    for (const char* sql : {"DELETE FROM batch WHERE cursor = ?",
                            "DELETE FROM lost WHERE cursor = ?",
                            "DELETE FROM withheld WHERE cursor = ?",
                            "DELETE FROM throttle WHERE cursor = ?",
                            "DELETE FROM cursor WHERE id = ?"})
    {
        db::query q(file.prepared(sql));
        q->bind(1, it->second.id);
        q->run();
    }
    commit.commit();
    std::lock_guard lock(known_.mutex);
    known_.cursors.erase(it);
    return true;
}

std::string store::remember(const std::string& text, const std::string& name, std::int64_t now)
{
    auto hash = text::hex(sha256(text));
    auto& file = db();
    file.set_durability(db::connection::durability::full);
    db::transaction commit(file);
    db::query q(file.prepared(
        "INSERT INTO text(hash, used, body, name) VALUES(?, ?, ?, ?) ON CONFLICT(hash) DO UPDATE "
        "SET used = excluded.used, body = excluded.body, name = excluded.name"));
    auto frame = compress_block(text);
    if (text.size() > block_limit_bytes)
        throw db::error(fail(errc::over_limit, path_ + ": a policy or field map of over 4 MiB is not kept"));
    q->bind(1, hash).bind(2, now).bind_blob(3, frame).bind(4, name);
    q->run();
    commit.commit();
    return hash;
}

std::optional<std::string> store::recall(const std::string& hash)
{
    db::query q(db().prepared("SELECT body FROM text WHERE hash = ?"));
    q->bind(1, hash);
    if (!q->step() || q->is_null(0))
        return std::nullopt;
    return expand_text(q->blob(0), block_limit_bytes, path_, hash);
}

bool store::set_aside(const std::string& raw, const std::string& reason, std::int64_t now)
{
    auto hash = sha256(raw);
    if (known_.set_aside.has(hash))
        return false;
    auto& file = db();
    bool repeated = false;
    {
        db::query q(file.prepared("SELECT 1 FROM set_aside WHERE hash = ?"));
        q->bind_blob(1, hash);
        repeated = q->step();
    }
    if (!repeated)
    {
        // The line first: a crash in between repeats a line, the other way round would lose the element.
        append_line(folder_ + "/set-aside.ndjson", set_aside_line(now, reason, raw), max_set_aside_bytes);
        file.set_durability(db::connection::durability::normal);
        db::transaction commit(file);
        {
            db::query q(file.prepared("INSERT INTO set_aside(hash, at) VALUES(?, ?)"));
            q->bind_blob(1, hash).bind(2, now);
            q->run();
            db::query trim(file.prepared("DELETE FROM set_aside WHERE id <= last_insert_rowid() - ?"));
            trim->bind(1, most_set_aside);
            trim->run();
        }
        commit.commit();
    }
    known_.set_aside.add(hash);
    return !repeated;
}

std::int64_t store::file_bytes() const
{
    std::int64_t bytes = 0;
    for (const char* suffix : {"", "-wal", "-shm"})
    {
        struct stat st;
        if (::stat((path_ + suffix).c_str(), &st) == 0)
            bytes += st.st_size;
    }
    return bytes;
}

archive_facts store::facts() const
{
    archive_facts f;
    f.bytes = file_bytes();
    std::lock_guard lock(known_.mutex);
    f.oldest_seq = known_.oldest_seq;
    f.last_seq = known_.last_seq;
    f.breaches = known_.breaches;
    f.oldest_archived = known_.oldest_archived;
    return f;
}

bool store::has_to_prune(const retention_order& order, std::int64_t now) const
{
    if (order.max_bytes > 0 && file_bytes() > order.max_bytes)
        return true;
    std::lock_guard lock(known_.mutex);
    // A first block from the future (the clock was set back since) says nothing about those after it.
    return known_.breaches > 0 && (known_.oldest_archived < order.older_than || known_.oldest_archived > now);
}

void store::start_prune()
{
    db().checkpoint();
}

std::int64_t store::used_bytes()
{
    auto& file = *file_->db;
    return (file.value("PRAGMA page_count") - file.value("PRAGMA freelist_count")) *
           file.value("PRAGMA page_size");
}

bool store::prune_step(const retention_order& order, std::int64_t now, retention_result& dropped_now)
{
    auto& file = db();
    auto floor = std::numeric_limits<std::int64_t>::max();
    for (const auto& keep : order.keep_for)
    {
        auto it = known_.cursors.find(keep.destination);
        auto seq = it == known_.cursors.end() ? keep.seq : std::max(keep.seq, it->second.seq);
        floor = std::min(floor, seq);
    }
    std::map<std::string, std::int64_t> lost;
    std::int64_t dropped = 0;
    std::int64_t last_dropped = 0;
    int blocks = 0;
    file.set_durability(db::connection::durability::normal);  // what a power cut brings back goes again
    db::transaction commit(file);
    auto drop = [&](std::int64_t id, std::int64_t last_seq) {
        for (const auto& [name, cursor] : known_.cursors)
        {
            if (cursor.seq >= last_seq)
                continue;
            auto first = std::max(id, cursor.seq + 1);
            std::int64_t count = 0;
            {
                db::query q(file.prepared(
                    "SELECT count(*) FROM breach WHERE seq BETWEEN ? AND ? AND archive_only = 0"));
                q->bind(1, first).bind(2, last_seq);
                if (q->step())
                    count = q->integer(0);
            }
            if (count == 0)
                continue;
            lost[name] += count;
            db::query sum(file.prepared("UPDATE cursor SET lost = lost + ? WHERE id = ?"));
            sum->bind(1, count).bind(2, cursor.id);
            sum->run();
            db::query note(file.prepared(
                "INSERT INTO lost(cursor, first_seq, last_seq, at, count) VALUES(?, ?, ?, ?, ?)"));
            note->bind(1, cursor.id).bind(2, first).bind(3, last_seq).bind(4, now).bind(5, count);
            note->run();
        }
        db::query rows(file.prepared("DELETE FROM breach WHERE seq BETWEEN ? AND ?"));
        rows->bind(1, id).bind(2, last_seq);
        rows->run();
        dropped += file.changes();
        db::query block(file.prepared("DELETE FROM block WHERE id = ?"));
        block->bind(1, id);
        block->run();
        last_dropped = std::max(last_dropped, last_seq);
        ++blocks;
    };

    std::vector<std::pair<std::int64_t, std::int64_t>> old;
    {
        db::query q(file.prepared(
            "SELECT id, last_seq FROM block WHERE id <= ?1 AND last_seq <= ?1 AND archived < ?2 "
            "ORDER BY id LIMIT ?3"));
        q->bind(1, floor).bind(2, order.older_than).bind(3, std::int64_t{blocks_per_step});
        while (q->step())
            old.emplace_back(q->integer(0), q->integer(1));
    }
    for (const auto& [id, last_seq] : old)
        drop(id, last_seq);
    while (order.max_bytes > 0 && blocks < blocks_per_step && used_bytes() > order.max_bytes)
    {
        std::int64_t id = 0;
        std::int64_t last_seq = 0;
        {
            db::query q(file.prepared("SELECT id, last_seq FROM block ORDER BY id LIMIT 1"));
            if (!q->step())
                break;
            id = q->integer(0);
            last_seq = q->integer(1);
        }
        if (last_seq > floor && !order.drop_undelivered)
            break;
        drop(id, last_seq);
    }
    if (blocks == 0)
        return false;
    {
        db::query q(file.prepared("UPDATE state SET breaches = breaches - ?"));
        q->bind(1, dropped);
        q->run();
        db::query trim(file.prepared("DELETE FROM lost WHERE id <= (SELECT max(id) FROM lost) - ?"));
        trim->bind(1, most_lost_spans);
        trim->run();
    }
    std::int64_t oldest_seq = 0;
    std::int64_t oldest_archived = 0;
    load_oldest(oldest_seq, oldest_archived);
    commit.commit();

    file_->last_block.reset();
    blocks_.release(last_dropped);
    dropped_now.dropped = dropped;
    dropped_now.lost.assign(lost.begin(), lost.end());
    std::lock_guard lock(known_.mutex);
    known_.breaches -= dropped;
    known_.oldest_seq = oldest_seq;
    known_.oldest_archived = oldest_archived;
    for (const auto& [name, count] : lost)
        known_.cursors[name].lost += count;
    return blocks == blocks_per_step;
}

void store::forget_dropped()
{
    auto& file = db();
    file.set_durability(db::connection::durability::normal);
    db::transaction commit(file);
    for (const auto& [name, cursor] : known_.cursors)
    {
        for (const char* sql : {"DELETE FROM batch WHERE cursor = ? AND last_seq < ?",
                                "DELETE FROM withheld WHERE cursor = ? AND seq < ?"})
        {
            db::query q(file.prepared(sql));
            q->bind(1, cursor.id).bind(2, known_.oldest_seq);
            q->run();
        }
    }
    {
        db::query q(file.prepared("DELETE FROM change WHERE seq < ?"));
        q->bind(1, known_.oldest_seq);
        q->run();
    }
    {
        db::query q(file.prepared("DELETE FROM reason WHERE id NOT IN (SELECT reason FROM withheld)"));
        q->run();
    }
    // Policies are remembered at start and reload: those in force are among the newest, used by a batch or
    // not.
    db::query q(
        file.prepared("DELETE FROM text WHERE id NOT IN (SELECT policy FROM batch WHERE policy IS NOT NULL) "
                      "AND id NOT IN (SELECT fields FROM batch WHERE fields IS NOT NULL) "
                      "AND id NOT IN (SELECT id FROM text ORDER BY used DESC, id DESC LIMIT ?)"));
    q->bind(1, most_unused_texts);
    q->run();
    commit.commit();
}

bool store::shrink_step()
{
    auto& file = db();
    auto free = file.value("PRAGMA freelist_count");
    if (free > pages_kept_free)
    {
        file.set_durability(db::connection::durability::normal);
        file.exec("PRAGMA incremental_vacuum(512)");
        if (file.value("PRAGMA freelist_count") < free)
            return true;
    }
    file.checkpoint();
    return false;
}

}  // namespace dtbridge
