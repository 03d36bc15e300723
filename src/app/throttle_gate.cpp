#include "app/throttle_gate.hpp"

#include <utility>

namespace dtbridge::app
{

throttle_gate::throttle_gate(std::shared_ptr<const rules::policy> policy)
    : throttles_(std::make_unique<deliver::throttles>())
{
    throttles_->follow(std::move(policy));
}

std::optional<std::size_t> throttle_gate::hold(const breach& b,
                                               const rules::decision& said,
                                               std::string_view master,
                                               std::optional<std::int64_t> archived)
{
    if (!any())
        return std::nullopt;
    const auto at = archived ? deliver::counts_at(b.key, *archived) : b.key.created;
    const auto by = throttles_->ask(b, master, at, said.always);
    // Nothing is noted as held: no summary is told here, and they would pile up.
    if (!by)
        throttles_->passed();
    return by;
}

}  // namespace dtbridge::app
