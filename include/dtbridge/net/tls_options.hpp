#pragma once

#include <string>

namespace dtbridge::net
{

/// The tls = { .. } table of a master or a destination (product.md 2). Paths are already resolved.
struct tls_options
{
    std::string ca_file = {};    ///< "" the system's store
    std::string cert_file = {};  ///< client certificate chain, PEM; destinations only
    std::string key_file = {};
    std::string server_name = {};         ///< "" the host of the address: for SNI and the name check
    std::string fingerprint_sha256 = {};  ///< 64 lower-case hex digits or "": SHA-256 of the leaf's DER.
                                          ///< Replaces chain and name, not dates
    bool verify = true;                   ///< false: nothing is checked but the protocol
    bool operator==(const tls_options&) const = default;
};

}  // namespace dtbridge::net
