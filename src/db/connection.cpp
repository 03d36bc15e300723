#include <dtbridge/db/connection.hpp>

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <limits>
#include <mutex>

namespace dtbridge::db
{

namespace
{

void configure_once()
{
    static std::once_flag once;
    // The counters behind sqlite3_memory_used cost a global lock at every allocation and nobody reads them.
    std::call_once(once, [] { sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); });
}

void create_file(const std::string& path)
{
    // SQLite would make it 0644; the log files beside it take over the mode of this one.
    int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0)
        throw error(describe(SQLITE_CANTOPEN, errno, path, ""));
    ::close(fd);
}

bool no_space(int system_error)
{
    return system_error == ENOSPC || system_error == EDQUOT;
}

}  // namespace

failure describe(int sqlite_code, int system_error, const std::string& path, std::string_view message)
{
    std::string said = message.empty() ? std::string(sqlite3_errstr(sqlite_code)) : std::string(message);
    int primary = sqlite_code & 0xff;
    if (primary == SQLITE_FULL ||
        ((primary == SQLITE_IOERR || primary == SQLITE_CANTOPEN) && no_space(system_error)))
        return fail(errc::disk_full, path + ": no space left to write (" + said + ")");
    if (primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB || sqlite_code == SQLITE_IOERR_SHORT_READ)
        return fail(errc::archive_damaged,
                    path + ": the file is damaged (" + said + "); `dtbridge recover` saves what is readable");
    if (primary == SQLITE_BUSY || primary == SQLITE_LOCKED)
        return fail(errc::locked, path + ": another process holds the file (" + said + ")");
    if (primary == SQLITE_NOMEM)
        return fail(error_code(ENOMEM, boost::system::system_category()), path + ": out of memory");
    bool of_the_system = primary == SQLITE_IOERR || primary == SQLITE_CANTOPEN || primary == SQLITE_PERM ||
                         primary == SQLITE_READONLY || primary == SQLITE_AUTH;
    if (of_the_system && system_error != 0)
    {
        error_code code(system_error, boost::system::system_category());
        return fail(code, path + ": " + code.message() + " (" + said + ")");
    }
    if (primary == SQLITE_READONLY || primary == SQLITE_PERM)
        return fail(error_code(EACCES, boost::system::system_category()),
                    path + ": may not be written by this user (" + said + ")");
    return fail(error_code(EIO, boost::system::system_category()), path + ": " + said);
}

statement::statement(sqlite3* db, const std::string& path, std::string_view sql) : db_(db), path_(path)
{
    int code = sqlite3_prepare_v3(
        db, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT, &stmt_, nullptr);
    if (code != SQLITE_OK)
        raise(code);
}

statement::~statement()
{
    sqlite3_finalize(stmt_);
}

void statement::raise(int code) const
{
    throw error(describe(code, sqlite3_system_errno(db_), path_, sqlite3_errmsg(db_)));
}

statement& statement::bind(int index, std::int64_t value)
{
    if (int code = sqlite3_bind_int64(stmt_, index, value); code != SQLITE_OK)
        raise(code);
    return *this;
}

statement& statement::bind(int index, std::optional<std::int64_t> value)
{
    return value ? bind(index, *value) : bind_null(index);
}

statement& statement::bind(int index, std::string_view text)
{
    const char* data = text.data() ? text.data() : "";  // a null pointer would bind NULL
    if (int code = sqlite3_bind_text64(stmt_, index, data, text.size(), SQLITE_STATIC, SQLITE_UTF8);
        code != SQLITE_OK)
        raise(code);
    return *this;
}

statement& statement::bind_blob(int index, std::string_view bytes)
{
    const char* data = bytes.data() ? bytes.data() : "";
    if (int code = sqlite3_bind_blob64(stmt_, index, data, bytes.size(), SQLITE_STATIC); code != SQLITE_OK)
        raise(code);
    return *this;
}

statement& statement::bind_null(int index)
{
    if (int code = sqlite3_bind_null(stmt_, index); code != SQLITE_OK)
        raise(code);
    return *this;
}

bool statement::step()
{
    int code = sqlite3_step(stmt_);
    if (code == SQLITE_ROW)
        return true;
    if (code == SQLITE_DONE)
        return false;
    // The failure is described before the reset, which may overwrite what SQLite says about it.
    error e(describe(code, sqlite3_system_errno(db_), path_, sqlite3_errmsg(db_)));
    sqlite3_reset(stmt_);
    throw e;
}

void statement::run()
{
    while (step())
        ;
    reset();
}

void statement::reset() noexcept
{
    sqlite3_reset(stmt_);
}

