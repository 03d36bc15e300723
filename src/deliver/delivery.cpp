#include "deliver/delivery_impl.hpp"

#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/this_coro.hpp>

#include <dtbridge/core/log.hpp>
#include <dtbridge/core/time.hpp>

#include <cmath>
#include <utility>

namespace dtbridge::deliver
{

namespace
{

/// The first word of a policy line's text, for counters with few labels.
std::string_view kind_of(std::string_view line)
{
    const auto word = line.substr(0, line.find(' '));
    return word == "everything" ? std::string_view("other") : word;
}

}  // namespace

delivery::impl::impl(asio::any_io_executor e, settings s, std::int64_t began, limits l)
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

void delivery::impl::take_over(settings s)
{
    auto next = std::make_shared<generation>();
    next->with = std::move(s);
    next->with.options.name = name;
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

std::size_t delivery::impl::kind_index(std::string_view kind)
{
    auto& all = count.decisions;
    const auto at = std::find_if(all.begin(), all.end(), [&](const auto& d) { return d.kind == kind; });
    if (at != all.end())
        return static_cast<std::size_t>(at - all.begin());
    all.push_back(decision_count{std::string(kind), 0, 0});
    return all.size() - 1;
}

void delivery::impl::count_decision(const rules::decision& said, bool throttled)
{
    ++(throttled ? count.throttled : said.forward ? count.forwarded : count.held_back);
    const auto index = throttled                           ? kind_index("throttle")
                       : said.line < current->kinds.size() ? current->kinds[said.line]
                                                           : kind_index("other");
    auto& of_kind = count.decisions[index];
    ++(said.forward && !throttled ? of_kind.forwarded : of_kind.held_back);
    lines.spoke(said.line);
}

void delivery::impl::new_connector()
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
    else if (o.transport.kind == transport::protocol::kafka)
        b = bounds.kafka_window;
    window = transport::send_window(b);
    other_way = false;
}

void delivery::impl::task_failed(std::exception_ptr error)
{
    if (!failed)
        failed = error;
    run_bell.ring();
}

void delivery::impl::wake_all()
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

awaitable<void> delivery::impl::run()
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

awaitable<void> delivery::impl::drain()
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

awaitable<void> delivery::impl::shut_down()
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

void delivery::impl::add(std::shared_ptr<archive> store,
                         format::master_info info,
                         std::shared_ptr<const cluster::permit> lease)
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
                                    std::move(lease),
                                    ++feeds_made,
                                    backoff(bounds.first_retry, bounds.last_retry));
    feeds.emplace(std::move(key), m);
    if (count.running && !stopping)
        start(m);
}

std::shared_ptr<feed> delivery::impl::take_out(std::string_view master)
{
    const auto at = feeds.find(master);
    if (at == feeds.end())
        return nullptr;
    auto m = at->second;
    feeds.erase(at);
    leaving.push_back(m);
    m->closing = true;
    m->bell.ring();
    up_again.notify();
    room.ring();
    return m;
}

awaitable<void> delivery::impl::remove(std::string master)
{
    auto m = take_out(master);
    if (!m)
        co_return;
    const auto until = clock::now() + seconds(2);
    while (m->in_flight > 0)
    {
        const auto left = until - clock::now();
        if (left <= duration::zero())
            break;
        co_await m->settled.wait(left);
    }
    co_await end(m);
}

/// Whatever of it is under way goes with the connection.
void delivery::impl::lapse(const feed& m)
{
    collect();
    if (conn && m.in_flight > 0 && conn->now() != transport::connection::state::over)
        conn->lapse();
    // Whoever waits with its breaches in hand sees that they may not be sent.
    room.ring();
}

awaitable<void> delivery::impl::end(std::shared_ptr<feed> m)
{
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

status delivery::impl::now() const
{
    auto s = count;
    const auto at = now_ms();
    bool has_work = false;
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
        // What was archived this moment is not heard of yet: after an idle day that would look like a day's
        // stall.
        has_work = has_work || (c.lag > 0 && (!m->has_cursor || m->waiting_since > 0));
        s.cursors.push_back(std::move(c));
    }
    if (has_work && can_send())
        s.stalled = std::chrono::duration_cast<milliseconds>(clock::now() - progress_at).count();
    s.unconfirmed = window.unconfirmed();
    s.policy_lines = lines.since_start();
    return s;
}

delivery::delivery(asio::any_io_executor ex, settings s, std::int64_t first_ran, limits l)
    : impl_(std::make_unique<impl>(std::move(ex), std::move(s), first_ran, l))
{}

delivery::~delivery() = default;

const std::string& delivery::name() const
{
    return impl_->name;
}

void delivery::add_master(std::shared_ptr<archive> store,
                          format::master_info info,
                          std::shared_ptr<const cluster::permit> lease)
{
    impl_->add(std::move(store), std::move(info), std::move(lease));
}

awaitable<void> delivery::remove_master(std::string master)
{
    return impl_->remove(std::move(master));
}

namespace
{

awaitable<void> nothing()
{
    co_return;
}

}  // namespace

awaitable<void> delivery::drop_master(std::string master)
{
    // At once, not when the answer is awaited.
    auto m = impl_->take_out(master);
    if (!m)
        return nothing();
    m->dropped = true;
    m->unsaved.clear();
    impl_->lapse(*m);
    return impl_->end(std::move(m));
}

void delivery::lapse(std::string_view master)
{
    if (const auto at = impl_->feeds.find(master); at != impl_->feeds.end())
        impl_->lapse(*at->second);
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
    impl_->other_way = !same_way(s.options.transport, impl_->connector->settings());
    impl_->take_over(std::move(s));
    impl_->conn_bell.ring();
    // The new settings go only where they belong: who is about to send stops, or goes on after a reload back.
    impl_->room.ring();
    impl_->up_again.notify();
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

delivery::passage delivery::passage_of(std::string_view master, std::int64_t seq) const
{
    const auto at = impl_->feeds.find(master);
    if (at == impl_->feeds.end())
        return passage::never;
    return at->second->has_cursor && seq <= at->second->saved ? passage::passed : passage::not_yet;
}

bool delivery::has_forwarded(std::string_view master, const archived_breach& a, const breach& b) const
{
    if (passage_of(master, a.seq) != passage::passed)
        return false;
    const auto& m = *impl_->feeds.find(master)->second;
    if (impl_->is_before_start(m, a.key.created_or(a.archived)))
        return false;
    const auto known = rules::known_of(b, &m.info.labels, m.inventory.get());
    return impl_->current->with.policy->decide(b, known).forward;
}

std::size_t delivery::room_for_events() const
{
    return impl_->room_for_events();
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
