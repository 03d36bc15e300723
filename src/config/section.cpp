#include "config/section.hpp"

#include <algorithm>

#include <dtbridge/core/text.hpp>
#include <dtbridge/core/time.hpp>

namespace dtbridge::config
{

namespace
{

std::string size_text(std::uint64_t bytes)
{
    static constexpr std::string_view units[] = {"B", "KiB", "MiB", "GiB"};
    std::size_t unit = 0;
    while (unit < 3 && bytes >= 1024 && bytes % 1024 == 0)
    {
        bytes /= 1024;
        ++unit;
    }
    return std::to_string(bytes) + std::string(units[unit]);
}

std::string shown(const node& n)
{
    switch (n.type)
    {
        case node::kind::string:
            return in_quotes(n.text);
        case node::kind::boolean:
        case node::kind::integer:
        case node::kind::number:
            return plain_text(n);
        default:
            return std::string(kind_name(n.type));
    }
}

}  // namespace

section::section(report& r, const node& table, std::string path, unsigned line)
    : report_(r), table_(table), path_(std::move(path)), line_(line)
{}

const entry* section::find(std::string_view key)
{
    if (std::find(known_.begin(), known_.end(), key) == known_.end())
        known_.push_back(key);
    return table_.find(key);
}

bool section::is_explicit(std::string_view key)
{
    const entry* e = find(key);
    return e != nullptr && !e->value.is_default;
}

unsigned section::line_of(std::string_view key) const
{
    const entry* e = table_.find(key);
    return e != nullptr ? e->line : line_;
}

void section::error(std::string_view key, std::string message)
{
    const entry* e = table_.find(key);
    if (e != nullptr && e->value.is_default)
        message += " (set by the profile)";
    report_.error(line_of(key), name_of(key), std::move(message));
}

void section::warning(std::string_view key, std::string message)
{
    report_.warning(line_of(key), name_of(key), std::move(message));
}

void section::wrong(const entry& e, std::string_view expected)
{
    error(e.key, "found " + shown(e.value) + "; expected " + std::string(expected));
}

bool section::read(std::string_view key, bool& out)
{
    const entry* e = find(key);
    if (e == nullptr)
        return false;
    if (e->value.type != node::kind::boolean)
    {
        wrong(*e, "true or false, without quotes");
        return false;
    }
    out = e->value.truth;
    return true;
}

bool section::read(std::string_view key, std::string& out)
{
    const entry* e = find(key);
    if (e == nullptr)
        return false;
    if (e->value.type != node::kind::string)
    {
        bool scalar = e->value.type != node::kind::array && e->value.type != node::kind::table;
        wrong(*e, scalar ? "a string in quotes" : "one string");
        return false;
    }
    // NUL would end a path or a name early in the C interfaces below.
    if (e->value.text.find('\0') != std::string::npos)
    {
        wrong(*e, "text without a NUL character");
        return false;
    }
    out = e->value.text;
    return true;
}

std::string section::expected_duration(std::chrono::milliseconds low, std::chrono::milliseconds high) const
{
    return "a duration from " + format_duration(low) + " to " + format_duration(high) +
           " in quotes, such as \"10s\", \"5m\", \"24h\" or \"90d\"";
}

bool section::read_duration(std::string_view key,
                            std::chrono::milliseconds& out,
                            std::chrono::milliseconds low,
                            std::chrono::milliseconds high,
                            std::string_view or_else)
{
    const entry* e = find(key);
    if (e == nullptr)
        return false;
    auto value = e->value.type == node::kind::string ? parse_duration(e->value.text) : std::nullopt;
    if (!value || *value < low || *value > high)
    {
        wrong(*e, expected_duration(low, high) + std::string(or_else));
        return false;
    }
    out = *value;
    return true;
}

bool section::read_size(std::string_view key, std::uint64_t& out, std::uint64_t low, std::uint64_t high)
{
    const entry* e = find(key);
    if (e == nullptr)
        return false;
    auto value = e->value.type == node::kind::string ? parse_size(e->value.text) : std::nullopt;
    if (!value || *value < low || *value > high)
    {
        wrong(*e,
              "a size from " + size_text(low) + " to " + size_text(high) +
                  " in quotes, such as \"8KiB\" or \"20GiB\"");
        return false;
    }
    out = *value;
    return true;
}

bool section::read_integer(std::string_view key, std::int64_t& out, std::int64_t low, std::int64_t high)
{
    const entry* e = find(key);
    if (e == nullptr)
        return false;
    if (e->value.type != node::kind::integer || e->value.integer < low || e->value.integer > high)
    {
        wrong(*e,
              "an integer from " + std::to_string(low) + " to " + std::to_string(high) + ", without quotes");
        return false;
    }
    out = e->value.integer;
    return true;
}

bool section::read_strings(std::string_view key, std::vector<text_at>& out)
{
    const entry* e = find(key);
    if (e == nullptr)
        return false;
    if (e->value.type != node::kind::array)
    {
        wrong(*e, "a list of strings, such as [\"a\", \"b\"]");
        return false;
    }
    bool right = true;
    std::vector<text_at> texts;
    for (const node& element : e->value.elements)
    {
        if (element.type == node::kind::string && element.text.find('\0') == std::string::npos)
            texts.push_back({element.text, element.is_default ? e->line : element.line});
        else
        {
            report_.error(
                element.line, name_of(key), "found " + shown(element) + "; expected strings in quotes");
            right = false;
        }
    }
    if (right)
        out = std::move(texts);
    return right;
}

std::optional<std::size_t> section::choice_index(std::string_view key,
                                                 const std::vector<std::string_view>& words)
{
    const entry* e = find(key);
    if (e == nullptr)
        return std::nullopt;
    if (e->value.type == node::kind::string)
    {
        auto at = std::find(words.begin(), words.end(), e->value.text);
        if (at != words.end())
            return static_cast<std::size_t>(at - words.begin());
        error(key,
              "found " + in_quotes(e->value.text) + "; expected " + one_of(words) +
                  did_you_mean(e->value.text, words));
        return std::nullopt;
    }
    wrong(*e, one_of(words) + " in quotes");
    return std::nullopt;
}

std::optional<section> section::subsection(std::string_view key)
{
    const entry* e = find(key);
    if (e == nullptr)
        return std::nullopt;
    if (e->value.type != node::kind::table)
    {
        std::string expected =
            path_.empty() ? "a section [" + std::string(key) + "]" : "a table such as { name = value, .. }";
        wrong(*e, expected);
        return std::nullopt;
    }
    return std::optional<section>(std::in_place, report_, e->value, name_of(key), e->line);
}

std::vector<section> section::list(std::string_view key)
{
    std::vector<section> answer;
    const entry* e = find(key);
    if (e == nullptr)
        return answer;
    std::string brackets = "[[" + std::string(key) + "]]";
    if (e->value.type == node::kind::table)
    {
        error(key,
              "found one section [" + std::string(key) + "]; expected " + brackets +
                  " with two brackets, once for each");
        return answer;
    }
    if (e->value.type != node::kind::array)
    {
        wrong(*e, "sections " + brackets);
        return answer;
    }
    for (const node& element : e->value.elements)
    {
        if (element.type == node::kind::table)
            answer.emplace_back(report_, element, name_of(key), element.line);
        else
            report_.error(
                element.line, name_of(key), "found " + shown(element) + "; expected sections " + brackets);
    }
    return answer;
}

void section::finish()
{
    for (const entry& member : table_.members)
    {
        if (std::find(known_.begin(), known_.end(), member.key) != known_.end())
            continue;
        // The value is not shown: it may be a secret that was put into the wrong place.
        std::string where = path_.empty() ? "this file" : "[" + path_ + "]";
        std::string hint = did_you_mean(member.key, known_);
        if (hint.empty())
        {
            auto sorted = known_;
            std::sort(sorted.begin(), sorted.end());
            hint = "; known are ";
            for (std::size_t i = 0; i < sorted.size(); ++i)
                hint += (i > 0 ? ", " : "") + std::string(sorted[i]);
        }
        report_.error(
            member.line, name_of(text::printable(member.key, 80)), "unknown key in " + where + hint);
    }
}

}  // namespace dtbridge::config
