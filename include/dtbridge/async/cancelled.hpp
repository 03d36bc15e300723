#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>

namespace dtbridge
{

namespace asio = boost::asio;
using asio::awaitable;

/// Throws operation_aborted when the caller was cancelled, else nothing happens. For after what answers a
/// cancellation as a failure of its own (net::connect(), http_client::get()), before that failure is logged
/// or kept: that somebody was told to stop says nothing about the peer.
inline awaitable<void> end_if_cancelled()
{
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none)
        throw boost::system::system_error(asio::error::operation_aborted);
}

}  // namespace dtbridge
