#include <iostream>
#include <memory>

#include <dtbridge/core/breach.hpp>
#include <dtbridge/rules/policy.hpp>

#include "app/breach_input.hpp"
#include "app/breach_labels.hpp"
#include "app/commands.hpp"
#include "app/compact_json.hpp"
#include "app/load_config.hpp"
#include "app/options.hpp"
#include "app/policy_file.hpp"
#include "app/throttle_gate.hpp"

namespace dtbridge::app
{

int filter(const arguments& args)
{
    const auto said = parse(args,
                            "filter",
                            {{"rules", "F", "mapping file, TOML or CSV", true},
                             {"master", "M", "whose breaches they are: its labels and inventory count, too"}},
                            1);
    if (!said)
        return exit_done;
    const auto policy = std::make_shared<const rules::policy>(read_policy(said->get("rules")));
    const auto master = said->get("master");
    config::configuration c;
    if (said->has("master"))
    {
        c = load_config(said->config(), true);
        find_master(c, master);
    }
    else if (policy->reads_labels())
    {
        std::cerr << "the label: keys of " << policy->file() << " match nothing without --master\n";
    }
    const breach_labels labels(c);
    throttle_gate throttles(policy);  // starts empty, and counts on the times of the input (product.md 5)
    std::string line;
    const auto print = [&](const breach& b, const breach_key& key) {
        auto d = policy->decide(b, labels.of(master, b));
        const auto by = d.forward ? throttles.hold(b, d, master, std::nullopt) : std::nullopt;
        if (by)
        {
            d.forward = false;
            d.reason = rules::throttled_reason(rules::describe(policy->throttles()[*by], policy->file()));
        }
        line = "{\"pbid\":" + std::to_string(key.pbid) + ",\"forward\":" + (d.forward ? "true" : "false") +
               ",\"reason\":" + json_quoted(d.reason) + ",\"created\":" + std::to_string(key.created) +
               ",\"model\":" + json_quoted(model_path(string_member(b.then, "name"))) +
               ",\"score\":" + (b.score ? b.score->text() : "null");
        if (d.severity)
            line += ",\"severity\":" + std::to_string(*d.severity);
        if (d.labels != nullptr && !d.labels->empty())
        {
            line += ",\"labels\":{";
            for (std::size_t i = 0; i < d.labels->size(); ++i)
                line += (i == 0 ? "" : ",") + json_quoted((*d.labels)[i].first) + ":" +
                        json_quoted((*d.labels)[i].second);
            line += "}";
        }
        line += "}\n";
        std::cout << line;
        return std::string();
    };
    return print_each_breach(said->positional().empty() ? "" : said->positional().front(), print);
}

}  // namespace dtbridge::app
