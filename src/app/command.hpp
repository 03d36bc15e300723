#pragma once

/// The commands of product.md 7: a table of names and functions. A command reads its own options, answers an
/// exit status and prints to standard output what scripts read, to standard error what people read.

#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace dtbridge::app
{

/// Exit statuses users script against (product.md 7).
inline constexpr int exit_done = 0;
inline constexpr int exit_not_right = 1;    ///< a configuration, check, element or action is not right
inline constexpr int exit_wrong_usage = 2;  ///< wrong usage or unknown name

using arguments = std::vector<std::string>;

struct command
{
    std::string_view name;
    std::string_view synopsis;
    std::string_view summary;
    int (*run)(const arguments& args);
};

/// Every command of the contract; those that are not built yet say so and answer exit_wrong_usage.
std::span<const command> commands();

/// Wrong options or an unknown name: main prints it and answers exit_wrong_usage.
struct usage_error : std::runtime_error
{
    using std::runtime_error::runtime_error;
};

/// Something is not right: main prints it and answers exit_not_right.
struct action_error : std::runtime_error
{
    using std::runtime_error::runtime_error;
};

}  // namespace dtbridge::app
