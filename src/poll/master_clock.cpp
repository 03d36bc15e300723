#include <dtbridge/poll/master_clock.hpp>

#include <cstdlib>

namespace dtbridge::poll
{

master_clock::heard master_clock::listen(std::int64_t date, std::int64_t steady)
{
    const auto off = date - (date_ + (steady - steady_));
    if (!known_ || std::llabs(off) <= jump)
    {
        believe(date, steady);
        return heard::taken;
    }
    const auto off_doubted = date - (doubted_date_ + (steady - doubted_steady_));
    if (doubted_ && std::llabs(off_doubted) <= jump)
    {
        believe(date, steady);
        return off > 0 ? heard::jumped_forward : heard::jumped_back;
    }
    doubted_ = true;
    doubted_date_ = date;
    doubted_steady_ = steady;
    return heard::doubted;
}

void master_clock::believe(std::int64_t date, std::int64_t steady)
{
    known_ = true;
    doubted_ = false;
    date_ = date;
    steady_ = steady;
}

std::int64_t master_clock::now(instant own) const
{
    if (!known_)
        return own.wall;
    // A Date is cut to whole seconds. With the earliest time that it may mean, a breach of the present second
    // would wait for the next poll.
    return date_ + 999 + (own.steady - steady_);
}

std::optional<std::int64_t> master_clock::skew_seconds(instant own) const
{
    if (!known_)
        return std::nullopt;
    const auto skew = date_ + 500 + (own.steady - steady_) - own.wall;
    return (skew >= 0 ? skew + 500 : skew - 500) / 1000;
}

}  // namespace dtbridge::poll
