#pragma once

#include <string>
#include <string_view>

namespace dtbridge::format
{

/// LEEF's header with its last pipe (L1, L2). version "1.0" has no delimiter field.
void append_leef_header(std::string& out,
                        std::string_view version,
                        char delimiter,
                        std::string_view vendor,
                        std::string_view product,
                        std::string_view product_version,
                        std::string_view event_id);

}  // namespace dtbridge::format
