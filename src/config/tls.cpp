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
    bool hex = std::all_of(digits.begin(), digits.end(), [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
    });
    if (!hex || digits.size() != 64)
    {
        s.error("fingerprint_sha256",
                "found " + in_quotes(value) + " (" + counted(digits.size(), "character") +
                    " without colons); expected the SHA-256 of the certificate: 64 hex digits, with or "
                    "without colons, as "
                    "'openssl x509 -noout -fingerprint -sha256' prints after the =");
        return;
    }
    out = digits;
}

/// What only OpenSSL sees: a damaged file, a key that does not belong to the certificate.
void check_usable(section& s, const net::tls_options& o)
{
    if (o.ca_file.empty() && o.cert_file.empty())
        return;
    auto client = net::make_tls_client(o);
    if (client)
        return;
    const std::string& why = client.error().detail;
    std::string_view about = o.ca_file.empty() ? "cert_file" : "ca_file";
    for (auto [key, path] : {std::pair("ca_file", &o.ca_file),
                             std::pair("cert_file", &o.cert_file),
                             std::pair("key_file", &o.key_file)})
        if (!path->empty() && why.compare(0, path->size(), *path) == 0)
            about = key;
    s.error(about, why);
}

}  // namespace

void check_tls(section s, const context& c, tls_side side, net::tls_options& out)
{
    const entry* ca_entry = s.find("ca_file");
    bool has_ca = ca_entry != nullptr && !ca_entry->value.text.empty();
    out.ca_file = read_pem(s, "ca_file", c.places, pem::certificate);
    if (s.read("server_name", out.server_name) && !out.server_name.empty())
    {
        bool plain = std::all_of(out.server_name.begin(), out.server_name.end(), [](unsigned char ch) {
            return ch > 0x20 && ch < 0x7f && ch != '/' && ch != '*' && ch != '@';
        });
        if (!plain || out.server_name.size() > 253)
            s.error("server_name",
                    "found " + in_quotes(out.server_name) +
                        "; expected the name in the certificate, such as \"siem.example\", without port or "
                        "wildcard");
    }
    check_fingerprint(s, out.fingerprint_sha256);
    s.read("verify", out.verify);
    if (!out.verify && s.is_set("fingerprint_sha256") && !out.fingerprint_sha256.empty())
        s.error("verify",
                "false would turn the fingerprint off too; expected verify = true, or none: the fingerprint "
                "by itself "
                "replaces the check of chain and name");
    else if (!out.verify)
        s.warning("verify",
                  "false: whoever answers at the address is believed, and may read and change everything; "
                  "better pin "
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
        if (has_cert == has_key && out.cert_file.empty() == out.key_file.empty() &&
            has_ca == !out.ca_file.empty())
            check_usable(s, out);
    }
    else
    {
        for (std::string_view key : {"cert_file", "key_file"})
            if (s.is_set(key))
                s.error(key,
                        "an appliance takes tokens, not client certificates; expected it to be left out");
        if (!out.ca_file.empty())
            check_usable(s, out);
    }
    s.finish();
}

}  // namespace dtbridge::config
