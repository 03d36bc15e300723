#pragma once

/// `test --destination`: one marked bridge event over a connection of its own, confirmed as product.md 8 says
/// or not. It passes neither rules nor cursors and is sent at most once.

#include <boost/asio/awaitable.hpp>
#include <boost/json/object.hpp>

#include <dtbridge/config/configuration.hpp>

namespace dtbridge::app
{

namespace asio = boost::asio;
using asio::awaitable;

/// {"ok", "destination", "to", "transport", "framing", "marker", "bytes", "size", "confirmed_ms", "verdict"
/// or "problem"}; bytes is what was written, framing included. Ends within about 45 s. A cancellation closes
/// the connection and throws operation_aborted.
awaitable<boost::json::object> send_test_event(const config::destination& d);

/// Everything but printable ASCII as \xHH, the backslash as \\: a line of a terminal, whatever the bytes are.
std::string escaped_bytes(std::string_view bytes);

}  // namespace dtbridge::app
