#include <algorithm>

#include <dtbridge/core/ip.hpp>
#include <dtbridge/core/text.hpp>

#include "config/checks.hpp"

namespace dtbridge::config
{

namespace
{

constexpr std::string_view not_built_pull_api = "the pull API is not built yet";

void check_listen(section& s, const context& c, service_options& out)
{
    s.read("listen", out.listen);
    bool loopback = true;
    if (!out.listen.empty())
    {
        auto address = net::parse_endpoint(out.listen, 0);
        if (!address)
            s.error("listen",
                    "found " + address.error().detail +
                        "; expected an address with a port, such as \"127.0.0.1:9480\" or \"[::1]:9480\", or "
                        "\"\" to turn it off");
        else
        {
            loopback = is_loopback(address->host);
            if (!loopback)
                s.error("listen",
                        "found " + in_quotes(out.listen) +
                            ", which other hosts reach: " + std::string(not_built_pull_api) +
                            ", nor are its TLS and tokens; expected a loopback address such as "
                            "\"127.0.0.1:9480\", or \"\"");
        }
    }
    auto tls = s.subsection("listen_tls");
    if (!tls)
        return;
    std::string cert, key;
    bool has_cert = tls->read("cert_file", cert) && !cert.empty();
    bool has_key = tls->read("key_file", key) && !key.empty();
    if (has_cert != has_key)
        tls->error(has_cert ? "cert_file" : "key_file",
                   "cert_file and key_file belong together; expected both or neither");
    else if (has_cert)
    {
        out.listen_cert_file = read_pem(*tls, "cert_file", c.places, pem::certificate);
        out.listen_key_file = read_pem(*tls, "key_file", c.places, pem::private_key);
        if (loopback)
            s.warning("listen_tls",
                      std::string(not_built_pull_api) +
                          ": the status page on a loopback address speaks plain HTTP");
        else
            s.error("listen_tls",
                    "listen_tls is not built yet: leave it out, and give listen a loopback address");
    }
    tls->finish();
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
            read_secret(s, "file", c.places, token.token, path);
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
