#pragma once

/// Counts of scores in constant memory. A score is kept as its hundredth, rounded down: what
/// `min_score = 0.43` lets pass is exactly the hundredths 43 and up.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include <dtbridge/core/decimal.hpp>

namespace dtbridge::tune
{

inline constexpr int under_zero = -1;      ///< the hundredth of every negative score
inline constexpr int top_hundredth = 100;  ///< that of 1 and of everything above

/// 43 for 0.439, exactly: the decimal is never rounded.
int hundredth(const decimal& score);

/// Grows with the different hundredths that were seen, to at most 102 cells.
class score_counts
{
public:
    struct cell
    {
        std::int16_t hundredth = 0;
        std::uint32_t all = 0;
        std::uint32_t forwarded = 0;
    };

    void add(int hundredth, bool forwarded);
    /// In order of the hundredth.
    const std::vector<cell>& cells() const { return cells_; }
    std::int64_t all() const;
    /// How many have at least that hundredth.
    std::int64_t at_least(int hundredth) const;
    /// The hundredth at that part of all, by nearest rank: 0 the least, 0.5 the median, 1 the highest.
    std::optional<int> quantile(double part) const;

private:
    std::vector<cell> cells_;
};

/// Spans of time from minutes to months by their size, to tell a median in constant memory.
class delay_counts
{
public:
    void add(std::int64_t ms);  ///< negative ones count as 0
    std::int64_t all() const { return all_; }
    /// ms, at most a sixth over the true one; nothing where nothing was added.
    std::optional<std::int64_t> median() const;

private:
    struct cell
    {
        std::uint16_t size = 0;
        std::uint32_t count = 0;
    };
    std::vector<cell> cells_;
    std::int64_t all_ = 0;
};

}  // namespace dtbridge::tune
