#pragma once

#include <chrono>
#include <cstddef>

namespace dtbridge::transport
{

/// `pace`: a token bucket. It delays and never discards. Pure: the time is an argument.
class pacer
{
public:
    using duration = std::chrono::steady_clock::duration;
    using time_point = std::chrono::steady_clock::time_point;

    /// per_second 0 (or less) is without limit. The bucket holds what 50 ms bring, but at least one message:
    /// a burst that small fits a collector's default socket buffer.
    explicit pacer(double per_second = 0);

    /// How many messages may go together at most; never 0.
    std::size_t burst() const;
    /// Takes count messages out of the bucket and answers how long to wait before they are sent (0: at once).
    /// count may pass what is there; later calls wait for that too.
    duration take(std::size_t count, time_point now);

private:
    double per_second_;
    double burst_;
    double tokens_;
    time_point last_{};
    bool started_ = false;
};

}  // namespace dtbridge::transport
