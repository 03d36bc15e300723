#pragma once

#include <string>

#include <dtbridge/rules/policy.hpp>

namespace dtbridge::app
{

/// The policy of a mapping file for a command; a shipped one ("mappings/stage-2.toml") where no file has that
/// name. Problems go to standard error. Throws action_error where it cannot be used.
rules::policy read_policy(const std::string& name);

/// The same from what was loaded.
rules::policy use_policy(rules::loaded loaded, const std::string& name);

}  // namespace dtbridge::app
