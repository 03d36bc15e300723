#include <dtbridge/web/exposition.hpp>

#include <charconv>
#include <cmath>

#include <dtbridge/core/text.hpp>

namespace dtbridge::web
{

namespace
{

/// Of a label value; HELP has no quotes to escape, and escaping them there does no harm to what is ours.
std::string escaped(std::string_view s)
{
    std::string out;
    for (const char c : text::to_valid_utf8(s))
    {
        if (c == '\n')
            out += "\\n";
        else if (c == '"' || c == '\\')
            (out += '\\') += c;
        else
            out += c;
    }
    return out;
}

}  // namespace

std::string exposition::number(double value)
{
    if (std::isnan(value))
        return "NaN";
    if (std::isinf(value))
        return value > 0 ? "+Inf" : "-Inf";
    char digits[40];
    const auto end = std::to_chars(digits, digits + sizeof digits, value);
    return {digits, end.ptr};
}

exposition& exposition::metric(std::string_view name, type t, std::string_view help)
{
    name_ = name;
    const std::string_view kind = t == type::counter ? "counter" : t == type::gauge ? "gauge" : "histogram";
    text_.append("# HELP ").append(name).append(" ").append(help).append("\n# TYPE ");
    text_.append(name).append(" ").append(kind).append("\n");
    return *this;
}

void exposition::line(std::string_view suffix, labels l, std::string_view value)
{
    text_.append(name_).append(suffix);
    char before = '{';
    for (const auto& [name, v] : l)
    {
        text_ += before;
        text_.append(name).append("=\"").append(escaped(v)).append("\"");
        before = ',';
    }
    text_.append(before == ',' ? "} " : " ").append(value).append("\n");
}

exposition& exposition::sample(labels l, double value)
{
    line("", l, number(value));
    return *this;
}

exposition& exposition::sample(labels l, std::int64_t value)
{
    line("", l, std::to_string(value));
    return *this;
}

exposition& exposition::sample(labels l, std::uint64_t value)
{
    line("", l, std::to_string(value));
    return *this;
}

}  // namespace dtbridge::web
