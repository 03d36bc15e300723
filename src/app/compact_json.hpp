#pragma once

#include <string>
#include <string_view>

namespace dtbridge::app
{

/// Appends a JSON text without the white space that is outside its strings; every other byte stays.
void append_compact(std::string& out, std::string_view json);

/// A JSON string; what is no valid UTF-8 in it is replaced.
std::string json_quoted(std::string_view s);

}  // namespace dtbridge::app
