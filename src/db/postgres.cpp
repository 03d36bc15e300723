#include <dtbridge/db/postgres.hpp>

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <map>
#include <optional>
#include <random>
#include <utility>

#include <libpq-fe.h>

#include <dtbridge/core/shared_library.hpp>
#include <dtbridge/core/text.hpp>

namespace dtbridge::db
{

namespace
{

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

constexpr auto first_pause = 250ms;
constexpr auto longest_pause = 5'000ms;
constexpr std::size_t most_idle = 16;

// Of PostgreSQL's catalogue (pg_type.dat), the same in everything that speaks its protocol.
constexpr unsigned type_bool = 16, type_bytea = 17, type_int8 = 20, type_text = 25;
constexpr unsigned type_bool_array = 1000, type_bytea_array = 1001, type_text_array = 1009,
                   type_int8_array = 1016;

/// Functions that PostgreSQL 13's libpq has.
struct libpq
{
    explicit libpq(shared_library l) : library(std::move(l)) {}
    shared_library library;
#define DTBRIDGE_LIBPQ(name) decltype(&::name) name = nullptr
    DTBRIDGE_LIBPQ(PQconninfoParse);
    DTBRIDGE_LIBPQ(PQconninfoFree);
    DTBRIDGE_LIBPQ(PQconnectStartParams);
    DTBRIDGE_LIBPQ(PQconnectPoll);
    DTBRIDGE_LIBPQ(PQsocket);
    DTBRIDGE_LIBPQ(PQstatus);
    DTBRIDGE_LIBPQ(PQtransactionStatus);
    DTBRIDGE_LIBPQ(PQerrorMessage);
    DTBRIDGE_LIBPQ(PQfinish);
    DTBRIDGE_LIBPQ(PQsetnonblocking);
    DTBRIDGE_LIBPQ(PQsetNoticeProcessor);
    DTBRIDGE_LIBPQ(PQsendQueryParams);
    DTBRIDGE_LIBPQ(PQflush);
    DTBRIDGE_LIBPQ(PQconsumeInput);
    DTBRIDGE_LIBPQ(PQisBusy);
    DTBRIDGE_LIBPQ(PQgetResult);
    DTBRIDGE_LIBPQ(PQresultStatus);
    DTBRIDGE_LIBPQ(PQresultErrorField);
    DTBRIDGE_LIBPQ(PQntuples);
    DTBRIDGE_LIBPQ(PQnfields);
    DTBRIDGE_LIBPQ(PQgetvalue);
    DTBRIDGE_LIBPQ(PQgetlength);
    DTBRIDGE_LIBPQ(PQgetisnull);
    DTBRIDGE_LIBPQ(PQcmdTuples);
    DTBRIDGE_LIBPQ(PQclear);
    DTBRIDGE_LIBPQ(PQserverVersion);
    DTBRIDGE_LIBPQ(PQparameterStatus);
    DTBRIDGE_LIBPQ(PQsslAttribute);
    DTBRIDGE_LIBPQ(PQhost);
    DTBRIDGE_LIBPQ(PQport);
#undef DTBRIDGE_LIBPQ

