#include <dtbridge/deliver/delivery.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <dtbridge/async/doorbell.hpp>
#include <dtbridge/async/task_group.hpp>
#include <dtbridge/core/breach.hpp>
#include <dtbridge/core/log.hpp>
#include <dtbridge/core/text.hpp>
#include <dtbridge/core/time.hpp>
#include <dtbridge/deliver/backoff.hpp>
#include <dtbridge/deliver/throttles.hpp>
#include <dtbridge/transport/pace.hpp>

#include <algorithm>
#include <cmath>
#include <deque>
#include <map>
#include <random>
#include <utility>

#include <deliver/turnstile.hpp>

namespace dtbridge::deliver
{

namespace
{

using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

/// Where nothing but a ring is waited for.
constexpr duration until_rung = std::chrono::hours(1);
/// What is in flight when a connection is given up on purpose (addresses changed, the first address is back).
constexpr duration retire_limit = seconds(5);
/// The same words are logged again only after this long, with how often they came: a collector that breaks
/// every connection is six lines an hour.
constexpr duration same_words = std::chrono::minutes(10);
constexpr std::size_t most_words = 16;
/// Bridge events that wait for a connection; the oldest go first.
constexpr std::size_t most_events = 64;
/// Throttled breaches behind what is in flight; from then on the master waits for a confirmation.
constexpr std::size_t most_remembered = 65536;
/// Rows of what was passed over that wait for an archive that cannot be written; more are counted only.
constexpr std::size_t most_rows = 65536;
constexpr std::size_t most_window_rows = 32768;
constexpr std::int64_t sample_interval_ms = 60'000;

/// Settings as they are used, with what is counted per set.
struct generation
{
    settings with;
    std::optional<std::int64_t> cutoff;                         // ms: breaches created before are passed over
    std::vector<std::shared_ptr<const std::string>> throttles;  // in words
    std::vector<std::size_t> kinds;                             // of policy lines, into status::decisions

    bool passes_over(std::int64_t created) const { return cutoff && created < *cutoff; }
};

/// Without any time of its own a breach is as old as its arrival: nothing is passed over for lack of a date.
std::int64_t created_of(const archived_breach& a)
{
    return a.key.created != 0 ? a.key.created : a.archived;
}

/// A breach that a throttle held and whose cursor is not there yet: after a break it is held again.
struct remembered
{
    std::int64_t seq = 0;
    std::shared_ptr<const std::string> by;
};

/// Part of the way that is done but not saved.
struct finished
{
    confirmed_batch record;
    std::shared_ptr<generation> by;
    clock::time_point since;
};

struct flight;

/// One master as this destination sees it.
struct feed
{
    feed(const asio::any_io_executor& ex,
         std::shared_ptr<archive> s,
         format::master_info i,
         std::uint64_t number,
         backoff b)
        : store(std::move(s)),
          info(std::move(i)),
          feeding("feed " + info.name + " " + std::to_string(number)),
          saving("save " + info.name + " " + std::to_string(number)),
          bell(ex),
          save_bell(ex),
          settled(ex),
          retry(b)
    {}

    std::shared_ptr<archive> store;
    format::master_info info;
    std::string feeding, saving;  // names of the tasks
    doorbell bell, save_bell, settled;
    backoff retry;
    bool has_cursor = false;
    bool closing = false;
    std::int64_t position = 0;  // read up to here, what is in flight included
    std::int64_t done = 0;      // confirmed or passed over up to here
    std::int64_t counted = 0;   // decisions up to here are in the counters: a repeat is not counted twice
    std::int64_t too_long = 0;  // the same for what was too long for a datagram
    std::deque<remembered> throttled;  // of (done, counted], by seq
    std::shared_ptr<const rules::inventory> inventory;
    std::size_t in_flight = 0;
    flight* last = nullptr;  // its youngest flight
    std::deque<finished> unsaved;
    std::shared_ptr<generation> hashed;  // whose texts the hashes are of
    std::string policy_hash, fields_hash;
    std::int64_t waiting_since = 0;  // ms, archive time of about the oldest breach that waits; 0 none
    std::string read_error, save_error;

