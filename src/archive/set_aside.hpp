#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace dtbridge
{

/// Beyond this nothing is appended any more (contract 3).
inline constexpr std::size_t max_set_aside_bytes = 16u << 20;

/// One line of set-aside.ndjson, with its line feed.
std::string set_aside_line(std::int64_t at, std::string_view reason, std::string_view raw);

/// Appends line to the file (made 0640 where it is missing) and syncs it; a line that a crash cut short is
/// ended first. False if the file would pass max_bytes. Throws db::error; what was written of the line is
/// taken back then.
bool append_line(const std::string& path, std::string_view line, std::size_t max_bytes);

}  // namespace dtbridge
