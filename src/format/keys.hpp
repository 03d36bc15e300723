#pragma once

/// What the dictionaries of CEF (formats.md 2.3) and LEEF (formats.md 3.2) say of a key.

#include <cstdint>
#include <span>
#include <string_view>

namespace dtbridge::format
{

/// How a value is written and what is refused for it. The names in field maps are those of value_kind_name().
enum class value_kind : std::uint8_t { string, integer, number, time, ip, mac };

std::string_view value_kind_name(value_kind k);

/// A key as the dictionary has it; unknown keys are strings of the sender's own.
struct key_info
{
    bool known = false;
    value_kind kind = value_kind::string;
    std::uint32_t max_bytes = 0;        ///< 0 where the dictionary gives none
    bool is_port = false;               ///< 0 to 65535
    bool needs_label = false;           ///< C10: custom fields
    std::string_view ipv6_key = {};     ///< C12: where IPv6 goes in CEF:0; empty: nowhere
    std::string_view fixed_label = {};  ///< label the specification gives
    bool only_ipv6 = false;             ///< c6a1 to c6a4
    bool cef1_only = false;             ///< added by CEF 1.x
    bool consumer = false;              ///< set by the receiver, never sent (CEF); reserved (LEEF)
};

key_info cef_key(std::string_view key);
key_info leef_key(std::string_view key);

/// C8, L4: ASCII letters and digits, at least one.
bool is_plain_key(std::string_view key);

/// U1: free text, the only values that may be cut to fit a message.
bool may_be_cut(std::string_view key);

}  // namespace dtbridge::format
