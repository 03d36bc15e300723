#pragma once

/// Certificates made while a test runs: no key is ever stored in the repository.

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <openssl/evp.h>
#include <openssl/x509.h>

namespace dtbridge::test
{

struct certificate_wish
{
    std::string common_name = "test";
    std::vector<std::string> names = {};  ///< "DNS:siem.test", "IP:127.0.0.1"
    long valid_from_s = -3600;            ///< from now
    long valid_until_s = 30 * 86400;
    bool is_ca = false;
    std::string usage = "serverAuth";  ///< extended key usage; "" none
    unsigned rsa_bits = 0;             ///< an RSA key instead of EC P-256
};

/// A certificate with its key.
struct certificate
{
    std::shared_ptr<X509> cert;
    std::shared_ptr<EVP_PKEY> key;

    /// SHA-256 of the DER, lower-case hex.
    std::string fingerprint() const;
    void write_cert(const std::filesystem::path& file) const;
    /// With a passphrase the key is encrypted.
    void write_key(const std::filesystem::path& file, const std::string& passphrase = {}) const;
};

/// Signed by issuer, or by itself where that is null.
certificate make_certificate(const certificate_wish& wish, const certificate* issuer = nullptr);

}  // namespace dtbridge::test
