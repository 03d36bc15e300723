#pragma once

/// What an attempt to connect saw on its way, kept whether it worked or not: for `check --connect` and
/// `setup`, which show a certificate so that it can be pinned exactly when it could not be verified.

#include <cstdint>
#include <string>
#include <vector>

#include <dtbridge/core/failure.hpp>

namespace dtbridge::net
{

/// All texts are printable.
struct certificate_facts
{
    std::string subject, issuer;
    std::string names;                           ///< of the subjectAltName, the first few
    std::string fingerprint_sha256;              ///< lower-case hex of the SHA-256 of the DER
    std::int64_t not_before = 0, not_after = 0;  ///< ms since 1970; 0 unknown
};

struct connect_report
{
    std::vector<std::string>
        addresses;            ///< what the name resolved to; of the proxy's name where there is one
    std::string address;      ///< the last that was tried, with its port
    std::string step;         ///< where the attempt was last: "resolve", "connect", "proxy", "tls", "done"
    std::string server_name;  ///< that the certificate had to have; "" without TLS
    std::string protocol, cipher;          ///< "" where the handshake was not finished
    std::vector<certificate_facts> chain;  ///< as the peer sent it, the leaf first, at most 10
    bool self_signed = false;              ///< the leaf names itself as its issuer
    bool asked_for_ours = false;           ///< the peer asked for a client certificate and none is configured
};

/// The first certificate of a PEM file, for the dates of one's own. Fails as make_tls_client() does.
outcome<certificate_facts> read_certificate(const std::string& file);

}  // namespace dtbridge::net
