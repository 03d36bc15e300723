#include "format/item.hpp"

#include <dtbridge/core/text.hpp>

#include <charconv>

namespace dtbridge::format
{

std::string_view text_of(const item& v, std::string& scratch)
{
    switch (v.is)
    {
        case item::form::nothing:
            return {};
        case item::form::text:
            return v.text;
        case item::form::integer: {
            char digits[24];
            auto end = std::to_chars(digits, digits + sizeof digits, v.integer).ptr;
            scratch.assign(digits, end);
            return scratch;
        }
        case item::form::node:
            break;
    }
    if (!v.node.is(json::kind::array))
        return v.node.text();
    scratch.clear();
    for (json::value element : v.node)
    {
        auto t = text::trim(element.text());
        if (t.empty())
            continue;
        if (!scratch.empty())
            scratch += ',';
        scratch += t;
    }
    return scratch;
}

std::optional<std::int64_t> integer_of(const item& v)
{
    std::int64_t i = 0;
    switch (v.is)
    {
        case item::form::nothing:
            return {};
        case item::form::integer:
            return v.integer;
        case item::form::node:
            if (v.node.integer(i))
                return i;
            return {};
        case item::form::text:
            break;
    }
    auto [end, failed] = std::from_chars(v.text.data(), v.text.data() + v.text.size(), i);
    if (failed != std::errc() || end != v.text.data() + v.text.size())
        return {};
    return i;
}

}  // namespace dtbridge::format
