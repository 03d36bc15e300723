#pragma once

/// A TOML text as a plain tree with the line of every key, in the order written. The parser stays inside
/// document.cpp.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <dtbridge/core/failure.hpp>

namespace dtbridge::config
{

struct entry;

struct node
{
    enum class kind { boolean, integer, floating, string, date, array, table } type = kind::table;
    unsigned line = 0;
    bool from_profile =
        false;  ///< a default of the destination's profile; line is then that of the profile key
    bool truth = false;
    std::int64_t number = 0;
    std::string text;  ///< of a string; of a float or date as a person would write it
    std::vector<node> elements;
    std::vector<entry> members;

    const entry* find(std::string_view key) const;
};

struct entry
{
    std::string key;
    unsigned line = 0;
    unsigned column = 0;
    node value;
};

struct syntax_error
{
    unsigned line = 0;
    std::string message;
};

struct parsed
{
    node root;
    bool ok = true;
    syntax_error error;
};

/// The parser stops at the first error of syntax; everything after reading reports all problems.
parsed parse_toml(std::string_view text);

/// "an integer", "a string": for errors.
std::string_view kind_name(node::kind k);

}  // namespace dtbridge::config
