#include <dtbridge/poll/window.hpp>

#include <algorithm>

namespace dtbridge::poll
{

void slice_length::answered(window w, std::uint64_t bytes, std::int64_t elapsed, std::int64_t limit)
{
    constexpr std::uint64_t small = 8u << 20;
    // Only a window that this length had cut short says anything about it.
    if (w.length() < length_ || bytes >= small || elapsed >= limit / 4)
        return;
    if (hold_ > 0)
        --hold_;
    else
        length_ = std::min(length_ * 2, most);
}

bool slice_length::halve(window w)
{
    if (w.length() <= least)
        return false;
    length_ = std::max(least, std::min(length_, w.length()) / 2);
    hold_ = patience;
    return true;
}

window poll_plan::next(std::optional<std::int64_t> position, std::int64_t end, std::int64_t steady)
{
    // A clock set back behind the run's next slice makes the run void.
    if (running_ && cursor_ > end)
        running_ = false;
    if (!running_)
    {
        base_ = position ? std::min(*position, end) : end - settings_.backfill;
        // "overlap at least once a minute": now, if the next poll would come too late for that.
        const bool wide = !last_wide_ || steady + settings_.interval > *last_wide_ + one_minute;
        std::int64_t reach = 0;
        if (position)
            reach = (wide ? std::max(settings_.overlap, short_reach) : short_reach) + extra_;
        if (wide)
            last_wide_ = steady;
        extra_ = 0;
        cursor_ = std::max<std::int64_t>(0, base_ - reach);
        base_ = std::max<std::int64_t>(0, base_);
        running_ = true;
    }
    end_ = end;
    return {cursor_, std::min(end, cursor_ + slices.get())};
}

std::int64_t poll_plan::position_after(window w) const
{
    return std::max(base_, w.end);
}

void poll_plan::done(window w)
{
    // Both bounds are inclusive: the next slice asks for this last millisecond again, which costs nothing and
    // saves knowing how exact the master's bounds are.
    base_ = position_after(w);
    cursor_ = w.end;
    if (w.end >= end_)
        running_ = false;
}

plan_beside::plan_beside(std::int64_t after, std::int64_t overlap)
    : after_(after), overlap_(std::max(overlap, poll_plan::short_reach)), cursor_(after)
{}

std::optional<window> plan_beside::next(std::int64_t end) const
{
    // The clock may have been set back.
    const std::int64_t start = std::max(after_ + 1, std::min(cursor_, end - poll_plan::short_reach));
    if (start > end)
        return std::nullopt;
    return window{start, std::min(end, start + slices.get())};
}

void plan_beside::done(window w, std::int64_t end, std::int64_t steady)
{
    caught_up_ = w.end >= end;
    cursor_ = w.end;
    if (!caught_up_)
        return;
    const bool wide = !last_wide_ || steady >= *last_wide_ + one_minute;
    cursor_ -= wide ? overlap_ : poll_plan::short_reach;
    if (wide)
        last_wide_ = steady;
}

sweep_schedule::sweep_schedule(std::int64_t interval, std::int64_t steady, double jitter)
    : interval_(interval)
{
    next_deep_ = steady + static_cast<std::int64_t>(static_cast<double>(interval) * jitter);
    next_plain_ = next_deep_ + interval;
}

sweep_schedule::kind sweep_schedule::due(std::int64_t steady) const
{
    if (interval_ <= 0)
        return kind::none;
    if (steady >= next_deep_)
        return kind::deep;
    return steady >= next_plain_ ? kind::plain : kind::none;
}

std::int64_t sweep_schedule::wait(std::int64_t steady) const
{
    if (interval_ <= 0)
        return one_day;
    return std::max<std::int64_t>(0, std::min(next_deep_, next_plain_) - steady);
}

void sweep_schedule::done(kind k, std::int64_t steady, double jitter)
{
    const auto spread = [jitter](std::int64_t d) {
        return d - static_cast<std::int64_t>(static_cast<double>(d) * 0.1 * jitter);
    };
    if (k == kind::deep)
        next_deep_ = steady + spread(std::max(one_day, interval_));
    next_plain_ = steady + spread(interval_);
}

}  // namespace dtbridge::poll
