#pragma once

/// Saves what is readable of a damaged archive into a new one (contract 4 and 7: `dtbridge recover`). Blocks
/// for as long as reading and writing the whole archive takes; needs about as much space again. Tested in
/// tests/unit/archive with really damaged files.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <dtbridge/core/failure.hpp>

namespace dtbridge
{

/// What was saved and what was not. Spans of seq are inclusive.
struct recovery
{
    bool was_whole = false;  ///< nothing was damaged and nothing was changed; only the counts are set
    std::string kept_as;     ///< where the damaged file is now; its log beside it

    std::int64_t breaches = 0, blocks = 0;  ///< saved
    std::int64_t rebuilt = 0;               ///< of breaches: their row was made anew from their bytes
    std::int64_t corrected =
        0;  ///< numbers in rows that could not be right: set right, or their row left out
    std::vector<std::pair<std::int64_t, std::int64_t>> lost;  ///< spans of seq that could not be saved
    std::int64_t lost_count = 0;
    std::int64_t forgotten = 0;  ///< keys of lost breaches that not every destination had: the next poll or
                                 ///< sweep that shows them archives them again
    std::int64_t keys = 0, changes = 0, batches = 0, texts = 0;  ///< saved
    std::int64_t damaged_pages = 0;
    std::optional<std::int64_t> position;  ///< ms; nothing where it could not be read: polling begins anew
    struct cursor
    {
        std::string destination;
        std::int64_t seq = 0;
        std::int64_t lost = 0;   ///< of the lost breaches those that it had not got; counted lost
        bool corrected = false;  ///< it was behind the last breach, and is at the last batch that is known
    };
    std::vector<cursor> cursors;
};

/// folder: of the master (state_dir/masters/<name>), whose state_dir the caller has locked. now: ms. progress
/// hears how many of how many pages were read. A failure (errc::not_found, errc::disk_full, ...) leaves the
/// damaged file where it was. One that was killed in the middle can be started again.
outcome<recovery> recover_archive(const std::string& folder,
                                  std::int64_t now,
                                  const std::function<void(std::uint64_t, std::uint64_t)>& progress);

/// The same for state_dir/service.db, which holds when each destination first ran.
struct service_recovery
{
    bool was_whole = false;
    std::string kept_as;
    std::int64_t destinations = 0;  ///< saved
};
outcome<service_recovery> recover_service(const std::string& state_dir, std::int64_t now);

}  // namespace dtbridge
