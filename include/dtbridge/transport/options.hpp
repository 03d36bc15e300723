#pragma once

#include <string>
#include <vector>

#include <dtbridge/core/secret.hpp>
#include <dtbridge/net/stream.hpp>

namespace dtbridge::transport
{

enum class protocol { udp, tcp, tls, relp, relp_tls, kafka };
constexpr bool is_tls(protocol p)
{
    return p == protocol::tls || p == protocol::relp_tls;
}
constexpr bool is_relp(protocol p)
{
    return p == protocol::relp || p == protocol::relp_tls;
}

enum class framing { octet_counting, newline, nul };

/// What Kafka alone has.
struct kafka_options
{
    std::string topic = {};
    std::string compression = "lz4";  ///< none, gzip, snappy, lz4, zstd
    std::string sasl_mechanism = {};  ///< "" without; PLAIN, SCRAM-SHA-256, SCRAM-SHA-512
    std::string sasl_username = {};
    secret sasl_password = {};
    bool tls = false;  ///< by options::tls
    bool operator==(const kafka_options&) const = default;
};

struct options
{
    protocol kind = protocol::tls;
    /// The first that works, for Kafka all at once; at least one.
    std::vector<net::endpoint_name> addresses;
    framing frames = framing::octet_counting;
    net::tls_options tls;
    kafka_options kafka;
    std::size_t max_message = 0;  ///< for UDP: datagram bound; for Kafka: of a record's value, 0 unknown
};

}  // namespace dtbridge::transport
