#pragma once

#include <cstdint>
#include <span>

namespace dtbridge
{

/// "dtbr": tells an archive from any other SQLite file.
inline constexpr std::int32_t archive_application_id = 0x64746272;
/// "dtbs": service.db.
inline constexpr std::int32_t service_application_id = 0x64746273;

/// Step n leads from schema n to n + 1. A released step is never edited; a change is a new step, and
/// tests/data/archive-v<n>.sql and service-v<n>.sql keep a file of each released schema (keep_schema.py there
/// makes them).
std::span<const char* const> archive_schema();
std::span<const char* const> service_schema();

}  // namespace dtbridge
