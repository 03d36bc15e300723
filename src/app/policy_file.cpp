#include "app/policy_file.hpp"

#include <filesystem>
#include <iostream>

#include "app/command.hpp"
#include "app/load_config.hpp"

namespace dtbridge::app
{

rules::policy use_policy(rules::loaded loaded, const std::string& name)
{
    for (const auto& p : loaded.problems)
        std::cerr << config::to_line(p) << '\n';
    if (!loaded.ok)
        throw action_error(name + " cannot be used");
    return std::move(loaded.value);
}

rules::policy read_policy(const std::string& name)
{
    std::error_code ec;
    const auto builtin =
        std::filesystem::exists(name, ec) ? std::string_view() : rules::builtin_mapping(name);
    return use_policy(builtin.empty() ? rules::load_file(name, name) : rules::load_text(builtin, name), name);
}

}  // namespace dtbridge::app
