#pragma once

/// Known SIEMs: mappings/profiles/*.toml, compiled in. A profile has the keys of a destination, and tables
/// [on.X] for what depends on the transport and format in use, X being "tcp-json", "tcp" or "json" (the first
/// wins). Sizes that are the built-in defaults of transport and format are left out.

#include "config/section.hpp"

namespace dtbridge::config
{

/// The destination's table with the profile's values where it has none of its own. Its keys win over [on.X],
/// those over the profile's other keys. Values from the profile carry is_default and the line of the
/// profile key. Reports an unknown profile.
node with_profile(section& destination, std::string& profile_name);

}  // namespace dtbridge::config
