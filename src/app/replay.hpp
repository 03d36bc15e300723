#pragma once

/// Sends archived breaches to a destination again (product.md 7): a delivery of its own, with a connection of
/// its own, over a view of the archives; the destination's cursors stay where they are.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/json/object.hpp>

#include <dtbridge/config/configuration.hpp>
#include <dtbridge/core/failure.hpp>
#include <dtbridge/deliver/delivery.hpp>
#include <dtbridge/deliver/replay_source.hpp>

namespace dtbridge::app
{

/// One master of a replay.
struct replay_part
{
    std::shared_ptr<archive> store;
    format::master_info master;
    std::shared_ptr<const rules::inventory> inventory;
};

struct replay_counts
{
    std::int64_t confirmed = 0;  ///< sent and confirmed
    std::int64_t sent = 0;       ///< repeats included
    std::int64_t held_back = 0, undeliverable = 0;
    std::int64_t done = 0, total = 0;  ///< how far the archives were gone through
    std::string error;                 ///< why nothing goes, while nothing goes
};

/// Who hears of it.
class replay_listener
{
public:
    virtual ~replay_listener() = default;
    /// About every second. False ends the replay.
    virtual awaitable<bool> told(const replay_counts& counts) = 0;
};

struct replay_result
{
    replay_counts counts;
    bool finished = false;  ///< false: somebody ended it
};

/// Replays paced: at the destination's pace, at most at per_second where that is not 0, else at most 500/s
/// where the destination has none. Ends, naming why, when nothing was confirmed or passed over for two
/// minutes. Cancelling the caller ends it too; what is on its way is waited for.
awaitable<outcome<replay_result>> replay(asio::any_io_executor ex,
                                         deliver::settings with,
                                         std::vector<replay_part> parts,
                                         deliver::replay_order order,
                                         double per_second,
                                         replay_listener& listener);

/// As the control socket carries them.
boost::json::object to_json(const replay_counts& counts);
boost::json::object to_json(const deliver::replay_order& order);
deliver::replay_order to_replay_order(const boost::json::object& request);
/// "sent 120, held back 30, 15 % of the archive"
std::string words_of(const boost::json::object& counts);

}  // namespace dtbridge::app
