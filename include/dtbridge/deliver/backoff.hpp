#pragma once

#include <chrono>

namespace dtbridge::deliver
{

/// How long to wait before trying again: doubled at each failure up to a bound, jittered over the upper half
/// so that destinations that lost one collector do not come back in step. Pure.
class backoff
{
public:
    using duration = std::chrono::steady_clock::duration;

    backoff(duration first, duration most) : first_(first), most_(most), now_(first) {}
    /// jitter: 0 (half of the wait) to 1 (all of it).
    duration next(double jitter);
    void succeeded() { now_ = first_; }

private:
    duration first_, most_, now_;
};

}  // namespace dtbridge::deliver
