#include <dtbridge/archive/copy.hpp>

#include <algorithm>
#include <limits>
#include <map>
#include <vector>

#include <dtbridge/db/connection.hpp>

#include "archive/block_codec.hpp"
#include "archive/bounds.hpp"
#include "archive/copying.hpp"
#include "archive/digest.hpp"
#include "archive/pg_leases.hpp"
#include "archive/pg_schema.hpp"
#include "archive/pg_store.hpp"
#include "archive/store.hpp"

namespace dtbridge
{

namespace
{

constexpr std::size_t rows_at_once = 4096;

db::open_options to_read()
{
    db::open_options o;
    o.writable = false;
    o.max_value_bytes = static_cast<int>(2 * block_limit_bytes);
    return o;
}

}  // namespace

/// Fills an archive that was just made and that nobody else knows.
class pg_copier
{
public:
    pg_copier(db::connection& from, pg_store& to, const std::function<void(std::int64_t)>& progress)
        : from_(from), to_(to), progress_(progress)
    {}

    archive_copy run()
    {
        copy_keys();
        copy_blocks();
        copy_texts();
        copy_cursors();
        copy_batches();
        copy_lost();
        copy_windows();
        copy_changes();
        copy_set_aside();
        copy_withheld();
        copy_throttles();
        copy_differences();
        finish();
        return done_;
    }

private:
    db::parameters ours() const { return to_.ours(); }
    void write(const std::string& sql, const db::parameters& p)
    {
        to_.write([&](db::postgres& on) {
            on.run(sql, p);
            return true;
        });
    }
    static std::int64_t mapped(const std::map<std::int64_t, std::int64_t>& ids, std::int64_t id)
    {
        const auto at = ids.find(id);
        return at == ids.end() ? 0 : at->second;
    }

    void copy_keys()
    {
        std::vector<std::int64_t> pbids, created, seqs, comments;
        std::vector<bool> acknowledged, archive_only, late;
        const auto flush = [&] {
            if (pbids.empty())
                return;
            write(
                "INSERT INTO dtbridge.seen(master, pbid, created, seq, acknowledged, comment_count, "
                "archive_only, "
                "late) SELECT $1, u.* FROM unnest($2, $3, $4, $5, $6, $7, $8) AS u(pbid, created, seq, "
                "acknowledged, "
                "comment_count, archive_only, late)",
                ours()
                    .add(pbids)
                    .add(created)
                    .add(seqs)
                    .flags(acknowledged)
                    .add(comments)
                    .flags(archive_only)
                    .flags(late));
            done_.keys += static_cast<std::int64_t>(pbids.size());
            pbids.clear();
            created.clear();
            seqs.clear();
            comments.clear();
            acknowledged.clear();
            archive_only.clear();
            late.clear();
        };
        db::query q(from_.prepared(
            "SELECT s.pbid, s.created, s.seq, ifnull(b.acknowledged, 0), ifnull(b.comment_count, 0), "
            "ifnull(b.archive_only, 0), ifnull(b.late, 0) FROM seen AS s LEFT JOIN breach AS b ON b.seq = "
            "s.seq"));
        while (q->step())
        {
            pbids.push_back(q->integer(0));
            created.push_back(q->integer(1));
            seqs.push_back(q->integer(2));
            acknowledged.push_back(q->integer(3) != 0);
            comments.push_back(q->integer(4));
            archive_only.push_back(q->integer(5) != 0);
            late.push_back(q->integer(6) != 0);
            if (pbids.size() == rows_at_once)
                flush();
        }
        flush();
    }

    struct row
    {
        std::int64_t seq = 0;
        directory_entry entry;
        std::int64_t begins = 0, length = 0;
        bool archive_only = false;
    };

