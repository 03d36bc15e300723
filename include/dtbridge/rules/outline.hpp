#pragma once

/// What the lines of a policy look at, for those who count and compare policies. Pure. Tested in
/// tests/unit/rules.

#include <cstddef>
#include <optional>
#include <vector>

#include <dtbridge/core/breach.hpp>
#include <dtbridge/core/decimal.hpp>
#include <dtbridge/rules/policy.hpp>

namespace dtbridge::rules
{

struct outlined_line : policy_line
{
    enum class kind {
        acknowledged,
        suppressed,
        only_alerting_models,
        categories,
        min_priority,
        never_tags,
        always_tags,
        device,
        model,
        score,
        everything_else
    };
    kind what = kind::everything_else;
    /// False of a device or model that only carries a severity or labels: it names, and never speaks.
    bool decides = true;
    bool by_id = false;                ///< a model by uuid or pid
    std::optional<decimal> threshold;  ///< of `score`, and of a device or model that has one
    bool strict = false;               ///< above_score: the threshold itself does not pass
};

/// The policy outlives it.
class outline
{
public:
    explicit outline(const policy& of);

    /// With the indexes of policy::lines().
    const std::vector<outlined_line>& lines() const { return lines_; }
    /// The line of [models] that names the model, whichever decides.
    std::optional<std::size_t> model_line(const breach& b) const;
    decision decide(const breach& b, const known_labels& known = {}) const
    {
        return policy_->decide(b, known);
    }
    const std::string& file() const { return policy_->file(); }
    const std::vector<throttle>& throttles() const { return policy_->throttles(); }

private:
    const policy* policy_;
    std::vector<outlined_line> lines_;
};

}  // namespace dtbridge::rules
