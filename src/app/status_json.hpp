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
/// Adds policy_lines:[{line,file,text,since_start,last_24h,never_in_a_week}], in the order of the file; of
/// more than 5,000 those that spoke come first, and policy_lines_left_out says how many are missing.
void add_policy_lines(boost::json::object& destination, std::vector<deliver::line_status> lines);

}  // namespace dtbridge::app
