#include <algorithm>

#include <dtbridge/core/ip.hpp>
#include <dtbridge/core/text.hpp>

#include "config/checks.hpp"

namespace dtbridge::config
{

namespace
{

/// Shorter ones can be guessed by who may try for long.
constexpr std::size_t short_token = 16;

/// What only OpenSSL sees: a damaged file, a key that does not belong to the certificate.
void check_pair(section& tls, const service_options& o)
{
    net::tls_options pair;
    pair.cert_file = o.listen_cert_file;
    pair.key_file = o.listen_key_file;
    pair.verify = false;
    if (auto usable = net::make_tls_client(pair); !usable)
    {
        const std::string& why = usable.error().detail;
        tls.error(why.starts_with(o.listen_key_file) ? "key_file" : "cert_file", why);
    }
}

void check_listen(section& s, const context& c, service_options& out)
{
    s.read("listen", out.listen);
    bool loopback = true;
    if (!out.listen.empty())
    {
        auto address = net::parse_endpoint(out.listen, 0);
        const bool right = address && (is_loopback(address->host) || ip_address::parse(address->host));
        if (!right)
            s.error("listen",
                    "found " + (address ? in_quotes(out.listen) : address.error().detail) +
                        "; expected an address with a port, such as \"127.0.0.1:9480\" or \"[::1]:9480\", or "
                        "\"\" to turn it off");
        else
            loopback = is_loopback(address->host);
    }
    auto tls = s.subsection("listen_tls");
    if (tls)
    {
        std::string cert, key;
        const bool has_cert = tls->read("cert_file", cert) && !cert.empty();
        const bool has_key = tls->read("key_file", key) && !key.empty();
        if (has_cert != has_key)
            tls->error(has_cert ? "cert_file" : "key_file",
                       "cert_file and key_file belong together; expected both or neither");
        else if (has_cert)
        {
            out.listen_cert_file = read_pem(*tls, "cert_file", c.places, pem::certificate);
            out.listen_key_file = read_pem(*tls, "key_file", c.places, pem::private_key);
            if (!out.listen_cert_file.empty() && !out.listen_key_file.empty())
                check_pair(*tls, out);
        }
        tls->finish();
        if (has_cert || has_key)
            return;
    }
    if (!loopback)
        s.error("listen",
                "found " + in_quotes(out.listen) +
                    ", which other hosts reach; expected listen_tls with cert_file and key_file, and an "
                    "[[api_token]], or a loopback address such as \"127.0.0.1:9480\"");
}

/// A token goes into a header as it is (RFC 6750 2.1).
void check_token(section& s, const secret& token, const std::vector<api_token>& others)
{
    const auto text = token.reveal();
    if (text.empty())
        return;
    const bool plain =
        std::all_of(text.begin(), text.end(), [](unsigned char ch) { return ch > 0x20 && ch < 0x7f; });
    if (!plain)
        s.error("file",
                "the token holds blanks or other than ASCII; expected letters, digits and signs, such as "
                "`openssl rand -hex 32` prints");
    else if (text.size() < short_token)
        s.warning("file",
                  "the token is short and may be guessed; better one of 32 or more signs, such as `openssl "
                  "rand -hex 32` prints");
    for (const auto& o : others)
    {
        if (o.token.equals(text))
            s.error("file", "the same token as that of " + in_quotes(o.name) + "; expected one of its own");
    }
}

}  // namespace

bool is_loopback(std::string_view host)
{
    if (text::iequals(host, "localhost"))
        return true;
    auto address = ip_address::parse(host);
    if (!address)
        return false;
    if (!address->v6)
        return address->bytes[0] == 127;
    return address->text() == "::1";
}

void check_service(section s, context& c, service_options& out)
{
    if (s.read("state_dir", out.state_dir))
    {
        if (out.state_dir.empty())
            s.error("state_dir", "is empty; expected a folder such as \"/var/lib/dtbridge\"");
        else
            out.state_dir = in_folder(c.places.folder, out.state_dir);
    }
    check_listen(s, c, out);
    s.read_choice("log_level",
                  out.log_level,
                  {{"error", log::level::error},
                   {"warning", log::level::warning},
                   {"info", log::level::info},
                   {"debug", log::level::debug}});
    s.read_choice("log_format", out.log_format, {{"text", log::format::text}, {"json", log::format::json}});
    s.finish();
}

void check_tokens(section& root,
                  context& c,
                  const std::vector<master_place>& masters,
                  std::vector<api_token>& out)
{
    name_register names;
    for (section& s : root.list("api_token"))
    {
        api_token token;
        std::string formerly, path;
        names.check(s, token.name, formerly, false);
        if (!s.is_set("file"))
            s.error("file", "is missing; expected the name of the file that holds the token");
        else
        {
            if (read_secret(s, "file", c.places, token.token, path))
                check_token(s, token.token, out);
        }
        std::vector<section::text_at> patterns;
        if (!s.is_set("masters"))
            s.error("masters",
                    "is missing; expected the masters that the token may read, such as [\"acme\"]");
        else if (s.read_strings("masters", patterns))
            token.masters = match_masters(s, "masters", patterns, c, masters);
        s.finish();
        out.push_back(std::move(token));
    }
}

}  // namespace dtbridge::config
