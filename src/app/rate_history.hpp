#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace dtbridge::app
{

/// How much a counter grew in each half hour of the last 24 hours. Pure. A counter that went back has begun
/// anew.
class rate_history
{
public:
    static constexpr std::int64_t slot_ms = 30 * 60 * 1000;
    static constexpr std::size_t slots = 48;

    /// now: ms since 1970; a clock that was set back adds to the newest slot. The first look counts
    /// everything.
    void look(std::int64_t counter, std::int64_t now);
    /// Oldest first, the newest is the half hour that now is in.
    std::vector<std::int64_t> values(std::int64_t now) const;
    std::int64_t total(std::int64_t now) const;

private:
    std::array<std::int64_t, slots> grown_{};
    std::int64_t newest_ = 0;  ///< number of the newest slot; 0 before the first look
    std::int64_t last_ = 0;
};

}  // namespace dtbridge::app
