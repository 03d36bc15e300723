#include "config/profile.hpp"

#include <algorithm>
#include <span>

#include <dtbridge/config/configuration.hpp>

namespace dtbridge::config
{

namespace profiles
{
std::span<const std::pair<std::string_view, std::string_view>> embedded_files();
}

namespace
{

constexpr std::string_view suffix = ".toml";

void mark(node& n, unsigned line)
{
    n.is_default = true;
    n.line = line;
    for (node& element : n.elements)
        mark(element, line);
    for (entry& member : n.members)
    {
        member.line = line;
        mark(member.value, line);
    }
}

/// Adds what into lacks; tables are merged key by key.
void add_missing(node& into, const node& from)
{
    for (const entry& member : from.members)
    {
        auto at = std::find_if(
            into.members.begin(), into.members.end(), [&](const entry& e) { return e.key == member.key; });
        if (at == into.members.end())
            into.members.push_back(member);
        // A severity map is one value: { Critical = 9 } of the file is not mixed with the profile's rows.
        else if (member.key != "severity" && at->value.type == node::kind::table &&
                 member.value.type == node::kind::table)
            add_missing(at->value, member.value);
    }
}

std::string text_of(const node& table, std::string_view key, std::string_view fallback)
{
    const entry* e = table.find(key);
    return e != nullptr && e->value.type == node::kind::string ? e->value.text : std::string(fallback);
}

}  // namespace

std::vector<std::string> profile_names()
{
    std::vector<std::string> names;
    for (const auto& [file, text] : profiles::embedded_files())
        names.emplace_back(file.substr(0, file.size() - suffix.size()));
    std::sort(names.begin(), names.end());
    return names;
}

std::string_view profile_text(std::string_view name)
{
    for (const auto& [file, text] : profiles::embedded_files())
        if (file.substr(0, file.size() - suffix.size()) == name)
            return text;
    return {};
}

node with_profile(section& destination, std::string& profile_name)
{
    node merged = destination.table();
    if (!destination.read("profile", profile_name) || profile_name.empty())
        return merged;
    std::string_view text = profile_text(profile_name);
    if (text.empty())
    {
        auto names = profile_names();
        std::vector<std::string_view> views(names.begin(), names.end());
        destination.error("profile",
                          "found " + in_quotes(profile_name) + "; expected \"\" or " + one_of(views) +
                              did_you_mean(profile_name, views));
        return merged;
    }
    node profile = parse_toml(text).root;
    mark(profile, destination.line_of("profile"));
    node conditional;
    if (const entry* on = profile.find("on"))
        conditional = on->value;
    std::erase_if(profile.members, [](const entry& e) { return e.key == "on"; });
    // The transport and format in use: the file's, else the profile's, else the built-in ones.
    std::string transport = text_of(merged, "transport", text_of(profile, "transport", "tls"));
    std::string format = text_of(merged, "format", text_of(profile, "format", "json"));
    for (const std::string& condition : {transport + '-' + format, transport, format})
        if (const entry* layer = conditional.find(condition))
            add_missing(merged, layer->value);
    add_missing(merged, profile);
    return merged;
}

}  // namespace dtbridge::config
