#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>

namespace dtbridge::transport
{

/// Which batches of a connection count as confirmed (product.md 8): their last byte is acknowledged, and the
/// connection stayed up for a while after that or the peer closed in order. Pure: offsets and times come in,
/// a count goes out.
class confirmation_tracker
{
public:
    using duration = std::chrono::steady_clock::duration;
    using time_point = std::chrono::steady_clock::time_point;

    explicit confirmation_tracker(duration stay_up) : stay_up_(stay_up) {}

    /// A batch was written; mark is the number of bytes handed to the kernel after it. Marks never go back.
    void sent(std::uint64_t mark);
    /// The peer's kernel has acknowledged this many bytes.
    void acknowledged(std::uint64_t offset, time_point now);
    /// Answers how many batches are newly confirmed, in the order of sending. Called only while the
    /// connection is known to be alive. closed_in_order: what is acknowledged needs no waiting.
    std::size_t settle(time_point now, bool closed_in_order);

    std::size_t unconfirmed() const { return waiting_.size(); }
    bool all_acknowledged() const { return acknowledged_ == waiting_.size(); }
    /// How long until looking again is worth it; look_every while bytes are outstanding. Must not be empty.
    duration next_look(time_point now, duration look_every) const;

private:
    struct entry
    {
        std::uint64_t mark;
        time_point since;  // acknowledged since; meaningful for the first acknowledged_ entries
    };
    duration stay_up_;
    std::deque<entry> waiting_;
    std::size_t acknowledged_ = 0;
};

}  // namespace dtbridge::transport
