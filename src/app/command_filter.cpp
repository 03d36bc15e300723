#include <iostream>
#include <memory>

#include <boost/json/serialize.hpp>
#include <boost/json/string_view.hpp>
#include <boost/json/value.hpp>

#include <dtbridge/core/breach.hpp>
#include <dtbridge/core/text.hpp>
#include <dtbridge/deliver/throttles.hpp>
#include <dtbridge/rules/policy.hpp>

#include "app/breach_input.hpp"
#include "app/commands.hpp"
#include "app/load_config.hpp"
#include "app/options.hpp"

namespace dtbridge::app
{

namespace
{

std::string quoted(std::string_view s)
{
    return boost::json::serialize(boost::json::value(text::to_valid_utf8(s)));
}

rules::policy load_rules(const std::string& file)
{
    auto loaded = rules::load_file(file, file);
    for (const auto& p : loaded.problems)
        std::cerr << config::to_line(p) << '\n';
    if (!loaded.ok)
        throw action_error(file + " cannot be used");
    return std::move(loaded.value);
}

}  // namespace

int filter(const arguments& args)
{
    const auto said = parse(args, "filter", {{"rules", "F", "mapping file, TOML or CSV", true}}, 1);
    if (!said)
        return exit_done;
    const auto policy = std::make_shared<const rules::policy>(load_rules(said->get("rules")));
    deliver::throttles throttles;  // start empty, and count on the times of the input (product.md 5)
    throttles.follow(policy);
    std::string line;
    const auto print = [&](const breach& b, const breach_key& key) {
        auto d = policy->decide(b);
        if (d.forward && throttles.any())
        {
            if (const auto by = throttles.ask(b, "", key.created, d.always))
            {
                d.forward = false;
                d.reason = deliver::describe(policy->throttles()[*by], policy->file()) + " holds it back";
            }
            else
            {
                throttles.passed();
            }
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
