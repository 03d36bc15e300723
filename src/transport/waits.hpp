#pragma once

#include <dtbridge/transport/transport.hpp>

namespace dtbridge::transport
{

/// Where only a ring or the end is waited for; a dead peer is noticed by keepalive and TCP_USER_TIMEOUT.
inline constexpr duration no_deadline = std::chrono::hours(24 * 365);

}  // namespace dtbridge::transport
