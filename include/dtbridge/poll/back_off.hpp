#pragma once

#include <cstdint>

namespace dtbridge::poll
{

/// How long to wait after a failure: doubles from first to most, spread by the jitter that is passed in.
/// Pure.
class back_off
{
public:
    /// ms, 0 < first <= most.
    back_off(std::int64_t first, std::int64_t most) : first_(first), most_(most) {}
    /// The wait after one more failure: between half of the step and the whole of it, never under at_least
    /// (what a Retry-After asked for, bounded by its reader), which is spread upwards by a tenth. jitter in
    /// [0, 1).
    std::int64_t failed(double jitter, std::int64_t at_least = 0);
    void succeeded() { failures_ = 0; }
    unsigned failures() const { return failures_; }

private:
    std::int64_t first_, most_;
    unsigned failures_ = 0;
};

}  // namespace dtbridge::poll