    std::int64_t lag() const { return std::max<std::int64_t>(0, store->last_seq() - done); }
};

/// A span of one master's archive on its way: a batch that was sent, or breaches behind one that need no
/// sending. A bridge event is of no master, and nothing follows from its confirmation.
struct flight
{
    std::shared_ptr<feed> from;  // null: a bridge event
    std::shared_ptr<generation> by;
    confirmed_batch record;
    std::size_t messages = 0;  // of the batch; 0: nothing to send
    std::size_t bytes = 0;
    std::int64_t archived = 0;  // ms, of the last breach
    bool is_batch() const { return messages > 0; }
};

/// The first word of a policy line's text, for counters with few labels.
std::string_view kind_of(std::string_view line)
{
    const auto word = line.substr(0, line.find(' '));
    return word == "everything" ? std::string_view("other") : word;
}

/// The last row of each key is the one that counts.
void keep_last(std::vector<throttle_window>& windows)
{
    std::map<std::pair<std::string_view, std::string_view>, std::size_t> last;
    for (std::size_t i = 0; i < windows.size(); ++i)
        last[{windows[i].throttle, windows[i].key}] = i;
    std::vector<throttle_window> kept;
    kept.reserve(last.size());
    for (const auto& [_, i] : last)
        kept.push_back(std::move(windows[i]));
    windows = std::move(kept);
}

void merge(confirmed_batch& into, confirmed_batch&& more)
{
    into.last_seq = more.last_seq;
    into.sent += more.sent;
    into.held_back += more.held_back;
    into.undeliverable += more.undeliverable;
    into.throttled += more.throttled;
    if (!more.withheld.empty() && into.withheld.size() < most_rows)
        into.withheld.insert(into.withheld.end(),
                             std::make_move_iterator(more.withheld.begin()),
                             std::make_move_iterator(more.withheld.end()));
    if (!more.windows.empty())
        into.windows.insert(into.windows.end(),
                            std::make_move_iterator(more.windows.begin()),
                            std::make_move_iterator(more.windows.end()));
    if (into.windows.size() > most_window_rows)
        keep_last(into.windows);
}

/// Whether another connection is needed for b than for a.
bool same_way(const transport::options& a, const transport::options& b)
{
    return a.kind == b.kind && a.addresses == b.addresses && transport::wire_of(a) == transport::wire_of(b) &&
           a.tls == b.tls;
}

/// Many waiters, all woken together, who look for themselves.
class condition
{
public:
    explicit condition(const asio::any_io_executor& ex) : timer_(ex)
    {
        timer_.expires_at(clock::time_point::max());
    }
    void notify() { timer_.cancel(); }
    awaitable<void> wait()
    {
        auto token = asio::as_tuple(asio::use_awaitable);
        co_await timer_.async_wait(token);
    }

private:
    asio::steady_timer timer_;
};

}  // namespace

struct delivery::impl
{
    impl(asio::any_io_executor e, settings s, std::int64_t began, limits l)
        : ex(std::move(e)),
          bounds(l),
          first_ran(began),
          name(s.options.name),
          tasks(ex, [this](const std::string&, std::exception_ptr error) { task_failed(error); }),
          turns(ex, l.spans_at_once),
          lane(ex, 1),
          up_again(ex),
          room(ex),
          conn_bell(ex),
          run_bell(ex),
          event_bell(ex),
          throttle_bell(ex),
          window(l.window),
          batch(transport::wire::datagram),
          retry(l.first_retry, l.last_retry),
          random(std::random_device{}())
    {
        count.name = name;
        take_over(std::move(s));
        new_connector();
    }

    // --- settings
    // ---------------------------------------------------------------------------------------------------

    void take_over(settings s)
    {
        auto next = std::make_shared<generation>();
        next->with = std::move(s);
        next->with.options.name = name;
        if (next->with.options.start)
            next->cutoff = first_ran - next->with.options.start->count();
        for (const auto& t : next->with.policy->throttles())
            next->throttles.push_back(
                std::make_shared<const std::string>(rules::describe(t, next->with.policy->file())));
        if (next->with.throttled)
            limiter.follow(next->with.policy);
        const auto now = now_ms();
        lines.follow(next->with.policy, now);
        throttle_bell.ring();
        for (const auto& line : next->with.policy->lines())
            next->kinds.push_back(kind_index(kind_of(line.text)));
        const auto pace = next->with.options.pace_per_second;
        if (!current || current->with.options.pace_per_second != pace)
            pacer = transport::pacer(pace);
        current = std::move(next);
    }

    /// Where decisions of that kind are counted; there are about a dozen kinds.
    std::size_t kind_index(std::string_view kind)
    {
        auto& all = count.decisions;
        const auto at = std::find_if(all.begin(), all.end(), [&](const auto& d) { return d.kind == kind; });
        if (at != all.end())
            return static_cast<std::size_t>(at - all.begin());
        all.push_back(decision_count{std::string(kind), 0, 0});
        return all.size() - 1;
    }