    void copy_blocks()
    {
        db::query blocks(from_.prepared("SELECT id, last_seq, archived, size, data FROM block ORDER BY id"));
        db::query breaches(from_.prepared(
            "SELECT seq, pbid, created, time, begins, length, archive_only FROM breach WHERE seq "
            "BETWEEN ?1 AND ?2 AND block = ?1 ORDER BY seq"));
        while (blocks->step())
        {
            const auto id = blocks->integer(0);
            const auto last_seq = blocks->integer(1);
            const auto size = blocks->integer(3);
            std::vector<row> rows;
            breaches->reset();
            breaches->bind(1, id).bind(2, last_seq);
            while (breaches->step())
            {
                row r;
                r.seq = breaches->integer(0);
                r.entry.key = breach_key{breaches->integer(1), breaches->integer(2)};
                r.entry.time = breaches->optional_integer(3);
                r.begins = breaches->integer(4);
                r.length = breaches->integer(5);
                r.archive_only = breaches->integer(6) != 0;
                if (r.begins < 0 || r.length < 0 || r.begins > size || r.length > size - r.begins)
                    raise_damaged_block(from_.path(), id, "is shorter than its breaches");
                rows.push_back(r);
            }
            // One that `recover` mended may lack breaches: what is left of it becomes several.
            std::string bytes;
            for (std::size_t first = 0; first < rows.size();)
            {
                auto end = first + 1;
                while (end < rows.size() && rows[end].seq == rows[end - 1].seq + 1 &&
                       rows[end].archive_only == rows[first].archive_only)
                    ++end;
                const bool is_whole = rows[first].seq == id && rows[end - 1].seq == last_seq;
                if (is_whole)
                {
                    add_block(blocks->integer(2), rows, first, end, size, blocks->blob(4));
                }
                else
                {
                    if (bytes.empty())
                        bytes = expand_block(blocks->blob(4), size, block_limit_bytes, from_.path(), id);
                    std::string part;
                    for (auto i = first; i < end; ++i)
                    {
                        const auto begins = part.size();
                        part.append(bytes,
                                    static_cast<std::size_t>(rows[i].begins),
                                    static_cast<std::size_t>(rows[i].length));
                        rows[i].begins = static_cast<std::int64_t>(begins);
                    }
                    add_block(blocks->integer(2),
                              rows,
                              first,
                              end,
                              static_cast<std::int64_t>(part.size()),
                              compress_block(part));
                }
                first = end;
            }
        }
    }

    void add_block(std::int64_t archived,
                   const std::vector<row>& rows,
                   std::size_t first,
                   std::size_t end,
                   std::int64_t size,
                   std::string_view frame)
    {
        std::string directory;
        auto created_from = std::numeric_limits<std::int64_t>::max();
        auto created_to = std::numeric_limits<std::int64_t>::min();
        for (auto i = first; i < end; ++i)
        {
            auto e = rows[i].entry;
            e.begins = static_cast<std::uint32_t>(rows[i].begins);
            e.length = static_cast<std::uint32_t>(rows[i].length);
            append_entry(directory, e);
            created_from = std::min(created_from, e.key.created);
            created_to = std::max(created_to, e.key.created);
        }
        to_.make_part(archived);
        write(
            "INSERT INTO dtbridge.block(master, archived, last_seq, first_seq, created_from, created_to, "
            "archive_only, size, directory, data) VALUES($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            ours()
                .add(archived)
                .add(rows[end - 1].seq)
                .add(rows[first].seq)
                .add(created_from)
                .add(created_to)
                .add(rows[first].archive_only)
                .add(size)
                .bytes(directory)
                .bytes(frame));
        bytes_ += static_cast<std::int64_t>(directory.size() + frame.size());
        done_.breaches += static_cast<std::int64_t>(end - first);
        progress_(done_.breaches);
    }

    void copy_texts()
    {
        db::query q(from_.prepared("SELECT id, hash, used, body, name FROM text ORDER BY id"));
        while (q->step())
        {
            const auto hash = q->text(1);
            const auto body = q->blob(3);
            const auto name = q->text(4);
            const bool has_body = !q->is_null(3);
            texts_[q->integer(0)] = to_.write([&](db::postgres& on) {
                const auto r = on.run(
                    "INSERT INTO dtbridge.text(master, hash, used, body, name) VALUES($1, $2, $3, CASE "
                    "WHEN $4 THEN $5 END, $6) RETURNING id",
                    ours().add(hash).add(q->integer(2)).add(has_body).bytes(body).bytes(name));
                return r.integer(0, 0);
            });
        }
    }

