#pragma once

/// The loop of one master: asks for windows, takes the answers into the archive as they stream, sweeps for
/// what polling cannot see, and says in plain words what is wrong. It decides nothing itself: windows,
/// clocks, back-off and the judging of answers are pure classes of this folder, each with its own tests; the
/// loop is tested with scripted answers.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/awaitable.hpp>

#include <dtbridge/archive/archive.hpp>
#include <dtbridge/async/turnstile.hpp>
#include <dtbridge/poll/exchange.hpp>
#include <dtbridge/poll/options.hpp>
#include <dtbridge/poll/status.hpp>
#include <dtbridge/poll/window.hpp>

namespace dtbridge::poll
{

struct poller_parts
{
    master_options options;
    std::shared_ptr<exchange> wire;  ///< used by the loop alone
    std::shared_ptr<archive> store;
    std::shared_ptr<timekeeper> time;
    master_clock clock{};  ///< what was learnt of the master's by a predecessor
    /// Of long answers, shared by the pollers of a process; none: nobody is waited for.
    std::shared_ptr<turnstile> turns = {};
    /// After every commit that brought something new, with the archive's last seq. Must not throw.
    std::function<void(std::int64_t last_seq)> on_news;
    /// After the API showed another acknowledged state or comment count of what is archived. Must not throw.
    std::function<void(const std::vector<noted_change>&)> on_changes;
};

struct backfill_report
{
    std::int64_t shown = 0, archived = 0, repeated = 0, set_aside = 0;
    /// ms; what was created later was left to polling. 0: the whole span was asked for.
    std::int64_t left_from = 0;
};
/// Called after every answer, with the time that was reached and the counts so far. False ends the work.
using backfill_progress = std::function<awaitable<bool>(std::int64_t reached, const backfill_report& so_far)>;

class poller
{
public:
    /// carried: counters of a predecessor that a reload replaced.
    explicit poller(poller_parts parts, master_status carried = {});
    ~poller();
    poller(const poller&) = delete;
    poller& operator=(const poller&) = delete;

    /// Runs until cancelled; owned by a task_group, joined before this object goes. Throws nothing else.
    awaitable<void> run();

    /// Asks again for what was created in a window, instead of run(): polling goes on with another object on
    /// the same archive. Does not move the position. Ends at the first answer that stays bad after five
    /// attempts. archive_only: archived behind every cursor, and only what polling has passed.
    awaitable<outcome<backfill_report>> backfill(window wanted,
                                                 bool archive_only,
                                                 backfill_progress progress);
    /// Adds the counters of a poller that did a back-fill.
    void absorb(const master_status& of_backfill);

    const master_status& status() const;
    /// What time the master has, for commands that sign.
    const master_clock& clock() const;

private:
    struct impl;
    std::unique_ptr<impl> impl_;
};

}  // namespace dtbridge::poll