    void count_decision(const rules::decision& said, bool throttled)
    {
        ++(throttled ? count.throttled : said.forward ? count.forwarded : count.held_back);
        const auto index = throttled                           ? kind_index("throttle")
                           : said.line < current->kinds.size() ? current->kinds[said.line]
                                                               : kind_index("other");
        auto& of_kind = count.decisions[index];
        ++(said.forward && !throttled ? of_kind.forwarded : of_kind.held_back);
        lines.spoke(said.line);
    }

    void new_connector()
    {
        const auto& o = current->with.options;
        connector = std::make_unique<transport::connector>(ex, o.transport, bounds.transport);
        auto b = bounds.window;
        if (o.transport.kind == transport::protocol::udp)
        {
            // A batch waits 50 ms for its confirmation, so a pace over 1280/s needs more than one in flight.
            const auto paced =
                static_cast<std::size_t>(std::clamp(std::ceil(o.pace_per_second * 0.06), 0.0, 4096.0));
            b.messages = std::max(bounds.udp_window, paced);
        }
        else if (transport::is_relp(o.transport.kind))
            b.messages = std::min(b.messages, bounds.relp_window);
        window = transport::send_window(b);
        other_way = false;
    }

    // --- state of the connection
    // ------------------------------------------------------------------------------------

    bool can_send() const
    {
        return conn && conn->now() == transport::connection::state::up && !draining && !stopping;
    }

    void failing(const failure& why)
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

    void proved_itself()
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

    void became_up()
    {
        taken = 0;
        proven = false;
        draining = false;
        connected_at = clock::now();
        first_again_at = connected_at + bounds.first_again;
        batch = transport::batch(transport::wire_of(connector->settings()));
        count.now = status::state::connected;
        count.connected_to = conn->peer();
        count.certificate_expires = conn->certificate_expires();
        progress_at = connected_at;
        ++count.connects;
        up_again.notify();
    }

    void connection_changed()
    {
        collect();
        conn_bell.ring();
        room.ring();
        run_bell.ring();
    }

    /// Takes in what the transport confirmed.
    void collect()
    {
        if (!conn)
            return;
        const auto confirmed = conn->confirmed();
        while (!flights.empty())
        {
            auto& f = flights.front();
            if (f.is_batch())
            {
                if (taken == confirmed)
                    break;
                ++taken;
                window.confirmed(f.messages, f.bytes);
                count.confirmed += f.record.sent;
                count.last_confirmed = now_ms();
            }
            if (f.from)
                arrived(f);
            flights.pop_front();
        }
    }

    /// f and everything of its master before it is done.
    void arrived(flight& f)
    {
        auto& m = *f.from;
        if (m.last == &f)
            m.last = nullptr;
        if (m.in_flight > 0)  // else the master was removed meanwhile
            --m.in_flight;
        done(f);
    }

    void done(flight& f)
    {
        auto& m = *f.from;
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

    /// Breaches that need no sending: done at once, or with what is in flight before them.
    void pass(flight f)
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

    void take_off(flight f)
    {
        auto& m = *f.from;
        m.position = f.record.last_seq;
        ++m.in_flight;
        flights.push_back(std::move(f));
        m.last = &flights.back();  // a deque's elements stay where they are while its ends change
    }

    /// Everything unconfirmed is for sending again.
    void start_again()
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

    /// Ends the present connection, broken or not.
    awaitable<void> disconnect()
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

    /// Sends nothing more and waits until what is in flight is confirmed.
    awaitable<void> retire()
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
        co_await disconnect();
    }

    bool is_work_waiting() const
    {
        return !events.empty() ||
               std::any_of(feeds.begin(), feeds.end(), [](const auto& f) { return f.second->lag() > 0; });
    }

    /// until_work: nothing waits for the collector now, so what comes later ends the wait.
    awaitable<void> wait_to_retry(bool until_work)
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

