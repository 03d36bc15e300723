#pragma once

/// The way of an archive from SQLite to PostgreSQL and back: breaches byte for byte under their seq, keys
/// that outlived them, position, cursors and what became of every breach. The source stays as it was; the
/// target is there as a whole or not at all.

#include <cstdint>
#include <functional>
#include <string>

#include <dtbridge/archive/database_options.hpp>
#include <dtbridge/core/failure.hpp>

namespace dtbridge
{

struct archive_copy
{
    std::int64_t breaches = 0;
    std::int64_t keys = 0;  ///< those of breaches that retention has dropped included
    std::int64_t cursors = 0;
};

/// Calls block, for as long as it takes: for commands, while no service runs. folder: state_dir/masters.
/// progress is called with the breaches so far. EEXIST where the target has such an archive already,
/// errc::locked where a bridge has the master.
outcome<archive_copy> copy_archive_to_database(const std::string& folder,
                                               const std::string& master,
                                               const archive_database& database,
                                               const std::function<void(std::int64_t)>& progress);
outcome<archive_copy> copy_archive_to_files(const std::string& folder,
                                            const std::string& master,
                                            const archive_database& database,
                                            const std::function<void(std::int64_t)>& progress);

}  // namespace dtbridge
