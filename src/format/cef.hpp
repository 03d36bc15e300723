#pragma once

#include <string>
#include <string_view>

#include "format/item.hpp"

namespace dtbridge::format
{

/// The seven fields of CEF's header, with the seventh pipe (C1 to C5). severity is an integer or the text of
/// a decimal.
void append_cef_header(std::string& out,
                       int version,
                       std::string_view vendor,
                       std::string_view product,
                       std::string_view device_version,
                       std::string_view class_id,
                       std::string_view name,
                       const item& severity);

}  // namespace dtbridge::format
