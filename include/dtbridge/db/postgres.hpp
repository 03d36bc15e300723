#pragma once

/// PostgreSQL with owners: a connection, what a statement takes and answers, and the connections of a
/// process. libpq is loaded when the first connection is made, so that only those who use PostgreSQL need it.
/// Every call blocks, for no longer than its limit, and so runs where blocking is allowed
/// (async/offload.hpp). Failures are db::error, as SQLite's are. Values reach the server as parameters, never
/// as part of a statement. What tables hold is left to the users. Tested in tests/unit/db and
/// tests/unit/archive with a real PostgreSQL.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <dtbridge/core/failure.hpp>
#include <dtbridge/db/connection.hpp>
#include <dtbridge/db/postgres_options.hpp>

struct pg_conn;
struct pg_result;

namespace dtbridge::db
{

/// What went wrong at or on the way to a server.
class postgres_error : public error
{
public:
    postgres_error(failure f, std::string sqlstate, bool lost)
        : error(std::move(f)), sqlstate_(std::move(sqlstate)), lost_(lost)
    {}
    const std::string& sqlstate() const { return sqlstate_; }  ///< "" where no server said one
    /// There is no connection (any more): whether what was asked for last was done is not known.
    bool lost() const { return lost_; }
    /// Two transactions met; the same transaction may succeed when it is tried again.
    bool may_succeed_again() const { return sqlstate_ == "40001" || sqlstate_ == "40P01"; }

private:
    std::string sqlstate_;
    bool lost_;
};

/// Whether libpq is there and fit for use; the failure names the package that brings it.
outcome<bool> check_postgres_library();

/// Values of $1, $2, .. in order. Views must live until the statement has run.
class parameters
{
public:
    parameters& add(std::int64_t v);
    parameters& add(std::optional<std::int64_t> v);
    parameters& add(bool v);
    parameters& add(std::string_view text);  ///< UTF-8 without NUL
    parameters& add(const char* text) { return add(std::string_view(text)); }
    parameters& bytes(std::string_view v);
    parameters& add(const std::vector<std::int64_t>& v);  ///< bigint[]
    parameters& add(const std::vector<std::optional<std::int64_t>>& v);
    parameters& add(const std::vector<std::string>& v);         ///< text[]; UTF-8 without NUL
    parameters& flags(const std::vector<bool>& v);              ///< boolean[]
    parameters& blobs(const std::vector<std::string_view>& v);  ///< bytea[]

private:
    friend class postgres;
    struct value
    {
        unsigned type = 0;
        std::string own;
        std::string_view foreign;
        bool is_foreign = false;
        bool is_null = false;
    };
    parameters& own(unsigned type, std::string bytes);
    std::vector<value> values_;
};

/// What a statement answered. Columns count from 0; a column that is not of the asked type throws.
class rows
{
public:
    explicit rows(pg_result* r) : result_(r) {}
    ~rows();
    rows(rows&& other) noexcept : result_(other.result_) { other.result_ = nullptr; }
    rows(const rows&) = delete;
    rows& operator=(const rows&) = delete;
    rows& operator=(rows&&) = delete;

    int size() const;
    bool empty() const { return size() == 0; }
    std::int64_t integer(int row, int column) const;  ///< bigint; 0 for null
    std::optional<std::int64_t> optional_integer(int row, int column) const;
    bool flag(int row, int column) const;               ///< boolean; false for null
    std::string_view bytes(int row, int column) const;  ///< text or bytea; lives as long as this
    bool is_null(int row, int column) const;
    std::int64_t changed() const;  ///< rows that were inserted, changed or deleted

private:
    friend class postgres;
    const pg_result* raw() const { return result_; }
    pg_result* result_;
};

/// Whom a connection reached. Texts are printable.
struct postgres_peer
{
    std::string address;              ///< host:port, or the socket's path
    std::string version;              ///< of the server, as it says
    std::string tls_version, cipher;  ///< "" without TLS
    bool is_socket = false;
};

/// One connection, used by one thread at a time.
class postgres
{
public:
    /// Connects. Throws postgres_error.
    explicit postgres(const postgres_options& options);
    ~postgres();
    postgres(const postgres&) = delete;
    postgres& operator=(const postgres&) = delete;

    /// One statement, to its end. Throws postgres_error; after its limit the connection is given up.
    rows run(const char* sql, const parameters& values = parameters());
    rows run(const std::string& sql, const parameters& values = parameters())
    {
        return run(sql.c_str(), values);
    }
    /// Each later statement has this long.
    void limit_to(std::chrono::milliseconds limit) { limit_ = limit; }
    /// May be used for another job: connected, nothing open, and the server has said nothing unasked.
    bool is_idle();
    const std::string& place() const { return place_; }
    postgres_peer peer() const;

private:
    void finish_connecting(std::chrono::steady_clock::time_point until);
    void wait_for(short events, std::chrono::steady_clock::time_point until);
    [[noreturn]] void raise_lost(const std::string& what);

    pg_conn* conn_ = nullptr;
    std::string place_;
    std::chrono::milliseconds limit_;
};

/// A transaction; rolled back unless committed.
class postgres_transaction
{
public:
    explicit postgres_transaction(postgres& on);
    ~postgres_transaction();
    postgres_transaction(const postgres_transaction&) = delete;
    postgres_transaction& operator=(const postgres_transaction&) = delete;
    void commit();

private:
    postgres& on_;
    bool done_ = false;
};

/// The connections of a process to one database: as many as are used at once. One that cannot be made is
/// tried again with back-off, and until then everybody is told at once why. Thread-safe.
class postgres_pool : public std::enable_shared_from_this<postgres_pool>
{
public:
    explicit postgres_pool(postgres_options options);
    ~postgres_pool();

    /// A connection for one job; goes back by itself.
    class borrowed
    {
    public:
        borrowed(std::shared_ptr<postgres_pool> from, std::unique_ptr<postgres> c)
            : from_(std::move(from)), connection_(std::move(c))
        {}
        ~borrowed();
        borrowed(borrowed&&) = default;
        borrowed(const borrowed&) = delete;
        borrowed& operator=(const borrowed&) = delete;
        borrowed& operator=(borrowed&&) = delete;
        postgres& operator*() const { return *connection_; }
        postgres* operator->() const { return connection_.get(); }

    private:
        std::shared_ptr<postgres_pool> from_;
        std::unique_ptr<postgres> connection_;
    };
    borrowed take();
    /// Closes those that nobody uses.
    void close_idle();
    /// Connections there are, used or not.
    std::size_t size() const;
    /// Where, for words: without a password.
    const std::string& place() const { return place_; }

private:
    void give_back(std::unique_ptr<postgres> c);

    const postgres_options options_;
    const std::string place_;
    mutable std::mutex mutex_;
    std::vector<std::unique_ptr<postgres>> idle_;
    std::size_t used_ = 0;
    failure last_failure_;
    std::chrono::steady_clock::time_point not_before_{};
    std::chrono::milliseconds pause_{0};
    bool trying_ = false;
};

}  // namespace dtbridge::db
