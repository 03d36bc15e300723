#include <dtbridge/archive/recover.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <system_error>

#include <dtbridge/archive/archive.hpp>
#include <dtbridge/core/time.hpp>
#include <dtbridge/db/connection.hpp>

#include "archive/block_codec.hpp"
#include "archive/folder.hpp"
#include "archive/page_rows.hpp"
#include "archive/saved_blocks.hpp"
#include "archive/schema.hpp"

namespace dtbridge
{

namespace
{

namespace fs = std::filesystem;
constexpr std::size_t bytes_per_commit = 8u << 20;
constexpr const char* parts_of_a_file[] = {"", "-wal", "-shm"};

[[noreturn]] void raise_system(const std::string& path, int number)
{
    error_code code(number, boost::system::system_category());
    if (number == ENOSPC || number == EDQUOT)
        code = make_error_code(errc::disk_full);
    throw db::error(fail(code, path + ": " + code.message()));
}

void remove_parts(const std::string& path)
{
    for (const char* part : parts_of_a_file)
    {
        if (::unlink((path + part).c_str()) != 0 && errno != ENOENT)
            raise_system(path + part, errno);
    }
}

void sync_file(const std::string& path)
{
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        raise_system(path, errno);
    const int done = ::fsync(fd);
    const int number = errno;
    ::close(fd);
    if (done != 0)
        raise_system(path, number);
}

/// Whether it can replace the row that the schema has filled: of its values only the position may be null,
/// which is the fourth, and the first, which stands for the rowid.
bool is_state(const stored_row& row)
{
    if (row.rowid != 1 || row.values.size() != 5)
        return false;
    for (const std::size_t i : {1u, 2u, 4u})
    {
        if (row.values[i].is == stored_value::kind::null)
            return false;
    }
    return true;
}

/// One table of the new file, and how a row of the old one goes into it.
struct table
{
    std::string name;
    bool has_rowid = true;
    std::uint32_t root = 0;  ///< of a new file, and so of every old one whose schema cannot be read
    int rowid_column = -1;   ///< INTEGER PRIMARY KEY
    std::vector<stored_value::kind> columns;
    std::string insert;

    bool fits(const stored_row& row) const
    {
        if (row.has_rowid != has_rowid || row.values.empty() || row.values.size() > columns.size())
            return false;
        for (std::size_t i = 0; i < row.values.size(); ++i)
        {
            if (row.values[i].is != stored_value::kind::null && row.values[i].is != columns[i])
                return false;
        }
        return name != "state" || is_state(row);
    }
};

/// Whose file it is.
struct file_kind
{
    std::int32_t application_id;
    std::span<const char* const> schema;
    const char* name;
    bool auto_vacuum;
};

constexpr std::size_t max_row = 2 * std::max(block_target_bytes, max_element_bytes);

file_kind archive_kind()
{
    return {archive_application_id, archive_schema(), "archive", true};
}

file_kind service_kind()
{
    return {service_application_id, service_schema(), "service file", false};
}

/// The new file while it is filled.
class rescue
{
public:
    rescue(const page_file& from, const std::string& to, const file_kind& kind, std::size_t versions)
        : from_(from), rows_(from, max_row), path_(to)
    {
        remove_parts(path_);
        db::open_options options;
        options.create = true;
        options.incremental_vacuum = kind.auto_vacuum;  // then tables begin at the same pages
        options.max_value_bytes = static_cast<int>(max_row);
        options.cache_kib = 4096;
        db_ = std::make_unique<db::connection>(path_, options);
        db::migrate(*db_, kind.application_id, kind.schema.first(versions), kind.name);
        // Durable once, at the end: until then the damaged file is still in its place.
        db_->set_durability(db::connection::durability::normal);
        list_tables();
    }

    void copy(const std::function<void(std::uint64_t, std::uint64_t)>& progress)
    {
        read_old_roots();
        begin();
        for (auto& t : tables_)
        {
            const auto root = old_roots_.find(t.name);
            rows_.walk(root == old_roots_.end() ? t.root : root->second, [&](stored_row&& row) {
                if (t.fits(row))
                    put(t, row);
                else
                    ++strange_rows_;
            });
        }
        rows_.skip_free_pages();
        // Where no page is missing, what no root leads to is what was deleted.
        if (damaged())
        {
            for (std::uint32_t page = 1; page <= from_.pages(); ++page)
            {
                if (progress && page % 4096 == 0)
                    progress(page, from_.pages());
                for (auto& row : rows_.orphans(page))
                {
                    if (auto* t = only_table_for(row))
                        put(*t, row);
                }
            }
        }
        commit();
    }

    bool damaged() const { return !rows_.damaged().empty() || strange_rows_ > 0; }
    std::int64_t damaged_pages() const { return static_cast<std::int64_t>(rows_.damaged().size()); }
    bool has_state() const { return has_state_; }
    db::connection& db() { return *db_; }

