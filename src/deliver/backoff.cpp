#include <dtbridge/deliver/backoff.hpp>

#include <algorithm>

namespace dtbridge::deliver
{

backoff::duration backoff::next(double jitter)
{
    const auto full = now_;
    now_ = now_ > most_ / 2 ? most_ : now_ * 2;
    const auto share = 0.5 + 0.5 * std::clamp(jitter, 0.0, 1.0);
    return std::chrono::duration_cast<duration>(std::chrono::duration<double, duration::period>(full) *
                                                share);
}

}  // namespace dtbridge::deliver
