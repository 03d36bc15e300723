#pragma once

#include <string>
#include <vector>

#include <dtbridge/net/stream.hpp>

namespace dtbridge::transport
{

enum class protocol { udp, tcp, tls, relp, relp_tls };  // kafka: refused by config until it is built
constexpr bool is_tls(protocol p)
{
    return p == protocol::tls || p == protocol::relp_tls;
}
constexpr bool is_relp(protocol p)
{
    return p == protocol::relp || p == protocol::relp_tls;
}

enum class framing { octet_counting, newline, nul };

struct options
{
    protocol kind = protocol::tls;
    std::vector<net::endpoint_name> addresses;  ///< the first that works; at least one
    framing frames = framing::octet_counting;
    net::tls_options tls;
    std::size_t max_message = 0;  ///< for UDP: datagram bound
};

}  // namespace dtbridge::transport
