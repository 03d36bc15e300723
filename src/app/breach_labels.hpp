#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include <dtbridge/config/configuration.hpp>
#include <dtbridge/core/breach.hpp>
#include <dtbridge/rules/policy.hpp>

namespace dtbridge::app
{

/// The inventory ([enrich]) of a master as it was when the configuration was loaded; null where it has none.
std::shared_ptr<const rules::inventory> inventory_of(const config::configuration& c,
                                                     const std::string& master);

/// The labels that the service knows of breaches: those of their master, and those of the inventory
/// ([enrich]) as it was when the configuration was loaded. Commands that decide on many breaches ask here.
class breach_labels
{
public:
    explicit breach_labels(const config::configuration& c);
    /// Nothing of a master that is no longer configured. Lives as long as this.
    rules::known_labels of(const std::string& master, const breach& b) const;

private:
    struct source
    {
        rules::labels master;
        std::shared_ptr<const rules::inventory> devices;
    };
    std::unordered_map<std::string, source> masters_;
};

}  // namespace dtbridge::app
