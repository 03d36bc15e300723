#pragma once

/// Which masters this bridge owns, and until when it may write for them: rows of the shared database in, what
/// to do out. Pure: no clock, no database, no socket; whoever drives it does rounds of
///
///   1. `due()` says when. Is renewing due: to_renew() to the store, then renewed() or renew_failed().
///   2. Is looking due: interest() to the store's read(), then seen() or look_failed(). Are there claims:
///   try_acquire(),
///      then acquired().
///   3. Each answer has `changes`: start what was gained, end at once what was lost, and stop in good order
///      (finish what is on the wire, save the cursor) what is to be handed over; then stopped(). Whenever
///      to_release() names something, release() of the store and released(); after a failure once more with
///      the next renewal or look.
///   4. At lapses() the connections of what lapsed() names are closed.
///
/// One statement at a time; an answer that came too late to be waited for is dropped, never given later.
/// `sent` is boot_clock::now() **before** the statement was sent: the database began its lease later than
/// that, so a lease ends here before it ends there, however long the answer took and whatever the clocks say.
/// No clock of a bridge is compared with the database's; that one may jump, too (a failover to a machine
/// whose clock is ahead): what expired only by a jump counts as expired once this bridge's own clock agrees.
///
/// Tested in tests/unit/cluster, and by tests/cluster/simulation.cpp with a hundred bridges.

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <dtbridge/cluster/boot_clock.hpp>
#include <dtbridge/cluster/lease_store.hpp>
#include <dtbridge/cluster/options.hpp>
#include <dtbridge/cluster/permit.hpp>
#include <dtbridge/cluster/planner.hpp>

namespace dtbridge::cluster
{

/// The database's clock as far as one bridge can vouch for it. Times of the database in ms.
class database_clock
{
public:
    explicit database_clock(const options& o) : lease_(o.lease), slack_(o.clock_slack) {}
    /// A statement sent and answered at these times gave the database's time.
    void seen(boot_time sent, boot_time received, std::int64_t now);
    /// No later than the database's time when the answer came, and no later than its clock would say had it
    /// not jumped.
    std::int64_t no_later_than(boot_time received, std::int64_t now) const;

private:
    boot_clock::duration lease_, slack_;
    std::optional<std::int64_t> ahead_ = {};  // most that the database's clock is ahead of boot_clock
    boot_time learnt_ = {};
    std::optional<boot_time> jumped_ = {};
};

/// What to do for masters.
struct changes
{
    std::vector<std::shared_ptr<const permit>> gained = {};  ///< poll and deliver these
    std::vector<std::string> lost = {};                      ///< another's by now: end at once, save nothing
    std::vector<std::string> stop = {};                      ///< end in good order, then call stopped()
    std::vector<claim> claims = {};                          ///< for try_acquire()
};

/// Since the start.
struct counters
{
    std::int64_t acquired = 0;     ///< leases taken, all together
    std::int64_t takeovers = 0;    ///< of those, from a bridge whose lease had expired
    std::int64_t beaten = 0;       ///< claims that another bridge won, or that came too late
    std::int64_t handed_over = 0;  ///< released for another bridge
    std::int64_t lost = 0;         ///< taken from this bridge
    std::int64_t lapsed = 0;       ///< not renewed in time, so that nothing could be written for a while
};

class keeper
{
public:
    struct schedule
    {
        boot_time renew, look;
    };

    /// A planner may be shared by keepers of the same masters. Nothing is owned before the first renewal was
    /// answered.
    keeper(identity me, options o, std::shared_ptr<planner> masters, boot_time now);
    keeper(keeper&&) = default;
    /// Every permit that is left is revoked.
    ~keeper();

    const identity& me() const { return me_; }
    schedule due() const { return due_; }

    renewal to_renew(boot_time now) const;
    changes renewed(boot_time sent, const renewal& asked, const renewal_answer& answer);
    void renew_failed(boot_time now);

    /// Masters whose rows decide what to do next: those that are or should be this bridge's. Sorted.
    std::vector<std::string> interest() const;
    /// asked is what interest() gave for this look.
    changes seen(boot_time sent,
                 boot_time received,
                 const std::vector<std::string>& asked,
                 const snapshot& s);
    void look_failed(boot_time now);
    changes acquired(boot_time sent, const std::vector<claim>& asked, const std::vector<lease_number>& won);
    void claims_failed(boot_time now);  ///< what became of them is read at once

    /// Nothing works for master any more. Its permit is revoked, and its lease is to be released.
    void stopped(std::string_view master);
    std::vector<lease_number> to_release() const;
    void released(const std::vector<lease_number>& asked);

    /// Masters that may not be written for although they are held, each once per lapse: close their
    /// connections. Nothing else is lost: if the lease is renewed before another bridge takes it, work goes
    /// on with the same permit.
    std::vector<std::string> lapsed(boot_time now);
    /// When the first permit lapses, if it is not renewed before.
    std::optional<boot_time> lapses() const;

    /// A clean stop: nothing is taken any more and everything is to be stopped. When has_left(),
    /// release_all() ends it; the renewal that is due at once tells the others already.
    changes leave(boot_time now);
    bool has_left() const { return leaving_ && holdings_.empty(); }

    /// Another process runs under this name. Everything is lost; the session is over.
    bool superseded() const { return superseded_; }
    /// Masters other masters are replaced: a reload. Those that are not named any more are to be stopped.
    changes set_masters(std::shared_ptr<planner> masters, boot_time now);

    bool may_write(std::string_view master, boot_time now) const;
    std::size_t held() const { return holdings_.size(); }
    std::vector<std::shared_ptr<const permit>> permits() const;
    /// Bridges that share the masters, as seen last, and whose each master is to be.
    const plan& planned() const { return *plan_; }
    const counters& counted() const { return counted_; }

private:
    struct holding
    {
        std::shared_ptr<cluster::permit> permit;
        bool stopping = false;
        bool lapsed = false;    // told
        std::string heir = {};  // which other bridge is to have it
        boot_time heir_since = {};
    };
    using holdings = std::map<std::string, holding, std::less<>>;

    void plan_for(const snapshot& s, std::int64_t now);
    void want(std::shared_ptr<const plan> p);
    bool wants(std::string_view master) const;
    bool settled(boot_time now) const;
    holdings::iterator lose(holdings::iterator at, changes& to);
    void hold(std::string master, std::int64_t number, boot_time end, changes& to);
    void stop_all(changes& to);
    void hand_over(boot_time sent, const snapshot& s, changes& to);
    std::chrono::milliseconds look_interval(std::size_t bridges) const;
    void look_no_later_than(boot_time t);

    identity me_;
    options options_;
    std::shared_ptr<planner> planner_;
    std::shared_ptr<const plan> plan_;
    std::vector<std::string> wanted_;  // sorted: this bridge's by plan_
    database_clock clock_;
    holdings holdings_;
    // Released, or about to be, and not known to be done. Such a number is never held again: the statement
    // that frees it may still be on its way.
    std::map<std::string, std::int64_t, std::less<>> given_up_;
    schedule due_;
    std::optional<boot_time> renewed_ = {};  // sent, the latest that was answered
    std::optional<boot_time> settles_ = {};  // nothing is planned or taken before
    boot_time eager_until_ = {};
    bool leaving_ = false, superseded_ = false;
    counters counted_ = {};
};

}  // namespace dtbridge::cluster
