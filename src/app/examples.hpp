#pragma once

#include <string_view>

namespace dtbridge::app
{

/// A command line to begin with, for `dtbridge COMMAND --help`; every command has one.
std::string_view example_of(std::string_view command);

}  // namespace dtbridge::app
