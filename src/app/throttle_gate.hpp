#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include <dtbridge/core/breach.hpp>
#include <dtbridge/deliver/throttles.hpp>
#include <dtbridge/rules/policy.hpp>

namespace dtbridge::app
{

/// The throttles of a policy for commands that say what would go: empty at first, by the breaches' own times,
/// one for all masters, as a destination has them (product.md 5).
class throttle_gate
{
public:
    explicit throttle_gate(std::shared_ptr<const rules::policy> policy);

    bool any() const { return throttles_->any(); }
    /// For what the rules forward, in order: which throttle, as an index into the policy's, holds it back.
    /// What none holds has passed. archived: ms, when it was; nothing for a breach of somebody's file.
    std::optional<std::size_t> hold(const breach& b,
                                    const rules::decision& said,
                                    std::string_view master,
                                    std::optional<std::int64_t> archived);

private:
    std::unique_ptr<deliver::throttles> throttles_;
};

}  // namespace dtbridge::app
