#pragma once

#include <string>

namespace dtbridge::app
{

/// This host's name, for hostname = "bridge"; "localhost" where it cannot be told.
std::string host_name();

}  // namespace dtbridge::app
