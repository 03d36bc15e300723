#pragma once

/// Rules T1 to T6 of formats.md with the escapes of each place, in one pass over the raw bytes into the
/// message.

#include <cstddef>
#include <string>
#include <string_view>

namespace dtbridge::format
{

enum class place { cef_header, cef_value, leef_header, leef_value, structured_data };

inline constexpr std::size_t no_limit = static_cast<std::size_t>(-1);

/// How far a value may go, and what else its place knows about.
struct clean_options
{
    std::size_t max_bytes = no_limit;  ///< before escaping (C4, C11, L2, L10)
    std::size_t room = no_limit;       ///< after escaping (U1)
    char delimiter = '^';              ///< LEEF only
    bool mask_equals = false;          ///< LEEF only (L11)
};

/// Appends raw as one printable, escaped value. Answers true if it was cut because of room; a cut by
/// max_bytes is what the format asks for. Nothing is appended for a value that is empty after cleaning.
bool append_clean(std::string& out, std::string_view raw, place where, const clean_options& o = {});

}  // namespace dtbridge::format
