#pragma once

#include <dtbridge/core/failure.hpp>
#include <dtbridge/transport/options.hpp>

namespace dtbridge::transport
{

/// Whether the library that speaks to Kafka is there and takes these options, without connecting: what
/// `check` can tell. The failure says what to do.
outcome<bool> check_kafka(const options& o);

}  // namespace dtbridge::transport
