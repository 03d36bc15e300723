#pragma once

#include <string>

namespace dtbridge::net
{

/// An IPv4 or IPv6 address without brackets; IPv6 may have a zone.
bool is_ip_literal(const std::string& host);
/// A name or an address that may be looked up and written into a request: nothing else gets to a proxy or a
/// resolver.
bool is_host(const std::string& host);

}  // namespace dtbridge::net
