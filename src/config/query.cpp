#include <algorithm>
#include <map>

#include <dtbridge/core/decimal.hpp>
#include <dtbridge/core/text.hpp>

#include "config/checks.hpp"

namespace dtbridge::config
{

namespace
{

enum class treatment { free, warned, refused };
enum class value_kind { boolean, integer, fraction, text, platforms };

struct parameter
{
    std::string_view name;
    treatment how;
    value_kind kind;
    std::string_view why;  ///< of a warning or refusal
};

constexpr std::string_view bridge_sets_window =
    "the bridge sets the time window of every request itself (section 3 of the manual: Polling)";

// product.md 2, [master.query]; what the parameters do: darktrace.md 2.3.
constexpr parameter parameters[] = {
    {"includeacknowledged", treatment::free, value_kind::boolean, ""},
    {"includesuppressed", treatment::free, value_kind::boolean, ""},
    {"minimal", treatment::free, value_kind::boolean, ""},
    {"deviceattop", treatment::free, value_kind::boolean, ""},
    {"fulldevicedetails", treatment::free, value_kind::boolean, ""},
    {"expandenums", treatment::free, value_kind::boolean, ""},
    {"historicmodelonly", treatment::free, value_kind::boolean, ""},
    {"includebreachurl", treatment::free, value_kind::boolean, ""},
    {"uuid", treatment::warned, value_kind::text, "only breaches of this model are archived"},
    {"pid", treatment::warned, value_kind::integer, "only breaches of this model are archived"},
    {"did", treatment::warned, value_kind::integer, "only breaches of this device are archived"},
    {"minscore", treatment::warned, value_kind::fraction, "breaches under this score are never archived"},
    {"saasonly", treatment::warned, value_kind::boolean, "only SaaS breaches are archived"},
    {"saasfilter", treatment::warned, value_kind::platforms, "only breaches of these platforms are archived"},
    {"starttime", treatment::refused, value_kind::text, bridge_sets_window},
    {"endtime", treatment::refused, value_kind::text, bridge_sets_window},
    {"from", treatment::refused, value_kind::text, bridge_sets_window},
    {"to", treatment::refused, value_kind::text, bridge_sets_window},
    {"creationtime",
     treatment::refused,
     value_kind::text,
     "the key window of the master chooses between creation and activity"},
    {"pbid",
     treatment::refused,
     value_kind::text,
     "it asks for single breaches, so that all others would never be seen"},
    {"group",
     treatment::refused,
     value_kind::text,
     "it replaces the breach's score by the device's, and every threshold would compare the wrong number"},
    {"responsedata",
     treatment::refused,
     value_kind::text,
     "it leaves out fields that the archive, the rules and the formats need"},
};

// RFC 3986 2.3. Other characters would have to be encoded, and appliances differ in whether they check the
// signature over the encoded or the decoded text (darktrace.md 2.1).
bool unreserved(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

bool all_unreserved(std::string_view s)
{
    return !s.empty() && s.size() <= 256 && std::all_of(s.begin(), s.end(), unreserved);
}

/// A platform of saasfilter, which may end in its wildcard: '*' stands bare in a query (RFC 3986 3.4).
bool is_platform(std::string_view s)
{
    if (!s.empty() && s.back() == '*')
        s.remove_suffix(1);
    return all_unreserved(s);
}

using query = std::vector<std::pair<std::string, std::string>>;

bool read_value(section& s, const entry& e, const parameter& p, query& out)
{
    const node& v = e.value;
    switch (p.kind)
    {
        case value_kind::boolean:
            if (v.type == node::kind::boolean)
            {
                out.emplace_back(p.name, v.text);
                return true;
            }
            s.wrong(e, "true or false, without quotes");
            return false;
        case value_kind::integer:
            if (v.type == node::kind::integer)
            {
                out.emplace_back(p.name, plain_text(v));
                return true;
            }
            s.wrong(e, "an integer, without quotes");
            return false;
        case value_kind::fraction: {
            bool number =
                v.type == node::kind::integer || v.type == node::kind::number || v.type == node::kind::string;
            auto value = number ? decimal::parse(plain_text(v)) : std::nullopt;
            if (value && !(*value < *decimal::parse("0")) && !(*decimal::parse("1") < *value))
            {
                out.emplace_back(p.name, value->text());
                return true;
            }
            s.wrong(e, "a number from 0 to 1");
            return false;
        }
        case value_kind::text:
            if (v.type == node::kind::string && all_unreserved(v.text))
            {
                out.emplace_back(p.name, v.text);
                return true;
            }
            s.wrong(e,
                    "a string of letters, digits and - . _ ~, because the request is signed as it is sent");
            return false;
        case value_kind::platforms: {
            std::vector<std::string> platforms;
            if (v.type == node::kind::string)
                platforms.push_back(v.text);
            else if (v.type == node::kind::array)
                for (const node& element : v.elements)
                    platforms.push_back(element.type == node::kind::string ? element.text : std::string());
            if (!platforms.empty() && std::all_of(platforms.begin(), platforms.end(), is_platform))
            {
                for (std::string& platform : platforms)
                    out.emplace_back(p.name, std::move(platform));
                return true;
            }
            s.wrong(e,
                    "a platform such as \"office365*\" or a list of them, of letters, digits and - . _ ~, "
                    "with * at the end only");
            return false;
        }
    }
    return false;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> default_query()
{
    return {{"deviceattop", "true"},
            {"includeacknowledged", "true"},
            {"includebreachurl", "true"},
            {"includesuppressed", "true"},
            {"minimal", "false"}};
}

void check_query(section s, poll::master_options& out, std::optional<unsigned>& minimal_line)
{
    query given;
    for (const parameter& p : parameters)
    {
        // The guide of 2018 spells it so; appliances ignore that name in silence (darktrace.md 1.2).
        bool old_name = p.name == "deviceattop" && s.is_set("deviceatop");
        if (old_name)
        {
            if (s.is_set("deviceattop"))
            {
                s.error("deviceatop",
                        "an old spelling of deviceattop, which is set too; expected only deviceattop");
                old_name = false;
            }
            else
                s.warning("deviceatop",
                          "taken for deviceattop, which is how appliances spell it; write deviceattop");
        }
        const entry* e = s.find(old_name ? std::string_view("deviceatop") : p.name);
        if (e == nullptr)
            continue;
        if (p.how == treatment::refused)
        {
            s.error(p.name,
                    "this parameter is refused: " + std::string(p.why) + "; expected it to be left out");
            continue;
        }
        if (!read_value(s, *e, p, given))
            continue;
        if (p.how == treatment::warned && !(p.name == "saasonly" && !e->value.truth))
            s.warning(
                p.name,
                "narrows the archive: " + std::string(p.why) + ", and replay cannot bring the others back");
        if (p.name == "includeacknowledged" && !e->value.truth)
            s.warning(p.name,
                      "false narrows the archive: breaches that were acknowledged before a poll saw them are "
                      "lost to it");
        if (p.name == "includesuppressed" && !e->value.truth)
            s.warning(p.name, "false narrows the archive: suppressed breaches are never archived");
        if (p.name == "minimal" && e->value.truth)
            minimal_line = e->line;
    }
    s.finish();
    for (const auto& [name, value] : default_query())
    {
        const std::string& wanted = name;
        if (std::none_of(given.begin(), given.end(), [&wanted](const auto& g) { return g.first == wanted; }))
            given.emplace_back(name, value);
    }
    // Sorted, so that requests, signatures and problems look the same whatever the order in the file.
    std::stable_sort(
        given.begin(), given.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    out.query = std::move(given);
}

}  // namespace dtbridge::config
