#pragma once

/// Which window is asked for next (product.md 3): pure, the time is an argument.

#include <cstdint>
#include <optional>

namespace dtbridge::poll
{

inline constexpr std::int64_t one_minute = 60'000;
inline constexpr std::int64_t one_hour = 60 * one_minute;
inline constexpr std::int64_t one_day = 24 * one_hour;

/// ms since 1970 by the master's clock, both inclusive.
struct window
{
    std::int64_t start = 0, end = 0;
    bool operator==(const window&) const = default;
    std::int64_t length() const { return end - start; }
    bool holds(std::int64_t t) const { return start <= t && t <= end; }
};

/// How long a window one request may ask for. Grows while answers are small and quick, is halved when one was
/// not.
class slice_length
{
public:
    static constexpr std::int64_t least = one_minute;
    static constexpr std::int64_t most = 32 * one_day;
    static constexpr unsigned patience = 8;  ///< small answers after a halving before the length grows again

    explicit slice_length(std::int64_t first = one_hour) : length_(first) {}
    std::int64_t get() const { return length_; }
    /// An answer to w came: bytes of it, after elapsed of the allowed limit (ms).
    void answered(window w, std::uint64_t bytes, std::int64_t elapsed, std::int64_t limit);
    /// An answer to w was too big or too slow. False when w was no longer than the least already.
    bool halve(window w);

private:
    std::int64_t length_;
    unsigned hold_ = 0;
};

/// The windows of polling. A run covers [min(position, end) - reach, end] in slices; a failed slice is asked
/// for again, and the run goes on from there, so that slices shorter than the reach make progress too.
class poll_plan
{
public:
    struct settings
    {
        std::int64_t interval = 10'000, backfill = one_day, overlap = 10 * one_minute;  ///< ms
    };
    static constexpr std::int64_t short_reach = one_minute;

    explicit poll_plan(settings s) : settings_(s) {}

    /// position: nothing before the first complete answer ever. end: now by the master's clock. steady: own
    /// ms.
    window next(std::optional<std::int64_t> position, std::int64_t end, std::int64_t steady);
    /// Where the position stands once w is answered completely: never behind min(position, end).
    std::int64_t position_after(window w) const;
    /// w was answered completely and is stored.
    void done(window w);
    /// The run is void; the next window begins another.
    void start_anew() { running_ = false; }
    /// No slice of a run is open: the last answer reached its end.
    bool caught_up() const { return !running_; }
    /// The next run reaches back further by this once: the master's clock was set back by a jump that was
    /// believed.
    void reach_further(std::int64_t ms) { extra_ = ms; }

    slice_length slices;

private:
    settings settings_;
    std::int64_t cursor_ = 0;  // start of the next slice of the run
    std::int64_t base_ = 0;    // min(position, end) of the run, or its start where there was no position
    std::int64_t end_ = 0;
    std::int64_t extra_ = 0;
    std::optional<std::int64_t> last_wide_;  // steady time of the last run that reached back by overlap
    bool running_ = false;
};

/// The windows of what is newer than one that the master does not answer. They are polled beside it and move
/// no position.
class plan_beside
{
public:
    /// after: the end of the window that is not answered. overlap: ms.
    plan_beside(std::int64_t after, std::int64_t overlap);
    /// end: now by the master's clock. Nothing where nothing is newer yet.
    std::optional<window> next(std::int64_t end) const;
    /// w, which next(end) gave, was answered completely and is stored. steady: own ms.
    void done(window w, std::int64_t end, std::int64_t steady);
    /// w is not answered either: what is newer than that.
    void pass(window w) { after_ = w.end; }
    /// The last answer reached its end.
    bool caught_up() const { return caught_up_; }

    slice_length slices;

private:
    std::int64_t after_, overlap_;
    std::int64_t cursor_;                    // start of the next window
    std::optional<std::int64_t> last_wide_;  // steady time of the last window that reached back by overlap
    bool caught_up_ = false;
};

/// When which sweep is due. The first one is a deep one, spread over the interval so that masters do not
/// sweep in step.
class sweep_schedule
{
public:
    enum class kind { none, plain, deep };

    /// interval 0: never. jitter in [0, 1).
    sweep_schedule(std::int64_t interval, std::int64_t steady, double jitter);
    kind due(std::int64_t steady) const;
    /// ms until something is due; 0 if it is.
    std::int64_t wait(std::int64_t steady) const;
    void done(kind k, std::int64_t steady, double jitter);

private:
    std::int64_t interval_;
    std::int64_t next_plain_ = 0, next_deep_ = 0;
};

}  // namespace dtbridge::poll
