#pragma once

/// What sweeps noted of many breaches at once, for those who read a whole archive.

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <dtbridge/archive/archive.hpp>

namespace dtbridge
{

/// Reads beside whoever writes the archive, through a connection of its own. Calls block: for commands.
class later_states
{
public:
    /// folder: state_dir/masters; database: instead of files, where it has a url. Fails as
    /// archive::open_to_read does.
    static outcome<std::unique_ptr<later_states>> open(const std::string& folder,
                                                       const std::string& master,
                                                       const archive_database& database);
    virtual ~later_states() = default;
    /// Every noted change of the breaches from first_seq to last_seq, in order of seq and time; at most
    /// 100,000.
    virtual outcome<std::vector<std::pair<std::int64_t, state_change>>> between(std::int64_t first_seq,
                                                                                std::int64_t last_seq) = 0;
};

}  // namespace dtbridge
