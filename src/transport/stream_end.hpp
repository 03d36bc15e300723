#pragma once

#include <string_view>

#include <dtbridge/core/failure.hpp>

namespace dtbridge::transport
{

/// Whether the peer ended the connection in order, rather than broke it.
bool is_orderly(const error_code& e);
/// What the operator can do about an alert that came after the handshake, to be put behind its words; "" for
/// everything else.
std::string_view advice(const error_code& e);

}  // namespace dtbridge::transport
