/// Where several bridges share a database: begins and ends the work for single masters as their leases come
/// and go. Each master has one task that makes what runs equal to the lease there is, so that nothing of a
/// master begins before all of it has ended.

#include <algorithm>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/json/array.hpp>

#include <dtbridge/archive/leases.hpp>
#include <dtbridge/core/log.hpp>
#include <dtbridge/core/text.hpp>

#include "app/host.hpp"
#include "app/service_impl.hpp"

namespace dtbridge::app
{

namespace
{

using namespace std::chrono_literals;
using cluster::boot_clock;

constexpr auto open_again = 1s;
/// Another bridge that still has the old name of a master looks for leases at least so often.
constexpr int old_name_looks = 4;
constexpr auto old_name_interval = 1s;
/// How old what status says of the other bridges may be.
constexpr auto fresh_enough = 500ms;
constexpr std::size_t longest_name = 63;

/// The host's name as a bridge's may be written.
std::string name_of_host()
{
    auto name = text::lower(host_name());
    if (name.size() > longest_name)
        name.resize(longest_name);
    for (auto& c : name)
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.'))
            c = '-';
    return name;
}

std::string task_of(const std::string& master)
{
    return "lease " + master;
}

std::string leaving_task_of(const std::string& master)
{
    return "leave " + master;
}

std::vector<std::string> names_of(const config::configuration& c)
{
    std::vector<std::string> names;
    for (const auto& m : c.masters)
        names.push_back(m.name);
    return names;
}

}  // namespace

/// Only with [archive] url.
void service::impl::share_masters()
{
    if (config.archive.database.url.empty())
        return;
    auto own_name = config.archive.bridge;
    if (own_name.empty())
        own_name = name_of_host();
    ownership_hooks hooks;
    hooks.gained = [this](std::shared_ptr<const cluster::permit> lease) { gain(std::move(lease)); };
    hooks.lost = [this](const std::string& name) { lose(name); };
    hooks.stop = [this](const std::string& name) { hand_over(name); };
    hooks.lapsed = [this](const std::vector<std::string>& names) { lapse(names); };
    bridges = std::make_unique<ownership>(ex,
                                          open_lease_store(config.archive.database),
                                          std::move(own_name),
                                          names_of(config),
                                          std::move(hooks));
    log::info("cluster",
              "",
              "masters are shared with the other bridges of this database",
              {{"bridge", bridges->name()}, {"session", bridges->session()}});
    sharing.spawn("rounds", bridges->run());
}

bool service::impl::owns(const master& m) const
{
    return !bridges || m.lease;
}

bool service::impl::works_for(const master& m) const
{
    return m.store && owns(m) && m.works_under == m.lease;
}

void service::impl::gain(std::shared_ptr<const cluster::permit> lease)
{
    const auto name = lease->master();
    log::info("cluster", name, "this bridge has the lease", {{"number", std::to_string(lease->number())}});
    masters.at(name).lease = std::move(lease);
    follow_lease(name);
}

void service::impl::hand_over(const std::string& name)
{
    auto& m = masters.at(name);
    m.lease.reset();
    m.handing_over = true;
    follow_lease(name);
}

void service::impl::lose(const std::string& name)
{
    log::warning("cluster", name, "the lease was lost; another bridge goes on");
    auto& m = masters.at(name);
    m.lease.reset();
    m.handing_over = false;
    polls.cancel(name);
    for (auto& [destination_name, d] : destinations)
        if (d.masters.erase(name) > 0)
            sharing.spawn(leaving_task_of(name), d.delivery->drop_master(name));
    follow_lease(name);
}

void service::impl::lapse(const std::vector<std::string>& names)
{
    for (const auto& name : names)
        for (auto& [destination_name, d] : destinations)
            d.delivery->lapse(name);
}

void service::impl::follow_lease(const std::string& name)
{
    if (!sharing.has(task_of(name)))
        sharing.spawn(task_of(name), keep_to_lease(name));
}

awaitable<void> service::impl::keep_to_lease(std::string name)
{
    asio::steady_timer pause(ex);
    // Its task outlives no entry: a reload waits for it before it takes the master away.
    auto& m = masters.at(name);
    for (;;)
    {
        if (m.store && !works_for(m))
        {
            co_await end_work(name);
            continue;
        }
        if (std::exchange(m.handing_over, false))
            bridges->stopped(name);
        if (!m.lease || m.store)
            co_return;
        const bool free = co_await has_old_name_free(name);
        if (free)
            co_await open_master(name);
        if (m.lease && !m.store)
        {
            pause.expires_after(open_again);
            co_await pause.async_wait(asio::use_awaitable);
        }
    }
}

/// Poller, deliveries, archive: in good order where the deliveries were not dropped before.
awaitable<void> service::impl::end_work(std::string name)
{
    auto& m = masters.at(name);
    for (bool ended = false; !ended;)
        ended = co_await stop_poller(name);
    for (auto& [destination_name, d] : destinations)
        if (d.masters.erase(name) > 0)
            sharing.spawn(leaving_task_of(name), d.delivery->remove_master(name));
    for (bool left = false; !left;)
        left = co_await sharing.join(leaving_task_of(name), 30s);
    m.poller.reset();
    const auto closing = std::exchange(m.store, nullptr);
    m.works_under.reset();
    m.error.clear();
    stored.erase(name);
    co_await closing->close();
}

/// A renamed master's archive is taken over when no bridge works on it under its old name: one whose
/// configuration is the old one still would take the old name again.
awaitable<bool> service::impl::has_old_name_free(std::string name)
{
    auto& m = masters.at(name);
    const auto formerly = m.options.formerly;
    if (formerly.empty())
        co_return true;
    auto old = co_await archive::open_to_read(*pool, formerly);
    if (!old)
        co_return old.error().code == errc::not_found;
    asio::steady_timer pause(ex);
    for (int i = 0; i < old_name_looks; ++i)
    {
        co_await bridges->refresh(0s);
        auto by = bridges->owner_of(formerly);
        if (by.empty() && masters.contains(formerly))
            by = bridges->name();
        if (!by.empty())
        {
            auto words = "waits for bridge " + by + ", which works on its archive under the old name " +
                         formerly + ": reload the configuration there";
            if (m.error != words)
                log::warning("archive", name, words);
            m.error = std::move(words);
            co_return false;
        }
        pause.expires_after(old_name_interval);
        co_await pause.async_wait(asio::use_awaitable);
    }
    co_return true;
}

/// The masters of a new configuration. Those that go are handed over like any other.
awaitable<void> service::impl::share_again(const config::configuration& next)
{
    for (const auto& wanted : next.masters)
        if (!masters.contains(wanted.name))
            masters[wanted.name].options = wanted;
    bridges->set_masters(names_of(next));
    std::vector<std::string> gone;
    const auto all = names_of(next);
    for (const auto& [name, m] : masters)
        if (std::find(all.begin(), all.end(), name) == all.end())
            gone.push_back(name);
    for (const auto& name : gone)
    {
        bool ended = co_await sharing.join(task_of(name), 30s);
        while (!ended)
        {
            log::error("cluster", name, "it could not be left within 30 s; its archive may hang");
            ended = co_await sharing.join(task_of(name), 30s);
        }
    }
}

/// Everything is handed over; answers whether that could be done in time.
awaitable<bool> service::impl::leave_bridges(std::chrono::milliseconds limit)
{
    // Without the database leases cannot be given away.
    if (!bridges->trouble().empty())
        limit = std::min<std::chrono::milliseconds>(limit, 500ms);
    bridges->leave();
    const auto left = co_await sharing.join(limit);
    if (!left)
        log::warning("cluster",
                     "",
                     "masters could not all be handed over in time",
                     {{"left", std::to_string(bridges->held())}});
    co_return left;
}

/// The end of it, when nothing works any more.
awaitable<void> service::impl::end_sharing()
{
    bridges->give_up();
    const auto ended = co_await sharing.join(500ms);
    if (ended)
        co_return;
    sharing.cancel();
    co_await sharing.join(10s);
}

/// Before a delivery goes.
awaitable<void> service::impl::end_leaving()
{
    for (bool busy = true; busy;)
    {
        busy = false;
        std::vector<std::string> tasks;
        for (const auto& [name, m] : masters)
            if (sharing.has(leaving_task_of(name)))
                tasks.push_back(leaving_task_of(name));
        for (auto& task : tasks)
        {
            busy = true;
            co_await sharing.join(std::move(task), 10s);
        }
    }
}

// ---- what there is to see
// ------------------------------------------------------------------------------------------------

/// Before status_json(), so that it knows who has what.
awaitable<void> service::impl::ask_bridges()
{
    if (bridges)
        co_await bridges->refresh(fresh_enough);
}

boost::json::object service::impl::bridges_json() const
{
    const auto& c = bridges->counted();
    const auto now = boot_clock::now();
    boost::json::array members;
    for (const auto& m : bridges->members())
    {
        boost::json::object one;
        one["name"] = m.name;
        one["state"] = name_of(m.state);
        one["expires_in_ms"] = std::chrono::duration_cast<std::chrono::milliseconds>(m.expires - now).count();
        members.push_back(std::move(one));
    }
    boost::json::object o;
    o["name"] = bridges->name();
    o["session"] = bridges->session();
    o["owned"] = static_cast<std::int64_t>(bridges->held());
    o["masters"] = static_cast<std::int64_t>(masters.size());
    o["members"] = std::move(members);
    o["acquired"] = c.acquired;
    o["takeovers"] = c.takeovers;
    o["handed_over"] = c.handed_over;
    o["lost"] = c.lost;
    o["lapsed"] = c.lapsed;
    return o;
}

/// To be read where another bridge writes it; this bridge's own where it does.
awaitable<outcome<std::shared_ptr<archive>>> service::impl::readable_archive(std::string name)
{
    using answer = outcome<std::shared_ptr<archive>>;
    const auto m = masters.find(name);
    if (m == masters.end())
        co_return answer(fail(errc::not_found, "no master is named " + name));
    if (m->second.store)
        co_return answer(m->second.store);
    if (!bridges)
        co_return answer(fail(errc::not_found, "its archive is not open: " + m->second.error));
    auto opened = co_await archive::open_to_read(*pool, name);
    co_return opened;
}

}  // namespace dtbridge::app
