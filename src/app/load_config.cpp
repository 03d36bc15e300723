#include "app/load_config.hpp"

#include <cstdlib>
#include <iostream>

#include "app/command.hpp"

namespace dtbridge::app
{

config::environment process_environment()
{
    config::environment env;
    if (const char* folder = std::getenv("CREDENTIALS_DIRECTORY"))
        env.credentials_directory = folder;
    return env;
}

std::size_t print_problems(const config::loaded& loaded, bool quiet_warnings)
{
    std::size_t errors = 0;
    for (const auto& p : loaded.problems)
    {
        errors += p.warning ? 0 : 1;
        if (!p.warning || !quiet_warnings)
            std::cerr << config::to_line(p) << '\n';
    }
    return errors;
}

std::string error_count(const std::string& file, std::size_t errors)
{
    return file + ": " + std::to_string(errors) + (errors == 1 ? " error" : " errors");
}

config::configuration load_config(const std::string& file, bool quiet_warnings)
{
    auto loaded = config::load(file, process_environment());
    const auto errors = print_problems(loaded, quiet_warnings);
    if (!loaded.ok)
        throw action_error(error_count(file, errors));
    return std::move(loaded.value);
}

namespace
{

template <class Range, class Name>
[[noreturn]] void unknown(std::string_view what, std::string_view name, const Range& range, Name name_of)
{
    std::string known;
    for (const auto& r : range)
        known += (known.empty() ? "" : ", ") + name_of(r);
    throw usage_error("no " + std::string(what) + " is named '" + std::string(name) + "'; there " +
                      (known.empty() ? "is none" : "are: " + known));
}

}  // namespace

const poll::master_options& find_master(const config::configuration& c, std::string_view name)
{
    for (const auto& m : c.masters)
    {
        if (m.name == name)
            return m;
    }
    unknown("master", name, c.masters, [](const auto& m) { return m.name; });
}

const config::destination& find_destination(const config::configuration& c, std::string_view name)
{
    for (const auto& d : c.destinations)
    {
        if (d.options.name == name)
            return d;
    }
    unknown("destination", name, c.destinations, [](const auto& d) { return d.options.name; });
}

format::master_info to_master_info(const poll::master_options& m)
{
    return format::master_info{m.name, m.url, m.public_url, m.labels};
}

}  // namespace dtbridge::app
