#pragma once

/// Reading archives from a command, beside a running service: one piece ahead on a thread of its own, in
/// constant memory, with progress on a terminal.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <dtbridge/archive/archive.hpp>
#include <dtbridge/config/configuration.hpp>
#include <dtbridge/core/breach.hpp>

#include "app/options.hpp"

namespace dtbridge::app
{

/// --from and --to of a command line.
struct time_span
{
    std::optional<std::int64_t> from, to;  ///< ms; from inclusive, to exclusive, on created
};
/// Throws usage_error, naming the forms there are.
time_span read_time_span(const parsed& said, std::int64_t now);

/// Which archives a command reads: the named master's, which may be one that is no longer configured, or
/// those of all configured masters that have one. Throws usage_error for an unknown name, action_error where
/// there is no archive yet.
std::vector<std::string> archives_to_read(const config::configuration& c, const std::string& master);

struct reading
{
    std::string state_dir;
    archive_database database;
    std::vector<std::string> masters;
    time_span span;
    bool with_changes = false;  ///< tells when a breach was acknowledged later
    bool quiet = false;         ///< no progress, even on a terminal
    bool by_arrival = false;    ///< masters are not read one after the other, but all by time of archiving
    std::string what;           ///< before the progress: "reading"
};

struct read_breach
{
    const std::string& master;
    const archived_breach& archived;
    std::optional<std::int64_t> acknowledged_at;  ///< as a sweep saw it; ms
};

/// Calls each with everything that the archives held when reading began, of each master in order of seq;
/// false ends it. Throws action_error where an archive cannot be read.
void read_archives(const reading& what, const std::function<bool(const read_breach&)>& each);

/// The same for those who want the breach parsed. What is no breach, which the archive does not take, is said
/// on standard error. Answers how many of those there were.
std::int64_t read_parsed(const reading& what,
                         const std::function<bool(const read_breach&, const breach&)>& each);

}  // namespace dtbridge::app
