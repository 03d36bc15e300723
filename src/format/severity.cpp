#include "format/severity.hpp"

#include <dtbridge/core/text.hpp>

#include <algorithm>
#include <optional>

namespace dtbridge::format
{
namespace
{

constexpr int unknown_severity = 5;
constexpr int most_for_context = 3;

std::optional<std::int64_t> priority_of(const breach& b)
{
    std::int64_t p = 0;
    if (b.then.find("priority").integer(p))
        return p;
    return {};
}

int by_category(std::string_view category)
{
    if (text::iequals(category, "Informational"))
        return 3;
    if (text::iequals(category, "Compliance"))
        return 4;
    if (text::iequals(category, "Suspicious"))
        return 6;
    if (text::iequals(category, "Critical"))
        return 10;
    return unknown_severity;
}

int by_priority(std::optional<std::int64_t> priority)
{
    constexpr int of[] = {1, 2, 3, 4, 7, 10};
    if (!priority || *priority < 0 || *priority > 5)
        return unknown_severity;
    return of[*priority];
}

int by_table(const std::vector<std::pair<std::string, int>>& table, const breach& b)
{
    auto category = model_category(b.then);
    for (const auto& [key, severity] : table)
    {
        if (!category.empty() && text::iequals(key, category))
            return severity;
    }
    auto priority = priority_of(b);
    if (!priority || *priority < 0 || *priority > 9)
        return unknown_severity;
    const char digit = static_cast<char>('0' + *priority);
    for (const auto& [key, severity] : table)
    {
        if (key.size() == 1 && key.front() == digit)
            return severity;
    }
    return unknown_severity;
}

int by_map(const severity_map& by, const breach& b)
{
    switch (by.by)
    {
        case severity_map::mode::score:
            return b.score ? b.score->scaled_half_up(1, 1, 10) : unknown_severity;
        case severity_map::mode::category:
            return by_category(model_category(b.then));
        case severity_map::mode::priority:
            return by_priority(priority_of(b));
        case severity_map::mode::table:
            break;
    }
    return by_table(by.table, b);
}

}  // namespace

int severity_of(const severity_map& by, const breach& b, const rules::decision& said)
{
    int s = said.severity ? *said.severity : by_map(by, b);
    s = std::clamp(s, 1, 10);  // product.md 6: 1 to 10, though C5 knows a 0
    return said.forward ? s : std::min(s, most_for_context);
}

}  // namespace dtbridge::format
