#pragma once

/// What the command `backfill` and the running service share: asking a master again for a span (product.md 3,
/// 7).

#include <cstdint>
#include <string>

#include <boost/json/object.hpp>

#include <dtbridge/poll/poller.hpp>

namespace dtbridge::app
{

/// The longest time ahead of the clock that a span may reach: what is asked for beyond would be empty.
inline constexpr std::int64_t backfill_ahead_ms = 24 * 3'600'000;

/// to, exclusive, as a window's inclusive end, brought near to now.
poll::window backfill_window(std::int64_t from, std::int64_t to, std::int64_t now);

/// {"shown", "archived", "repeated", "set_aside"}, and "left_from" and "reached" unless they are 0.
boost::json::object to_json(const poll::backfill_report& r, std::int64_t reached = 0);
poll::backfill_report to_backfill_report(const boost::json::object& o);

/// "acme: 120 shown, 15 archived, 105 archived before" and what was set aside; a second line where the end of
/// the span was left to polling.
std::string backfill_line(const std::string& master, const poll::backfill_report& r);

/// What to say when it ends early: it goes on where it is run again.
std::string backfill_failed(const std::string& master,
                            const std::string& why,
                            const poll::backfill_report& r);

}  // namespace dtbridge::app
