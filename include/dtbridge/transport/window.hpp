#pragma once

#include <cstddef>

namespace dtbridge::transport
{

/// How much may be unconfirmed (product.md 8): after a break half of what was, down to one message; doubled
/// at each confirmation up to the bounds. Pure. What is unconfirmed is remembered as spans of the archive,
/// never as bytes, so the bounds limit what a break repeats and not memory.
class send_window
{
public:
    struct bounds
    {
        std::size_t messages = 16384;
        std::size_t bytes = 32u << 20;
    };
    explicit send_window(bounds b);

    /// Messages that may be sent now.
    std::size_t messages_free() const;
    /// Bytes that may be sent now. A single message goes whatever its size while nothing is unconfirmed.
    std::size_t bytes_free() const;
    /// Whether not even one message may go.
    bool full() const { return messages_free() == 0 || (unconfirmed_ > 0 && bytes_free() == 0); }

    void sent(std::size_t messages, std::size_t bytes);
    /// messages 0 (nothing but what the collector cannot be sent) changes nothing but the sums.
    void confirmed(std::size_t messages, std::size_t bytes);
    /// The connection is gone: what was unconfirmed is for sending again.
    void broken();

    std::size_t unconfirmed() const { return unconfirmed_; }
    std::size_t limit() const { return limit_; }

private:
    bounds bounds_;
    std::size_t limit_;
    std::size_t unconfirmed_ = 0;
    std::size_t unconfirmed_bytes_ = 0;
};

}  // namespace dtbridge::transport
