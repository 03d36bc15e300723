#include "sized.hpp"

#include <utility>
#include <vector>

#include "json_text.hpp"

namespace simulator
{

using json_text::object;

namespace
{

constexpr std::size_t most_others = 64;
constexpr std::size_t filters_before_now_goes = 4;

/// A component in two halves: all but its filters, and these.
struct part
{
    object rest;
    std::vector<std::string> filters;
    std::size_t size = 0;  // of rest

    explicit part(std::string_view component) : rest(component)
    {
        if (const auto list = json_text::elements(rest.get("triggeredFilters")))
            for (const auto f : *list)
                filters.emplace_back(f);
        rest.set("triggeredFilters", "[]");
        size = rest.text().size();
    }
    std::string text()
    {
        std::string list = "[";
        for (const auto& f : filters)
            list += (list.size() > 1 ? "," : "") + f;
        rest.set("triggeredFilters", list + "]");
        return rest.text();
    }
};

void add_parts(std::vector<part>& parts, std::string_view breach)
{
    if (const auto list = json_text::elements(json_text::find(breach, "triggeredComponents")))
        for (const auto component : *list)
            parts.emplace_back(component);
}

std::size_t size_of(const std::vector<part>& parts)
{
    std::size_t sum = 0;
    for (const auto& p : parts)
    {
        sum += p.size + 1;
        for (const auto& f : p.filters)
            sum += f.size() + 1;
    }
    return sum;
}

}  // namespace

std::string sized(std::string_view breach,
                  std::size_t bytes,
                  const std::function<std::string(unsigned)>& another)
{
    object whole(breach);
    std::vector<part> parts;
    add_parts(parts, breach);
    if (!whole.valid() || parts.empty())
        return std::string(breach);
    whole.set("triggeredComponents", "[]");
    std::size_t around = whole.text().size();
    for (unsigned i = 0; around + size_of(parts) < bytes && i < most_others; ++i)
        add_parts(parts, another(i));
    for (std::size_t now = size_of(parts); around + now > bytes; now = size_of(parts))
    {
        auto& last = parts.back();
        if (parts.size() > 1 && last.filters.size() <= 1)
        {
            parts.pop_back();
            continue;
        }
        if (parts.size() == 1 && last.filters.size() <= filters_before_now_goes)
        {
            object model(whole.get("model"));
            if (model.has("now"))
            {
                model.remove("now");
                whole.set("model", model.text());
                around = whole.text().size();
                continue;
            }
            if (last.filters.size() <= 1)
                break;
        }
        last.filters.pop_back();
    }
    std::string list = "[";
    for (auto& p : parts)
        list += (list.size() > 1 ? "," : "") + p.text();
    whole.set("triggeredComponents", list + "]");
    return whole.text();
}

}  // namespace simulator
