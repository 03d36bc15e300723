#include <dtbridge/async/doorbell.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

#include <algorithm>
#include <utility>

namespace dtbridge
{

doorbell::doorbell(asio::any_io_executor ex) : timer_(std::move(ex)) {}

void doorbell::ring()
{
    rung_ = true;
    timer_.cancel();
}

awaitable<bool> doorbell::wait(std::chrono::steady_clock::duration limit)
{
    auto state = co_await asio::this_coro::cancellation_state;
    if (!rung_)
    {
        // Bounded so that now() + limit cannot overflow.
        timer_.expires_after(
            std::min<std::chrono::steady_clock::duration>(limit, std::chrono::hours(24 * 365)));
        co_await timer_.async_wait(asio::as_tuple(asio::use_awaitable));
    }
    // A ring that meets a cancellation is kept: nobody has acted on it yet.
    if (state.cancelled() != asio::cancellation_type::none)
        throw boost::system::system_error(asio::error::operation_aborted);
    co_return std::exchange(rung_, false);
}

}  // namespace dtbridge
