#include <iostream>

#include "app/command.hpp"
#include "app/commands.hpp"
#include "app/load_config.hpp"
#include "app/options.hpp"

namespace dtbridge::app
{

int check(const arguments& args)
{
    const auto said =
        parse(args, "check", {{"connect", "", "also signs in to masters and shakes hands (not built yet)"}});
    if (!said)
        return exit_done;
    if (said->has("connect"))
        throw usage_error("check --connect is not built yet; without it all files are checked");
    const auto c = load_config(said->config());
    std::cout << c.file << ": good: " << c.masters.size()
              << (c.masters.size() == 1 ? " master, " : " masters, ") << c.destinations.size()
              << (c.destinations.size() == 1 ? " destination" : " destinations") << '\n';
    return exit_done;
}

int profiles(const arguments& args)
{
    const auto said = parse(args, "profiles", {}, 1);
    if (!said)
        return exit_done;
    if (said->positional().empty())
    {
        for (const auto& name : config::profile_names())
            std::cout << name << '\n';
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
