#pragma once

#include <chrono>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>

namespace dtbridge
{

namespace asio = boost::asio;
using asio::awaitable;

/// "Look in the archive": a flag and a timer. One waiter. A ring while nobody waits is kept; many rings are
/// one.
class doorbell
{
public:
    explicit doorbell(asio::any_io_executor ex);
    void ring();
    /// True when it was rung, false when limit passed. Cancelling the caller throws operation_aborted.
    awaitable<bool> wait(std::chrono::steady_clock::duration limit);

private:
    asio::steady_timer timer_;
    bool rung_ = false;
};

}  // namespace dtbridge
