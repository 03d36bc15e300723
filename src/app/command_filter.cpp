#include <iostream>
#include <memory>

#include <boost/json/serialize.hpp>
#include <boost/json/string_view.hpp>
#include <boost/json/value.hpp>

#include <dtbridge/core/breach.hpp>
#include <dtbridge/core/text.hpp>
#include <dtbridge/rules/policy.hpp>

#include "app/breach_input.hpp"
#include "app/breach_labels.hpp"
#include "app/commands.hpp"
#include "app/load_config.hpp"
#include "app/options.hpp"
#include "app/policy_file.hpp"
#include "app/throttle_gate.hpp"

namespace dtbridge::app
{

namespace
{

std::string quoted(std::string_view s)
{
    return boost::json::serialize(boost::json::value(text::to_valid_utf8(s)));
}

}  // namespace

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
               ",\"reason\":" + quoted(d.reason) + ",\"created\":" + std::to_string(key.created) +
               ",\"model\":" + quoted(model_path(string_member(b.then, "name"))) +
               ",\"score\":" + (b.score ? b.score->text() : "null");
        if (d.severity)
            line += ",\"severity\":" + std::to_string(*d.severity);
        if (d.labels != nullptr && !d.labels->empty())
        {
            line += ",\"labels\":{";
            for (std::size_t i = 0; i < d.labels->size(); ++i)
                line +=
                    (i == 0 ? "" : ",") + quoted((*d.labels)[i].first) + ":" + quoted((*d.labels)[i].second);
            line += "}";
        }
        line += "}\n";
        std::cout << line;
        return std::string();
    };
    return print_each_breach(said->positional().empty() ? "" : said->positional().front(), print);
}

}  // namespace dtbridge::app
