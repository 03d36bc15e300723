#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <dtbridge/core/histogram.hpp>
#include <dtbridge/poll/answer.hpp>

namespace dtbridge::poll
{

enum class poll_state {
    starting,      ///< no answer yet
    catching_up,   ///< good answers, the position is not yet at now
    polling,       ///< good answers, nothing lags
    failing,       ///< the last answer was none; error says why
    archive_full,  ///< the archive cannot take anything; error says why
};
std::string_view name_of(poll_state s);

/// What there is to say about one master (product.md 9). Times are ms since 1970 by this host's clock, but
/// position.
struct master_status
{
    std::string name;
    poll_state state = poll_state::starting;
    std::int64_t last_poll = 0;                ///< 0: never
    std::int64_t last_success = 0;             ///< 0: never
    std::optional<std::int64_t> position;      ///< by the master's clock
    std::optional<std::int64_t> skew_seconds;  ///< master minus this host
    std::string error;                         ///< plain words, "" while all is well
    std::string sweep_error;                   ///< the same of the last sweep
    bool by_activity = false;                  ///< the filter in use
    bool sees_pbscore = false;  ///< an answer had pbscore: scores are the device's (darktrace.md 2.3)

    // Since the bridge started.
    std::int64_t archived = 0, late = 0, set_aside = 0, repeated = 0, reused_pbids = 0;
    std::int64_t sweeps = 0, last_sweep = 0, differences = 0, state_changes = 0;
    std::uint64_t bytes = 0;                             ///< of answers, decoded
    std::array<std::uint64_t, answer_kinds> outcomes{};  ///< polls and sweeps by answer_kind
    histogram<10> answer_seconds{
        {0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60}};  ///< asked until answered or failed
    histogram<6> answer_bytes{{1024, 16384, 262144, 1048576, 8388608, 67108864}};
    std::int64_t certificate_expires = 0;  ///< ms; of the last connection's leaf, 0 unknown or plain

    // Signs of life, in ms of the steady clock; 0 before the loop began.
    std::int64_t alive_at = 0;  ///< last began or ended something that has a deadline
    std::int64_t due_at = 0;    ///< when the next question is meant to be asked
};

}  // namespace dtbridge::poll
