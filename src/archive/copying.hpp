#pragma once

#include <cerrno>
#include <memory>
#include <string>

#include <dtbridge/archive/database_options.hpp>
#include <dtbridge/db/postgres.hpp>

namespace dtbridge
{

/// Of the name of an archive that is not whole yet; no master's name has a dot.
inline constexpr const char* copying_suffix = ".copying";

/// Of a target that has the archive already: it may be what an earlier run has copied.
inline db::error already_there(const std::string& what)
{
    return db::error(fail(error_code(EEXIST, boost::system::system_category()),
                          what + " already; what it holds is not overwritten"));
}

inline std::shared_ptr<db::postgres_pool> open_database(const archive_database& database)
{
    db::postgres_options options;
    options.url = database.url;
    options.password = database.password;
    return std::make_shared<db::postgres_pool>(std::move(options));
}

}  // namespace dtbridge
