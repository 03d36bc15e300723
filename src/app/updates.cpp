/// `updates = true` of a destination (product.md 2, 6): one bridge event when a breach that it was sent is
/// acknowledged or unacknowledged. At most once, outside cursors; never in the way of polling.

#include <algorithm>
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
    const auto wants = [&](const auto& d) {
        return d.second.config.options.updates && d.second.masters.contains(of);
    };
    if (std::none_of(destinations.begin(), destinations.end(), wants))
        return;
    for (const auto& c : changes)
    {
        // Only archived: sent to nobody.
        if (c.archive_only || c.was_acknowledged == c.now.acknowledged)
            continue;
        if (updates.size() >= most_updates)
        {
            if (!updates_dropped)
                log::warning(
                    "deliver",
                    "",
                    "more breaches are acknowledged at once than update events can be made of; the oldest "
                    "are left out");
            updates_dropped = true;
            updates.pop_front();
        }
        updates.push_back(update{of, c});
    }
    update_bell.ring();
}

awaitable<void> service::impl::send_updates()
{
    for (;;)
    {
        if (updates.empty())
        {
            updates_dropped = false;
            co_await update_bell.wait(std::chrono::hours(24));
            continue;
        }
        const update next = std::move(updates.front());
        updates.pop_front();
        const auto m = masters.find(next.master);
        if (m == masters.end() || !m->second.store)
            continue;
        const auto archive_of = m->second.store;
        const auto found = co_await archive_of->find(next.change.key.pbid);
        if (!found)
        {
            log::debug("deliver", next.master, "no update event: " + found.error().detail);
            continue;
        }
        const auto history = co_await archive_of->history(next.change.key.pbid);
        if (!history)
            continue;
        for (const auto& a : found->breaches)
        {
            if (a.seq != next.change.seq)
                continue;
            breach b;
            if (!b.read(a.body))
                continue;
            for (auto& [name, d] : destinations)
            {
                if (d.config.options.updates && d.delivery->has_forwarded(next.master, a, b) &&
                    !was_withheld(*history, a.seq, name))
                    d.delivery->announce(event_of(next.master, next.change, b));
            }
        }
    }
}

}  // namespace dtbridge::app
