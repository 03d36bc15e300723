#pragma once

#include <cstdint>
#include <string>

#include <boost/json/object.hpp>

namespace dtbridge::app
{

/// The status of product.md 9 as people read it on a terminal. now: ms, for "12 s ago".
std::string status_text(const boost::json::object& status, std::int64_t now);

}  // namespace dtbridge::app
