#pragma once

/// Which masters this bridge works for, where several share a database: does the rounds of a cluster::keeper
/// with a store of leases, and tells the service what to begin and what to end. Deciding is the keeper's.
/// Tested in tests/unit/app with a store that answers late, never, or with an error.

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <dtbridge/async/doorbell.hpp>
#include <dtbridge/async/task_group.hpp>
#include <dtbridge/cluster/keeper.hpp>

namespace dtbridge::app
{

/// Called on the thread of the executor; must not throw.
struct ownership_hooks
{
    /// Begin to work for the permit's master.
    std::function<void(std::shared_ptr<const cluster::permit> lease)> gained;
    /// End at once, save nothing.
    std::function<void(const std::string& master)> lost;
    /// End in good order, then call ownership::stopped().
    std::function<void(const std::string& master)> stop;
    /// Close the connections of these; they are still held and may go on later.
    std::function<void(const std::vector<std::string>& masters)> lapsed;
};

class ownership
{
public:
    using duration = std::chrono::steady_clock::duration;
    struct limits
    {
        duration statement = std::chrono::milliseconds(2500);  ///< then it counts as failed
        duration name_taken = std::chrono::seconds(5);  ///< between looks whether the name is free again
    };
    /// Another bridge as it was last seen, or this one.
    struct member
    {
        std::string name = {};
        cluster::bridge_state state = cluster::bridge_state::serving;
        cluster::boot_time expires = {};
    };

    /// name: this bridge's. store: answers on the thread of ex.
    ownership(asio::any_io_executor ex,
              std::unique_ptr<cluster::lease_store> store,
              std::string name,
              std::vector<std::string> masters,
              ownership_hooks hooks,
              cluster::options timing,
              limits l);
    ownership(asio::any_io_executor ex,
              std::unique_ptr<cluster::lease_store> store,
              std::string name,
              std::vector<std::string> masters,
              ownership_hooks hooks);

    /// Until leave() was called, everything was stopped and its leases are free. A cancellation ends it
    /// early: then leases end by themselves. Once.
    awaitable<void> run();
    /// Nothing works for master any more: its lease is given away.
    void stopped(std::string_view master);
    /// After a reload. Those that are not named any more are stopped.
    void set_masters(std::vector<std::string> masters);
    /// Takes nothing any more, and has everything stopped.
    void leave();
    /// What is still held counts as stopped.
    void give_up();

    const std::string& name() const { return keeper_->me().name; }
    const std::string& session() const { return keeper_->me().session; }
    std::size_t held() const { return keeper_->held(); }
    const cluster::counters& counted() const { return keeper_->counted(); }
    /// Why nothing can be taken or renewed now, in plain words; "" while all is well.
    std::string trouble() const;

    /// Brings members() and owner_of() up to date, where they are older than that and the database answers
    /// within a second.
    awaitable<void> refresh(duration max_age);
    /// Those alive, by name.
    std::vector<member> members() const;
    /// Who had the master's lease when that was last looked at; "" where nobody had it, or it has expired
    /// since.
    std::string owner_of(const std::string& master) const;

private:
    struct owner
    {
        std::string name = {};
        cluster::boot_time expires = {};
    };

    static cluster::identity new_session(std::string name);
    awaitable<void> do_rounds();
    awaitable<void> watch_lapses();
    void tell_lapses();
    awaitable<void> renew();
    awaitable<void> release();
    awaitable<void> look();
    awaitable<void> claim(std::vector<cluster::claim> claims);
    awaitable<void> look_at_all();
    awaitable<void> wait_for_name();
    awaitable<void> wait_for_due();
    awaitable<void> release_all();
    void act_on(const cluster::changes& c);
    void learn(const cluster::snapshot& s, cluster::boot_time received);
    void failed(const failure& why);
    void worked();
    template <class T>
    awaitable<outcome<T>> ask(awaitable<outcome<T>> statement);

    asio::any_io_executor ex_;
    std::unique_ptr<cluster::lease_store> store_;
    ownership_hooks hooks_;
    cluster::options timing_;
    limits limits_;
    std::shared_ptr<cluster::planner> planner_;
    std::optional<cluster::keeper> keeper_;  // another one after a name was taken
    task_group tasks_;
    doorbell bell_;
    cluster::boot_time release_at_ = {};
    bool joined_ = false;
    bool name_is_taken_ = false;
    std::string error_ = {};  // of the last statement; "" after one that worked
    bool all_wanted_ = false;
    std::optional<cluster::boot_time> all_seen_ = {};
    std::list<doorbell*> waiting_for_all_ = {};
    std::vector<member> members_ = {};
    std::map<std::string, owner> owners_ = {};
};

}  // namespace dtbridge::app
