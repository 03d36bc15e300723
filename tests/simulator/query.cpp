#include "query.hpp"

#include <charconv>

namespace simulator
{

namespace
{

int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

}  // namespace

std::string percent_decoded(std::string_view text)
{
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i)
    {
        if (text[i] == '+')
            out += ' ';
        else if (text[i] == '%' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 &&
                 hex_digit(text[i + 2]) >= 0)
        {
            out += static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
            i += 2;
        }
        else
            out += text[i];
    }
    return out;
}

request_query::request_query(std::string_view target)
{
    auto mark = target.find('?');
    path = percent_decoded(target.substr(0, mark));
    if (mark == std::string_view::npos)
        return;
    auto rest = target.substr(mark + 1);
    while (!rest.empty())
    {
        auto end = rest.find('&');
        auto pair = rest.substr(0, end);
        auto equals = pair.find('=');
        if (!pair.empty())
            parameters.emplace_back(
                percent_decoded(pair.substr(0, equals)),
                equals == std::string_view::npos ? "" : percent_decoded(pair.substr(equals + 1)));
        if (end == std::string_view::npos)
            break;
        rest.remove_prefix(end + 1);
    }
}

std::optional<std::string> request_query::get(std::string_view name) const
{
    for (auto p = parameters.rbegin(); p != parameters.rend(); ++p)
        if (p->first == name)
            return p->second;
    return std::nullopt;
}

bool request_query::flag(std::string_view name, bool otherwise) const
{
    auto value = get(name);
    return value ? *value == "true" : otherwise;
}

std::optional<std::int64_t> request_query::number(std::string_view name) const
{
    auto value = get(name);
    if (!value)
        return std::nullopt;
    std::int64_t n = 0;
    auto [end, error] = std::from_chars(value->data(), value->data() + value->size(), n);
    if (error != std::errc{} || end != value->data() + value->size())
        return std::nullopt;
    return n;
}

}  // namespace simulator
