#pragma once

/// What the service keeps in order to notice and to show how it is: health, troubles that were announced,
/// heartbeats that are due, how much went out over a day. Plain data; service_watch.cpp acts on it.

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "app/rate_history.hpp"

namespace dtbridge::app
{

/// Who asks through the network face, and what may be shown to it.
struct access
{
    bool all = false;                  ///< every master
    std::vector<std::string> masters;  ///< else these
    bool to(const std::string& master) const;
};

/// In plain words, each naming its master or destination.
struct health
{
    std::vector<std::string> broken;  ///< the bridge itself does not work as it should: not ready
    std::vector<std::string>
        troubles;  ///< a master or a collector is away, a disk fills: ready, but not `?strict`
};

struct watch_state
{
    using clock = std::chrono::steady_clock;
    enum class disk { ok, filling, full };

    struct trouble
    {
        clock::time_point since{};
        bool announced = false;
    };
    /// Something that is over when it is counted and must not go unseen: told of for a day since it last
    /// grew.
    struct mishap
    {
        std::int64_t count = 0;  ///< over all that counted it
        std::int64_t at = 0;     ///< ms, when it last grew; 0 never
        std::int64_t seen = 0;   ///< of the counter, which starts again with every poller and delivery

        bool is_recent(std::int64_t now) const;
        /// Takes in what the counter says now. True where it grew, and nothing was said of it for a day.
        bool is_news(std::int64_t counter, std::int64_t now);
    };
    std::map<std::string, trouble> masters;  ///< that cannot be polled
    std::map<std::string, mishap> lost;      ///< destination -> breaches dropped that it had not got
    std::map<std::string, mishap> reused;    ///< master -> breaches under ids that were archived before
    std::map<std::string, std::int64_t> certificates;  ///< "master acme" -> ms, when last warned of
    disk disk_is = disk::ok;
    std::int64_t disk_free = -1;  ///< bytes; -1 unknown
    std::map<std::string, clock::time_point>
        heartbeats;                             ///< destination -> when the last one was handed over
    std::map<std::string, rate_history> rates;  ///< destination -> confirmed over a day
};

}  // namespace dtbridge::app
