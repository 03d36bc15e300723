#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "format/clean.hpp"

namespace dtbridge::format
{

/// What becomes of NUL: "\u0000" by J2, or U+FFFD in what a breach carries (product.md 6), as C readers stop
/// at NUL.
enum class nul { escaped, replaced };

/// Appends s quoted and escaped (T1, J2). room bounds the bytes between the quotes: the rest is cut at a code
/// point boundary, never inside an escape. Answers whether anything was cut.
bool append_json_string(std::string& out, std::string_view s, nul n, std::size_t room = no_limit);

/// J3: an integer exactly, another number as the shortest decimal without exponent. text is a JSON number.
void append_json_number(std::string& out, std::string_view text);

}  // namespace dtbridge::format
