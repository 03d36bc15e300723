#pragma once

/// The line of a log event without its time and level, apart from the writing so that tests can look at it.

#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>

#include <dtbridge/core/log.hpp>

namespace dtbridge::log
{

/// Bytes of one value in a line; longer ones are cut.
inline constexpr std::size_t max_value = 2000;

/// `poll acme: message key=value other="with blanks"`.
std::string text_line(std::string_view component,
                      std::string_view source,
                      std::string_view message,
                      std::initializer_list<field> fields);
/// Members of a JSON object without the braces:
/// `"component":"poll","source":"acme","message":"...","key":"value"`.
std::string json_members(std::string_view component,
                         std::string_view source,
                         std::string_view message,
                         std::initializer_list<field> fields);

}  // namespace dtbridge::log
