#include <dtbridge/archive/probe.hpp>

#include <algorithm>
#include <chrono>
#include <string_view>

#include <dtbridge/db/postgres.hpp>

#include "archive/pg_schema.hpp"

namespace dtbridge
{

namespace
{

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

constexpr auto statement_limit = 2s;
constexpr int round_trips = 5;

constexpr const char* use_the_primary =
    "name the primary in [archive] url, or all hosts with ?target_session_attrs=read-write";

/// What to do about words of libpq or of the server, which have no code while a connection is made.
struct remedy
{
    std::string_view words, what;
};
constexpr remedy remedies[] = {
    {"password authentication failed", "is it the password of this role, in password_file?"},
    {"no password supplied", "put the role's password into a file and name it in password_file"},
    {"fe_sendauth", "put the role's password into a file and name it in password_file"},
    {"no pg_hba.conf entry", "let this host, role and database in, in the server's pg_hba.conf"},
    {"certificate verify failed", "name the CA of the server's certificate: ?sslrootcert=FILE"},
    {"does not match host name", "use a name of the server's certificate in [archive] url"},
    {"does not support SSL", "turn ssl on in the server, or, on a network that you trust, ?sslmode=disable"},
    {"root certificate file", "?sslrootcert names a file that this service cannot read"},
    {"session is read-only", use_the_primary},
    {"could not translate host name", "is the host in [archive] url written right, and does DNS know it?"},
    {"Connection refused", "does the server run, and listen on this address and port?"},
    {"No such file or directory", "does the server run on this host, with its socket in this folder?"},
    {"does not answer in time", "does a firewall drop packets on the way?"},
    {"timeout expired", "does a firewall drop packets on the way?"},
    {"too many clients", "raise the server's max_connections, or put a pooler before it"},
    {"remaining connection slots", "raise the server's max_connections, or put a pooler before it"},
    {"is starting up", "the server is not ready yet: try again"},
};

std::string with_remedy(const std::string& problem)
{
    for (const auto& r : remedies)
        if (problem.find(r.words) != std::string::npos)
            return problem + ": " + std::string(r.what);
    // "database "x" does not exist", "role "x" does not exist", in words that may be translated.
    if (problem.find("does not exist") != std::string::npos)
        return problem + ": create it (docs/scaling.md, \"Setting it up\")";
    return problem;
}

std::int64_t us_since(clock::time_point began)
{
    return std::chrono::duration_cast<std::chrono::microseconds>(clock::now() - began).count();
}

void look_at_session(db::postgres& on, database_report& r)
{
    r.step = "session";
    const auto row = on.run("SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'");
    r.is_standby = row.flag(0, 0);
    r.is_read_only = row.flag(0, 1);
    for (int i = 0; i < round_trips; ++i)
    {
        const auto began = clock::now();
        on.run("SELECT 1::bigint");
        const auto took = us_since(began);
        r.round_trip_us = i == 0 ? took : std::min(r.round_trip_us, took);
    }
    if (r.is_standby)
        r.problem = r.place + ": " + r.address + " is a standby, which takes no writes: " + use_the_primary;
    else if (r.is_read_only)
        r.problem = r.place +
                    ": the session is read-only: take default_transaction_read_only off the server, database "
                    "or role";
}

std::string role_of(db::postgres& on)
{
    return std::string(on.run("SELECT current_user::text").bytes(0, 0));
}

/// What the role lacks to look into the schema, or to make it; "" if nothing.
std::string lacks_schema(db::postgres& on)
{
    const auto schema = on.run(
        "SELECT has_schema_privilege(oid, 'USAGE') AND has_schema_privilege(oid, 'CREATE') FROM "
        "pg_catalog.pg_namespace WHERE nspname = 'dtbridge'");
    if (!schema.empty())
        return schema.flag(0, 0) ? ""
                                 : "the role may not use the schema dtbridge: GRANT USAGE, CREATE ON SCHEMA "
                                   "dtbridge TO " +
                                       role_of(on);
    if (on.run("SELECT has_database_privilege(current_database(), 'CREATE')").flag(0, 0))
        return "";
    return "there is no schema dtbridge, and the role may not create it: CREATE SCHEMA dtbridge "
           "AUTHORIZATION " +
           role_of(on);
}

/// Tables are changed, and get partitions, by their owner alone; "" if the role is that.
std::string lacks_tables(db::postgres& on)
{
    const auto r = on.run(
        "SELECT pg_has_role(current_user, tableowner, 'USAGE'), tableowner::text FROM pg_catalog.pg_tables "
        "WHERE schemaname = 'dtbridge' AND tablename = 'version'");
    if (r.empty() || r.flag(0, 0))
        return "";
    const std::string owner(r.bytes(0, 1));
    return "the tables belong to role " + owner + ": connect as that one, or GRANT " + owner + " TO " +
           role_of(on);
}

void look_at_schema(db::postgres& on, database_report& r)
{
    r.step = "schema";
    auto lacks = lacks_schema(on);
    if (lacks.empty())
        lacks = lacks_tables(on);
    if (!lacks.empty())
    {
        r.problem = r.place + ": " + lacks;
        return;
    }
    const auto version = pg_look_at_schema(on);
    r.schema_version = version.found;
    r.newest_schema_version = version.newest;
    r.step = "done";
}

}  // namespace

database_report probe_database(const archive_database& database)
{
    database_report r;
    r.step = "connect";
    try
    {
        const auto url = db::read_postgres_url(database.url);
        if (!url)
            throw db::error(url.error());
        r.place = url->place;
        db::postgres_options options;
        options.url = database.url;
        options.password = database.password;
        options.statement_limit = statement_limit;
        const auto began = clock::now();
        db::postgres on(options);
        r.connect_us = us_since(began);
        const auto peer = on.peer();
        r.address = peer.address;
        r.server_version = peer.version;
        r.tls_version = peer.tls_version;
        r.cipher = peer.cipher;
        r.is_socket = peer.is_socket;
        look_at_session(on, r);
        if (r.problem.empty())
            look_at_schema(on, r);
    }
    catch (const db::error& e)
    {
        r.problem = with_remedy(e.reason().detail);
    }
    return r;
}

}  // namespace dtbridge
