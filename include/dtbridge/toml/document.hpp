#pragma once

/// A TOML text as a plain tree: tables in the order of the file, every key and value with its line, numbers
/// as they are written, because "0.40" goes into reasons and must never be a double. Pure. The parser stays
/// inside src/toml/document.cpp.
///
/// Bounded whatever the text: max_size bytes; max_dots dots in a key, together with those of the keys that it
/// stands in; 256 values inside one another. So no text makes a tree deeper than about 320 levels, and both
/// the parser and what walks the tree may recurse.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dtbridge::toml
{

/// Far above every bound of a reader of ours, which say so in words of their own.
inline constexpr std::size_t max_size = std::size_t{16} << 20;
/// A table header and a key below it are two keys.
inline constexpr unsigned max_dots = 32;

struct entry;

struct node
{
    enum class kind { boolean, integer, number, string, date, array, table } type = kind::table;
    unsigned line = 0;        ///< from 1
    bool is_default = false;  ///< not of the text: marked by a caller that merges trees, never by parse()
    bool truth = false;       ///< of a boolean
    std::int64_t integer = 0;
    /// A string; a number as written, without "+" and "_" (in plain digits where it is written in another
    /// base); "true" or "false"; of a date or time only that it is one. Of an array or a table nothing.
    std::string text;
    std::vector<node> elements;  ///< of an array
    std::vector<entry> members;  ///< of a table, in the order of the file

    /// The member of that name, or null. Valid until members changes.
    const entry* find(std::string_view key) const;
};

struct entry
{
    std::string key;
    unsigned line = 0;
    node value;
};

enum class fault { none, size, encoding, dots, syntax };

struct parse_error
{
    fault what = fault::none;
    unsigned line = 0;    ///< 0: the text as a whole
    std::string message;  ///< printable, without the file's name
};

struct document
{
    node root;
    bool ok = true;
    parse_error error;  ///< where it is not ok; root is empty then
};

/// Stops at the first error; the parser refuses a key that is there twice, too.
document parse(std::string_view text);

/// "an integer", "a string": for errors.
std::string_view kind_name(node::kind k);

}  // namespace dtbridge::toml
