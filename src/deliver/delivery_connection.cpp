#include "deliver/delivery_impl.hpp"

#include <boost/asio/error.hpp>

#include <dtbridge/async/cancelled.hpp>
#include <dtbridge/core/log.hpp>
#include <dtbridge/core/text.hpp>
#include <dtbridge/core/time.hpp>

#include <utility>

namespace dtbridge::deliver
{

namespace
{

/// What is in flight when a connection is given up on purpose (addresses changed, the first address is back).
constexpr duration retire_limit = seconds(5);
/// The same words are logged again only after this long, with how often they came: a collector that breaks
/// every connection is six lines an hour.
constexpr duration same_words = std::chrono::minutes(10);
constexpr std::size_t most_words = 16;

}  // namespace

bool same_way(const transport::options& a, const transport::options& b)
{
    const bool same = a.kind == b.kind && a.addresses == b.addresses &&
                      transport::wire_of(a) == transport::wire_of(b) && a.tls == b.tls;
    if (!same || a.kind != transport::protocol::kafka)
        return same;
    return a.kafka == b.kafka && a.max_message == b.max_message;
}

void delivery::impl::failing(const failure& why)
{
    if (count.error.empty())
        count.error_since = now_ms();
    count.error = text::printable(why.detail, 500);
    const auto now = clock::now();
    const auto at = logged.find(count.error);
    if (at != logged.end() && now - at->second.when < same_words)
    {
        ++at->second.times;
        return;
    }
    std::int64_t times = 1;
    if (at != logged.end())
        times += at->second.times;
    std::erase_if(logged, [now](const auto& l) { return now - l.second.when >= same_words; });
    if (logged.size() >= most_words)
        return;
    logged[count.error] = logged_words{now, 0};
    log::warning("deliver",
                 name,
                 "cannot deliver, the archive keeps what waits",
                 {{"error", count.error}, {"times", std::to_string(times)}});
    said_failing = true;
}

void delivery::impl::proved_itself()
{
    proven = true;
    connector->worked();
    if (said_failing || !said_connected)
        log::info("deliver", name, "connected", {{"to", conn->peer()}});
    said_failing = false;
    said_connected = true;
    count.error.clear();
    count.error_since = 0;
}

void delivery::impl::became_up()
{
    taken = 0;
    proven = false;
    draining = false;
    connected_at = clock::now();
    first_again_at = connected_at + bounds.first_again;
    look_up_at = connected_at + bounds.look_up;
    batch = transport::batch(transport::wire_of(connector->settings()));
    count.now = status::state::connected;
    count.connected_to = conn->peer();
    count.certificate_expires = conn->certificate_expires();
    progress_at = connected_at;
    ++count.connects;
    up_again.notify();
}

void delivery::impl::connection_changed()
{
    collect();
    conn_bell.ring();
    room.ring();
    run_bell.ring();
}

void delivery::impl::collect()
{
    if (!conn)
        return;
    const auto confirmed = conn->confirmed();
    const auto refused = conn->take_refused();
    auto next = refused.begin();
    while (!flights.empty())
    {
        auto& f = flights.front();
        if (f.is_batch())
        {
            if (taken == confirmed)
                break;
            ++taken;
            for (; next != refused.end() && next->batch <= taken; ++next)
                refuse(f, *next);
            window.confirmed(f.messages, f.bytes);
            count.confirmed += f.record.sent;
            count.last_confirmed = now_ms();
        }
        if (f.from)
            arrived(f);
        flights.pop_front();
    }
}

void delivery::impl::refuse(flight& f, const transport::refused_message& r)
{
    if (!f.from)
    {
        --count.events;
        ++count.events_dropped;
        return;
    }
    --count.sent;
    cannot_go(f, f.contents[r.place], r.size);
}

void delivery::impl::cannot_go(flight& f, const sent_breach& b, std::size_t size)
{
    auto& m = *f.from;
    std::string why =
        "no datagram to this collector can carry it (" + std::to_string(size) + " bytes): lower max_message";
    if (connector->settings().kind == transport::protocol::kafka)
        why = "too large for the topic (" + std::to_string(size) +
              " bytes): lower max_message, or raise max.message.bytes of the topic";
    pass_over(m, f, b.seq, b.key, b.seq > m.too_long, why);
    m.too_long = std::max(m.too_long, b.seq);
    --f.record.sent;
}

void delivery::impl::arrived(flight& f)
{
    auto& m = *f.from;
    if (m.last == &f)
        m.last = nullptr;
    if (m.in_flight > 0)  // else the master was removed meanwhile
        --m.in_flight;
    done(f);
}

void delivery::impl::done(flight& f)
{
    auto& m = *f.from;
    if (m.dropped)
        return;
    m.done = f.record.last_seq;
    while (!m.throttled.empty() && m.throttled.front().seq <= m.done)
        m.throttled.pop_front();
    progress_at = clock::now();
    m.waiting_since = m.lag() > 0 ? f.archived : 0;
    if (!m.unsaved.empty() && m.unsaved.back().by == f.by)
        merge(m.unsaved.back().record, std::move(f.record));
    else
        m.unsaved.push_back(finished{std::move(f.record), f.by, clock::now()});
    m.save_bell.ring();
    m.settled.ring();
}

void delivery::impl::pass(flight f)
{
    auto& m = *f.from;
    m.position = f.record.last_seq;
    if (m.in_flight == 0)
    {
        done(f);
        return;
    }
    if (m.last && !m.last->is_batch() && m.last->by == f.by)
    {
        merge(m.last->record, std::move(f.record));
        m.last->archived = f.archived;
        return;
    }
    take_off(std::move(f));
}

void delivery::impl::take_off(flight f)
{
    auto& m = *f.from;
    m.position = f.record.last_seq;
    ++m.in_flight;
    flights.push_back(std::move(f));
    m.last = &flights.back();  // a deque's elements stay where they are while its ends change
}

void delivery::impl::start_again()
{
    ++epoch;
    window.broken();
    for (const auto& f : flights)
        limiter.put_back(f.record.windows);
    flights.clear();
    for (auto& [_, m] : feeds)
    {
        m->position = m->done;
        m->in_flight = 0;
        m->last = nullptr;
        m->bell.ring();
        m->settled.ring();
    }
    for (auto& m : leaving)
    {
        m->in_flight = 0;
        m->last = nullptr;
        m->settled.ring();
    }
    room.ring();
}

awaitable<void> delivery::impl::disconnect()
{
    collect();
    count.connected_to.clear();
    start_again();
    co_await conn->close();
    while (sending)
        co_await conn_bell.wait(seconds(1));
    conn.reset();
    draining = false;
}

awaitable<void> delivery::impl::retire()
{
    draining = true;
    room.ring();
    const auto until = clock::now() + retire_limit;
    for (;;)
    {
        collect();
        const auto left = until - clock::now();
        if ((flights.empty() && !sending) || conn->now() == transport::connection::state::over ||
            left <= duration::zero())
            break;
        co_await conn_bell.wait(left);
    }
    if (!sending && conn->now() != transport::connection::state::over)
        co_await conn->finish(milliseconds(250));
    collect();
    if (has_worked())
        retry.succeeded();
    co_await disconnect();
}

bool delivery::impl::is_work_waiting() const
{
    return !events.empty() ||
           std::any_of(feeds.begin(), feeds.end(), [](const auto& f) { return f.second->lag() > 0; });
}

awaitable<void> delivery::impl::wait_to_retry(bool until_work)
{
    count.now = status::state::waiting;
    const auto until = clock::now() + retry.next(std::uniform_real_distribution<double>(0, 1)(random));
    while (!stopping && !other_way && !(until_work && is_work_waiting()))
    {
        const auto left = until - clock::now();
        if (left <= duration::zero())
            co_return;
        co_await conn_bell.wait(left);
    }
    woken = until_work;
}

awaitable<void> delivery::impl::keep_connected()
{
    while (!stopping)
    {
        if (other_way)
            new_connector();
        count.now = status::state::connecting;
        transport::connector::notify changed = [this] { connection_changed(); };
        auto opened = co_await connector->connect(std::move(changed));
        if (!opened)
        {
            co_await end_if_cancelled();
            failing(opened.error());
            co_await wait_to_retry(false);
            continue;
        }
        conn = std::move(*opened);
        became_up();
        co_await stay_connected();
    }
}

awaitable<void> delivery::impl::stay_connected()
{
    for (;;)
    {
        collect();
        if (stopping)
            co_return;
        const auto now = clock::now();
        const bool is_over = conn->now() == transport::connection::state::over;
        if (!proven && (taken > 0 || (!is_over && now - connected_at >= bounds.proven)))
            proved_itself();
        if (is_over)
            break;
        if (other_way)
        {
            co_await retire();
            co_return;
        }
        if (connector->is_on_another() && now >= first_again_at)
        {
            first_again_at = now + bounds.first_again;
            transport::connector::notify changed = [this] { connection_changed(); };
            auto opened = co_await connector->connect_first(std::move(changed));
            if (opened)
            {
                first = std::move(*opened);
                co_await retire();
                conn = std::move(first);
                log::info("deliver", name, "back on the first address", {{"to", conn->peer()}});
                became_up();
            }
            continue;
        }
        const bool is_udp = connector->settings().kind == transport::protocol::udp;
        if (is_udp && now >= look_up_at)
        {
            look_up_at = now + bounds.look_up;
            const bool has_moved = co_await connector->has_moved();
            if (has_moved)
            {
                log::info("deliver", name, "the name has another address now", {{"was", conn->peer()}});
                co_await retire();
                co_return;
            }
            continue;
        }
        auto wait = until_rung;
        if (is_udp)
            wait = look_up_at - now;
        if (!proven)
            wait = std::min(wait, connected_at + bounds.proven - now);
        if (connector->is_on_another())
            wait = std::min(wait, first_again_at - now);
        co_await conn_bell.wait(wait);
    }
    const auto why = conn->reason().value_or(fail(asio::error::eof, conn->peer() + ": closed"));
    if (why.code == errc::lease_lost)
    {
        // This bridge's doing, not the collector's: the other masters go on at once.
        log::info("deliver", name, "the connection is made anew", {{"reason", why.detail}});
        co_await disconnect();
        co_return;
    }
    const bool in_vain = !flights.empty() && taken == 0;
    const bool in_order = why.code == asio::error::eof && flights.empty();
    const bool was_proven = proven && !in_vain;
    // One that carried something is made again at once, and so is one that nothing was asked of for long.
    const bool worked = has_worked();
    if (!was_proven)
        connector->did_not_work();
    if (!in_order)
        ++count.breaks;
    co_await disconnect();
    if (!was_proven || !in_order)
        failing(why);
    if (worked)
    {
        retry.succeeded();
        woken = false;
        co_return;
    }
    // Closed again and again with nothing to carry: connecting waits, but what comes meanwhile is tried
    // at once, unless the last one that was tried so was not carried either.
    const bool until_work = was_proven && in_order && !is_work_waiting() && !woken;
    woken = false;
    co_await wait_to_retry(until_work);
}

}  // namespace dtbridge::deliver
