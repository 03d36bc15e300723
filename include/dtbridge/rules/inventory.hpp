#pragma once

/// An inventory of devices: a CSV whose columns become labels of the breaches of a device ([enrich] of the
/// configuration). Pure but for load_file. Tested by tables in tests/unit/rules/inventory_test.cpp.

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <dtbridge/core/breach.hpp>
#include <dtbridge/rules/policy.hpp>

namespace dtbridge::rules
{

/// The column that names the device.
enum class inventory_key { ip, mac, hostname };
std::string_view name_of(inventory_key key);

class inventory
{
public:
    /// The labels of the breach's device, of the first of its devices that the inventory knows; null where it
    /// knows none. The answer lives as long as this.
    const labels* find(const breach& b) const;
    std::size_t size() const { return rows_.size(); }

private:
    friend struct inventory_reader;
    std::vector<labels> rows_;
    std::unordered_map<std::string, std::size_t> by_key_;
    inventory_key key_ = inventory_key::ip;
    const labels* find_text(std::string_view written) const;
};

/// What is known of a breach beside itself, for policy::decide(). The pointers may be null and, where they
/// are not, outlive the answer.
known_labels known_of(const breach& b, const labels* master, const inventory* devices);

struct loaded_inventory
{
    std::shared_ptr<const inventory> value;  ///< null where a problem is an error
    std::vector<problem> problems;           ///< a row that cannot be used is a warning; at most 100 of them
};

/// Reads CSV with a header; the column that key names is the device's address or name, every other a label
/// of the column's name (blanks become _). Bounded: 64 MiB, 500,000 rows, 32 labels, 1 KiB a value.
loaded_inventory load_inventory_file(const std::string& path,
                                     const std::string& display_name,
                                     inventory_key key);
loaded_inventory load_inventory_text(std::string_view text,
                                     const std::string& display_name,
                                     inventory_key key);

}  // namespace dtbridge::rules
