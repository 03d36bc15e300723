#pragma once

namespace dtbridge::app
{

/// "1.2.3". Its one place is project() in CMakeLists.txt; only version.cpp is compiled anew when it changes.
extern const char* const program_version;
/// "dtbridge/1.2.3", what masters and proxies see.
extern const char* const program_agent;

}  // namespace dtbridge::app
