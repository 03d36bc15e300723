#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace dtbridge
{

/// How many values fell under each of a few bounds, and their sum. The bounds rise; a value on a bound is
/// under it.
template <std::size_t N>
struct histogram
{
    std::array<double, N> bounds;
    std::array<std::uint64_t, N + 1> counts{};  ///< the last: over all bounds
    double sum = 0;

    void add(double value)
    {
        std::size_t i = 0;
        while (i < N && value > bounds[i])
            ++i;
        ++counts[i];
        sum += value;
    }
};

}  // namespace dtbridge
