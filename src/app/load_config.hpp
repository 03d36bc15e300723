#pragma once

#include <string>
#include <string_view>

#include <dtbridge/config/configuration.hpp>

namespace dtbridge::app
{

/// Loads, prints every problem to standard error (warnings too unless quiet), throws action_error if there is
/// an error.
config::configuration load_config(const std::string& file, bool quiet_warnings = false);

/// Prints every problem to standard error; answers how many are errors.
std::size_t print_problems(const config::loaded& loaded, bool quiet_warnings = false);
/// "FILE: 2 errors"
std::string error_count(const std::string& file, std::size_t errors);

/// The master or destination of that name; throws usage_error, naming those there are.
const poll::master_options& find_master(const config::configuration& c, std::string_view name);
const config::destination& find_destination(const config::configuration& c, std::string_view name);

/// $CREDENTIALS_DIRECTORY and what else of the process environment configuration depends on.
config::environment process_environment();

/// As a message shows a master.
format::master_info to_master_info(const poll::master_options& m);

}  // namespace dtbridge::app
