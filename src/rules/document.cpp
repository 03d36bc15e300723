#include <rules/document.hpp>

#include <algorithm>
#include <array>
#include <charconv>

#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include <dtbridge/core/text.hpp>

namespace dtbridge::rules
{

namespace
{

// toml++ bounds how deep values nest, but every dot of a bare key makes a table more, and parser and tree are
// recursive.
constexpr unsigned max_dots = 32;

/// The first line with a key of too many dots, or 0. Dots in strings and comments do not count.
unsigned line_with_too_many_dots(std::string_view s)
{
    unsigned line = 1, dots = 0;
    for (std::size_t i = 0; i < s.size(); ++i)
    {
        const char c = s[i];
        if (c == '"' || c == '\'')
        {
            const bool triple = s.substr(i, 3) == std::string(3, c);
            const std::string end(triple ? 3 : 1, c);
            for (i += end.size(); i < s.size() && s.substr(i, end.size()) != end; ++i)
            {
                if (s[i] == '\n')
                {
                    ++line;
                    if (!triple)
                        break;  // a syntax error, which the parser will report
                }
                if (s[i] == '\\' && c == '"')
                    line += ++i < s.size() && s[i] == '\n' ? 1 : 0;
            }
            i += triple ? 2 : 0;
        }
        else if (c == '#')
        {
            while (i + 1 < s.size() && s[i + 1] != '\n')
                ++i;
        }
        else if (c == '.')
        {
            if (++dots > max_dots)
                return line;
        }
        else if (std::string_view("\n={}[],").find(c) != std::string_view::npos)
        {
            line += c == '\n' ? 1 : 0;
            dots = 0;
        }
    }
    return 0;
}

/// Finds what stands at a position of toml++, which counts lines from 1 and columns in code points from 1.
class source_text
{
public:
    explicit source_text(std::string_view text) : text_(text)
    {
        starts_.push_back(text_.substr(0, 3) == "\xEF\xBB\xBF" ? 3 : 0);
        for (std::size_t i = 0; i < text_.size(); ++i)
            if (text_[i] == '\n')
                starts_.push_back(i + 1);
    }

    /// The characters of a number that starts there, without "+" and "_".
    std::string number_at(const toml::source_position& at) const
    {
        if (at.line == 0 || at.line > starts_.size())
            return {};
        auto rest = text_.substr(starts_[at.line - 1]);
        for (unsigned column = 1; column < at.column && !rest.empty(); ++column)
            rest.remove_prefix(text::decode(rest).size);
        std::string out;
        for (const char c : rest.substr(0, rest.find_first_not_of("0123456789+-_.eE")))
            if (c != '_' && (c != '+' || !out.empty()))
                out += c;
        return out;
    }

private:
    std::string_view text_;
    std::vector<std::size_t> starts_;
};

template <class T>
std::string shortest(T value)
{
    std::array<char, 64> buffer{};
    const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
    return {buffer.data(), end.ptr};
}

/// As written, if that is the number the parser read; what it read in plain digits otherwise (hex, "inf").
template <class T>
std::string number_text(const source_text& source, const toml::node& from, T value)
{
    auto written = source.number_at(from.source().begin);
    T back{};
    const auto end = std::from_chars(written.data(), written.data() + written.size(), back);
    if (end.ec == std::errc() && end.ptr == written.data() + written.size() && back == value)
        return written;
    return shortest(value);
}

node convert(const source_text& source, const toml::node& from)
{
    node to;
    to.line = from.source().begin.line;
    switch (from.type())
    {
        case toml::node_type::table: {
            struct placed
            {
                toml::source_position at;
                member made;
            };
            std::vector<placed> members;
            for (auto&& [key, value] : *from.as_table())
            {
                placed p{key.source().begin, {std::string(key.str()), 0, convert(source, value)}};
                p.made.line = p.at.line != 0 ? p.at.line : p.made.value.line;
                members.push_back(std::move(p));
            }
            // toml++ keeps keys sorted by name; rules are read from top to bottom.
            std::stable_sort(members.begin(), members.end(), [](const placed& a, const placed& b) {
                return a.at.line != b.at.line ? a.at.line < b.at.line : a.at.column < b.at.column;
            });
            for (auto& p : members)
                to.members.push_back(std::move(p.made));
            break;
        }
        case toml::node_type::array:
            to.type = node::kind::array;
            for (const toml::node& element : *from.as_array())
                to.elements.push_back(convert(source, element));
            break;
        case toml::node_type::string:
            to.type = node::kind::string;
            to.text = from.as_string()->get();
            break;
        case toml::node_type::integer:
            to.type = node::kind::integer;
            to.integer = from.as_integer()->get();
            to.text = number_text(source, from, to.integer);
            break;
        case toml::node_type::floating_point:
            to.type = node::kind::number;
            to.text = number_text(source, from, from.as_floating_point()->get());
            break;
        case toml::node_type::boolean:
            to.type = node::kind::boolean;
            to.truth = from.as_boolean()->get();
            break;
        default:
            to.type = node::kind::date;
            break;
    }
    return to;
}

}  // namespace

document parse_document(std::string_view text)
{
    document out;
    if (const unsigned line = line_with_too_many_dots(text))
    {
        out.error = "a key with more than " + std::to_string(max_dots) + " dots; expected names in quotes";
        out.error_line = line;
        return out;
    }
    const toml::parse_result result = toml::parse(text);
    if (!result)
    {
        out.error = text::printable(result.error().description(), 300);
        out.error_line = result.error().source().begin.line;
        return out;
    }
    out.root = convert(source_text(text), result.table());
    return out;
}

std::string describe(const node& n)
{
    switch (n.type)
    {
        case node::kind::boolean:
            return n.truth ? "true" : "false";
        case node::kind::integer:
        case node::kind::number:
            return text::printable(n.text, 60);
        case node::kind::string:
            return '"' + text::printable(n.text, 60) + '"';
        case node::kind::date:
            return "a date or time";
        case node::kind::array:
            return "a list";
        case node::kind::table:
            break;
    }
    return "a table";
}

}  // namespace dtbridge::rules
