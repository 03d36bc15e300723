#pragma once

#include <chrono>
#include <string>

#include <dtbridge/core/secret.hpp>

namespace dtbridge
{

/// Where archives are that are not files: one PostgreSQL database for all masters.
struct archive_database
{
    std::string url;           ///< postgresql://...; "": files, and the rest says nothing
    secret password = {};      ///< comes before one in url
    bool own_schemas = false;  ///< each master's breaches in a schema of its own
    std::chrono::milliseconds partition =
        std::chrono::hours(24 * 7);  ///< breaches archived in such a span are dropped together

    bool operator==(const archive_database&) const = default;
};

}  // namespace dtbridge
