#include <algorithm>

#include <dtbridge/core/text.hpp>

#include "config/checks.hpp"

namespace dtbridge::config
{

namespace
{

void check_fingerprint(section& s, std::string& out)
{
    std::string value, digits;
    if (!s.read("fingerprint_sha256", value) || value.empty())
        return;
    for (char c : text::lower(value))
        if (c != ':')
            digits += c;
    bool hex = std::all_of(
        digits.begin(), digits.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
    if (!hex || digits.size() != 64)
    {
        s.error("fingerprint_sha256",
                "found " + in_quotes(value) + " (" + counted(digits.size(), "character") +
                    " without colons); expected the SHA-256 of the certificate: 64 hex digits, with or without colons, as "
                    "'openssl x509 -noout -fingerprint -sha256' prints after the =");
        return;
    }
    out = digits;
}

}  // namespace

void check_tls(section s, const context& c, tls_side side, net::tls_options& out)
{
    out.ca_file = read_pem(s, "ca_file", c.places, pem::certificate);
    if (s.read("server_name", out.server_name) && !out.server_name.empty())
    {
        bool plain = std::all_of(out.server_name.begin(), out.server_name.end(), [](unsigned char ch) {
            return ch > 0x20 && ch < 0x7f && ch != '/' && ch != '*' && ch != '@';
        });
        if (!plain || out.server_name.size() > 253)
            s.error("server_name",
                    "found " + in_quotes(out.server_name) +
                        "; expected the name in the certificate, such as \"siem.example\", without port or wildcard");
    }
    check_fingerprint(s, out.fingerprint_sha256);
    s.read("verify", out.verify);
    if (!out.verify && s.is_set("fingerprint_sha256") && !out.fingerprint_sha256.empty())
        s.error("verify",
                "false would turn the fingerprint off too; expected verify = true, or none: the fingerprint by itself "
                "replaces the check of chain and name");
    else if (!out.verify)
        s.warning("verify",
                  "false: whoever answers at the address is believed, and may read and change everything; better pin "
                  "the certificate with fingerprint_sha256, or name its CA in ca_file");
    if (side == tls_side::destination)
    {
        std::string cert, key;
        const entry* cert_entry = s.find("cert_file");
        const entry* key_entry = s.find("key_file");
        bool has_cert = cert_entry != nullptr && !cert_entry->value.text.empty();
        bool has_key = key_entry != nullptr && !key_entry->value.text.empty();
        out.cert_file = read_pem(s, "cert_file", c.places, pem::certificate);
        out.key_file = read_pem(s, "key_file", c.places, pem::private_key);
        if (has_cert && !has_key)
            s.error("cert_file", "a certificate without its key; expected key_file too");
        if (has_key && !has_cert)
            s.error("key_file", "a key without its certificate; expected cert_file too");
    }
    s.finish();
}

}  // namespace dtbridge::config
