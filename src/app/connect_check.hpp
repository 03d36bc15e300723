#pragma once

/// `check --connect`: signs in to masters, shakes hands with destinations and looks at the database,
/// read-only, in parallel and with deadlines. Used by the running service (its credentials, its network) and
/// by the command where none runs. What it finds is JSON, which `--json` prints as it is and connect_text.hpp
/// turns into lines.

#include <cstdint>
#include <string>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include <dtbridge/async/task_group.hpp>
#include <dtbridge/config/configuration.hpp>

namespace dtbridge::app
{

/// The database of the archives, one master, or one address of a destination (of one to Kafka: all of them).
struct connect_target
{
    std::string key;            ///< orders the targets and names one: "0", "1/acme", "2/qradar/00"
    archive_database database;  ///< with an url: it is this
    poll::master_options master;
    std::int64_t master_skew = 0;  ///< ms that its clock is known to be ahead
    bool is_master = false;
    deliver::destination_options destination;
    std::size_t address = 0;  ///< of destination.transport.addresses
};

/// Most targets of one request through the control socket: two rounds of most_at_once are over long before
/// its deadline.
inline constexpr std::size_t connect_chunk = 64;

/// In the order in which they are checked and shown. skew: by a master's name, ms.
std::vector<connect_target> connect_targets(const archive_database& database,
                                            const std::vector<poll::master_options>& masters,
                                            const std::vector<config::destination>& destinations);

/// Checks all of them, at most 32 at once, each within about 20 s; answers one object each, in their order.
/// tasks must outlive what it spawns here, as the owner of a service or a command does.
awaitable<boost::json::array> check_connections(task_group& tasks, std::vector<connect_target> targets);

}  // namespace dtbridge::app
