#pragma once

#include <functional>
#include <optional>

#include <boost/json/object.hpp>

#include "app/options.hpp"

namespace dtbridge::app
{

/// Asks the service that runs with the configuration of this command line; nothing where none runs. A refusal
/// is thrown: usage_error for an unknown name, else action_error. on_progress as in ask_service.
std::optional<boost::json::object> ask(
    const parsed& said,
    const boost::json::object& request,
    const std::function<void(const boost::json::object&)>& on_progress = {});

}  // namespace dtbridge::app
