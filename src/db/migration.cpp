#include <dtbridge/db/connection.hpp>

namespace dtbridge::db
{

namespace
{

/// user_version, or -1 for a file that holds nothing yet (new, or its first opening was cut short).
int found_version(connection& db, std::int32_t application_id, int newest, const char* kind)
{
    auto id = db.value("PRAGMA application_id");
    auto version = db.value("PRAGMA user_version");
    if (id == 0 && version == 0 && db.value("SELECT count(*) FROM sqlite_schema") == 0)
        return -1;
    if (id != application_id || version < 1)
        throw error(fail(errc::archive_damaged,
                         db.path() + ": not a dtbridge " + kind + " (application id " + std::to_string(id) +
                             "); move the file away, or `dtbridge recover` saves what is readable"));
    if (version > newest)
        throw error(fail(errc::archive_newer,
                         db.path() + ": this " + kind + " was written by a newer dtbridge (schema " +
                             std::to_string(version) + ", this version knows up to " +
                             std::to_string(newest) + "); install that version again"));
    return static_cast<int>(version);
}

}  // namespace

int check_version(connection& db, std::int32_t application_id, int newest, const char* kind)
{
    int found = found_version(db, application_id, newest, kind);
    return found < 0 ? 0 : found;
}

int migrate(connection& db, std::int32_t application_id, std::span<const char* const> steps, const char* kind)
{
    int newest = static_cast<int>(steps.size());
    int found = found_version(db, application_id, newest, kind);
    db.set_durability(connection::durability::full);
    for (int at = found < 0 ? 0 : found; at < newest; ++at)
    {
        transaction step(db);
        db.exec(steps[static_cast<std::size_t>(at)]);
        db.exec(("PRAGMA application_id=" + std::to_string(application_id) +
                 "; PRAGMA user_version=" + std::to_string(at + 1))
                    .c_str());
        step.commit();
    }
    return found < 0 ? 0 : found;
}

}  // namespace dtbridge::db
