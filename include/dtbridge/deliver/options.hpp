#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include <dtbridge/format/options.hpp>
#include <dtbridge/transport/options.hpp>

namespace dtbridge::deliver
{

/// One [[destination]] of product.md 2, checked. The policy and the field map are loaded beside it.
struct destination_options
{
    std::string name, formerly, profile;
    std::vector<std::string> masters;  ///< names after the globs were matched, in the file's order
    transport::options transport;
    format::options format;
    std::string rules_file;   ///< resolved path, "" forwards everything
    std::string fields_file;  ///< resolved path, "" built-in
    std::optional<std::chrono::milliseconds> start{std::chrono::milliseconds{0}};  ///< nothing: "all"
    std::optional<std::chrono::milliseconds> hold;  ///< nothing: until the archive is full
    double pace_per_second = 0;                     ///< 0 without limit
    std::optional<std::chrono::milliseconds> heartbeat;
    bool updates = false;
};

}  // namespace dtbridge::deliver
