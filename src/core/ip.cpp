#include <dtbridge/core/ip.hpp>

#include <dtbridge/core/text.hpp>

#include <algorithm>
#include <cstring>

namespace dtbridge
{

namespace
{

/// Dotted quad as RFC 3986 has it: four decimals without leading zeros (which some readers take as octal).
bool parse_v4(std::string_view text, std::uint8_t* out)
{
    std::size_t i = 0;
    for (int part = 0; part < 4; ++part)
    {
        if (part > 0 && (i >= text.size() || text[i++] != '.'))
            return false;
        unsigned value = 0;
        const std::size_t start = i;
        while (i < text.size() && text[i] >= '0' && text[i] <= '9' && i - start < 3)
            value = value * 10 + static_cast<unsigned>(text[i++] - '0');
        if (i == start || value > 255 || (i - start > 1 && text[start] == '0'))
            return false;
        out[part] = static_cast<std::uint8_t>(value);
    }
    return i == text.size();
}

/// RFC 4291 2.2, with an embedded dotted quad at the end.
bool parse_v6(std::string_view text, std::array<std::uint8_t, 16>& out)
{
    std::array<std::uint8_t, 16> bytes{};
    std::size_t filled = 0;
    std::size_t gap = 17;  // where "::" stands, in bytes; 17: not seen
    std::size_t i = 0;
    if (text.substr(0, 2) == "::")
    {
        gap = 0;
        i = 2;
    }
    else if (text.empty() || text[0] == ':')
        return false;
    while (i < text.size())
    {
        const auto rest = text.substr(i);
        const auto colon = rest.find(':');
        const auto group = rest.substr(0, colon);
        if (group.find('.') != group.npos)
        {
            if (colon != rest.npos || filled + 4 > 16 || !parse_v4(group, &bytes[filled]))
                return false;
            filled += 4;
            i = text.size();
            break;
        }
        if (group.empty() || group.size() > 4 || filled + 2 > 16)
            return false;
        unsigned value = 0;
        for (const char c : group)
        {
            const int digit = text::hex_digit(c);
            if (digit < 0)
                return false;
            value = value * 16 + static_cast<unsigned>(digit);
        }
        bytes[filled++] = static_cast<std::uint8_t>(value >> 8);
        bytes[filled++] = static_cast<std::uint8_t>(value & 0xFF);
        i += group.size();
        if (i == text.size())
            break;
        ++i;  // the colon
        if (i == text.size())
            return false;
        if (text[i] == ':')
        {
            if (gap != 17)
                return false;
            gap = filled;
            ++i;
        }
    }
    if (gap == 17 ? filled != 16 : filled > 14)
        return false;
    out.fill(0);
    if (gap == 17)
        out = bytes;
    else
    {
        std::copy_n(bytes.begin(), gap, out.begin());
        std::copy(bytes.begin() + static_cast<std::ptrdiff_t>(gap),
                  bytes.begin() + static_cast<std::ptrdiff_t>(filled),
                  out.end() - static_cast<std::ptrdiff_t>(filled - gap));
    }
    return true;
}

bool is_mapped(const std::array<std::uint8_t, 16>& b)
{
    return std::all_of(b.begin(), b.begin() + 10, [](std::uint8_t x) { return x == 0; }) && b[10] == 0xFF &&
           b[11] == 0xFF;
}

}  // namespace

std::optional<ip_address> ip_address::parse(std::string_view text)
{
    if (text.empty() || text.size() > 128)
        return {};
    ip_address a;
    if (text.find(':') == text.npos)
    {
        if (!parse_v4(text, a.bytes.data()))
            return {};
        return a;
    }
    const auto zone = text.find('%');
    if (zone != text.npos && zone + 1 == text.size())
        return {};
    std::array<std::uint8_t, 16> bytes{};
    if (!parse_v6(text.substr(0, zone), bytes))
        return {};
    if (is_mapped(bytes))
        std::copy(bytes.begin() + 12, bytes.end(), a.bytes.begin());
    else
    {
        a.v6 = true;
        a.bytes = bytes;
    }
    return a;
}

std::string ip_address::text() const
{
    std::string out;
    if (!v6)
    {
        for (std::size_t i = 0; i < 4; ++i)
        {
            if (i > 0)
                out += '.';
            out += std::to_string(bytes[i]);
        }
        return out;
    }
    std::array<unsigned, 8> groups{};
    for (std::size_t i = 0; i < 8; ++i)
        groups[i] = static_cast<unsigned>(bytes[2 * i] << 8 | bytes[2 * i + 1]);
    // RFC 5952 4.2: the longest run of two zero groups or more, the first of equals.
    std::size_t best = 8, best_size = 1;
    for (std::size_t i = 0; i < 8;)
    {
        std::size_t end = i;
        while (end < 8 && groups[end] == 0)
            ++end;
        if (end - i > best_size)
        {
            best = i;
            best_size = end - i;
        }
        i = std::max(end, i + 1);
    }
    for (std::size_t i = 0; i < 8; ++i)
    {
        if (i == best)
        {
            out += "::";
            i += best_size - 1;
            continue;
        }
        if (!out.empty() && out.back() != ':')
            out += ':';
        bool leading = true;
        for (int shift = 12; shift >= 0; shift -= 4)
        {
            const unsigned digit = (groups[i] >> shift) & 15;
            leading = leading && digit == 0 && shift > 0;
            if (!leading)
                out += "0123456789abcdef"[digit];
        }
    }
    return out;
}

std::optional<ip_network> ip_network::parse(std::string_view text)
{
    const auto slash = text.find('/');
    const auto base_text = text.substr(0, slash);
    const auto base = ip_address::parse(base_text);
    if (!base || base_text.find('%') != base_text.npos)
        return {};
    ip_network n;
    n.base = *base;
    const unsigned width = base->v6 ? 128 : 32;
    n.prefix = width;
    if (slash != text.npos)
    {
        const auto digits = text.substr(slash + 1);
        if (digits.empty() || digits.size() > 3)
            return {};
        unsigned prefix = 0;
        for (const char c : digits)
        {
            if (c < '0' || c > '9')
                return {};
            prefix = prefix * 10 + static_cast<unsigned>(c - '0');
        }
        if (!base->v6 && base_text.find(':') != base_text.npos)
        {
            // ::ffff:a.b.c.d/n became IPv4; a shorter prefix than the mapping's 96 has no IPv4 meaning.
            if (prefix < 96)
                return {};
            prefix -= 96;
        }
        if (prefix > width)
            return {};
        n.prefix = prefix;
    }
    for (unsigned bit = n.prefix; bit < 128; ++bit)
        n.base.bytes[bit / 8] = static_cast<std::uint8_t>(n.base.bytes[bit / 8] & ~(0x80u >> (bit % 8)));
    return n;
}

bool ip_network::contains(const ip_address& a) const
{
    if (a.v6 != base.v6)
        return false;
    const std::size_t whole = prefix / 8;
    if (std::memcmp(a.bytes.data(), base.bytes.data(), whole) != 0)
        return false;
    const unsigned rest = prefix % 8;
    return rest == 0 || (a.bytes[whole] >> (8 - rest)) == (base.bytes[whole] >> (8 - rest));
}

std::optional<std::string> normal_mac(std::string_view text)
{
    std::string digits;
    char separator = 0;
    std::size_t group = 0, group_size = 0;
    for (const char c : text)
    {
        if (text::hex_digit(c) >= 0)
        {
            if (digits.size() == 12)
                return {};
            digits += c >= 'a' ? static_cast<char>(c - ('a' - 'A')) : c;
            ++group;
            continue;
        }
        if ((c != ':' && c != '-' && c != '.') || (separator != 0 && c != separator))
            return {};
        if (separator == 0)
            group_size = group;
        separator = c;
        if (group != group_size)
            return {};
        group = 0;
    }
    if (digits.size() != 12)
        return {};
    if (separator != 0 &&
        (group != group_size || (group_size != 2 && !(group_size == 4 && separator == '.'))))
        return {};
    std::string out;
    for (std::size_t i = 0; i < 12; i += 2)
    {
        if (i > 0)
            out += ':';
        out.append(digits, i, 2);
    }
    return out;
}

}  // namespace dtbridge