    awaitable<void> keep_connected()
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
                failing(opened.error());
                co_await wait_to_retry(false);
                continue;
            }
            conn = std::move(*opened);
            became_up();
            co_await stay_connected();
        }
    }

    /// Until the connection is gone, or stop() wants it for itself.
    awaitable<void> stay_connected()
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
            auto wait = until_rung;
            if (!proven)
                wait = connected_at + bounds.proven - now;
            if (connector->is_on_another())
                wait = std::min(wait, first_again_at - now);
            co_await conn_bell.wait(wait);
        }
        const auto why = conn->reason().value_or(fail(asio::error::eof, conn->peer() + ": closed"));
        const bool in_vain = !flights.empty() && taken == 0;
        const bool in_order = why.code == asio::error::eof && flights.empty();
        const bool was_proven = proven && !in_vain;
        // One that carried something is made again at once, and so is one that nothing was asked of for long.
        const bool worked = taken > 0 || (was_proven && clock::now() - connected_at >= bounds.lasting);
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

    // --- one master
    // -------------------------------------------------------------------------------------------------

    void start(const std::shared_ptr<feed>& m)
    {
        tasks.spawn(m->feeding, deliver_from(m));
        tasks.spawn(m->saving, save_cursor(m));
    }

    bool is_ending(const feed& m) const { return stopping || m.closing; }

    void note(const feed& m, std::string& kept, std::string_view doing, const failure& why)
    {
        if (kept == why.detail)
            return;
        kept = why.detail;
        log::error("deliver", name, doing, {{"master", m.info.name}, {"error", why.detail}});
    }

    void mended(const feed& m, std::string& kept)
    {
        if (kept.empty())
            return;
        kept.clear();
        log::info("deliver", name, "archive works again", {{"master", m.info.name}});
    }

    /// This master's archive failed: nobody else waits for it.
    awaitable<void> pause(std::shared_ptr<feed> m)
    {
        const auto until = clock::now() + m->retry.next(std::uniform_real_distribution<double>(0, 1)(random));
        while (!is_ending(*m))
        {
            const auto left = until - clock::now();
            if (left <= duration::zero())
                break;
            co_await m->bell.wait(left);
        }
    }

    awaitable<void> open_cursor(std::shared_ptr<feed> m)
    {
        while (!is_ending(*m))
        {
            auto formerly = current->with.options.formerly;
            auto cursor = co_await m->store->ensure_cursor(name, std::move(formerly), 0);
            if (!cursor)
            {
                note(*m, m->read_error, "cannot read the cursor", cursor.error());
                co_await pause(m);
                continue;
            }
            auto windows = co_await m->store->throttle_windows(name);
            if (!windows)
            {
                note(*m, m->read_error, "cannot read the throttles", windows.error());
                co_await pause(m);
                continue;
            }
            mended(*m, m->read_error);
            m->retry.succeeded();
            limiter.restore(m->info.name, *windows);
            throttle_bell.ring();
            m->position = m->done = m->counted = cursor->seq;
            m->has_cursor = true;
            if (m->lag() == 0)
                co_return;
            // For the age of what waits.
            auto oldest = co_await m->store->read(m->done, 1, 1);
            if (oldest && !oldest->breaches.empty())
                m->waiting_since = oldest->breaches.front().archived;
            co_return;
        }
    }

    awaitable<void> deliver_from(std::shared_ptr<feed> m)
    {
        co_await open_cursor(m);
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
            if (m->throttled.size() >= most_remembered)
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
            auto span = co_await m->store->read(after, bounds.span_breaches, bounds.span_bytes);
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

    /// Waits until one more message may go; false if it is no use any more.
    awaitable<bool> wait_for_room(std::shared_ptr<feed> m, std::uint64_t at)
    {
        while (at == epoch && can_send() && !m->closing && window.full())
            co_await room.wait(until_rung);
        co_return at == epoch&& can_send() && !m->closing;
    }

    /// The same for the pace.
    awaitable<bool> wait_for_pace(std::shared_ptr<feed> m, std::uint64_t at, duration wait)
    {
        const auto until = clock::now() + wait;
        while (at == epoch && can_send() && !m->closing)
        {
            const auto left = until - clock::now();
            if (left <= duration::zero())
                break;
            co_await room.wait(left);
        }
        co_return at == epoch&& can_send() && !m->closing;
    }

    /// Lets everybody else run: where memory answers the read and the kernel takes the write at once, nothing
    /// else here ever suspends, and one backlog would hold the thread until its end.
    awaitable<bool> give_way(std::shared_ptr<feed> m, std::uint64_t at)
    {
        co_await asio::post(ex, asio::use_awaitable);
        co_return at == epoch && !is_ending(*m);
    }

    awaitable<void> send_span(std::shared_ptr<feed> m, const archive_span& span, std::uint64_t at)
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

    /// Decides and formats from span[next] on as much as fits one batch, and moves next.
    flight prepare(const std::shared_ptr<feed>& m, const archive_span& span, std::size_t& next)
    {
        flight f;
        f.from = m;
        f.by = current;
        batch.clear();
        in_batch.clear();
        const auto most = std::min({bounds.batch_messages, window.messages_free(), pacer.burst()});
        // A run of held-back breaches gives way to other work now and then.
        const auto stop =
            std::min(span.breaches.size(), next + std::max<std::size_t>(1, bounds.batch_messages));
        f.record.first_seq = span.breaches[next].seq;
        for (; next < stop && batch.count() < most; ++next)
        {
            const auto& a = span.breaches[next];
            const bool fresh = a.seq > m->counted;
            const auto created = created_of(a);
            if (current->passes_over(created))
                count.passed_over += fresh;
            else if (auto read = scratch.read(a.body); !read)
                pass_over(*m, f, a, fresh, read.error().detail);
            else if (!decide(*m, f, a, next, created, fresh))
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

    /// Decides what is in scratch and adds its message to the batch. False where the batch has no room for
    /// it, and then nothing was counted.
    bool decide(
        feed& m, flight& f, const archived_breach& a, std::size_t place, std::int64_t created, bool fresh)
    {
        const auto& with = current->with;
        latest_created = std::max(latest_created, created);
        const auto known = rules::known_of(scratch, &m.info.labels, m.inventory.get());
        const auto said = with.policy->decide(scratch, known);
        const bool throttled = said.forward && with.throttled && limiter.any() &&
                               is_throttled(m, f, a, created, said.always, fresh);
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
                pass_over(m, f, a, fresh, "does not fit max_message, not even shortened");
            }
            else
            {
                const auto bytes = batch.bytes().size() + message.size();
                const auto free = window.bytes_free();
                if (batch.count() > 0 && bytes > std::min(free, bounds.batch_bytes))
                    return false;
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

    /// Whether a throttle holds what the rules forward; if so, it is noted. What was decided once stays: a
    /// repeat is neither asked nor counted again.
    bool is_throttled(
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

    void pass_over(const feed& m, flight& f, const archived_breach& a, bool fresh, const std::string& why)
    {
        if (fresh)
            undeliverable(m, a.key, why);
        ++f.record.undeliverable;
        f.record.withheld.push_back(
            {a.seq, withheld_breach::cause::undeliverable, text::printable(why, 300)});
    }

    /// A write that is under way; by: for which master, null for a bridge event.
    struct in_progress
    {
        in_progress(impl& o, const feed* by) : owner(o)
        {
            owner.sending = true;
            owner.sender = by;
        }
        in_progress(const in_progress&) = delete;
        in_progress& operator=(const in_progress&) = delete;
        ~in_progress()
        {
            owner.sending = false;
            owner.sender = nullptr;
            owner.conn_bell.ring();
            owner.run_bell.ring();
        }
        impl& owner;
    };

    /// Sends the prepared batch; true if the span may go on.
    awaitable<bool> send(flight f, const archive_span& span, std::uint64_t at)
    {
        auto m = f.from;
        window.sent(f.messages, f.bytes);
        count.sent += static_cast<std::int64_t>(f.messages);
        count.bytes += static_cast<std::int64_t>(f.bytes);
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
            pass_over(*m,
                      *mine,
                      a,
                      a.seq > m->too_long,
                      "no datagram to this collector can carry it (" + std::to_string(batch.piece(i).size()) +
                          " bytes): lower max_message");
            m->too_long = std::max(m->too_long, a.seq);
            --mine->record.sent;
            --count.sent;
        }
        co_return true;
    }

    // --- bridge events
    // ----------------------------------------------------------------------------------------------

    void announce(format::formatter::event e)
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

    /// Sends what was announced, at most once: what a break cuts off is not sent again.
    awaitable<void> send_events()
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

    /// The first of them; the lane is the caller's.
    awaitable<void> send_event()
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

    void undeliverable(const feed& m, const breach_key& key, const std::string& why)
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

    // --- throttles
    // --------------------------------------------------------------------------------------------------

    /// The time by which windows end: behind on reading, that of the breaches that were seen last.
    std::int64_t throttle_time() const
    {
        const auto now = now_ms();
        for (const auto& [_, m] : feeds)
            if (!m->has_cursor || m->position < m->store->last_seq())
                return std::min(now, latest_created);
        return now;
    }

    /// Tells, at most once, what was held back in windows that are over.
    awaitable<void> sum_up()
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
                co_await throttle_bell.wait(
                    milliseconds(std::clamp<std::int64_t>(*next - now_ms(), 250, 5000)));
        }
    }

    awaitable<void> tell(const throttle_summary& s)
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
                log::warning(
                    "deliver", name, "a summary could not be noted", {{"error", noted.error().detail}});
        }
        announce(summary_event(s));
    }

    static format::formatter::event summary_event(const throttle_summary& s)
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

    // --- cursors
    // ----------------------------------------------------------------------------------------------------

    static bool is_urgent(const confirmed_batch& b) { return b.sent > 0 || b.undeliverable > 0; }

    /// Saves what is done, one commit at a time: what arrives meanwhile goes with the next one.
    awaitable<void> save_cursor(std::shared_ptr<feed> m)
    {
        backoff again(bounds.first_retry, bounds.last_retry);
        for (;;)
        {
            if (m->unsaved.empty())
            {
                if (last_save || (m->closing && m->in_flight == 0 && !tasks.has(m->feeding)))
                    co_return;
                co_await m->save_bell.wait(until_rung);
                continue;
            }
            const auto& oldest = m->unsaved.front();
            if (m->unsaved.size() == 1 && !is_urgent(oldest.record) && !stopping && !m->closing)
            {
                // A filtered stream costs a commit every few seconds, not one per breach.
                const auto left = oldest.since + bounds.lazy_commit - clock::now();
                if (left > duration::zero())
                {
                    co_await m->save_bell.wait(left);
                    continue;
                }
            }
            auto work = std::move(m->unsaved.front());
            m->unsaved.pop_front();
            auto saved = co_await save(m, work);
            if (saved)
            {
                mended(*m, m->save_error);
                again.succeeded();
                continue;
            }
            note(*m,
                 m->save_error,
                 "cannot save the cursor; what was delivered is repeated after a restart",
                 saved.error());
            if (!m->unsaved.empty() && m->unsaved.front().by == work.by)
            {
                merge(work.record, std::move(m->unsaved.front().record));
                m->unsaved.pop_front();
            }
            m->unsaved.push_front(std::move(work));
            if (last_save)
                co_return;
            const auto until =
                clock::now() + again.next(std::uniform_real_distribution<double>(0, 1)(random));
            while (!last_save)
            {
                const auto left = until - clock::now();
                if (left <= duration::zero())
                    break;
                co_await m->save_bell.wait(left);
            }
        }
    }

    awaitable<outcome<bool>> save(std::shared_ptr<feed> m, const finished& work)
    {
        if (m->hashed != work.by)
        {
            std::string policy_hash, fields_hash;
            if (auto policy = work.by->with.policy->text(); !policy.empty())
            {
                auto file = work.by->with.policy->file();
                auto hash = co_await m->store->remember(std::move(policy), std::move(file));
                if (!hash)
                    co_return hash.error();
                policy_hash = std::move(*hash);
            }
            if (auto fields = work.by->with.fields_text; !fields.empty())
            {
                auto file = work.by->with.options.fields_file;
                auto hash = co_await m->store->remember(std::move(fields), std::move(file));
                if (!hash)
                    co_return hash.error();
                fields_hash = std::move(*hash);
            }
            m->policy_hash = std::move(policy_hash);
            m->fields_hash = std::move(fields_hash);
            m->hashed = work.by;
        }
        auto record = work.record;
        record.policy_hash = m->policy_hash;
        record.fields_hash = m->fields_hash;
        // A summary may have told of what is saved only now; what it tells of later it notes itself.
        limiter.note_told(record.windows);
        auto saved = co_await m->store->confirm(name, std::move(record));
        co_return saved;
    }

    // --- the whole
    // --------------------------------------------------------------------------------------------------

    void task_failed(std::exception_ptr error)
    {
        if (!failed)
            failed = error;
        run_bell.ring();
    }

    void wake_all()
    {
        up_again.notify();
        room.ring();
        conn_bell.ring();
        run_bell.ring();
        event_bell.ring();
        throttle_bell.ring();
        for (auto& [_, m] : feeds)
        {
            m->bell.ring();
            m->save_bell.ring();
        }
        for (auto& m : leaving)
            m->save_bell.ring();
    }

    awaitable<void> run()
    {
        count.running = true;
        for (auto& [_, m] : feeds)
            start(m);
        tasks.spawn("connect", keep_connected());
        tasks.spawn("events", send_events());
        tasks.spawn("throttles", sum_up());
        std::exception_ptr error;
        try
        {
            while (!stopping && !failed)
                co_await run_bell.wait(until_rung);
            if (!failed)
                co_await drain();
        }
        catch (...)
        {
            error = std::current_exception();
        }
        // The cursors after a write must be saved whatever ends the run (CONTRIBUTING.md, "Asynchronous
        // code").
        auto shield = asio::disable_cancellation();
        co_await asio::this_coro::reset_cancellation_state(shield);
        co_await shut_down();
        if (failed)
            error = failed;
        if (error)
            std::rethrow_exception(error);
    }

    /// Finishes what is in flight.
    awaitable<void> drain()
    {
        tasks.cancel("connect");
        wake_all();
        std::string connecting("connect");
        co_await tasks.join(std::move(connecting), bounds.drain);
        const auto until = clock::now() + bounds.drain;
        while (sending)
        {
            const auto left = until - clock::now();
            if (left <= duration::zero())
                co_return;
            co_await run_bell.wait(left);
        }
        if (conn && conn->now() != transport::connection::state::over)
            co_await conn->finish(bounds.finish);
        collect();
    }

    awaitable<void> shut_down()
    {
        stopping = true;
        tasks.cancel("connect");
        for (auto& [_, m] : feeds)
            tasks.cancel(m->feeding);
        tasks.cancel("events");
        wake_all();
        for (auto& [_, m] : feeds)
        {
            std::string task = m->feeding;
            co_await tasks.join(std::move(task), seconds(5));
        }
        std::string announcing("events");
        co_await tasks.join(std::move(announcing), seconds(5));
        std::string summing("throttles");
        co_await tasks.join(std::move(summing), seconds(5));
        std::string connecting("connect");
        co_await tasks.join(std::move(connecting), seconds(5));
        if (conn)
        {
            collect();
            co_await conn->close();
        }
        if (first)
            co_await first->close();
        last_save = true;
        wake_all();
        const bool saved = co_await tasks.join(seconds(1));
        if (!saved)
            tasks.cancel();
        for (bool ended = saved; !ended;)
            ended = co_await tasks.join(std::chrono::minutes(1));
        conn.reset();
        first.reset();
        flights.clear();
        count.now = status::state::stopped;
        count.connected_to.clear();
        count.running = false;
    }

    void add(std::shared_ptr<archive> store, format::master_info info)
    {
        if (auto at = feeds.find(info.name); at != feeds.end())
        {
            at->second->info = std::move(info);
            return;
        }
        auto key = info.name;
        auto m = std::make_shared<feed>(ex,
                                        std::move(store),
                                        std::move(info),
                                        ++feeds_made,
                                        backoff(bounds.first_retry, bounds.last_retry));
        feeds.emplace(std::move(key), m);
        if (count.running && !stopping)
            start(m);
    }

    awaitable<void> remove(std::string master)
    {
        auto at = feeds.find(master);
        if (at == feeds.end())
            co_return;
        auto m = at->second;
        feeds.erase(at);
        leaving.push_back(m);
        m->closing = true;
        m->bell.ring();
        up_again.notify();
        room.ring();
        const auto until = clock::now() + seconds(2);
        while (m->in_flight > 0)
        {
            const auto left = until - clock::now();
            if (left <= duration::zero())
                break;
            co_await m->settled.wait(left);
        }
        // A write that is cut breaks the connection, and what is in flight of every other master is repeated.
        // It ends by itself, with its deadline, and nothing follows it.
        if (sender != m.get())
            tasks.cancel(m->feeding);
        std::string feeding = m->feeding;
        co_await tasks.join(std::move(feeding), seconds(5));
        m->in_flight = 0;
        m->save_bell.ring();
        std::string saving = m->saving;
        const bool saved = co_await tasks.join(saving, seconds(2));
        if (!saved)
        {
            tasks.cancel(m->saving);
            co_await tasks.join(std::move(saving), seconds(5));
        }
        limiter.forget(m->info.name);
        // Flights of it that are still out keep it alive; nobody saves them, so they are repeated at worst.
        std::erase(leaving, m);
    }

    status now() const
    {
        auto s = count;
        const auto at = now_ms();
        for (const auto& [key, m] : feeds)
        {
            cursor_status c;
            c.master = key;
            c.seq = m->done;
            c.lag = m->lag();  // everything, until the cursor is known
            c.error = m->read_error.empty() ? m->save_error : m->read_error;
            s.lag += c.lag;
            if (c.lag > 0 && m->waiting_since > 0)
                s.lag_seconds = std::max(s.lag_seconds, (at - m->waiting_since) / 1000);
            s.cursors.push_back(std::move(c));
        }
        if (s.lag > 0 && can_send())
            s.stalled = std::chrono::duration_cast<milliseconds>(clock::now() - progress_at).count();
        s.unconfirmed = window.unconfirmed();
        s.policy_lines = lines.since_start();
        return s;
    }

    asio::any_io_executor ex;
    limits bounds;
    std::int64_t first_ran;
    std::string name;
    task_group tasks;
    turnstile turns;     // spans in memory
    turnstile lane;      // one batch at a time
    condition up_again;  // for feeds, while there is no connection
    doorbell room;       // for the one in the lane
    doorbell conn_bell;  // for the task that keeps the connection
    doorbell run_bell;
    doorbell event_bell;
    doorbell throttle_bell;
    throttles limiter;
    std::int64_t latest_created = 0;  // ms, of what was decided
    line_counts lines;
    std::int64_t sampled_at = 0;                  // ms
    std::deque<format::formatter::event> events;  // that were announced and not sent yet
    transport::send_window window;
    transport::pacer pacer{0};
    transport::batch batch;
    std::vector<std::size_t> in_batch;  // which breach of the span each message is
    std::string message;
    breach scratch;
    std::shared_ptr<generation> current;
    std::unique_ptr<transport::connector> connector;
    std::unique_ptr<transport::connection> conn, first;
    std::uint64_t taken = 0;  // batches of conn whose confirmation was taken in
    std::deque<flight> flights;
    std::uint64_t epoch = 0;  // of positions: counts how often everything unconfirmed went back
    std::map<std::string, std::shared_ptr<feed>, std::less<>> feeds;
    std::vector<std::shared_ptr<feed>> leaving;
    std::uint64_t feeds_made = 0;
    backoff retry;
    std::minstd_rand random;
    clock::time_point connected_at{}, first_again_at{};
    clock::time_point progress_at{};  // something was confirmed or passed over, or began to wait
    bool proven = false;
    bool woken = false;  // the present connection was made before its time, for what came
    bool draining = false;
    bool sending = false;
    const feed* sender = nullptr;  // while sending
    bool stopping = false;
    bool last_save = false;
    bool other_way = false;  // the transport's options changed
    bool said_failing = false, said_connected = false;
    struct logged_words
    {
        clock::time_point when{};
        std::int64_t times = 0;  // again since then
    };
    std::map<std::string, logged_words> logged;
    std::optional<clock::time_point> named_at;
    std::int64_t unnamed = 0;
    std::exception_ptr failed;
    status count;
};

