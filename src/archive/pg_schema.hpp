#pragma once

#include <cstdint>
#include <span>

namespace dtbridge
{

namespace db
{
class postgres;
}

/// Step n leads from schema n to n + 1; a released step is never edited. The statements of a step are one
/// transaction.
std::span<const std::span<const char* const>> pg_archive_schema();

/// Brings the database's schema "dtbridge" to the newest version, by one bridge at a time. Throws db::error:
/// errc::archive_newer where a newer dtbridge made it.
void pg_migrate(db::postgres& on);
/// The version of the schema that is there, 0 where there is none, and that of pg_archive_schema(). Throws
/// where it is newer.
struct pg_schema_version
{
    std::int64_t found = 0, newest = 0;
};
pg_schema_version pg_look_at_schema(db::postgres& on);
/// The same checks without a step. False where there is none yet; errc::unsupported where it is older.
bool pg_check_version(db::postgres& on);

}  // namespace dtbridge
