#include "app/rate_history.hpp"

#include <algorithm>
#include <numeric>

namespace dtbridge::app
{

namespace
{

std::size_t place(std::int64_t slot)
{
    return static_cast<std::size_t>(slot) % rate_history::slots;
}

}  // namespace

void rate_history::look(std::int64_t counter, std::int64_t now)
{
    const auto slot = std::max<std::int64_t>(now, 0) / slot_ms;
    if (slot > newest_)
    {
        const auto passed = std::min<std::int64_t>(slot - newest_, slots);
        for (std::int64_t i = 0; i < passed; ++i)
            grown_[place(slot - i)] = 0;
        newest_ = slot;
    }
    grown_[place(newest_)] += counter >= last_ ? counter - last_ : counter;
    last_ = counter;
}

std::vector<std::int64_t> rate_history::values(std::int64_t now) const
{
    std::vector<std::int64_t> out(slots, 0);
    const auto current = std::max(newest_, std::max<std::int64_t>(now, 0) / slot_ms);
    for (std::size_t i = 0; i < slots; ++i)
    {
        const auto slot = current - static_cast<std::int64_t>(slots - 1 - i);
        if (slot <= newest_ && slot > newest_ - static_cast<std::int64_t>(slots))
            out[i] = grown_[place(slot)];
    }
    return out;
}

std::int64_t rate_history::total(std::int64_t now) const
{
    const auto all = values(now);
    return std::accumulate(all.begin(), all.end(), std::int64_t{0});
}

}  // namespace dtbridge::app
