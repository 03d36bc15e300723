#pragma once

#include <dtbridge/config/configuration.hpp>
#include <dtbridge/deliver/delivery.hpp>

namespace dtbridge::app
{

/// What a destination of the configuration decides, formats and sends with.
deliver::settings to_settings(const config::destination& d);

}  // namespace dtbridge::app
