#pragma once

#include <string>
#include <string_view>

namespace dtbridge::web
{

/// Appends a JSON text as it is, without white space outside strings and on one line: raw controls in
/// strings, which lenient masters send, become \u00XX, ill-formed UTF-8 U+FFFD.
void append_compact(std::string& out, std::string_view json);

}  // namespace dtbridge::web
