#include <dtbridge/core/text.hpp>
#include <dtbridge/net/stream.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>

#include "net/endpoint.hpp"

namespace dtbridge::net
{

bool is_ip_literal(const std::string& host)
{
    in6_addr v6{};
    in_addr v4{};
    // A zone ("fe80::1%eth0") belongs to this host and is no part of the address.
    const std::string bare = host.substr(0, host.find('%'));
    if (bare.size() != host.size() && host.size() - bare.size() < 2)
        return false;
    if (inet_pton(AF_INET6, bare.c_str(), &v6) == 1)
        return true;
    return bare.size() == host.size() && inet_pton(AF_INET, host.c_str(), &v4) == 1;
}

bool is_host(const std::string& host)
{
    if (host.empty() || host.size() > 253)  // RFC 1035 2.3.4, without the root's length octet
        return false;
    if (is_ip_literal(host))
    {
        const auto zone = host.find('%');
        return zone == std::string::npos ||
               std::all_of(host.begin() + static_cast<std::ptrdiff_t>(zone) + 1, host.end(), [](char c) {
                   return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                          c == '-' || c == '_' || c == '.';
               });
    }
    std::size_t label = 0;
    for (const char c : host)
    {
        if (c == '.')
        {
            if (label == 0)
                return false;
            label = 0;
            continue;
        }
        // '_' is not of RFC 1123 but found in names of internal hosts.
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
              c == '_'))
            return false;
        if (++label > 63)
            return false;
    }
    return true;
}

std::string endpoint_name::text() const
{
    const bool v6 = host.find(':') != std::string::npos;
    return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

outcome<endpoint_name> parse_endpoint(std::string_view text, std::uint16_t default_port)
{
    const auto malformed = [text](const std::string& what) {
        return fail(errc::malformed, "\"" + text::printable(text, 80) + "\": " + what);
    };
    std::string_view host = text;
    std::string_view port;
    bool has_port = false;
    if (text.starts_with('['))
    {
        const auto end = text.find(']');
        if (end == std::string_view::npos)
            return malformed("the closing ] is missing");
        host = text.substr(1, end - 1);
        const auto rest = text.substr(end + 1);
        if (!rest.empty() && rest.front() != ':')
            return malformed("after the ] only :port may follow");
        if (!rest.empty())
        {
            port = rest.substr(1);
            has_port = true;
        }
        if (host.find(':') == std::string_view::npos || !is_ip_literal(std::string(host)))
            return malformed("brackets are for an IPv6 address");
    }
    else if (const auto colon = text.find(':'); colon != std::string_view::npos)
    {
        // More than one colon: an IPv6 address without brackets, which cannot have a port.
        if (text.find(':', colon + 1) != std::string_view::npos)
        {
            if (!is_ip_literal(std::string(text)))
                return malformed("not host:port, and no IPv6 address; write [address]:port");
        }
        else
        {
            host = text.substr(0, colon);
            port = text.substr(colon + 1);
            has_port = true;
        }
    }
    endpoint_name e;
    e.host = std::string(host);
    e.port = default_port;
    if (host.empty())
        return malformed("the host is missing");
    if (!is_host(e.host))
        return malformed("the host is neither a name (letters, digits, - and .) nor an address");
    if (has_port)
    {
        unsigned value = 0;
        const auto [end, ec] = std::from_chars(port.data(), port.data() + port.size(), value);
        if (ec != std::errc() || end != port.data() + port.size() || value == 0 || value > 65535)
            return malformed("the port must be a number from 1 to 65535");
        e.port = static_cast<std::uint16_t>(value);
    }
    if (e.port == 0)
        return malformed("a port is needed, host:port");
    return e;
}

}  // namespace dtbridge::net
