#pragma once

#include <cstddef>

namespace dtbridge::transport
{

/// In which order a destination's addresses are tried: the first that works. An address that took the
/// connection and broke it before it proved itself did not work either (a collector that refuses the client
/// certificate says so only after the handshake of TLS 1.3), so the next attempt starts behind it. Pure.
class address_order
{
public:
    explicit address_order(std::size_t count) : count_(count == 0 ? 1 : count) {}

    /// Index of the n-th address (from 0) of this attempt.
    std::size_t at(std::size_t n) const { return (start_ + n) % count_; }
    std::size_t count() const { return count_; }
    /// The connection to index ended before it had proven itself.
    void did_not_work(std::size_t index) { start_ = (index + 1) % count_; }
    /// The connection to index carried messages or stayed up.
    void worked() { start_ = 0; }

private:
    std::size_t count_;
    std::size_t start_ = 0;
};

}  // namespace dtbridge::transport
