#pragma once

/// The TOML tree as config reads it: a node's is_default says that a profile of the destination gave it; its
/// line is then that of the key `profile`.

#include <string>
#include <string_view>

#include <dtbridge/toml/document.hpp>

namespace dtbridge::config
{

using toml::entry;
using toml::kind_name;
using toml::node;

/// toml::parse with what to do about a key of too many dots.
toml::document parse_toml(std::string_view text);

/// A number in plain digits (0.40 and 4e-1 are "0.4"), anything else as node::text has it.
std::string plain_text(const node& n);

}  // namespace dtbridge::config
