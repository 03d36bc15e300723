#include "app/compact_json.hpp"

#include <algorithm>
#include <array>

#include <boost/json/serialize.hpp>
#include <boost/json/string_view.hpp>
#include <boost/json/value.hpp>

#include <dtbridge/core/text.hpp>

namespace dtbridge::app
{

namespace
{

/// Where a run of bytes that are simply copied ends.
using stops = std::array<bool, 256>;

constexpr stops stops_at(std::string_view bytes)
{
    stops at{};
    for (const char c : bytes)
        at[static_cast<unsigned char>(c)] = true;
    return at;
}

constexpr stops outside = stops_at("\" \t\r\n");
constexpr stops inside = stops_at("\"\\");

std::size_t run_end(std::string_view s, std::size_t from, const stops& at)
{
    while (from < s.size() && !at[static_cast<unsigned char>(s[from])])
        ++from;
    return from;
}

}  // namespace

void append_compact(std::string& out, std::string_view json)
{
    // What is copied is kept together until a blank has to be left out: most texts have none.
    std::size_t kept = 0;
    std::size_t i = 0;
    while ((i = run_end(json, i, outside)) < json.size())
    {
        if (json[i] != '"')
        {
            out.append(json, kept, i - kept);
            kept = ++i;
            continue;
        }
        ++i;
        while ((i = run_end(json, i, inside)) < json.size() && json[i] == '\\')
            i = std::min(i + 2, json.size());
        i = std::min(i + 1, json.size());
    }
    out.append(json, std::min(kept, json.size()));
}

std::string json_quoted(std::string_view s)
{
    return boost::json::serialize(boost::json::value(text::to_valid_utf8(s)));
}

}  // namespace dtbridge::app
