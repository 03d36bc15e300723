#pragma once

#include <dtbridge/core/breach.hpp>
#include <dtbridge/format/options.hpp>
#include <dtbridge/rules/policy.hpp>

namespace dtbridge::format
{

/// 0 to 10 by product.md 6: the model's severity of the rules, else the map, 5 where the breach does not say;
/// at most 3 for what was held back and is sent as context (product.md 5).
int severity_of(const severity_map& by, const breach& b, const rules::decision& said);

}  // namespace dtbridge::format
