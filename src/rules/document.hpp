#pragma once

/// A TOML text as a plain tree in the order of the file, with the line of everything and with numbers as they
/// are written, because "0.40" goes into reasons and must never be a double. The parser stays inside
/// document.cpp.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dtbridge::rules
{

struct member;

struct node
{
    enum class kind { boolean, integer, number, string, date, array, table };
    kind type = kind::table;
    unsigned line = 0;
    bool truth = false;
    std::int64_t integer = 0;
    std::string text;  ///< a string; a number as written, without "+" and "_"
    std::vector<node> elements;
    std::vector<member> members;
};

struct member
{
    std::string key;
    unsigned line = 0;
    node value;
};

struct document
{
    node root;
    /// Set when the text is not TOML; the parser stops at the first such place.
    std::string error;
    unsigned error_line = 0;
};

document parse_document(std::string_view text);

/// What was found, for errors: `the integer 40`, `a list`.
std::string describe(const node& n);

}  // namespace dtbridge::rules
