#include "app/options.hpp"

#include <algorithm>
#include <charconv>
#include <iostream>

#include <boost/program_options.hpp>

#include "app/examples.hpp"

namespace dtbridge::app
{

namespace po = boost::program_options;

bool parsed::has(std::string_view name) const
{
    return std::any_of(values_.begin(), values_.end(), [name](const auto& v) { return v.first == name; });
}

std::string parsed::get(std::string_view name, std::string_view fallback) const
{
    for (const auto& [key, value] : values_)
    {
        if (key == name)
            return value;
    }
    return std::string(fallback);
}

std::string parsed::config() const
{
    return get("config", default_config);
}

namespace
{

const command* find_command(std::string_view name)
{
    for (const auto& c : commands())
    {
        if (c.name == name)
            return &c;
    }
    return nullptr;
}

void print_help(std::string_view name, const po::options_description& description)
{
    if (const auto* c = find_command(name))
        std::cout << "usage: dtbridge " << c->name << ' ' << c->synopsis << "\n\n" << c->summary << "\n\n";
    std::cout << description;
    if (const auto example = example_of(name); !example.empty())
        std::cout << "\nexample:\n  " << example << '\n';
}

}  // namespace

std::optional<parsed> parse(const arguments& args,
                            std::string_view command_name,
                            const std::vector<option>& known,
                            std::size_t max_positional)
{
    po::options_description visible("options");
    auto add = visible.add_options();
    for (const auto& o : known)
    {
        if (o.value.empty())
            add(o.name.c_str(), o.description.c_str());
        else
            add(o.name.c_str(), po::value<std::string>()->value_name(o.value), o.description.c_str());
    }
    add("config",
        po::value<std::string>()->value_name("F"),
        "configuration file (/etc/dtbridge/dtbridge.toml)");
    add("help", "prints this");
    po::options_description all;
    all.add(visible);
    all.add_options()("positional", po::value<std::vector<std::string>>());
    po::positional_options_description places;
    places.add("positional", -1);

    po::variables_map found;
    try
    {
        // No abbreviations: scripts that use one would break when an option is added.
        const int style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
        po::store(po::command_line_parser(args).options(all).positional(places).style(style).run(), found);
    }
    catch (const po::error& e)
    {
        throw usage_error(std::string(e.what()) + "; `dtbridge " + std::string(command_name) +
                          " --help` lists the options");
    }
    if (found.count("help") > 0)
    {
        print_help(command_name, visible);
        return std::nullopt;
    }
    parsed answer;
    for (const auto& [name, value] : found)
    {
        if (name == "positional")
            answer.positional_ = value.as<std::vector<std::string>>();
        else
            answer.values_.emplace_back(
                name, value.value().type() == typeid(std::string) ? value.as<std::string>() : "");
    }
    for (const auto& o : known)
    {
        if (o.required && !answer.has(o.name))
            throw usage_error("--" + o.name + " is missing; `dtbridge " + std::string(command_name) +
                              " --help` lists the options");
    }
    if (answer.positional_.size() > max_positional)
        throw usage_error("'" + answer.positional_[max_positional] + "' is one argument too many");
    return answer;
}

std::int64_t to_pbid(const std::string& text)
{
    std::int64_t n = 0;
    const auto end = std::from_chars(text.data(), text.data() + text.size(), n);
    if (end.ec != std::errc() || end.ptr != text.data() + text.size())
        throw usage_error("--pbid is a number, not '" + text + "'");
    return n;
}

}  // namespace dtbridge::app
