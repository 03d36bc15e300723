#include "app/breach_labels.hpp"

namespace dtbridge::app
{

breach_labels::breach_labels(const config::configuration& c)
{
    for (const auto& m : c.masters)
        masters_[m.name].master = m.labels;
    for (const auto& e : c.enrich)
        masters_[e.master].devices = e.inventory;
}

std::shared_ptr<const rules::inventory> breach_labels::inventory_of(const std::string& master) const
{
    const auto at = masters_.find(master);
    return at == masters_.end() ? nullptr : at->second.devices;
}

rules::known_labels breach_labels::of(const std::string& master, const breach& b) const
{
    const auto at = masters_.find(master);
    if (at == masters_.end())
        return {};
    return rules::known_of(b, &at->second.master, at->second.devices.get());
}

}  // namespace dtbridge::app
