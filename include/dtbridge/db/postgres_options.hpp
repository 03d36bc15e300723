#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include <dtbridge/core/failure.hpp>
#include <dtbridge/core/secret.hpp>

namespace dtbridge::db
{

struct postgres_options
{
    std::string url;  ///< postgresql://[user@]host[:port][,host2[:port]]/database[?libpq's parameters]
    secret password;  ///< comes before one in url or in libpq's own files
    std::chrono::milliseconds connect_limit = std::chrono::seconds(10);  ///< for all servers of url together
    std::chrono::milliseconds statement_limit = std::chrono::seconds(30);
    /// Which of the url's servers was the right one last, and is tried first. Copies share it.
    std::shared_ptr<std::atomic<std::size_t>> right_server = std::make_shared<std::atomic<std::size_t>>(0);
};

/// What a URL says before libpq reads it.
struct postgres_url
{
    std::string place;          ///< for words: hosts and database, no user, no password
    bool has_password = false;  ///< which a file should hold
    bool is_local = true;       ///< a socket in the file system or a loopback address: nothing to encrypt
    std::string sslmode;        ///< as written; ""
    bool has_root = false;      ///< sslrootcert is written
};

/// errc::malformed where it is no URL of PostgreSQL. The words repeat nothing of it: it may hold a password.
outcome<postgres_url> read_postgres_url(std::string_view url);

}  // namespace dtbridge::db
