#include <dtbridge/archive/copy.hpp>

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <vector>

#include <dtbridge/db/connection.hpp>

#include "archive/copying.hpp"
#include "archive/folder.hpp"
#include "archive/pg_directory.hpp"
#include "archive/pg_leases.hpp"
#include "archive/pg_schema.hpp"
#include "archive/store.hpp"

namespace dtbridge
{

namespace
{

/// Fills a file that was just made.
class file_filler
{
public:
    file_filler(db::postgres& from,
                std::int64_t master,
                db::connection& to,
                const std::function<void(std::int64_t)>& progress)
        : from_(from), master_(master), to_(to), progress_(progress)
    {}

    archive_copy run()
    {
        // One view of all tables, whatever else goes on.
        from_.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
        db::transaction all(to_);
        copy_blocks();
        done_.keys = copy("SELECT pbid, created, seq FROM dtbridge.seen WHERE master = $1",
                          "INSERT INTO seen(pbid, created, seq) VALUES(?, ?, ?)",
                          "nnn");
        done_.cursors = copy(
            "SELECT id, name, seq, sent, held_back, undeliverable, throttled, lost, began FROM "
            "dtbridge.cursor WHERE master = $1",
            "INSERT INTO cursor(id, name, seq, sent, held_back, undeliverable, throttled, lost, began) "
            "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)",
            "ntnnnnnnn");
        copy("SELECT id, hash, used, body, name FROM dtbridge.text WHERE master = $1",
             "INSERT INTO text(id, hash, used, body, name) VALUES(?, ?, ?, ?, ?)",
             "ntnbt");
        copy(
            "SELECT cursor, last_seq, first_seq, at, sent, held_back, undeliverable, throttled, policy, "
            "fields FROM "
            "dtbridge.batch WHERE master = $1",
            "INSERT INTO batch(cursor, last_seq, first_seq, at, sent, held_back, undeliverable, throttled, "
            "policy, "
            "fields) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            "nnnnnnnnnn");
        copy("SELECT n, cursor, first_seq, last_seq, at, count FROM dtbridge.lost WHERE master = $1",
             "INSERT INTO lost(id, cursor, first_seq, last_seq, at, count) VALUES(?, ?, ?, ?, ?, ?)",
             "nnnnnn");
        copy(
            "SELECT n, at, starts, ends, sweep, shown, archived, late, held, gone FROM dtbridge.polled WHERE "
            "master = "
            "$1",
            "INSERT INTO window(id, at, starts, ends, sweep, shown, archived, late, held, gone) VALUES(?, ?, "
            "?, ?, ?, "
            "?, ?, ?, ?, ?)",
            "nnnnfnnnnn");
        copy(
            "SELECT seq, at, acknowledged, comment_count, acknowledged_at FROM dtbridge.change WHERE master "
            "= $1",
            "INSERT INTO change(seq, at, acknowledged, comment_count, acknowledged_at) VALUES(?, ?, ?, ?, ?)",
            "nnfnn");
        copy("SELECT n, hash, at FROM dtbridge.set_aside WHERE master = $1",
             "INSERT INTO set_aside(id, hash, at) VALUES(?, ?, ?)",
             "nbn");
        copy("SELECT id, words FROM dtbridge.reason WHERE master = $1",
             "INSERT INTO reason(id, words) VALUES(?, ?)",
             "nt");
        copy("SELECT cursor, seq, how, reason FROM dtbridge.withheld WHERE master = $1",
             "INSERT INTO withheld(cursor, seq, how, reason) VALUES(?, ?, ?, ?)",
             "nnnn");
        copy(
            "SELECT cursor, throttle, key, starts, ends, passed, held, summed_up, first, last, last_model, "
            "last_device, "
            "last_url FROM dtbridge.throttle WHERE master = $1",
            "INSERT INTO throttle(cursor, throttle, key, start, ends, passed, held, summed_up, first, last, "
            "last_model, "
            "last_device, last_url) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            "nttnnnnnnnttt");
        copy("SELECT n, kind, pbid, created, at FROM dtbridge.difference WHERE master = $1",
             "INSERT INTO difference(id, kind, pbid, created, at) VALUES(?, ?, ?, ?, ?)",
             "nnnnn");
        copy("SELECT last_seq, breaches, position, by_activity FROM dtbridge.master WHERE id = $1",
             "UPDATE state SET last_seq = ?, breaches = ?, position = ?, by_activity = ?",
             "nnnf");
        all.commit();
        from_.run("COMMIT");
        return done_;
    }

private:
    /// Calls take(rows, i) for all rows of a query, some at a time.
    template <class F>
    void each(const char* sql, const char* at_once, F take)
    {
        from_.run("DECLARE part CURSOR FOR " + std::string(sql), db::parameters().add(master_));
        for (;;)
        {
            const auto r = from_.run("FETCH FORWARD " + std::string(at_once) + " FROM part");
            if (r.empty())
                break;
            for (int i = 0; i < r.size(); ++i)
                take(r, i);
        }
        from_.run("CLOSE part");
    }

    /// kinds, a letter a column: number, flag, text, bytes. Answers how many rows there were.
    std::int64_t copy(const char* sql, const char* insert, std::string_view kinds)
    {
        std::int64_t count = 0;
        db::query q(to_.prepared(insert));
        each(sql, "4096", [&](const db::rows& r, int row) {
            for (std::size_t i = 0; i < kinds.size(); ++i)
            {
                const int column = static_cast<int>(i);
                if (kinds[i] == 'f')
                    q->bind(column + 1, std::int64_t{r.flag(row, column)});
                else if (r.is_null(row, column))
                    q->bind_null(column + 1);
                else if (kinds[i] == 'n')
                    q->bind(column + 1, r.integer(row, column));
                else if (kinds[i] == 't')
                    q->bind(column + 1, r.bytes(row, column));
                else
                    q->bind_blob(column + 1, r.bytes(row, column));
            }
            q->run();
            ++count;
        });
        return count;
    }

    void copy_blocks()
    {
        db::query block(
            to_.prepared("INSERT INTO block(id, last_seq, archived, size, data) VALUES(?, ?, ?, ?, ?)"));
        db::query breach(
            to_.prepared("INSERT INTO breach(seq, pbid, created, time, block, begins, length, acknowledged, "
                         "comment_count, archive_only, late) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"));
        each(
            "SELECT first_seq, last_seq, archived, size, data, directory, archive_only FROM dtbridge.block "
            "WHERE master "
            "= $1 ORDER BY last_seq",
            "8",
            [&](const db::rows& r, int row) {
                const auto first_seq = r.integer(row, 0);
                const auto last_seq = r.integer(row, 1);
                const auto directory = r.bytes(row, 5);
                const auto count = directory.size() / directory_entry_bytes;
                if (static_cast<std::int64_t>(count) != last_seq - first_seq + 1)
                    throw db::error(fail(errc::archive_damaged,
                                         from_.place() + ": the block of seq " + std::to_string(first_seq) +
                                             " does not say where its breaches are"));
                block->bind(1, first_seq)
                    .bind(2, last_seq)
                    .bind(3, r.integer(row, 2))
                    .bind(4, r.integer(row, 3));
                block->bind_blob(5, r.bytes(row, 4));
                block->run();
                std::vector<std::int64_t> numbers, pbids, created;
                for (std::size_t n = 0; n < count; ++n)
                {
                    const auto e = entry_at(directory, n);
                    numbers.push_back(static_cast<std::int64_t>(n));
                    pbids.push_back(e.key.pbid);
                    created.push_back(e.key.created);
                }
                const auto states = from_.run(
                    "SELECT u.n, s.acknowledged, s.comment_count, s.late FROM unnest($2, $3, $4) AS u(n, "
                    "pbid, "
                    "created) JOIN dtbridge.seen AS s ON s.master = $1 AND s.pbid = u.pbid AND s.created = "
                    "u.created ORDER BY u.n",
                    db::parameters().add(master_).add(numbers).add(pbids).add(created));
                int at = 0;
                for (std::size_t n = 0; n < count; ++n)
                {
                    const auto e = entry_at(directory, n);
                    const bool known =
                        at < states.size() && states.integer(at, 0) == static_cast<std::int64_t>(n);
                    breach->bind(1, first_seq + static_cast<std::int64_t>(n)).bind(2, e.key.pbid);
                    breach->bind(3, e.key.created).bind(4, e.time).bind(5, first_seq);
                    breach->bind(6, std::int64_t{e.begins}).bind(7, std::int64_t{e.length});
                    breach->bind(8, std::int64_t{known && states.flag(at, 1)});
                    breach->bind(9, known ? states.integer(at, 2) : std::int64_t{0});
                    breach->bind(10, std::int64_t{r.flag(row, 6)});
                    breach->bind(11, std::int64_t{known && states.flag(at, 3)});
                    breach->run();
                    at += known ? 1 : 0;
                }
                done_.breaches += static_cast<std::int64_t>(count);
                progress_(done_.breaches);
            });
    }

    db::postgres& from_;
    const std::int64_t master_;
    db::connection& to_;
    const std::function<void(std::int64_t)>& progress_;
    archive_copy done_;
};

}  // namespace

outcome<archive_copy> copy_archive_to_files(const std::string& folder,
                                            const std::string& master,
                                            const archive_database& database,
                                            const std::function<void(std::int64_t)>& progress)
{
    try
    {
        const auto target = folder + "/" + master;
        const auto file = target + "/archive.db";
        if (::access(file.c_str(), F_OK) == 0)
            throw already_there(file + ": is there");
        auto pool = open_database(database);
        auto c = pool->take();
        std::int64_t id = 0;
        if (pg_check_version(*c))
        {
            const auto r =
                c->run("SELECT id FROM dtbridge.master WHERE name = $1", db::parameters().add(master));
            id = r.empty() ? 0 : r.integer(0, 0);
        }
        if (id == 0)
            throw db::error(
                fail(errc::not_found, pool->place() + ", master " + master + ": there is no such archive"));
        pg_refuse_owned(*c, master);
        const auto draft = target + copying_suffix;
        remove_folder(draft);  // of one that was cut short
        const auto budget = std::make_shared<archive_budget>(1, 0, 0);
        {
            store made(draft, any_store::access::write, budget);
            made.open();
            made.close();
        }
        archive_copy done;
        {
            db::open_options options;
            options.max_value_bytes = 16 << 20;
            db::connection to(draft + "/archive.db", options);
            to.set_durability(db::connection::durability::full);
            done = file_filler(*c, id, to, progress).run();
            to.checkpoint();
        }
        pg_refuse_owned(*c, master);  // what it wrote meanwhile would be missing
        make_folder(target);
        if (std::rename((draft + "/archive.db").c_str(), file.c_str()) != 0)
        {
            const error_code why(errno, boost::system::system_category());
            throw db::error(fail(why, file + ": " + why.message()));
        }
        sync_folder(target);
        remove_folder(draft);
        return done;
    }
    catch (const db::error& e)
    {
        return e.reason();
    }
}

}  // namespace dtbridge
