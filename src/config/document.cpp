#include "config/document.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <sstream>

#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include <dtbridge/core/text.hpp>

namespace dtbridge::config
{

namespace
{

// Values nest at most 256 deep (toml++), but a dotted key makes a table for every dot, and both the parser
// and the tree are recursive. No key of ours has more than two dots.
constexpr unsigned max_dots = 32;

/// The first line with a key of too many dots, or 0. Dots in a row of text without = , { } [ ] count, which
/// overestimates inside strings and comments, where so many do not occur in a configuration.
unsigned line_with_too_many_dots(std::string_view text)
{
    unsigned line = 1, dots = 0;
    for (char c : text)
    {
        if (c == '\n')
            ++line;
        if (c == '.')
        {
            if (++dots > max_dots)
                return line;
        }
        else if (std::string_view("\n={}[],").find(c) != std::string_view::npos)
            dots = 0;
    }
    return 0;
}

std::string float_text(double value)
{
    if (value != value)
        return "nan";
    std::array<char, 400> buffer;
    auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::fixed);
    return end.ec == std::errc{} ? std::string(buffer.data(), end.ptr) : "inf";
}

node convert(const toml::node& from);

void convert_table(const toml::table& from, node& to)
{
    to.type = node::kind::table;
    for (auto&& [key, value] : from)
    {
        entry member;
        member.key = std::string(key.str());
        member.line = key.source().begin.line;
        member.column = key.source().begin.column;
        member.value = convert(value);
        if (member.line == 0)
            member.line = member.value.line;
        to.members.push_back(std::move(member));
    }
    // The parser keeps keys sorted by name; people read files by line.
    std::stable_sort(to.members.begin(), to.members.end(), [](const entry& a, const entry& b) {
        return a.line != b.line ? a.line < b.line : a.column < b.column;
    });
}

node convert(const toml::node& from)
{
    node to;
    to.line = from.source().begin.line;
    switch (from.type())
    {
        case toml::node_type::table:
            convert_table(*from.as_table(), to);
            break;
        case toml::node_type::array:
            to.type = node::kind::array;
            for (const toml::node& element : *from.as_array())
                to.elements.push_back(convert(element));
            if (to.line == 0 && !to.elements.empty())
                to.line = to.elements.front().line;
            break;
        case toml::node_type::string:
            to.type = node::kind::string;
            to.text = from.as_string()->get();
            break;
        case toml::node_type::integer:
            to.type = node::kind::integer;
            to.number = from.as_integer()->get();
            to.text = std::to_string(to.number);
            break;
        case toml::node_type::floating_point:
            to.type = node::kind::floating;
            to.text = float_text(from.as_floating_point()->get());
            break;
        case toml::node_type::boolean:
            to.type = node::kind::boolean;
            to.truth = from.as_boolean()->get();
            to.text = to.truth ? "true" : "false";
            break;
        default:
            to.type = node::kind::date;
            to.text = "a date or time";
            break;
    }
    return to;
}

}  // namespace

const entry* node::find(std::string_view key) const
{
    for (const entry& member : members)
        if (member.key == key)
            return &member;
    return nullptr;
}

parsed parse_toml(std::string_view text)
{
    parsed answer;
    // The parser would refuse it too, but at a place that says little.
    if (!text::is_valid_utf8(text))
    {
        answer.ok = false;
        unsigned line = 1;
        for (std::size_t at = 0; at < text.size();)
        {
            auto point = text::decode(text.substr(at));
            if (!point.well_formed)
                break;
            line += point.value == U'\n';
            at += point.size;
        }
        answer.error = {line, "the text is not UTF-8 here: save the file as UTF-8"};
        return answer;
    }
    if (unsigned line = line_with_too_many_dots(text))
    {
        answer.ok = false;
        answer.error = {line, "a key with more than 32 dots: no key of dtbridge has more than two"};
        return answer;
    }
    toml::parse_result result = toml::parse(text);
    if (!result)
    {
        answer.ok = false;
        answer.error.line = result.error().source().begin.line;
        answer.error.message = text::printable(result.error().description(), 300);
        return answer;
    }
    convert_table(result.table(), answer.root);
    answer.root.line = 1;
    return answer;
}

std::string_view kind_name(node::kind k)
{
    switch (k)
    {
        case node::kind::boolean:
            return "a boolean";
        case node::kind::integer:
            return "an integer";
        case node::kind::floating:
            return "a number with a fraction";
        case node::kind::string:
            return "a string";
        case node::kind::date:
            return "a date or time";
        case node::kind::array:
            return "a list";
        case node::kind::table:
            break;
    }
    return "a table";
}

}  // namespace dtbridge::config
