#pragma once

#include <openssl/ssl.h>

#include <string>

namespace simulator
{

/// Context from server.pem and server.key in that folder; a self-signed pair (localhost, 127.0.0.1, ::1, and
/// fqdn) is made there when server.pem is missing. Throws std::runtime_error.
SSL_CTX* server_context(const std::string& folder, const std::string& fqdn);
/// SHA-256 of the certificate, hex.
std::string fingerprint(SSL_CTX* context);

}  // namespace simulator