    void copy_cursors()
    {
        db::query q(from_.prepared(
            "SELECT id, name, seq, sent, held_back, undeliverable, throttled, lost, began FROM "
            "cursor ORDER BY id"));
        while (q->step())
        {
            const auto name = q->text(1);
            cursors_[q->integer(0)] = to_.write([&](db::postgres& on) {
                const auto r = on.run(
                    "INSERT INTO dtbridge.cursor(master, name, seq, sent, held_back, undeliverable, "
                    "throttled, "
                    "lost, began) VALUES($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id",
                    ours()
                        .add(name)
                        .add(q->integer(2))
                        .add(q->integer(3))
                        .add(q->integer(4))
                        .add(q->integer(5))
                        .add(q->integer(6))
                        .add(q->integer(7))
                        .add(q->optional_integer(8)));
                return r.integer(0, 0);
            });
            ++done_.cursors;
        }
    }

    /// Rows of bigints, one column after the other, into table; names: its columns but master.
    void copy_numbers(db::query& q, const std::string& table, const std::vector<std::string>& names)
    {
        const auto width = names.size();
        std::vector<std::vector<std::optional<std::int64_t>>> columns(width);
        std::string list, places;
        for (std::size_t i = 0; i < width; ++i)
        {
            list += ", " + names[i];
            places += (i == 0 ? "$" : ", $") + std::to_string(i + 2);
        }
        const auto sql = "INSERT INTO dtbridge." + table + "(master" + list +
                         ") SELECT $1, u.* FROM unnest(" + places + ") AS u";
        const auto flush = [&] {
            if (columns[0].empty())
                return;
            auto p = ours();
            for (const auto& c : columns)
                p.add(c);
            write(sql, p);
            for (auto& c : columns)
                c.clear();
        };
        while (q->step())
        {
            if (!prepare_row_(q))
                continue;
            for (std::size_t i = 0; i < width; ++i)
                columns[i].push_back(row_[i]);
            if (columns[0].size() == rows_at_once)
                flush();
        }
        flush();
    }

    void take_row(db::query& q, std::size_t width)
    {
        row_.resize(width);
        for (std::size_t i = 0; i < width; ++i)
            row_[i] = q->optional_integer(static_cast<int>(i));
    }

    void copy_batches()
    {
        prepare_row_ = [this](db::query& q) {
            take_row(q, 10);
            row_[0] = mapped(cursors_, row_[0].value_or(0));
            for (const std::size_t i : {8u, 9u})
                if (row_[i])
                    row_[i] = mapped(texts_, *row_[i]);
            return row_[0] != 0;
        };
        db::query q(from_.prepared(
            "SELECT cursor, last_seq, first_seq, at, sent, held_back, undeliverable, throttled, "
            "policy, fields FROM batch"));
        copy_numbers(q,
                     "batch",
                     {"cursor",
                      "last_seq",
                      "first_seq",
                      "at",
                      "sent",
                      "held_back",
                      "undeliverable",
                      "throttled",
                      "policy",
                      "fields"});
    }

    void copy_lost()
    {
        prepare_row_ = [this](db::query& q) {
            take_row(q, 6);
            row_[1] = mapped(cursors_, row_[1].value_or(0));
            losses_ = std::max(losses_, row_[0].value_or(0));
            return row_[1] != 0;
        };
        db::query q(from_.prepared("SELECT id, cursor, first_seq, last_seq, at, count FROM lost"));
        copy_numbers(q, "lost", {"n", "cursor", "first_seq", "last_seq", "at", "count"});
    }

