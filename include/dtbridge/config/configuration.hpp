#pragma once

/// /etc/dtbridge/dtbridge.toml and the files it names, read once into checked structs. Reading and checking
/// report every problem of every file at once, with file, line, key, what was found and what would be right
/// (product.md 2).

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <dtbridge/archive/database_options.hpp>
#include <dtbridge/core/log.hpp>
#include <dtbridge/deliver/options.hpp>
#include <dtbridge/format/formatter.hpp>
#include <dtbridge/poll/options.hpp>
#include <dtbridge/rules/inventory.hpp>
#include <dtbridge/rules/policy.hpp>

namespace dtbridge::config
{

using problem = rules::problem;

struct service_options
{
    std::string state_dir = "/var/lib/dtbridge";
    std::string listen = "127.0.0.1:9480";  ///< "" off
    std::string listen_cert_file, listen_key_file;
    log::level log_level = log::level::info;
    log::format log_format = log::format::text;
};

struct archive_options
{
    std::chrono::milliseconds retention{90LL * 24 * 3'600'000};
    std::uint64_t max_size = 20ull << 30;
    std::uint64_t min_free = 1ull << 30;
    bool pause_when_full = false;
    archive_database database = {};
    std::string bridge = {};         ///< this bridge's name among those of the database; "": the host's
    std::string password_file = {};  ///< as resolved; ""
    unsigned url_line = 0;           ///< of url; 0 where it is not set
};

struct api_token
{
    std::string name;
    secret token;
    std::vector<std::string> masters;
};

/// A destination with everything it decides and formats with.
struct destination
{
    deliver::destination_options options;
    std::shared_ptr<const rules::policy> policy;  ///< never null
    std::string fields_text;                      ///< of its field map ("" for JSON)
    unsigned line = 0;                            ///< of its transport
};

/// [enrich], or [master.enrich] of one master: the columns of an inventory as labels of a device's breaches.
struct enrich_options
{
    std::string master;  ///< whose breaches
    std::string path;    ///< resolved
    rules::inventory_key key = rules::inventory_key::ip;
    std::shared_ptr<const rules::inventory> inventory;  ///< as it was when the configuration was loaded
};

struct configuration
{
    std::string file;    ///< as given
    std::string folder;  ///< of the file: relative paths start here
    service_options service;
    archive_options archive;
    std::vector<api_token> tokens;
    std::vector<poll::master_options> masters;
    std::vector<destination> destinations;
    std::vector<enrich_options> enrich;  ///< at most one per master
};

struct loaded
{
    configuration value;
    std::vector<problem> problems;  ///< errors and warnings
    bool ok = true;                 ///< no error: value may be used
};

/// Environment that changes what files mean, passed in so that tests need no process environment.
struct environment
{
    std::string credentials_directory;  ///< $CREDENTIALS_DIRECTORY or ""
};

loaded load(const std::string& path, const environment& env);

/// "file:line: key: message" with an "error: " or "warning: " in front, one line each.
std::string to_line(const problem& p);

/// Names of the shipped profiles and the text of one ("" where there is none); profiles are data,
/// mappings/profiles/*.toml.
std::vector<std::string> profile_names();
std::string_view profile_text(std::string_view name);

}  // namespace dtbridge::config
