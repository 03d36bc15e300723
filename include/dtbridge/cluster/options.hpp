#pragma once

#include <chrono>
#include <cstddef>

namespace dtbridge::cluster
{

/// All bridges of one database must run with the same values.
struct options
{
    using milliseconds = std::chrono::milliseconds;

    milliseconds lease = std::chrono::seconds(10);  ///< how long a lease lasts without being renewed
    milliseconds renew = std::chrono::seconds(3);   ///< between renewals
    /// Between looks at the others' leases: this much for each bridge there is, so that the looks of all
    /// together stay as many a second; no less than look_least and no more than renew.
    milliseconds look_each = std::chrono::milliseconds(100);
    milliseconds look_least = std::chrono::milliseconds(500);
    milliseconds margin = std::chrono::seconds(3);  ///< before a lease's end nothing is written any more
    milliseconds retry = std::chrono::milliseconds(500);  ///< after a renewal that failed
    milliseconds eager =
        std::chrono::milliseconds(500);  ///< between looks while another bridge hands over to us
    milliseconds eager_for =
        std::chrono::seconds(15);  ///< how long that goes on after the last lease so gained
    /// After joining, or after the database was out of reach, before the first lease is taken. Bridges that
    /// start together do not each take everything, and leases that expired because the database was away can
    /// be renewed first.
    milliseconds settle = std::chrono::seconds(3);
    /// How long a bridge has served before it is established.
    milliseconds establish = std::chrono::seconds(10);
    milliseconds clock_slack =
        std::chrono::seconds(1);  ///< the database's clock jumped if it went ahead by more

    /// While bridges come, so many masters at a time are handed over to them: this many, or this fraction of
    /// what the bridge holds where that is more.
    std::size_t hand_over_least = 10;
    std::size_t hand_over_fraction = 20;
};

}  // namespace dtbridge::cluster
