#pragma once

/// Keeps the archives inside [archive]: retention, max_size over all masters, min_free of the file system.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <dtbridge/archive/archive.hpp>
#include <dtbridge/config/configuration.hpp>

namespace dtbridge::app
{

/// What one pass has to respect.
struct retention_rules
{
    config::archive_options archive;
    std::string state_dir;
    struct waiting
    {
        std::string destination;
        std::optional<std::chrono::milliseconds> hold;  ///< nothing: waits until the archive is full
        std::vector<std::string> masters;               ///< whose breaches it gets
        std::string formerly = {};                      ///< its cursors may still have this name
    };
    std::vector<waiting> destinations;
    std::function<bool()> give_way = {};  ///< asked now and then; true ends the pass where it is
};

/// Waits for every destination that is configured, whether it runs or not.
retention_rules retention_rules_of(const config::configuration& c);

struct retention_report
{
    std::int64_t dropped = 0;
    std::vector<std::pair<std::string, std::int64_t>> lost;  ///< per destination, over all masters
    std::int64_t bytes = 0;                                  ///< of all archives afterwards
    std::int64_t free = 0;                                   ///< of the file system afterwards
    bool full = false;                                       ///< still over max_size or under min_free
    bool gave_way = false;            ///< it was ended; bytes, free and full were not looked at
    std::vector<std::string> errors;  ///< one sentence per archive that could not be pruned
};

/// One pass: by age first, then, where there is too much or too little is left free, the oldest delivered
/// breaches, then (when_full = "drop_oldest") those that a destination lacks, counted lost.
awaitable<retention_report> keep_retention(std::vector<std::shared_ptr<archive>> archives,
                                           retention_rules rules,
                                           std::int64_t now);

/// Bytes that may still be written to the file system of this folder; -1 where it cannot be told.
std::int64_t free_bytes(const std::string& folder);

}  // namespace dtbridge::app
