#include <iostream>

#include "app/commands.hpp"
#include "app/load_config.hpp"
#include "app/options.hpp"

namespace dtbridge::app
{

namespace
{

/// The first clause of a profile's first comment: what it is for.
std::string_view summary_of(std::string_view text)
{
    if (!text.starts_with("# "))
        return {};
    text = text.substr(2, text.find('\n') - 2);
    text = text.substr(0, text.find(": "));
    text = text.substr(0, text.find(". "));
    if (text.ends_with('.'))
        text.remove_suffix(1);
    return text;
}

}  // namespace

int profiles(const arguments& args)
{
    const auto said = parse(args, "profiles", {}, 1);
    if (!said)
        return exit_done;
    if (said->positional().empty())
    {
        for (const auto& name : config::profile_names())
            std::cout << name << std::string(name.size() < 13 ? 13 - name.size() : 1, ' ')
                      << summary_of(config::profile_text(name)) << '\n';
        return exit_done;
    }
    const auto text = config::profile_text(said->positional().front());
    if (text.empty())
        throw usage_error("no profile is named '" + said->positional().front() +
                          "'; `dtbridge profiles` lists them");
    std::cout << text;
    return exit_done;
}

}  // namespace dtbridge::app
