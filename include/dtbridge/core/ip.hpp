#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dtbridge
{

/// An address as C12 wants it: IPv4-mapped IPv6 is IPv4, a zone id is removed, a mask ("/32") is not taken.
struct ip_address
{
    bool v6 = false;
    std::array<std::uint8_t, 16> bytes{};  ///< the first 4 for IPv4

    static std::optional<ip_address> parse(std::string_view text);
    /// Dotted quad or RFC 5952.
    std::string text() const;
    bool operator==(const ip_address&) const = default;
};

/// "10.0.0.0/8", "2001:db8::/32" or one address.
struct ip_network
{
    ip_address base;
    unsigned prefix = 0;

    static std::optional<ip_network> parse(std::string_view text);
    bool contains(const ip_address& a) const;
};

/// C13: six upper-case hex pairs with colons from any usual spelling (colons, dashes, dots, none); nothing
/// otherwise.
std::optional<std::string> normal_mac(std::string_view text);

}  // namespace dtbridge