    bool find_all()
    {
#define DTBRIDGE_LIBPQ(name) library.find(#name, name)
        return DTBRIDGE_LIBPQ(PQconninfoParse) && DTBRIDGE_LIBPQ(PQconninfoFree) &&
               DTBRIDGE_LIBPQ(PQconnectStartParams) && DTBRIDGE_LIBPQ(PQconnectPoll) &&
               DTBRIDGE_LIBPQ(PQsocket) && DTBRIDGE_LIBPQ(PQstatus) && DTBRIDGE_LIBPQ(PQtransactionStatus) &&
               DTBRIDGE_LIBPQ(PQerrorMessage) && DTBRIDGE_LIBPQ(PQfinish) &&
               DTBRIDGE_LIBPQ(PQsetnonblocking) && DTBRIDGE_LIBPQ(PQsetNoticeProcessor) &&
               DTBRIDGE_LIBPQ(PQsendQueryParams) && DTBRIDGE_LIBPQ(PQflush) &&
               DTBRIDGE_LIBPQ(PQconsumeInput) && DTBRIDGE_LIBPQ(PQisBusy) && DTBRIDGE_LIBPQ(PQgetResult) &&
               DTBRIDGE_LIBPQ(PQresultStatus) && DTBRIDGE_LIBPQ(PQresultErrorField) &&
               DTBRIDGE_LIBPQ(PQntuples) && DTBRIDGE_LIBPQ(PQnfields) && DTBRIDGE_LIBPQ(PQgetvalue) &&
               DTBRIDGE_LIBPQ(PQgetlength) && DTBRIDGE_LIBPQ(PQgetisnull) && DTBRIDGE_LIBPQ(PQcmdTuples) &&
               DTBRIDGE_LIBPQ(PQclear) && DTBRIDGE_LIBPQ(PQserverVersion) &&
               DTBRIDGE_LIBPQ(PQparameterStatus) && DTBRIDGE_LIBPQ(PQsslAttribute) &&
               DTBRIDGE_LIBPQ(PQhost) && DTBRIDGE_LIBPQ(PQport);
#undef DTBRIDGE_LIBPQ
    }
};

/// The library once it was loaded; it stays. Throws error where it cannot be.
const libpq& pq()
{
    static std::mutex mutex;
    static std::unique_ptr<libpq> loaded;
    std::lock_guard lock(mutex);
    if (!loaded)
    {
        auto opened = shared_library::open("libpq.so.5", "dtbridge-postgresql");
        if (!opened)
            throw error(opened.error());
        auto made = std::make_unique<libpq>(std::move(*opened));
        if (!made->find_all())
            throw error(fail(errc::unsupported,
                             "libpq.so.5 lacks functions of PostgreSQL 13: it is too old for an archive in "
                             "PostgreSQL"));
        loaded = std::move(made);
    }
    return *loaded;
}

}  // namespace

outcome<bool> check_postgres_library()
{
    try
    {
        pq();
        return true;
    }
    catch (const error& e)
    {
        return e.reason();
    }
}

namespace
{

template <class Unsigned>
void append_big_endian(std::string& out, Unsigned v)
{
    for (int shift = 8 * static_cast<int>(sizeof v) - 8; shift >= 0; shift -= 8)
        out += static_cast<char>((v >> shift) & 0xff);
}

std::string array_header(unsigned type, std::size_t n, bool has_nulls)
{
    std::string out;
    append_big_endian(out, std::uint32_t{n == 0 ? 0u : 1u});
    append_big_endian(out, std::uint32_t{has_nulls});
    append_big_endian(out, static_cast<std::uint32_t>(type));
    if (n == 0)
        return out;
    append_big_endian(out, static_cast<std::uint32_t>(n));
    append_big_endian(out, std::uint32_t{1});
    return out;
}

/// Strings is std::string or std::string_view.
template <class Strings>
std::string array_of(unsigned type, const std::vector<Strings>& v)
{
    auto out = array_header(type, v.size(), false);
    for (const auto& s : v)
    {
        append_big_endian(out, static_cast<std::uint32_t>(s.size()));
        out.append(s);
    }
    return out;
}

std::string eight_bytes(std::int64_t v)
{
    std::string out;
    append_big_endian(out, static_cast<std::uint64_t>(v));
    return out;
}

/// libpq's words span lines and repeat the address for every try.
std::string one_line(const char* words)
{
    std::string s(words != nullptr ? words : "");
    while (!s.empty() && (s.back() == '\n' || s.back() == ' '))
        s.pop_back();
    for (std::size_t at = 0; (at = s.find('\n', at)) != std::string::npos;)
        s.replace(at, 1, "; ");
    s.erase(std::remove(s.begin(), s.end(), '\t'), s.end());
    return text::printable(s, 400);
}

error_code code_of(const std::string& sqlstate)
{
    const auto is = [&](const char* prefix) { return sqlstate.rfind(prefix, 0) == 0; };
    if (is("53100"))
        return make_error_code(errc::disk_full);
    if (is("28") || is("42501"))
        return make_error_code(errc::refused);
    if (is("57014"))
        return make_error_code(errc::timed_out);
    if (is("55P03") || is("40"))
        return make_error_code(errc::locked);
    if (is("XX001") || is("XX002"))
        return make_error_code(errc::archive_damaged);
    return error_code(EIO, boost::system::system_category());
}

/// Class 08 and the server's own going: 57P01 shut down, 57P02 crashed, 57P03 starts, 57P05 idle for too
/// long, 25P03 that in a transaction.
bool is_gone(const std::string& sqlstate)
{
    return sqlstate.rfind("08", 0) == 0 || sqlstate.rfind("57P0", 0) == 0 || sqlstate == "25P03";
}

void ignore_notice(void*, const char*) {}

}  // namespace

// ---- parameters
// -----------------------------------------------------------------------------------------------------

parameters& parameters::own(unsigned type, std::string bytes)
{
    value v;
    v.type = type;
    v.own = std::move(bytes);
    values_.push_back(std::move(v));
    return *this;
}

parameters& parameters::add(std::int64_t v)
{
    return own(type_int8, eight_bytes(v));
}

parameters& parameters::add(std::optional<std::int64_t> v)
{
    own(type_int8, v ? eight_bytes(*v) : std::string());
    values_.back().is_null = !v;
    return *this;
}

parameters& parameters::add(bool v)
{
    return own(type_bool, std::string(1, v ? '\1' : '\0'));
}

parameters& parameters::add(std::string_view text)
{
    value v;
    v.type = type_text;
    v.foreign = text;
    v.is_foreign = true;
    values_.push_back(std::move(v));
    return *this;
}

parameters& parameters::bytes(std::string_view bytes)
{
    add(bytes);
    values_.back().type = type_bytea;
    return *this;
}

parameters& parameters::add(const std::vector<std::int64_t>& v)
{
    auto out = array_header(type_int8, v.size(), false);
    out.reserve(out.size() + 12 * v.size());
    for (const auto n : v)
    {
        append_big_endian(out, std::uint32_t{8});
        append_big_endian(out, static_cast<std::uint64_t>(n));
    }
    return own(type_int8_array, std::move(out));
}

parameters& parameters::add(const std::vector<std::optional<std::int64_t>>& v)
{
    auto out = array_header(type_int8, v.size(), true);
    for (const auto& n : v)
    {
        append_big_endian(out, n ? std::uint32_t{8} : ~std::uint32_t{0});
        if (n)
            append_big_endian(out, static_cast<std::uint64_t>(*n));
    }
    return own(type_int8_array, std::move(out));
}

parameters& parameters::flags(const std::vector<bool>& v)
{
    auto out = array_header(type_bool, v.size(), false);
    for (const bool b : v)
    {
        append_big_endian(out, std::uint32_t{1});
        out += b ? '\1' : '\0';
    }
    return own(type_bool_array, std::move(out));
}

parameters& parameters::blobs(const std::vector<std::string_view>& v)
{
    return own(type_bytea_array, array_of(type_bytea, v));
}

parameters& parameters::add(const std::vector<std::string>& v)
{
    return own(type_text_array, array_of(type_text, v));
}

// ---- rows
// -----------------------------------------------------------------------------------------------------------

rows::~rows()
{
    if (result_ != nullptr)
        pq().PQclear(result_);
}

int rows::size() const
{
    return pq().PQntuples(result_);
}

bool rows::is_null(int row, int column) const
{
    return pq().PQgetisnull(result_, row, column) != 0;
}

std::string_view rows::bytes(int row, int column) const
{
    const auto& lib = pq();
    return std::string_view(lib.PQgetvalue(result_, row, column),
                            static_cast<std::size_t>(lib.PQgetlength(result_, row, column)));
}

std::int64_t rows::integer(int row, int column) const
{
    return optional_integer(row, column).value_or(0);
}

std::optional<std::int64_t> rows::optional_integer(int row, int column) const
{
    if (is_null(row, column))
        return std::nullopt;
    const auto raw = bytes(row, column);
    if (raw.size() != 8)
        throw error(fail(errc::malformed,
                         "PostgreSQL: column " + std::to_string(column + 1) +
                             " of an answer is not the bigint that was asked for"));
    std::uint64_t v = 0;
    for (const char c : raw)
        v = (v << 8) | static_cast<unsigned char>(c);
    return static_cast<std::int64_t>(v);
}

bool rows::flag(int row, int column) const
{
    if (is_null(row, column))
        return false;
    const auto raw = bytes(row, column);
    if (raw.size() != 1)
        throw error(fail(errc::malformed,
                         "PostgreSQL: column " + std::to_string(column + 1) +
                             " of an answer is not the boolean that was asked for"));
    return raw[0] != 0;
}

std::int64_t rows::changed() const
{
    std::int64_t n = 0;
    for (const char* at = pq().PQcmdTuples(result_); *at >= '0' && *at <= '9'; ++at)
        n = 10 * n + (*at - '0');
    return n;
}

// ---- connection
// -----------------------------------------------------------------------------------------------------

namespace
{

postgres_url known_url(const std::string& url)
{
    auto read = read_postgres_url(url);
    if (!read)
        throw error(read.error());
    return std::move(*read);
}

/// Where distributions keep the certificates they trust; libpq of before version 16 has no word for it.
const char* system_roots()
{
    for (const char* path : {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"})
        if (::access(path, R_OK) == 0)
            return path;
    return nullptr;
}

/// One of the servers that a url names, in libpq's words; all null: whatever the url says.
struct server
{
    std::optional<std::string> host = {}, hostaddr = {}, port = {};
};

std::vector<std::string> parts_of(std::string_view list)
{
    std::vector<std::string> out(1);
    for (const char c : list)
    {
        if (c == ',')
            out.emplace_back();
        else
            out.back() += c;
    }
    return out;
}

/// In the url's order. What does not add up is left to libpq, which says so.
std::vector<server> servers_of(const std::string& url)
{
    std::vector<server> out(1);
    auto* const options = pq().PQconninfoParse(url.c_str(), nullptr);
    if (options == nullptr)
        return out;
    std::map<std::string_view, std::vector<std::string>> lists;
    std::size_t count = 1;
    for (const auto* o = options; o->keyword != nullptr; ++o)
        for (const std::string_view key : {"host", "hostaddr", "port"})
            if (o->keyword == key && o->val != nullptr)
                count = std::max(count, (lists[key] = parts_of(o->val)).size());
    pq().PQconninfoFree(options);
    auto& ports = lists["port"];
    if (ports.size() == 1)
        ports.resize(count, ports.front());
    for (const auto& [_, list] : lists)
        if (!list.empty() && list.size() != count)
            return out;
    if (count == 1)
        return out;
    out.resize(count);
    for (std::size_t i = 0; i < count; ++i)
    {
        const auto pick = [&lists, i](std::string_view key) {
            const auto& list = lists[key];
            return list.empty() ? std::optional<std::string>() : list[i];
        };
        out[i] = {pick("host"), pick("hostaddr"), pick("port")};
    }
    return out;
}

}  // namespace

postgres::postgres(const postgres_options& options) : limit_(options.statement_limit)
{
    const auto url = known_url(options.url);
    place_ = url.place;
    const auto& lib = pq();
    const std::string password(options.password.reveal());
    // What stands in the url comes later and so before these (libpq: the last one counts). A server that
    // takes long answers probes all the same; the machine of one that is gone is given up well before
    // statement_limit.
    std::vector<const char*> keys = {
        "application_name", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"};
    std::vector<const char*> values = {"dtbridge", "5", "2", "2", "8000"};
    const auto add = [&keys, &values](const char* key, const char* value) {
        keys.push_back(key);
        values.push_back(value);
    };
    if (!url.is_local)
    {
        add("sslmode", "verify-full");
        if (const char* roots = system_roots())
            add("sslrootcert", roots);
    }
    add("dbname", options.url.c_str());
    if (!password.empty())
        add("password", password.c_str());
    add("client_encoding", "UTF8");

    // libpq goes on to the next server when one refuses the connection, and waits without end for one that is
    // silent, as a machine that is off. So each is tried by itself, with an even share of what time is left.
    const auto servers = servers_of(options.url);
    const auto first = options.right_server->load() % servers.size();
    const auto until = clock::now() + options.connect_limit;
    std::string words;
    for (std::size_t tried = 0; tried < servers.size(); ++tried)
    {
        const auto n = (first + tried) % servers.size();
        const auto& [host, hostaddr, port] = servers[n];
        auto with = keys;
        auto its = values;
        for (const auto& [key, value] :
             {std::pair{"host", &host}, std::pair{"hostaddr", &hostaddr}, std::pair{"port", &port}})
            if (*value)
            {
                with.push_back(key);
                its.push_back((*value)->c_str());
            }
        with.push_back(nullptr);
        its.push_back(nullptr);
        std::unique_ptr<pg_conn, decltype(lib.PQfinish)> made(
            lib.PQconnectStartParams(with.data(), its.data(), 1), lib.PQfinish);
        conn_ = made.get();
        if (conn_ == nullptr)
            throw std::bad_alloc();
        const auto now = clock::now();
        try
        {
            finish_connecting(now + (until - now) / (servers.size() - tried));
            *options.right_server = n;
            made.release();
            return;
        }
        catch (const postgres_error& e)
        {
            if (servers.size() == 1)
                throw;
            words += (tried == 0 ? " " : "; ") + host.value_or(hostaddr.value_or("")) + ":" +
                     e.reason().detail.substr(place_.size());
            if (tried + 1 == servers.size())
                throw postgres_error(fail(e.reason().code, place_ + words), e.sqlstate(), e.lost());
        }
    }
}

void postgres::finish_connecting(clock::time_point until)
{
    const auto& lib = pq();
    if (lib.PQstatus(conn_) == CONNECTION_BAD)
        raise_lost("cannot be connected to");
    auto next = PGRES_POLLING_WRITING;
    while (next != PGRES_POLLING_OK)
    {
        if (next == PGRES_POLLING_FAILED)
            raise_lost("cannot be connected to");
        wait_for(next == PGRES_POLLING_READING ? POLLIN : POLLOUT, until);
        next = lib.PQconnectPoll(conn_);
    }
    lib.PQsetNoticeProcessor(conn_, ignore_notice, nullptr);
    if (lib.PQserverVersion(conn_) < 130000)
        throw postgres_error(
            fail(errc::unsupported, place_ + " is older than version 13, the oldest that dtbridge uses"),
            "",
            false);
    if (lib.PQsetnonblocking(conn_, 1) != 0)
        raise_lost("cannot be used without blocking");
}

postgres::~postgres()
{
    pq().PQfinish(conn_);
}

void postgres::raise_lost(const std::string& what)
{
    auto words = one_line(pq().PQerrorMessage(conn_));
    throw postgres_error(fail(error_code(ENOTCONN, boost::system::system_category()),
                              place_ + " " + what + (words.empty() ? "" : ": " + words)),
                         "",
                         true);
}

void postgres::wait_for(short events, clock::time_point until)
{
    for (;;)
    {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - clock::now()).count();
        if (left <= 0)
            throw postgres_error(fail(errc::timed_out, place_ + " does not answer in time"), "", true);
        pollfd p = {pq().PQsocket(conn_), events, 0};
        const int n = ::poll(&p, 1, static_cast<int>(std::min<std::int64_t>(left, 60'000)));
        if (n > 0)
            return;
        if (n < 0 && errno != EINTR)
            raise_lost("cannot be waited for");
    }
}

rows postgres::run(const char* sql, const parameters& values)
{
    const auto& lib = pq();
    const auto n = values.values_.size();
    std::vector<Oid> types(n);
    std::vector<const char*> data(n);
    std::vector<int> lengths(n);
    const std::vector<int> binary(n, 1);
    for (std::size_t i = 0; i < n; ++i)
    {
        const auto& v = values.values_[i];
        const auto bytes = v.is_foreign ? v.foreign : std::string_view(v.own);
        if (bytes.size() > 512u << 20)
            throw postgres_error(fail(errc::over_limit, place_ + ": a value is too long"), "", false);
        types[i] = v.type;
        data[i] = v.is_null ? nullptr : bytes.data() != nullptr ? bytes.data() : "";
        lengths[i] = static_cast<int>(bytes.size());
    }
    const auto until = clock::now() + limit_;
    if (lib.PQsendQueryParams(
            conn_, sql, static_cast<int>(n), types.data(), data.data(), lengths.data(), binary.data(), 1) ==
        0)
        raise_lost("is gone");
    for (;;)
    {
        const int left = lib.PQflush(conn_);
        if (left == 0)
            break;
        if (left < 0)
            raise_lost("is gone");
        // A server that answers before it has read everything must be listened to, or both would wait.
        wait_for(POLLIN | POLLOUT, until);
        if (lib.PQconsumeInput(conn_) == 0)
            raise_lost("is gone");
    }
    std::optional<rows> answer;
    for (;;)
    {
        while (lib.PQisBusy(conn_) != 0)
        {
            wait_for(POLLIN, until);
            if (lib.PQconsumeInput(conn_) == 0)
                raise_lost("is gone");
        }
        PGresult* r = lib.PQgetResult(conn_);
        if (r == nullptr)
            break;
        if (!answer)
            answer.emplace(r);
        else
            lib.PQclear(r);
        const auto state = lib.PQstatus(conn_);
        if (state == CONNECTION_BAD)
            break;
        if (lib.PQresultStatus(r) == PGRES_COPY_IN || lib.PQresultStatus(r) == PGRES_COPY_OUT)
            throw postgres_error(fail(errc::unsupported, place_ + ": COPY is not used"), "", true);
    }
    if (!answer)
        raise_lost("is gone");
    const auto* r = answer->raw();
    const auto status = lib.PQresultStatus(r);
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
        return std::move(*answer);
    const char* state = lib.PQresultErrorField(r, PG_DIAG_SQLSTATE);
    const char* words = lib.PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    const std::string sqlstate(state != nullptr ? state : "");
    const bool lost = lib.PQstatus(conn_) == CONNECTION_BAD || is_gone(sqlstate);
    if (words == nullptr)
        words = lib.PQerrorMessage(conn_);
    throw postgres_error(
        fail(lost ? error_code(ENOTCONN, boost::system::system_category()) : code_of(sqlstate),
             place_ + ": " + one_line(words) + (sqlstate.empty() ? "" : " (SQLSTATE " + sqlstate + ")")),
        sqlstate,
        lost);
}

bool postgres::is_idle()
{
    const auto& lib = pq();
    if (lib.PQstatus(conn_) != CONNECTION_OK || lib.PQtransactionStatus(conn_) != PQTRANS_IDLE)
        return false;
    pollfd p = {lib.PQsocket(conn_), POLLIN, 0};
    if (::poll(&p, 1, 0) <= 0)
        return true;
    // A server that shuts down says so and closes; a notice or a changed setting is no reason to part.
    return lib.PQconsumeInput(conn_) != 0 && lib.PQstatus(conn_) == CONNECTION_OK &&
           lib.PQisBusy(conn_) == 0 && (::poll(&p, 1, 0) <= 0);
}

postgres_peer postgres::peer() const
{
    const auto& lib = pq();
    const auto said = [](const char* words) { return text::printable(words != nullptr ? words : "", 200); };
    postgres_peer p;
    const auto host = said(lib.PQhost(conn_));
    p.is_socket = host.rfind('/', 0) == 0;
    p.address =
        p.is_socket ? host + "/.s.PGSQL." + said(lib.PQport(conn_)) : host + ":" + said(lib.PQport(conn_));
    p.version = said(lib.PQparameterStatus(conn_, "server_version"));
    p.tls_version = said(lib.PQsslAttribute(conn_, "protocol"));
    p.cipher = said(lib.PQsslAttribute(conn_, "cipher"));
    return p;
}

// ---- transaction
// ----------------------------------------------------------------------------------------------------

postgres_transaction::postgres_transaction(postgres& on) : on_(on)
{
    on_.run("BEGIN");
}

postgres_transaction::~postgres_transaction()
{
    if (done_)
        return;
    try
    {
        on_.run("ROLLBACK");
    }
    catch (const error&)
    {
        // The connection is not idle then and is not used again; the server rolls back by itself.
    }
}

void postgres_transaction::commit()
{
    done_ = true;
    on_.run("COMMIT");
}

// ---- pool
// -----------------------------------------------------------------------------------------------------------

postgres_pool::postgres_pool(postgres_options options)
    : options_(std::move(options)), place_(known_url(options_.url).place)
{}

postgres_pool::~postgres_pool() = default;

postgres_pool::borrowed postgres_pool::take()
{
    bool alone = false;
    for (;;)
    {
        std::unique_ptr<postgres> c;
        {
            std::lock_guard lock(mutex_);
            if (idle_.empty())
            {
                // While nothing is known to work one tries for all, and not before its time.
                const auto left = std::chrono::ceil<std::chrono::seconds>(not_before_ - clock::now()).count();
                if (pause_.count() > 0 && (trying_ || left > 0))
                    throw postgres_error(
                        fail(last_failure_.code,
                             last_failure_.detail +
                                 (trying_ ? "; it is being tried again"
                                          : "; it is tried again in " + std::to_string(left) + " s")),
                        "",
                        true);
                alone = pause_.count() > 0;
                trying_ = alone;
                ++used_;
                break;
            }
            c = std::move(idle_.back());
            idle_.pop_back();
            ++used_;
        }
        if (c->is_idle())
            return borrowed(shared_from_this(), std::move(c));
        c.reset();
        std::lock_guard lock(mutex_);
        --used_;
    }
    const auto failed = [&](const failure& f) {
        static thread_local std::minstd_rand random(std::random_device{}());
        std::lock_guard lock(mutex_);
        --used_;
        if (alone)
            trying_ = false;
        last_failure_ = f;
        pause_ = pause_.count() == 0 ? first_pause : std::min(2 * pause_, longest_pause);
        const auto jitter = std::uniform_int_distribution<std::int64_t>(0, pause_.count() / 2)(random);
        not_before_ = clock::now() + pause_ + std::chrono::milliseconds(jitter);
    };
    try
    {
        auto c = std::make_unique<postgres>(options_);
        std::lock_guard lock(mutex_);
        pause_ = 0ms;
        if (alone)
            trying_ = false;
        return borrowed(shared_from_this(), std::move(c));
    }
    catch (const error& e)
    {
        failed(e.reason());
        throw;
    }
    catch (const std::bad_alloc&)
    {
        failed(fail(errc::over_limit, place_ + ": out of memory"));
        throw;
    }
}

postgres_pool::borrowed::~borrowed()
{
    if (connection_)
        from_->give_back(std::move(connection_));
}

void postgres_pool::give_back(std::unique_ptr<postgres> c)
{
    const bool fit = c->is_idle();
    std::unique_ptr<postgres> gone;  // closed outside the lock
    std::lock_guard lock(mutex_);
    --used_;
    if (fit && idle_.size() < most_idle)
        idle_.push_back(std::move(c));
    else
        gone = std::move(c);
}

void postgres_pool::close_idle()
{
    std::vector<std::unique_ptr<postgres>> gone;
    std::lock_guard lock(mutex_);
    gone.swap(idle_);
}

std::size_t postgres_pool::size() const
{
    std::lock_guard lock(mutex_);
    return used_ + idle_.size();
}

}  // namespace dtbridge::db
