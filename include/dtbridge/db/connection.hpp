#pragma once

/// SQLite with owners: a connection, its prepared statements, transactions, schema steps. Every call blocks,
/// so it runs where blocking is allowed (async/offload.hpp). Failures are exceptions of one type, db::error,
/// which carries a code and a sentence that names the file; the caller's boundary turns it into an outcome.
/// What tables hold is left to the users of this module. Tested in tests/unit/db with real files.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <dtbridge/core/failure.hpp>

struct sqlite3;
struct sqlite3_stmt;

namespace dtbridge::db
{

/// errc::disk_full (also quota), errc::archive_damaged, errc::archive_newer, errc::locked (busy for longer
/// than the limit), else the system's error (EACCES, EROFS, EMFILE, ...) or std::errc::io_error.
class error : public std::exception
{
public:
    explicit error(failure f) : failure_(std::move(f)) {}
    const char* what() const noexcept override { return failure_.detail.c_str(); }
    const failure& reason() const { return failure_; }

private:
    failure failure_;
};

/// What SQLite's result code and the system's errno mean, in words that name the file. message: SQLite's own.
failure describe(int sqlite_code, int system_error, const std::string& path, std::string_view message);

/// A prepared statement. Text and blobs that are bound must live until the next reset.
class statement
{
public:
    statement(sqlite3* db, const std::string& path, std::string_view sql);
    ~statement();
    statement(const statement&) = delete;
    statement& operator=(const statement&) = delete;

    /// Parameters count from 1.
    statement& bind(int index, std::int64_t value);
    statement& bind(int index, std::optional<std::int64_t> value);
    statement& bind(int index, std::string_view text);
    statement& bind_blob(int index, std::string_view bytes);
    statement& bind_null(int index);

    /// True while there is a row. Throws error.
    bool step();
    /// Steps to the end and resets.
    void run();
    void reset() noexcept;

    /// Columns count from 0. Views live until the next step or reset.
    std::int64_t integer(int column) const;
    std::optional<std::int64_t> optional_integer(int column) const;
    std::string_view text(int column) const;
    std::string_view blob(int column) const;
    bool is_null(int column) const;

private:
    [[noreturn]] void raise(int code) const;

    sqlite3* db_;
    const std::string& path_;
    sqlite3_stmt* stmt_ = nullptr;
};

/// A statement of the connection's cache in use; gives it back reset.
class query
{
public:
    explicit query(statement& s) : statement_(&s) {}
    ~query() { statement_->reset(); }
    query(const query&) = delete;
    query& operator=(const query&) = delete;
    statement* operator->() { return statement_; }
    statement& operator*() { return *statement_; }

private:
    statement* statement_;
};

struct open_options
{
    bool create = false;             ///< makes the file (0640, less the umask) where there is none
    bool writable = true;            ///< false: no statement may change anything
    int cache_kib = 256;             ///< page cache
    int max_value_bytes = 16 << 20;  ///< no text, blob or row may be longer, whatever a damaged file claims
    std::chrono::milliseconds busy_limit = std::chrono::seconds(5);
    bool incremental_vacuum =
        false;  ///< of a file that is made: deleted space can be given back in small steps
};

/// One connection, used by one thread at a time. Write-ahead log, foreign structures (views, triggers of a
/// planted file) not trusted, no memory mapping: a damaged or shrinking file is an error, never a signal.
class connection
{
public:
    connection(std::string path, const open_options& options);
    ~connection();
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;

    const std::string& path() const { return path_; }
    void exec(const char* sql);
    /// sql is a literal: its address is the key of the cache.
    statement& prepared(const char* sql);
    /// First column of the first row, 0 where there is none.
    std::int64_t value(const char* sql);
    /// Rows changed by the last statement that ended.
    std::int64_t changes() const;

    enum class durability { normal, full };
    /// FULL survives a power cut with every commit; NORMAL may lose the last commits then, never their order
    /// (sqlite.org, pragma synchronous). Outside a transaction only.
    void set_durability(durability d);
    /// Copies the write-ahead log back and empties it where no reader holds it. Answers whether it is empty.
    bool checkpoint();
    bool in_transaction() const;

private:
    [[noreturn]] void raise(int code) const;

    std::string path_;
    sqlite3* db_ = nullptr;
    std::map<const char*, std::unique_ptr<statement>> statements_;
    std::optional<durability> durability_;
};

/// BEGIN IMMEDIATE; rolls back unless committed.
class transaction
{
public:
    explicit transaction(connection& db);
    ~transaction();
    transaction(const transaction&) = delete;
    transaction& operator=(const transaction&) = delete;
    void commit();

private:
    connection& db_;
    bool done_ = false;
};

/// Brings a file to version steps.size(): steps[n] leads from user_version n to n + 1, each in a transaction
/// of its own. A file of another application_id throws errc::archive_damaged, a newer version
/// errc::archive_newer. Answers the version that was found. kind: what the file is, for the words
/// ("archive").
int migrate(connection& db,
            std::int32_t application_id,
            std::span<const char* const> steps,
            const char* kind);
/// The same checks without a step: an older version is answered, not brought forward.
int check_version(connection& db, std::int32_t application_id, int newest, const char* kind);

}  // namespace dtbridge::db
