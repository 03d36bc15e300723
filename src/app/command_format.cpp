#include <iostream>
#include <optional>

#include <unistd.h>

#include <dtbridge/core/breach.hpp>
#include <dtbridge/format/formatter.hpp>

#include "app/breach_input.hpp"
#include "app/breach_labels.hpp"
#include "app/commands.hpp"
#include "app/host.hpp"
#include "app/load_config.hpp"
#include "app/options.hpp"

namespace dtbridge::app
{

namespace
{

/// Everything that turns a breach into a message, from flags or from a destination of the configuration.
struct recipe
{
    format::options options;
    format::field_map fields;
    format::master_info master;
    std::shared_ptr<const rules::policy> policy;        ///< null: every breach
    std::shared_ptr<const rules::inventory> inventory;  ///< null: none
};

format::field_map load_fields(const format::options& o, const std::string& file)
{
    if (o.format == format::kind::json)
        return {};
    auto map =
        format::load_field_map(o.format, file, file.empty() ? "built-in field map" : file, o.cef_version);
    for (const auto& p : map.problems)
        std::cerr << config::to_line(p) << '\n';
    if (!map.ok)
        throw action_error(file + " cannot be used");
    return std::move(map.value);
}

format::kind to_format(const std::string& name)
{
    if (name == "json")
        return format::kind::json;
    if (name == "cef")
        return format::kind::cef;
    if (name == "leef")
        return format::kind::leef;
    throw usage_error("--format is json, cef or leef, not '" + name + "'");
}

format::header_kind to_header(const std::string& name)
{
    if (name == "rfc5424")
        return format::header_kind::rfc5424;
    if (name == "rfc3164")
        return format::header_kind::rfc3164;
    if (name == "none")
        return format::header_kind::none;
    throw usage_error("--header is rfc5424, rfc3164 or none, not '" + name + "'");
}

recipe from_flags(const parsed& said)
{
    recipe r;
    r.options.format = to_format(said.get("format"));
    const bool json = r.options.format == format::kind::json;
    r.options.header = to_header(said.get("header", json ? "rfc5424" : "rfc3164"));
    if (said.has("fields") && r.options.format == format::kind::json)
        throw usage_error("--fields goes with cef and leef; json has the breach's own members");
    r.fields = load_fields(r.options, said.get("fields"));
    r.master.name = said.get("master", "master");
    r.master.url = said.get("url", "https://" + r.master.name);
    while (!r.master.url.empty() && r.master.url.back() == '/')
        r.master.url.pop_back();
    return r;
}

recipe from_destination(const parsed& said)
{
    for (const auto* flag : {"format", "fields", "header", "url"})
    {
        if (said.has(flag))
            throw usage_error(std::string("--") + flag +
                              " does not go with --destination, which has its own");
    }
    const auto c = load_config(said.config(), true);
    const auto& d = find_destination(c, said.get("destination"));
    if (d.options.masters.empty() && !said.has("master"))
        throw usage_error("destination '" + d.options.name + "' serves no master of " + c.file +
                          "; a message needs one for its name");
    recipe r;
    r.options = d.options.format;
    r.fields = load_fields(r.options, d.options.fields_file);
    r.policy = d.policy;
    r.master =
        to_master_info(find_master(c, said.has("master") ? said.get("master") : d.options.masters.front()));
    r.inventory = inventory_of(c, r.master.name);
    return r;
}

}  // namespace

int format_breaches(const arguments& args)
{
    const auto said =
        parse(args,
              "format",
              {{"format", "KIND", "json, cef or leef"},
               {"fields", "F", "field map (the built-in one)"},
               {"header", "H", "rfc5424, rfc3164 or none (rfc3164 for cef and leef, rfc5424 for json)"},
               {"master", "NAME", "name of the master to show (master)"},
               {"url", "URL", "the master's URL, for breach links (https://NAME)"},
               {"destination", "D", "as this destination of the configuration would get it"}},
              1);
    if (!said)
        return exit_done;
    if (said->has("format") == said->has("destination"))
        throw usage_error("give --format or --destination, one of the two");
    auto r = said->has("destination") ? from_destination(*said) : from_flags(*said);
    const auto master = r.master;
    format::formatter formatter(r.options, std::move(r.fields), host_name());

    std::string message;
    const auto print = [&](const breach& b, const breach_key& key) -> std::string {
        const auto known = rules::known_of(b, &master.labels, r.inventory.get());
        rules::decision decision;
        decision.inventory = known.inventory;
        if (r.policy)
            decision = r.policy->decide(b, known);
        if (!decision.forward && !r.options.mark_held_back)
            return {};
        message.clear();
        if (formatter.message(b, master, decision, message) == format::verdict::undeliverable)
            return "pbid " + std::to_string(key.pbid) + " cannot be made to fit max_message";
        message += '\n';
        std::cout << message;
        return {};
    };
    return print_each_breach(said->positional().empty() ? "" : said->positional().front(), print);
}

}  // namespace dtbridge::app