delivery::delivery(asio::any_io_executor ex, settings s, std::int64_t first_ran, limits l)
    : impl_(std::make_unique<impl>(std::move(ex), std::move(s), first_ran, l))
{}

delivery::~delivery() = default;

const std::string& delivery::name() const
{
    return impl_->name;
}

void delivery::add_master(std::shared_ptr<archive> store, format::master_info info)
{
    impl_->add(std::move(store), std::move(info));
}

awaitable<void> delivery::remove_master(std::string master)
{
    return impl_->remove(std::move(master));
}

void delivery::ring(std::string_view master)
{
    auto at = impl_->feeds.find(master);
    if (at == impl_->feeds.end())
        return;
    auto& m = *at->second;
    if (m.waiting_since == 0 && m.lag() > 0)
    {
        m.waiting_since = now_ms();
        impl_->progress_at = clock::now();
    }
    m.bell.ring();
    if (!impl_->conn)
        impl_->conn_bell.ring();
}

void delivery::reconfigure(settings s)
{
    if (!same_way(s.options.transport, impl_->connector->settings()))
        impl_->other_way = true;
    else
        impl_->other_way = false;
    impl_->take_over(std::move(s));
    impl_->conn_bell.ring();
}

void delivery::enrich(std::string_view master, std::shared_ptr<const rules::inventory> with)
{
    if (const auto at = impl_->feeds.find(master); at != impl_->feeds.end())
        at->second->inventory = std::move(with);
}

line_counts& delivery::lines()
{
    return impl_->lines;
}

void delivery::count_lost(std::int64_t breaches)
{
    impl_->count.lost += breaches;
}

bool delivery::has_forwarded(std::string_view master, const archived_breach& a, const breach& b) const
{
    const auto at = impl_->feeds.find(master);
    if (at == impl_->feeds.end() || !at->second->has_cursor || a.seq > at->second->done)
        return false;
    if (impl_->current->passes_over(created_of(a)))
        return false;
    const auto& m = *at->second;
    const auto known = rules::known_of(b, &m.info.labels, m.inventory.get());
    return impl_->current->with.policy->decide(b, known).forward;
}

void delivery::announce(format::formatter::event e)
{
    impl_->announce(std::move(e));
}

awaitable<void> delivery::run()
{
    return impl_->run();
}

void delivery::stop()
{
    impl_->stopping = true;
    impl_->wake_all();
}

status delivery::now() const
{
    return impl_->now();
}

}  // namespace dtbridge::deliver
