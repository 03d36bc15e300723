#include <web/query.hpp>

#include <algorithm>

#include <dtbridge/core/text.hpp>

namespace dtbridge::web
{

namespace
{

constexpr std::size_t most_parameters = 16;
constexpr std::size_t most_bytes = 1000;

/// Nothing where a % is not followed by two digits, or what comes out is no plain text.
std::optional<std::string> decode(std::string_view s)
{
    std::string spaced(s);
    std::replace(spaced.begin(), spaced.end(), '+', ' ');
    auto out = text::percent_decoded(spaced);
    if (!out)
        return std::nullopt;
    const bool plain =
        std::all_of(out->begin(), out->end(), [](unsigned char c) { return c >= 0x20 && c != 0x7f; });
    if (!plain || out->size() > most_bytes || !text::is_valid_utf8(*out))
        return std::nullopt;
    return out;
}

}  // namespace

outcome<parameters> parameters::parse(std::string_view query)
{
    parameters p;
    while (!query.empty())
    {
        const auto end = std::min(query.find('&'), query.size());
        const auto one = query.substr(0, end);
        query.remove_prefix(std::min(end + 1, query.size()));
        if (one.empty())
            continue;
        const auto equals = std::min(one.find('='), one.size());
        auto name = decode(one.substr(0, equals));
        auto value = decode(equals < one.size() ? one.substr(equals + 1) : std::string_view());
        if (!name || !value)
            return fail(errc::malformed, "the query is not right: text in UTF-8 with %XX is wanted");
        if (name->empty())
            return fail(errc::malformed, "the query is not right: a parameter has no name");
        if (p.find(*name))
            return fail(errc::malformed, "the parameter " + text::printable(*name) + " is given twice");
        if (p.all_.size() == most_parameters)
            return fail(errc::over_limit, "the query has too many parameters");
        p.all_.emplace_back(std::move(*name), std::move(*value));
    }
    return p;
}

std::optional<std::string> parameters::find(std::string_view name) const
{
    const auto at = std::find_if(all_.begin(), all_.end(), [&](const auto& p) { return p.first == name; });
    if (at == all_.end())
        return std::nullopt;
    return at->second;
}

std::string parameters::unknown(std::initializer_list<std::string_view> known) const
{
    for (const auto& [name, value] : all_)
    {
        if (std::find(known.begin(), known.end(), name) == known.end())
            return name;
    }
    return {};
}

}  // namespace dtbridge::web
