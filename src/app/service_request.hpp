#pragma once

/// Reading requests of the control socket and refusing them, for every file that answers one.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <boost/json/object.hpp>

namespace dtbridge::app
{

/// {"ok": false, "error": words}; unknown: a name that does not exist, which commands answer with exit status
/// 2.
boost::json::object refusal(std::string words, bool unknown = false);
/// "" where the member is missing or no string.
std::string text_member(const boost::json::object& o, std::string_view name);
/// Nothing where the member is missing or no integral number.
std::optional<std::int64_t> number_member(const boost::json::object& o, std::string_view name);
bool flag_member(const boost::json::object& o, std::string_view name);

}  // namespace dtbridge::app
