#pragma once

#include <string>
#include <string_view>

namespace dtbridge
{

/// SHA-256, 32 raw bytes.
std::string sha256(std::string_view bytes);

}  // namespace dtbridge
