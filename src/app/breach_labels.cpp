#include "app/breach_labels.hpp"

#include <algorithm>

namespace dtbridge::app
{

std::shared_ptr<const rules::inventory> inventory_of(const config::configuration& c,
                                                     const std::string& master)
{
    // As the class does: the last of several counts.
    const auto at =
        std::find_if(c.enrich.rbegin(), c.enrich.rend(), [&](const auto& e) { return e.master == master; });
    return at == c.enrich.rend() ? nullptr : at->inventory;
}

breach_labels::breach_labels(const config::configuration& c)
{
    for (const auto& m : c.masters)
        masters_[m.name].master = m.labels;
    for (const auto& e : c.enrich)
        masters_[e.master].devices = e.inventory;
}

rules::known_labels breach_labels::of(const std::string& master, const breach& b) const
{
    const auto at = masters_.find(master);
    if (at == masters_.end())
        return {};
    return rules::known_of(b, &at->second.master, at->second.devices.get());
}

}  // namespace dtbridge::app
