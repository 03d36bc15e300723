/// `updates = true` of a destination (product.md 2, 6): one bridge event when a breach that it was sent is
/// acknowledged or unacknowledged. At most once, outside cursors but behind the breach; never in the way of
/// polling.

#include <algorithm>
#include <iterator>
#include <utility>

#include <boost/asio/use_awaitable.hpp>

#include <dtbridge/core/breach.hpp>
#include <dtbridge/core/log.hpp>
#include <dtbridge/core/text.hpp>

#include "app/service_impl.hpp"

namespace dtbridge::app
{

namespace
{

constexpr std::size_t most_updates = 1'000;
constexpr std::size_t most_acknowledged_models = 5'000;  // of all masters; beyond, a master's are one

format::formatter::event event_of(const std::string& master, const noted_change& c, const breach& b)
{
    format::formatter::event e;
    e.type = "update";
    e.name = c.now.acknowledged ? "Breach acknowledged" : "Breach unacknowledged";
    e.master = master;
    const auto model = text::printable(model_path(string_member(b.then, "name")), 200);
    e.message = "breach " + std::to_string(c.key.pbid) + (model.empty() ? "" : " (" + model + ")") + " was " +
                (c.now.acknowledged ? "acknowledged" : "unacknowledged");
    if (!c.acknowledged_by.empty())
        e.message += " by " + c.acknowledged_by;
    e.time = c.now.acknowledged_at.value_or(c.now.at);
    return e;
}

/// A throttle held it, or it could not be sent.
bool was_withheld(const std::vector<breach_history>& all, std::int64_t seq, const std::string& destination)
{
    for (const auto& h : all)
    {
        for (const auto& f : h.fates)
        {
            if (h.seq == seq && f.destination == destination)
                return f.withheld.has_value();
        }
    }
    return false;
}

void not_told(const std::string& master, const noted_change& c, const std::string& why)
{
    log::warning("deliver",
                 "",
                 "an update event is left out",
                 {{"master", master}, {"pbid", std::to_string(c.key.pbid)}, {"error", why}});
}

}  // namespace

/// For the metrics: what was not acknowledged before and is now.
void service::impl::count_acknowledged(const std::string& of, const std::vector<noted_change>& changes)
{
    for (const auto& c : changes)
    {
        if (c.was_acknowledged || !c.now.acknowledged || c.key.created <= 0)
            continue;
        auto at = acknowledged.find({of, c.model});
        if (at == acknowledged.end())
        {
            const bool room = acknowledged.size() < most_acknowledged_models;
            at = acknowledged.try_emplace({of, room ? c.model : std::string()}).first;
        }
        ++at->second.count;
        at->second.delay_ms +=
            std::max<std::int64_t>(0, c.now.acknowledged_at.value_or(c.now.at) - c.key.created);
    }
}

/// Of a master's breaches, what changed. Keeps what somebody wants to know and returns at once.
void service::impl::note_updates(const std::string& of, const std::vector<noted_change>& changes)
{
    count_acknowledged(of, changes);
    std::set<std::string, std::less<>> wanted_by;
    for (const auto& [name, d] : destinations)
    {
        if (d.config.options.updates && d.masters.contains(of))
            wanted_by.insert(name);
    }
    if (wanted_by.empty())
        return;
    for (const auto& c : changes)
    {
        // Only archived: sent to nobody.
        if (c.archive_only || c.was_acknowledged == c.now.acknowledged)
            continue;
        make_room(updates, 1);
        updates.push_back(update{of, c, wanted_by});
    }
    update_bell.ring();
}

void service::impl::make_room(std::deque<update>& in, std::size_t for_more)
{
    if (in.size() + for_more <= most_updates)
        return;
    if (!updates_dropped)
        log::warning("deliver",
                     "",
                     "more breaches are acknowledged at once than update events can be made of; the oldest "
                     "are left out");
    updates_dropped = true;
    const auto over = std::min(in.size(), in.size() + for_more - most_updates);
    in.erase(in.begin(), in.begin() + static_cast<std::ptrdiff_t>(over));
}

/// Destinations that can be told now. Where the breach itself is not confirmed yet, which takes a second at
/// least over TCP (product.md 8) and as long as a collector is away, its update waits: it comes behind it.
std::vector<std::string> service::impl::take_ready(update& u, std::map<std::string, std::size_t>& room)
{
    using passage = deliver::delivery::passage;
    std::vector<std::string> ready;
    std::erase_if(u.destinations, [&](const std::string& name) {
        const auto d = destinations.find(name);
        if (d == destinations.end() || !d->second.config.options.updates)
            return true;
        const auto passed = d->second.delivery->passage_of(u.master, u.change.seq);
        if (passed != passage::passed)
            return passed == passage::never;
        auto& left = room.try_emplace(name, d->second.delivery->room_for_events()).first->second;
        if (left == 0)
            return false;
        --left;
        ready.push_back(name);
        return true;
    });
    return ready;
}

awaitable<void> service::impl::send_updates()
{
    std::deque<update> waiting;
    for (;;)
    {
        make_room(waiting, updates.size());
        std::move(updates.begin(), updates.end(), std::back_inserter(waiting));
        updates.clear();
        // Looked at together, so that of two changes of one breach the second does not overtake the first.
        std::map<std::string, std::size_t> room;
        std::vector<std::pair<const update*, std::vector<std::string>>> now;
        for (auto& u : waiting)
        {
            if (auto ready = take_ready(u, room); !ready.empty())
                now.emplace_back(&u, std::move(ready));
        }
        for (const auto& [u, ready] : now)
            co_await tell_update(u->master, u->change, ready);
        std::erase_if(waiting, [](const update& u) { return u.destinations.empty(); });
        if (waiting.empty() && updates.empty())
            updates_dropped = false;
        const std::chrono::seconds limit(waiting.empty() ? 86'400 : 1);
        co_await update_bell.wait(limit);
    }
}

awaitable<void> service::impl::tell_update(const std::string& of,
                                           const noted_change& c,
                                           const std::vector<std::string>& to)
{
    const auto m = masters.find(of);
    if (m == masters.end() || !m->second.store)
        co_return;
    const auto archive_of = m->second.store;
    const auto found = co_await archive_of->find(c.key.pbid);
    if (!found)
    {
        not_told(of, c, found.error().detail);
        co_return;
    }
    const auto history = co_await archive_of->history(c.key.pbid);
    if (!history)
    {
        not_told(of, c, history.error().detail);
        co_return;
    }
    for (const auto& a : found->breaches)
    {
        breach b;
        if (a.seq != c.seq || !b.read(a.body))
            continue;
        for (const auto& name : to)
        {
            const auto d = destinations.find(name);
            if (d != destinations.end() && d->second.delivery->has_forwarded(of, a, b) &&
                !was_withheld(*history, a.seq, name))
                d->second.delivery->announce(event_of(of, c, b));
        }
    }
}

}  // namespace dtbridge::app
