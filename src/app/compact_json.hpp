#pragma once

#include <string>
#include <string_view>

namespace dtbridge::app
{

/// Appends a JSON text without the white space that is outside its strings; every other byte stays.
void append_compact(std::string& out, std::string_view json);

}  // namespace dtbridge::app
