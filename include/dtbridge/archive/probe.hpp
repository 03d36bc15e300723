#pragma once

/// What a database of archives is like, without changing anything in it: for `check --connect`.

#include <cstdint>
#include <string>

#include <dtbridge/archive/database_options.hpp>

namespace dtbridge
{

struct database_report
{
    std::string place;    ///< as the url says it, without user and password
    std::string problem;  ///< why it cannot be used, and what to do; "" where it can
    std::string step;     ///< how far it came: "connect", "session", "schema", "done"
    std::int64_t connect_us = 0;
    std::string address;  ///< that was reached; "" if none was
    std::string server_version;
    std::string tls_version, cipher;  ///< "" without TLS
    bool is_socket = false;
    bool is_standby = false;
    bool is_read_only = false;               ///< a standby, or told to be
    std::int64_t round_trip_us = 0;          ///< the least of a few
    std::int64_t schema_version = 0;         ///< 0: there is no schema yet
    std::int64_t newest_schema_version = 0;  ///< that the service brings it to
};

/// Connects and looks. Blocks, for no longer than 20 s but for the name server.
database_report probe_database(const archive_database& database);

}  // namespace dtbridge
