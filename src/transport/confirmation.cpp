#include <transport/confirmation.hpp>

#include <algorithm>

namespace dtbridge::transport
{

void confirmation_tracker::sent(std::uint64_t mark)
{
    waiting_.push_back(entry{mark, time_point{}});
}

void confirmation_tracker::acknowledged(std::uint64_t offset, time_point now)
{
    for (; acknowledged_ < waiting_.size() && waiting_[acknowledged_].mark <= offset; ++acknowledged_)
        waiting_[acknowledged_].since = now;
}

std::size_t confirmation_tracker::settle(time_point now, bool closed_in_order)
{
    std::size_t done = 0;
    for (; acknowledged_ > 0 && (closed_in_order || now - waiting_.front().since >= stay_up_); ++done)
    {
        waiting_.pop_front();
        --acknowledged_;
    }
    return done;
}

confirmation_tracker::duration confirmation_tracker::next_look(time_point now, duration look_every) const
{
    auto wait = all_acknowledged() ? duration::max() : look_every;
    if (acknowledged_ > 0)
        wait = std::min(wait, std::max(duration::zero(), waiting_.front().since + stay_up_ - now));
    return std::max(wait, std::min<duration>(look_every, std::chrono::milliseconds(1)));
}

}  // namespace dtbridge::transport
