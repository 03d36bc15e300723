#include <dtbridge/transport/pace.hpp>

#include <algorithm>
#include <cmath>

namespace dtbridge::transport
{

pacer::pacer(double per_second)
    : per_second_(per_second), burst_(std::max(1.0, std::floor(per_second * 0.05))), tokens_(burst_)
{}

std::size_t pacer::burst() const
{
    return per_second_ > 0 ? static_cast<std::size_t>(std::min(burst_, 1e6)) : static_cast<std::size_t>(1e6);
}

pacer::duration pacer::take(std::size_t count, time_point now)
{
    if (per_second_ <= 0)
        return duration::zero();
    if (started_ && now > last_)
    {
        auto seconds = std::chrono::duration<double>(now - last_).count();
        tokens_ = std::min(burst_, tokens_ + seconds * per_second_);
    }
    // A time that goes back (never with steady_clock) brings nothing.
    last_ = started_ ? std::max(last_, now) : now;
    started_ = true;
    tokens_ -= static_cast<double>(count);
    if (tokens_ >= 0)
        return duration::zero();
    return std::chrono::duration_cast<duration>(std::chrono::duration<double>(-tokens_ / per_second_));
}

}  // namespace dtbridge::transport
