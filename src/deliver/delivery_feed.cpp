#include "deliver/delivery_impl.hpp"

#include <boost/asio/post.hpp>

#include <dtbridge/core/log.hpp>
#include <dtbridge/core/text.hpp>
#include <dtbridge/core/time.hpp>

#include <utility>

namespace dtbridge::deliver
{

namespace
{

constexpr std::int64_t sample_interval_ms = 60'000;
/// Between looks whether a lease that ended was renewed.
constexpr auto lapsed_wait = milliseconds(250);

}  // namespace

void delivery::impl::start(const std::shared_ptr<feed>& m)
{
    tasks.spawn(m->feeding, deliver_from(m));
    tasks.spawn(m->saving, save_cursor(m));
}

awaitable<void> delivery::impl::deliver_from(std::shared_ptr<feed> m)
{
    m->asked = clock::now();
    co_await open_cursor(m);
    m->asked.reset();
    while (!is_ending(*m))
    {
        if (!can_send())
        {
            co_await up_again.wait();
            continue;
        }
        if (m->store->last_seq() <= m->position)
        {
            co_await m->bell.wait(until_rung);
            continue;
        }
        if (!m->may_send())
        {
            co_await m->bell.wait(lapsed_wait);
            continue;
        }
        // What a break took back is remembered already, and adds nothing.
        if (m->position >= m->counted && m->throttled.size() >= bounds.remembered)
        {
            co_await m->bell.wait(milliseconds(200));
            continue;
        }
        auto turn = co_await turns.enter();
        if (is_ending(*m) || !can_send())
            continue;
        const auto at = epoch;
        const auto after = m->position;
        turn.lend_after(bounds.slow_read);
        m->asked = clock::now();
        auto span = co_await m->store->read(after, bounds.span_breaches, bounds.span_bytes);
        m->asked.reset();
        turn.keep();
        if (!span)
        {
            turn.leave();
            note(*m, m->read_error, "cannot read the archive", span.error());
            co_await pause(m);
            continue;
        }
        mended(*m, m->read_error);
        m->retry.succeeded();
        if (at != epoch)
            continue;
        if (span->breaches.empty() && span->scanned_to <= after)
        {
            // last_seq runs ahead of what can be read: no reason to spin.
            turn.leave();
            co_await m->bell.wait(seconds(1));
            continue;
        }
        co_await send_span(m, *span, at);
    }
}

awaitable<bool> delivery::impl::wait_for_room(std::shared_ptr<feed> m, std::uint64_t at)
{
    while (goes_on(*m, at) && window.full())
        co_await room.wait(until_rung);
    co_return goes_on(*m, at);
}

awaitable<bool> delivery::impl::wait_for_pace(std::shared_ptr<feed> m, std::uint64_t at, duration wait)
{
    const auto until = clock::now() + wait;
    while (goes_on(*m, at))
    {
        const auto left = until - clock::now();
        if (left <= duration::zero())
            break;
        co_await room.wait(left);
    }
    co_return goes_on(*m, at);
}

awaitable<bool> delivery::impl::give_way(std::shared_ptr<feed> m, std::uint64_t at)
{
    co_await asio::post(ex, asio::use_awaitable);
    co_return at == epoch && !is_ending(*m);
}

awaitable<void> delivery::impl::send_span(std::shared_ptr<feed> m, const archive_span& span, std::uint64_t at)
{
    std::size_t next = 0;
    while (next < span.breaches.size())
    {
        auto mine = co_await lane.enter();
        const bool useful = co_await wait_for_room(m, at);
        if (!useful)
            co_return;
        const auto before = next;
        auto f = prepare(m, span, next);
        if (!f.is_batch())
        {
            if (next > before)
                pass(std::move(f));
            mine.leave();
            const bool on = co_await give_way(m, at);
            if (!on)
                co_return;
            continue;
        }
        if (const auto wait = pacer.take(batch.count(), clock::now()); wait > duration::zero())
        {
            const bool still = co_await wait_for_pace(m, at, wait);
            if (!still)
            {
                limiter.put_back(f.record.windows);
                co_return;
            }
        }
        const bool sent = co_await send(std::move(f), span, at);
        if (!sent)
            co_return;
        mine.leave();
        const bool on = co_await give_way(m, at);
        if (!on)
            co_return;
    }
    if (at == epoch && span.scanned_to > m->position)
    {
        flight gap;
        gap.from = m;
        gap.by = current;
        gap.record.first_seq = m->position + 1;
        gap.record.last_seq = span.scanned_to;
        gap.archived = now_ms();
        pass(std::move(gap));
    }
}

flight delivery::impl::prepare(const std::shared_ptr<feed>& m, const archive_span& span, std::size_t& next)
{
    flight f;
    f.from = m;
    f.by = current;
    batch.clear();
    batch.under(m->lease);
    in_batch.clear();
    const auto most = std::min({bounds.batch_messages, window.messages_free(), pacer.burst()});
    // A run of held-back breaches gives way to other work now and then.
    const auto stop = std::min(span.breaches.size(), next + std::max<std::size_t>(1, bounds.batch_messages));
    f.record.first_seq = span.breaches[next].seq;
    for (; next < stop && batch.count() < most; ++next)
    {
        const auto& a = span.breaches[next];
        const bool fresh = a.seq > m->counted;
        const auto created = a.key.created_or(a.archived);
        if (is_before_start(*m, created))
            count.passed_over += fresh;
        else if (auto read = scratch.read(a.body); !read)
            pass_over(*m, f, a.seq, a.key, fresh, read.error().detail);
        else if (!decide(*m, f, a, next, counts_at(a.key, a.archived), fresh))
            break;  // does not fit: decided again with the next batch, what it counts is counted then
        f.record.last_seq = a.seq;
        f.archived = a.archived;
        m->counted = std::max(m->counted, a.seq);
    }
    f.messages = batch.count();
    f.bytes = batch.bytes().size();
    // While what a break took back is sent again, the windows are ahead of the cursor.
    if (limiter.any() && f.record.last_seq >= m->counted)
        f.record.windows = limiter.take_changes(m->info.name);
    if (const auto now = now_ms(); now - sampled_at >= sample_interval_ms)
    {
        sampled_at = now;
        lines.sample(now);
    }
    return f;
}

bool delivery::impl::decide(
    feed& m, flight& f, const archived_breach& a, std::size_t place, std::int64_t created, bool fresh)
{
    const auto& with = current->with;
    m.latest_created = std::max(m.latest_created, created);
    const auto known = rules::known_of(scratch, &m.info.labels, m.inventory.get());
    const auto said = with.policy->decide(scratch, known);
    const bool throttled =
        said.forward && with.throttled && limiter.any() && is_throttled(m, f, a, created, said.always, fresh);
    if (log::enabled(log::level::debug))
        log::debug("deliver",
                   name,
                   throttled      ? "throttled"
                   : said.forward ? "forward"
                                  : "held back",
                   {{"master", m.info.name},
                    {"pbid", std::to_string(a.key.pbid)},
                    {"reason", throttled ? f.record.withheld.back().reason : said.reason}});
    if (!throttled && (said.forward || with.options.format.mark_held_back))
    {
        message.clear();
        const auto became = with.formatter->message(scratch, m.info, said, message);
        if (became == format::verdict::undeliverable)
        {
            pass_over(m, f, a.seq, a.key, fresh, "does not fit max_message, not even shortened");
        }
        else
        {
            const auto bytes = batch.bytes().size() + message.size();
            const auto free = window.bytes_free();
            if (batch.count() > 0 && bytes > std::min(free, bounds.batch_bytes))
                return false;
            if (batch.is_labelled())
                batch.add(message, label_of(m, a.key));
            else
                batch.add(message);
            in_batch.push_back(place);
            ++f.record.sent;
            count.shortened += fresh && became == format::verdict::shortened;
            if (fresh && said.forward && with.throttled && limiter.any())
                limiter.passed();
        }
    }
    // Marked breaches are sent, and still what the policy held back.
    f.record.held_back += !said.forward;
    if (fresh)
        count_decision(said, throttled);
    return true;
}

transport::message_label delivery::impl::label_of(const feed& m, const breach_key& key) const
{
    transport::message_label l;
    l.key = m.info.name + '/' + device_of(scratch);
    l.master = m.info.name;
    l.pbid = std::to_string(key.pbid);
    l.format = format::name_of(current->with.options.format.format);
    return l;
}

bool delivery::impl::is_throttled(
    feed& m, flight& f, const archived_breach& a, std::int64_t created, bool always, bool fresh)
{
    std::shared_ptr<const std::string> by;
    if (fresh)
    {
        const auto which = limiter.ask(scratch, m.info.name, created, always);
        if (!which)
            return false;
        by = current->throttles[*which];
        limiter.held(format::breach_url(scratch, m.info));
        m.throttled.push_back({a.seq, by});
        throttle_bell.ring();
    }
    else
    {
        const auto at = std::lower_bound(
            m.throttled.begin(), m.throttled.end(), a.seq, [](const remembered& r, std::int64_t seq) {
                return r.seq < seq;
            });
        if (at == m.throttled.end() || at->seq != a.seq)
            return false;
        by = at->by;
    }
    ++f.record.throttled;
    f.record.withheld.push_back({a.seq, withheld_breach::cause::throttled, *by});
    return true;
}

void delivery::impl::pass_over(
    const feed& m, flight& f, std::int64_t seq, const breach_key& key, bool fresh, const std::string& why)
{
    if (fresh)
        undeliverable(m, key, why);
    ++f.record.undeliverable;
    f.record.withheld.push_back({seq, withheld_breach::cause::undeliverable, text::printable(why, 300)});
}

awaitable<bool> delivery::impl::send(flight f, const archive_span& span, std::uint64_t at)
{
    auto m = f.from;
    window.sent(f.messages, f.bytes);
    count.sent += static_cast<std::int64_t>(f.messages);
    count.bytes += static_cast<std::int64_t>(f.bytes);
    if (batch.is_labelled())
        for (const auto place : in_batch)
            f.contents.push_back({span.breaches[place].seq, span.breaches[place].key});
    // In the air before the first byte is: what a cancellation cuts off counts as unconfirmed.
    take_off(std::move(f));
    auto* mine = &flights.back();
    in_progress mark(*this, m.get());
    auto report = co_await conn->send(batch);
    if (at != epoch || !report)
        co_return false;
    for (const auto i : report->undeliverable)
    {
        // The flight is still there: a batch is confirmed only after send() told of it.
        const auto& a = span.breaches[in_batch[i]];
        cannot_go(*mine, {a.seq, a.key}, batch.piece(i).size());
        --count.sent;
    }
    co_return true;
}

void delivery::impl::undeliverable(const feed& m, const breach_key& key, const std::string& why)
{
    ++count.undeliverable;
    // Named by explain in any case; the log gets one line a second at most.
    const auto now = clock::now();
    ++unnamed;
    if (named_at && now - *named_at < seconds(1))
        return;
    named_at = now;
    log::warning("deliver",
                 name,
                 "undeliverable, passed over",
                 {{"master", m.info.name},
                  {"pbid", std::to_string(key.pbid)},
                  {"created", std::to_string(key.created)},
                  {"reason", text::printable(why, 300)},
                  {"count", std::to_string(std::exchange(unnamed, 0))}});
}

}  // namespace dtbridge::deliver
