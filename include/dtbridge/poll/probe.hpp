#pragma once

/// Signs in to a master once, changes nothing and keeps nothing: what `check --connect` and `setup` say about
/// one. Asks for the breaches of the last hour, and further back only until it has seen one.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include <dtbridge/net/connect_report.hpp>
#include <dtbridge/poll/answer.hpp>
#include <dtbridge/poll/exchange.hpp>
#include <dtbridge/poll/options.hpp>

namespace dtbridge::poll
{

struct probe_report
{
    verdict said;                              ///< ok: signature, date and permission are accepted
    net::connect_report connection;            ///< as far as it came
    std::int64_t answer_ms = 0;                ///< how long the first answer took, connecting included
    std::optional<std::int64_t> skew_seconds;  ///< master minus this host; nothing without an answer
    bool date_was_refused = false;             ///< the date had to be learnt from the master first
    std::optional<std::int64_t> newest;        ///< creation of the newest breach seen, ms
    std::int64_t looked_back = 0;              ///< ms: how far was asked for breaches
    std::string newest_error;                  ///< why looking further back failed; the sign-in was good
    bool sees_pbscore = false;                 ///< scores are those of devices: [master.query] groups them
};

/// limit: for everything together. master_ms: the master's time, as far as it is known.
awaitable<probe_report> probe(master_options m,
                              std::string user_agent,
                              std::int64_t master_ms,
                              net::duration limit);

}  // namespace dtbridge::poll
