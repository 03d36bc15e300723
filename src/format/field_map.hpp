#pragma once

#include <dtbridge/format/formatter.hpp>

#include <string>
#include <vector>

#include "format/keys.hpp"
#include "format/values.hpp"

namespace dtbridge::format
{

/// Where a value of a field comes from.
struct value_source
{
    enum class origin { root, model, device, derived, constant } base = origin::constant;
    std::string rest;     ///< a pointer below base; the name of a label; a constant
    bool single = false;  ///< rest is one plain member name, its "/" cut off
    derived id = derived::pbid;

    item read(const breach& b, value_reader& derived_values) const;
};

/// One entry of a field map, checked.
struct map_field
{
    std::string key;
    std::string label;
    key_info info;
    value_kind kind = value_kind::string;
    std::vector<value_source> sources;  ///< the first that gives a value is sent
    bool joins_previous = false;        ///< sent with the field before it, or neither is
};

struct field_map::impl
{
    std::string text;
    std::vector<map_field> fields;
};

}  // namespace dtbridge::format