std::int64_t statement::integer(int column) const
{
    return sqlite3_column_int64(stmt_, column);
}

std::optional<std::int64_t> statement::optional_integer(int column) const
{
    if (is_null(column))
        return std::nullopt;
    return integer(column);
}

std::string_view statement::text(int column) const
{
    const auto* data = sqlite3_column_text(stmt_, column);
    auto size = static_cast<std::size_t>(sqlite3_column_bytes(stmt_, column));
    return data ? std::string_view(reinterpret_cast<const char*>(data), size) : std::string_view();
}

std::string_view statement::blob(int column) const
{
    const void* data = sqlite3_column_blob(stmt_, column);
    auto size = static_cast<std::size_t>(sqlite3_column_bytes(stmt_, column));
    return data ? std::string_view(static_cast<const char*>(data), size) : std::string_view();
}

bool statement::is_null(int column) const
{
    return sqlite3_column_type(stmt_, column) == SQLITE_NULL;
}

connection::connection(std::string path, const open_options& options) : path_(std::move(path))
{
    configure_once();
    if (options.create)
        create_file(path_);
    int flags =
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE;
    int code = sqlite3_open_v2(path_.c_str(), &db_, flags, nullptr);
    try
    {
        if (code != SQLITE_OK)
            raise(code);
        sqlite3_busy_timeout(db_, static_cast<int>(options.busy_limit.count()));
        sqlite3_limit(db_, SQLITE_LIMIT_LENGTH, options.max_value_bytes);
        sqlite3_limit(db_, SQLITE_LIMIT_ATTACHED, 0);
        sqlite3_db_config(db_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
        sqlite3_db_config(db_, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
        exec(("PRAGMA cache_size=-" + std::to_string(options.cache_kib)).c_str());
        exec("PRAGMA cell_size_check=ON; PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY");
        // Before the first write, which turning the log on is; on a file that has pages it would be one more
        // write.
        if (options.incremental_vacuum && value("PRAGMA page_count") == 0)
            exec("PRAGMA auto_vacuum=INCREMENTAL");
        if (options.writable)
        {
            statement mode(db_, path_, "PRAGMA journal_mode=WAL");
            if (!mode.step() || mode.text(0) != "wal")
                throw error(
                    fail(error_code(EROFS, boost::system::system_category()),
                         path_ + ": the file cannot be written: no write-ahead log on this file system"));
            mode.reset();
            exec("PRAGMA journal_size_limit=4194304");
        }
        else
        {
            exec("PRAGMA query_only=ON");
        }
    }
    catch (...)
    {
        sqlite3_close_v2(db_);
        throw;
    }
}

connection::~connection()
{
    statements_.clear();
    sqlite3_close_v2(db_);
}

void connection::raise(int code) const
{
    throw error(describe(code, db_ ? sqlite3_system_errno(db_) : 0, path_, db_ ? sqlite3_errmsg(db_) : ""));
}

void connection::exec(const char* sql)
{
    if (int code = sqlite3_exec(db_, sql, nullptr, nullptr, nullptr); code != SQLITE_OK)
        raise(code);
}

statement& connection::prepared(const char* sql)
{
    auto& slot = statements_[sql];
    if (!slot)
        slot = std::make_unique<statement>(db_, path_, sql);
    return *slot;
}

std::int64_t connection::value(const char* sql)
{
    statement s(db_, path_, sql);
    return s.step() ? s.integer(0) : 0;
}

std::int64_t connection::changes() const
{
    return sqlite3_changes64(db_);
}

void connection::set_durability(durability d)
{
    if (durability_ == d)
        return;
    durability_.reset();
    exec(d == durability::full ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL");
    durability_ = d;
}

bool connection::checkpoint()
{
    int code = sqlite3_wal_checkpoint_v2(db_, nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr);
    if (code == SQLITE_OK)
        return true;
    if ((code & 0xff) == SQLITE_BUSY)
        return false;
    raise(code);
}

bool connection::in_transaction() const
{
    return sqlite3_get_autocommit(db_) == 0;
}

transaction::transaction(connection& db) : db_(db)
{
    db_.prepared("BEGIN IMMEDIATE").run();
}

transaction::~transaction()
{
    if (done_ || !db_.in_transaction())
        return;
    try
    {
        db_.prepared("ROLLBACK").run();
    }
    catch (const error&)
    {
        // SQLite has rolled back by itself then, or does so when the file is next opened.
    }
}

void transaction::commit()
{
    db_.prepared("COMMIT").run();
    done_ = true;
}

}  // namespace dtbridge::db