    void copy_windows()
    {
        db::query q(from_.prepared(
            "SELECT id, at, starts, ends, sweep, shown, archived, late, held, gone FROM window"));
        while (q->step())
        {
            windows_ = std::max(windows_, q->integer(0));
            write(
                "INSERT INTO dtbridge.polled(master, n, at, starts, ends, sweep, shown, archived, late, "
                "held, gone) "
                "VALUES($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
                ours()
                    .add(q->integer(0))
                    .add(q->integer(1))
                    .add(q->integer(2))
                    .add(q->integer(3))
                    .add(q->integer(4) != 0)
                    .add(q->integer(5))
                    .add(q->integer(6))
                    .add(q->integer(7))
                    .add(q->integer(8))
                    .add(q->integer(9)));
        }
    }

    void copy_changes()
    {
        std::vector<std::int64_t> seqs, ats, comments;
        std::vector<bool> acknowledged;
        std::vector<std::optional<std::int64_t>> when;
        const auto flush = [&] {
            if (seqs.empty())
                return;
            write(
                "INSERT INTO dtbridge.change(master, seq, at, acknowledged, comment_count, acknowledged_at) "
                "SELECT $1, "
                "u.* FROM unnest($2, $3, $4, $5, $6) AS u",
                ours().add(seqs).add(ats).flags(acknowledged).add(comments).add(when));
            seqs.clear();
            ats.clear();
            comments.clear();
            acknowledged.clear();
            when.clear();
        };
        db::query q(
            from_.prepared("SELECT seq, at, acknowledged, comment_count, acknowledged_at FROM change"));
        while (q->step())
        {
            seqs.push_back(q->integer(0));
            ats.push_back(q->integer(1));
            acknowledged.push_back(q->integer(2) != 0);
            comments.push_back(q->integer(3));
            when.push_back(q->optional_integer(4));
            if (seqs.size() == rows_at_once)
                flush();
        }
        flush();
    }

    void copy_set_aside()
    {
        db::query q(from_.prepared("SELECT id, hash, at FROM set_aside"));
        std::vector<std::string> hashes;
        std::vector<std::int64_t> numbers, ats;
        const auto flush = [&] {
            if (numbers.empty())
                return;
            const std::vector<std::string_view> views(hashes.begin(), hashes.end());
            write(
                "INSERT INTO dtbridge.set_aside(master, hash, n, at) SELECT $1, u.* FROM unnest($2, $3, $4) "
                "AS u",
                ours().blobs(views).add(numbers).add(ats));
            hashes.clear();
            numbers.clear();
            ats.clear();
        };
        while (q->step())
        {
            asides_ = std::max(asides_, q->integer(0));
            numbers.push_back(q->integer(0));
            hashes.emplace_back(q->blob(1));
            ats.push_back(q->integer(2));
            if (numbers.size() == rows_at_once)
                flush();
        }
        flush();
    }

    void copy_withheld()
    {
        {
            db::query q(from_.prepared("SELECT id, words FROM reason ORDER BY id"));
            while (q->step())
            {
                const auto words = q->text(1);
                const auto hash = sha256(words);
                reasons_[q->integer(0)] = to_.write([&](db::postgres& on) {
                    const auto r = on.run(
                        "INSERT INTO dtbridge.reason(master, hash, words) VALUES($1, $2, $3) RETURNING id",
                        ours().bytes(hash).bytes(words));
                    return r.integer(0, 0);
                });
            }
        }
        prepare_row_ = [this](db::query& q) {
            take_row(q, 4);
            row_[0] = mapped(cursors_, row_[0].value_or(0));
            row_[3] = mapped(reasons_, row_[3].value_or(0));
            return row_[0] != 0;
        };
        db::query q(from_.prepared("SELECT cursor, seq, how, reason FROM withheld"));
        copy_numbers(q, "withheld", {"cursor", "seq", "how", "reason"});
    }

