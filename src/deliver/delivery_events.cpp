#include "deliver/delivery_impl.hpp"

#include <dtbridge/core/log.hpp>
#include <dtbridge/core/time.hpp>

#include <algorithm>
#include <utility>

namespace dtbridge::deliver
{

namespace
{

/// Bridge events that wait for a connection; the oldest go first.
constexpr std::size_t most_events = 64;

format::formatter::event summary_event(const throttle_summary& s)
{
    const auto quoted = [](const std::string& t) { return t.empty() ? "none" : '"' + t + '"'; };
    format::formatter::event e;
    e.type = "throttled";
    e.name = "Breaches throttled";
    e.master = s.master;
    e.count = s.held;
    e.message = std::to_string(s.held) + (s.held == 1 ? " breach" : " breaches");
    if (s.of_key_model)
        e.message += " of model " + quoted(s.model);
    if (s.of_key_device)
        e.message += " on device " + quoted(s.device);
    e.message += (s.held == 1 ? " was" : " were") + std::string(" held back by ") + s.throttle +
                 ", the first created " + rfc3339_ms(s.first) + ", the last " + rfc3339_ms(s.last);
    if (!s.of_key_model)
        e.message += " of model " + quoted(s.model);
    if (!s.of_key_device)
        e.message += " on device " + quoted(s.device);
    e.message += ": " + s.last_url;
    return e;
}

}  // namespace

std::size_t delivery::impl::room_for_events() const
{
    return most_events / 2 - std::min(events.size(), most_events / 2);
}

void delivery::impl::announce(format::formatter::event e)
{
    if (e.time == 0)
        e.time = now_ms();
    e.destination = name;
    // A heartbeat says "now"; of those that waited for a collector one is enough.
    if (e.type == "heartbeat")
        std::erase_if(events, [](const auto& waiting) { return waiting.type == "heartbeat"; });
    if (events.size() >= most_events)
    {
        events.pop_front();
        ++count.events_dropped;
    }
    events.push_back(std::move(e));
    event_bell.ring();
    if (!conn)
        conn_bell.ring();
}

awaitable<void> delivery::impl::send_events()
{
    while (!stopping)
    {
        if (events.empty())
        {
            co_await event_bell.wait(until_rung);
            continue;
        }
        if (!can_send())
        {
            co_await up_again.wait();
            continue;
        }
        auto mine = co_await lane.enter();
        const auto at = epoch;
        while (at == epoch && can_send() && window.full())
            co_await room.wait(until_rung);
        if (at != epoch || !can_send() || events.empty())
            continue;
        co_await send_event();
    }
}

awaitable<void> delivery::impl::send_event()
{
    auto event = std::move(events.front());
    events.pop_front();
    message.clear();
    const auto& with = current->with;
    if (with.formatter->bridge_event(event, with.version, message) == format::verdict::undeliverable)
    {
        ++count.events_dropped;
        co_return;
    }
    batch.clear();
    if (batch.is_labelled())
    {
        transport::message_label l;
        l.master = event.master;
        l.format = format::name_of(with.options.format.format);
        batch.add(message, std::move(l));
    }
    else
        batch.add(message);
    flight f;
    f.by = current;
    f.messages = 1;
    f.bytes = batch.bytes().size();
    window.sent(f.messages, f.bytes);
    flights.push_back(std::move(f));
    ++count.events;
    in_progress mark(*this, nullptr);
    co_await conn->send(batch);
}

std::int64_t delivery::impl::throttle_time() const
{
    auto time = now_ms();
    for (const auto& [_, m] : feeds)
    {
        const bool is_behind = !m->has_cursor || m->position < m->store->last_seq();
        const bool hangs = m->asked && clock::now() - *m->asked >= bounds.slow_read;
        if (is_behind && !hangs && m->read_error.empty())
            time = std::min(time, m->latest_created);
    }
    return time;
}

awaitable<void> delivery::impl::sum_up()
{
    while (!stopping)
    {
        const auto next = limiter.next_end();
        if (!next)
        {
            co_await throttle_bell.wait(until_rung);
            continue;
        }
        const auto told = limiter.take_summaries(throttle_time());
        for (const auto& s : told)
            co_await tell(s);
        if (told.empty())
            co_await throttle_bell.wait(milliseconds(std::clamp<std::int64_t>(*next - now_ms(), 250, 5000)));
    }
}

awaitable<void> delivery::impl::tell(const throttle_summary& s)
{
    // First that it was told: a restart in between loses one event rather than tells it twice.
    for (const auto& w : s.windows)
    {
        const auto at = feeds.find(w.master);
        if (at == feeds.end())
            continue;
        auto store = at->second->store;
        auto noted = co_await store->note_summary(name, w);
        if (!noted)
            log::warning("deliver", name, "a summary could not be noted", {{"error", noted.error().detail}});
    }
    announce(summary_event(s));
}

}  // namespace dtbridge::deliver
