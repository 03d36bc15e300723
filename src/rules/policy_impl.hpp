#pragma once

/// What a policy holds: the mapping, its indexes and the lines that can speak.

#include <string>
#include <vector>

#include <rules/index.hpp>
#include <rules/mapping.hpp>

namespace dtbridge::rules
{

struct policy::impl
{
    std::string file;
    std::string text;
    mapping file_rules;
    model_index models;
    device_index devices;
    std::vector<policy_line> lines;
    std::vector<std::string> places;  ///< of each line: ` (stage-2.toml:14)`
    std::size_t otherwise = 0;        ///< the line that speaks when no other does
    bool is_default = false;          ///< no file at all

    /// Numbers the lines that can speak, in the order of the file.
    void number_lines();
};

/// Makes policies out of mappings, and lets the rest of this module look into them.
struct loader
{
    static const policy::impl& inside(const policy& p) { return *p.impl_; }
    static policy make(std::string file, std::string_view text, mapping&& from, reporter& report);
};

}  // namespace dtbridge::rules
