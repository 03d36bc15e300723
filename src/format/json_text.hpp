#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "format/clean.hpp"
#include "format/sink.hpp"

namespace dtbridge::format
{

/// What becomes of NUL: "\u0000" by J2, or U+FFFD in what a breach carries (product.md 6), as C readers stop
/// at NUL.
enum class nul { escaped, replaced };

/// Appends s quoted and escaped (T1, J2). room bounds the bytes between the quotes: the rest is cut at a code
/// point boundary, never inside an escape. Answers whether anything was cut.
bool append_json_string(sink& out, std::string_view s, nul n, std::size_t room = no_limit);

/// J3: an integer exactly, another number as the shortest decimal without exponent. text is a JSON number.
void append_json_number(sink& out, std::string_view text);

namespace detail
{

/// Whether one of eight bytes cannot stand in a JSON string as it is: not ASCII, a control, a quote or a
/// backslash.
inline bool has_special(std::uint64_t x)
{
    constexpr std::uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
    constexpr auto zero = [](std::uint64_t y) { return (y - ones) & ~y & tops; };
    const std::uint64_t control = (x - ones * 0x20) & ~x & tops;
    return ((x & tops) | control | zero(x ^ (ones * '"')) | zero(x ^ (ones * '\\')) |
            zero(x ^ (ones * 0x7f))) != 0;
}

inline std::uint64_t eight(const char* s)
{
    std::uint64_t x;
    std::memcpy(&x, s, 8);
    return x;
}

inline std::uint64_t four(const char* s)
{
    std::uint32_t x;
    std::memcpy(&x, s, 4);
    return x;
}

}  // namespace detail

/// Whether all of s stands in JSON as it is, which most strings of a breach do. This is where its JSON spends
/// its time.
inline bool is_plain(std::string_view s)
{
    const std::size_t n = s.size();
    if (n >= 8)
    {
        for (std::size_t i = 0; i + 8 < n; i += 8)
        {
            if (detail::has_special(detail::eight(s.data() + i)))
                return false;
        }
        return !detail::has_special(detail::eight(s.data() + n - 8));
    }
    if (n >= 4)
        return !detail::has_special(detail::four(s.data()) | (detail::four(s.data() + n - 4) << 32));
    for (char c : s)
    {
        if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f || c == '"' ||
            c == '\\')
            return false;
    }
    return true;
}

}  // namespace dtbridge::format
