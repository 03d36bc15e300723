#pragma once

#include <boost/json/object.hpp>

#include <dtbridge/archive/archive.hpp>
#include <dtbridge/deliver/delivery.hpp>
#include <dtbridge/poll/status.hpp>

namespace dtbridge::app
{

/// One master and one destination as /api/v1/status and `status --json` show them (product.md 9).
boost::json::object to_json(const poll::master_status& m, std::int64_t archive_bytes);
boost::json::object to_json(const deliver::status& d);

}  // namespace dtbridge::app