    void copy_throttles()
    {
        db::query q(
            from_.prepared("SELECT cursor, throttle, key, start, ends, passed, held, summed_up, first, last, "
                           "last_model, last_device, last_url FROM throttle ORDER BY cursor, start"));
        std::map<std::int64_t, std::vector<throttle_window>> waiting;
        const auto flush = [&] {
            for (const auto& [cursor, windows] : waiting)
                to_.write([&, of = cursor](db::postgres& on) {
                    to_.save_windows(on, of, waiting.at(of));
                    return true;
                });
            waiting.clear();
        };
        std::size_t count = 0;
        while (q->step())
        {
            const auto cursor = mapped(cursors_, q->integer(0));
            if (cursor == 0)
                continue;
            throttle_window w;
            w.throttle = q->text(1);
            w.key = q->text(2);
            w.start = q->integer(3);
            w.ends = q->integer(4);
            w.passed = q->integer(5);
            w.held = q->integer(6);
            w.summed_up = q->integer(7);
            w.first = q->integer(8);
            w.last = q->integer(9);
            w.last_model = q->text(10);
            w.last_device = q->text(11);
            w.last_url = q->text(12);
            waiting[cursor].push_back(std::move(w));
            if (++count % rows_at_once == 0)
                flush();
        }
        flush();
    }

    void copy_differences()
    {
        prepare_row_ = [this](db::query& q) {
            take_row(q, 5);
            differences_ = std::max(differences_, row_[0].value_or(0));
            return true;
        };
        db::query q(from_.prepared("SELECT id, kind, pbid, created, at FROM difference"));
        copy_numbers(q, "difference", {"n", "kind", "pbid", "created", "at"});
    }

    /// Last: until then nothing of it counts.
    void finish()
    {
        db::query q(from_.prepared("SELECT last_seq, position, by_activity FROM state WHERE id = 1"));
        if (!q->step())
            throw db::error(
                fail(errc::archive_damaged, from_.path() + ": the file is damaged (its state is missing)"));
        write(
            "UPDATE dtbridge.master SET last_seq = $2, breaches = $3, bytes = $4, position = $5, by_activity "
            "= $6, "
            "windows = $7, losses = $8, differences = $9, asides = $10 WHERE id = $1",
            ours()
                .add(std::max(q->integer(0), from_.value("SELECT max(seq) FROM breach")))
                .add(done_.breaches)
                .add(bytes_)
                .add(q->optional_integer(1))
                .add(q->integer(2) != 0)
                .add(windows_)
                .add(losses_)
                .add(differences_)
                .add(asides_));
    }

    db::connection& from_;
    pg_store& to_;
    const std::function<void(std::int64_t)>& progress_;
    std::map<std::int64_t, std::int64_t> cursors_, texts_, reasons_;  // ids there and here
    std::int64_t bytes_ = 0, windows_ = 0, losses_ = 0, differences_ = 0, asides_ = 0;
    std::vector<std::optional<std::int64_t>> row_;
    std::function<bool(db::query&)> prepare_row_;
    archive_copy done_;
};

outcome<archive_copy> copy_archive_to_database(const std::string& folder,
                                               const std::string& master,
                                               const archive_database& database,
                                               const std::function<void(std::int64_t)>& progress)
{
    try
    {
        const auto budget = std::make_shared<archive_budget>(1, 0, 0);
        {
            // Brings an older schema forward.
            store source(folder + "/" + master, any_store::access::write, budget);
            source.open();
            source.close();
        }
        auto pool = open_database(database);
        {
            auto c = pool->take();
            pg_migrate(*c);
            pg_refuse_owned(*c, master);
        }
        const auto names = pg_archive_names(*pool);
        if (std::find(names.begin(), names.end(), master) != names.end())
            throw already_there(pool->place() + " has an archive of master " + master);
        const auto draft = master + copying_suffix;
        pg_erase_archive(*pool, draft);  // of one that was cut short
        pg_layout layout;
        layout.own_schemas = database.own_schemas;
        layout.partition = database.partition;
        pg_store target(draft, folder + "/" + master, any_store::access::write, pool, budget, layout);
        target.open();
        db::connection source(folder + "/" + master + "/archive.db", to_read());
        const auto done = pg_copier(source, target, progress).run();
        auto c = pool->take();
        db::postgres_transaction whole(*c);
        pg_refuse_owned(*c, master);
        c->run("UPDATE dtbridge.master SET name = $1 WHERE name = $2",
               db::parameters().add(master).add(draft));
        whole.commit();
        return done;
    }
    catch (const db::error& e)
    {
        return e.reason();
    }
}

}  // namespace dtbridge
