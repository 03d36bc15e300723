#pragma once

#include <ostream>

#include <boost/json/array.hpp>

namespace dtbridge::app
{

/// What check_connections() found, a block of lines for each master and each address of a destination.
void print_checks(const boost::json::array& checks, std::ostream& out);

/// Whether every one of them is good.
bool all_good(const boost::json::array& checks);

}  // namespace dtbridge::app
