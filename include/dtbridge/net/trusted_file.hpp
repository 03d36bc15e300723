#pragma once

#include <string>

#include <dtbridge/net/tls_options.hpp>

namespace dtbridge::net
{

/// The file of CA certificates that make_tls_client() reads: ca_file, or where CAs are asked without one the
/// system's bundle ($SSL_CERT_FILE, else where OpenSSL looks), which need not exist; else "".
std::string trusted_file(const tls_options& o);

}  // namespace dtbridge::net
