#include <dtbridge/poll/back_off.hpp>

#include <algorithm>

namespace dtbridge::poll
{

std::int64_t back_off::failed(double jitter, std::int64_t at_least)
{
    std::int64_t step = first_;
    for (unsigned n = 0; n < failures_ && step < most_; ++n)
        step *= 2;
    step = std::min(step, most_);
    ++failures_;
    const auto half = step / 2;
    const auto wait = half + static_cast<std::int64_t>(static_cast<double>(step - half) * jitter);
    const auto floor = at_least + static_cast<std::int64_t>(static_cast<double>(at_least) * 0.1 * jitter);
    return std::max({wait, floor, std::int64_t{1}});
}

}  // namespace dtbridge::poll