    /// Writes everything to disk and closes.
    void finish()
    {
        {
            db::query q(db_->prepared("PRAGMA integrity_check"));
            if (!q->step() || q->text(0) != "ok")
                throw db::error(fail(errc::archive_damaged,
                                     path_ + ": the new file is not whole (" + std::string(q->text(0)) +
                                         "); the disk or memory may be failing"));
        }
        db_->checkpoint();
        db_.reset();
        sync_file(path_);
    }

private:
    void list_tables()
    {
        {
            db::query q(db_->prepared("SELECT name, rootpage FROM sqlite_schema WHERE type = 'table'"));
            while (q->step())
            {
                table t;
                t.name = q->text(0);
                t.root = static_cast<std::uint32_t>(q->integer(1));
                tables_.push_back(std::move(t));
            }
        }
        for (auto& t : tables_)
        {
            {
                db::query kind(db_->prepared("SELECT wr FROM pragma_table_list(?)"));
                kind->bind(1, std::string_view(t.name));
                t.has_rowid = !kind->step() || kind->integer(0) == 0;
            }
            db::query column(db_->prepared(
                "SELECT upper(type), pk, \"notnull\", dflt_value FROM pragma_table_info(?) ORDER BY cid"));
            column->bind(1, std::string_view(t.name));
            std::string marks;
            while (column->step())
            {
                const auto type = column->text(0);
                const auto is = type == "INTEGER" ? stored_value::kind::integer
                                : type == "TEXT"  ? stored_value::kind::text
                                                  : stored_value::kind::blob;
                if (t.has_rowid && type == "INTEGER" && column->integer(1) == 1)
                    t.rowid_column = static_cast<int>(t.columns.size());
                t.columns.push_back(is);
                // A row from before a column was added lacks it, and has what the schema says.
                const std::string otherwise(column->text(3));
                const bool has_default = column->integer(2) != 0 && !otherwise.empty();
                marks += marks.empty() ? "" : ", ";
                marks += has_default ? "ifnull(?, " + otherwise + ")" : "?";
            }
            // A table of one row, which the schema has filled, is filled again.
            const std::string verb = t.name == "state" ? "INSERT OR REPLACE" : "INSERT OR IGNORE";
            t.insert = verb + " INTO \"" + t.name + "\" VALUES(" + marks + ")";
        }
    }

    /// What the old file says where its tables begin.
    void read_old_roots()
    {
        rows_.walk(1, [&](stored_row&& row) {
            if (row.values.size() == 5 && row.values[0].bytes == "table")
                old_roots_[row.values[1].bytes] = static_cast<std::uint32_t>(row.values[3].integer);
        });
    }

    table* only_table_for(const stored_row& row)
    {
        table* found = nullptr;
        for (auto& t : tables_)
        {
            // Here nothing says whose row it is, so all its columns have to be there.
            if (row.values.size() != t.columns.size() || !t.fits(row) || t.name == "state")
                continue;
            if (found)
                return nullptr;
            found = &t;
        }
        return found;
    }

    void put(table& t, const stored_row& row)
    {
        // tables_ does not change any more, so the text stays where it is.
        db::query q(db_->prepared(t.insert.c_str()));
        for (std::size_t i = 0; i < t.columns.size(); ++i)
        {
            const int at = static_cast<int>(i) + 1;
            if (static_cast<int>(i) == t.rowid_column)
                q->bind(at, row.rowid);
            else if (i >= row.values.size() || row.values[i].is == stored_value::kind::null)
                q->bind_null(at);
            else if (row.values[i].is == stored_value::kind::integer)
                q->bind(at, row.values[i].integer);
            else if (row.values[i].is == stored_value::kind::text)
                q->bind(at, std::string_view(row.values[i].bytes));
            else
                q->bind_blob(at, row.values[i].bytes);
        }
        q->run();
        has_state_ = has_state_ || t.name == "state";
        in_commit_ += 64;
        for (const auto& v : row.values)
            in_commit_ += v.bytes.size();
        if (in_commit_ < bytes_per_commit)
            return;
        commit();
        begin();
    }

    void begin()
    {
        in_commit_ = 0;
        db_->prepared("BEGIN IMMEDIATE").run();
    }
    void commit() { db_->prepared("COMMIT").run(); }

