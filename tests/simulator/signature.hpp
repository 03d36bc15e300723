#pragma once

#include <string>
#include <string_view>

namespace simulator
{

/// hex(HMAC-SHA1(private token, target + "\n" + public token + "\n" + date)), lower case (darktrace.md 2.1).
std::string sign(std::string_view private_token,
                 std::string_view public_token,
                 std::string_view date,
                 std::string_view target);

}  // namespace simulator
