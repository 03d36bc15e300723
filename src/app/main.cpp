/// The commands' entry: finds the command, runs it, turns what it throws into words and an exit status.
/// Decides nothing.

#include <exception>
#include <iostream>
#include <string>
#include <string_view>

#include "app/command.hpp"
#include "app/host.hpp"

namespace
{

using namespace dtbridge::app;

void print_usage(std::ostream& out)
{
    out << "dtbridge forwards Darktrace model breaches to SIEM collectors.\n\nusage: dtbridge COMMAND "
           "[options]\n\n";
    for (const auto& c : commands())
        out << "  " << c.name << std::string(c.name.size() < 13 ? 13 - c.name.size() : 1, ' ') << c.summary
            << '\n';
    out << "\n`dtbridge COMMAND --help` lists a command's options. All take --config.\n";
}

}  // namespace

int main(int argc, char** argv)
{
    std::ios::sync_with_stdio(false);
    forbid_cores();
    const std::string_view name = argc > 1 ? argv[1] : "";
    if (name.empty())
    {
        print_usage(std::cerr);
        return exit_wrong_usage;
    }
    if (name == "--help" || name == "-h" || name == "help")
    {
        print_usage(std::cout);
        return exit_done;
    }
    try
    {
        const std::string_view wanted = name == "--version" ? "version" : name;
        for (const auto& c : commands())
        {
            if (c.name == wanted)
                return c.run(arguments(argv + 2, argv + argc));
        }
        throw usage_error("unknown command '" + std::string(name) + "'; `dtbridge --help` lists them");
    }
    catch (const usage_error& e)
    {
        std::cerr << "dtbridge: " << e.what() << '\n';
        return exit_wrong_usage;
    }
    catch (const std::exception& e)
    {
        std::cerr << "dtbridge: " << e.what() << '\n';
        return exit_not_right;
    }
}