    const page_file& from_;
    page_rows rows_;
    std::string path_;
    std::unique_ptr<db::connection> db_;
    std::vector<table> tables_;
    std::map<std::string, std::uint32_t> old_roots_;
    std::int64_t strange_rows_ = 0;
    bool has_state_ = false;
    std::size_t in_commit_ = 0;  ///< bytes, about
};

/// The schema of the old file; the newest where it cannot be read.
std::size_t version_of(const page_file& from, const file_kind& kind, const std::string& path)
{
    const auto newest = kind.schema.size();
    if (!from.has_header() || from.application_id() != kind.application_id)
        return newest;
    const auto version = from.user_version();
    if (version > static_cast<std::int64_t>(newest))
        throw db::error(fail(errc::archive_newer,
                             path + ": this " + kind.name + " was written by a newer dtbridge (schema " +
                                 std::to_string(version) + ", this version knows up to " +
                                 std::to_string(newest) + "); recover it with that version"));
    return version < 1 ? newest : static_cast<std::size_t>(version);
}

/// What SQLite itself says of a file in which nothing was found damaged.
bool sqlite_agrees(const std::string& path, const file_kind& kind)
{
    try
    {
        db::open_options options;
        options.writable = false;
        db::connection file(path, options);
        db::check_version(file, kind.application_id, static_cast<int>(kind.schema.size()), kind.name);
        db::query q(file.prepared("PRAGMA integrity_check"));
        return q->step() && q->text(0) == "ok";
    }
    catch (const db::error& e)
    {
        if (e.reason().code != errc::archive_damaged)
            throw;
        return false;
    }
}

std::string dated_name(const std::string& path, std::int64_t now)
{
    // 20260102T030405Z
    std::string stamp;
    for (const char c : rfc3339_ms(now))
    {
        if (c == '.')
            break;
        if (c != '-' && c != ':')
            stamp += c;
    }
    auto name = path + ".damaged-" + stamp + "Z";
    for (int n = 2; fs::exists(name); ++n)
        name = path + ".damaged-" + stamp + "Z-" + std::to_string(n);
    return name;
}

void rename_file(const std::string& from, const std::string& to)
{
    if (std::rename(from.c_str(), to.c_str()) != 0)
        raise_system(from, errno);
}

/// The new file in the place of the damaged one; answers where that is then.
std::string put_in_place(const std::string& path, const std::string& made, std::int64_t now)
{
    const auto folder = parent_folder(path);
    const auto kept = dated_name(path, now);
    // The log first: SQLite must never find a new file beside an old log.
    for (const char* part : {"-wal", "-shm", ""})
    {
        if (fs::exists(path + part))
            rename_file(path + part, kept + part);
    }
    sync_folder(folder);
    rename_file(made, path);
    sync_folder(folder);
    return kept;
}

/// Saves into a new file what fill makes of it, and answers where the damaged one is then; "" where that is
/// whole and stays.
template <class Fill>
std::string save(const std::string& path, const file_kind& kind, std::int64_t now, Fill fill)
{
    const auto made = path + ".recovered";
    if (!fs::exists(path))
    {
        // One that was killed between the two renames left the new file ready and nothing in its place.
        if (!fs::exists(made))
            throw db::error(fail(errc::not_found, path + ": there is no such file"));
        rename_file(made, path);
        sync_folder(parent_folder(path));
    }
    bool whole = false;
    {
        const page_file from(path, kind.auto_vacuum);
        rescue to(from, made, kind, version_of(from, kind, path));
        whole = fill(to);
        to.finish();
    }
    if (whole && sqlite_agrees(path, kind))
    {
        remove_parts(made);
        return {};
    }
    return put_in_place(path, made, now);
}

/// What a failed attempt leaves; half a new file is of no use, and may be what filled the disk.
template <class T, class Work>
outcome<T> attempt(const std::string& path, Work work)
{
    try
    {
        return work();
    }
    catch (const db::error& e)
    {
        std::error_code ignored;
        if (fs::exists(path, ignored))
        {
            for (const char* part : parts_of_a_file)
                fs::remove(path + ".recovered" + part, ignored);
        }
        return e.reason();
    }
    catch (const fs::filesystem_error& e)
    {
        return fail(error_code(e.code()), path + ": " + e.code().message());
    }
    catch (const std::bad_alloc&)
    {
        return fail(error_code(ENOMEM, boost::system::system_category()), path + ": out of memory");
    }
}

}  // namespace

outcome<recovery> recover_archive(const std::string& folder,
                                  std::int64_t now,
                                  const std::function<void(std::uint64_t, std::uint64_t)>& progress)
{
    const auto path = folder + "/archive.db";
    return attempt<recovery>(path, [&] {
        recovery report;
        report.kept_as = save(path, archive_kind(), now, [&](rescue& to) {
            to.copy(progress);
            report = check_saved_blocks(to.db(), to.has_state(), now, path);
            report.damaged_pages = to.damaged_pages();
            return !to.damaged() && report.lost.empty() && report.rebuilt == 0 && report.corrected == 0;
        });
        report.was_whole = report.kept_as.empty();
        return report;
    });
}

outcome<service_recovery> recover_service(const std::string& state_dir, std::int64_t now)
{
    const auto path = state_dir + "/service.db";
    return attempt<service_recovery>(path, [&] {
        service_recovery report;
        report.kept_as = save(path, service_kind(), now, [&](rescue& to) {
            to.copy({});
            report.destinations = to.db().value("SELECT count(*) FROM destination");
            return !to.damaged();
        });
        report.was_whole = report.kept_as.empty();
        return report;
    });
}

}  // namespace dtbridge
