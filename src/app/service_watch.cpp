/// Keeps an eye on the service itself: what /readyz says, bridge events for what an operator must know,
/// heartbeats and the figures of the page.

#include <algorithm>
#include <utility>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <dtbridge/core/log.hpp>

#include "app/retention.hpp"
#include "app/service_impl.hpp"

namespace dtbridge::app
{

namespace
{

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

constexpr auto look_every = 1s;
constexpr auto destinations_every = 3s;  // a look copies the counters of every policy line
constexpr auto disk_every = 30s;
constexpr auto facts_every = 10s;
/// A master that misses a poll or two is nothing to wake anybody for.
constexpr auto master_gone_after = 60s;
constexpr std::int64_t day_ms = 24 * 3'600'000;
constexpr std::int64_t certificate_notice = 14 * day_ms;
/// Beyond every deadline of a loop's own, it hangs.
constexpr std::int64_t patience_ms = 60'000;
constexpr std::int64_t stalled_ms = 120'000;

bool cannot_be_polled(poll::poll_state s)
{
    return s == poll::poll_state::failing || s == poll::poll_state::archive_full;
}

std::string expiry_words(std::int64_t left_ms)
{
    const auto days = left_ms / day_ms;
    if (left_ms <= 0)
        return "has expired";
    if (days == 0)
        return "expires within a day";
    return "expires in " + std::to_string(days) + (days == 1 ? " day" : " days");
}

std::int64_t steady_ms()
{
    return std::chrono::duration_cast<std::chrono::milliseconds>(clock::now().time_since_epoch()).count();
}

std::string counted(std::size_t n, const char* one, const char* more)
{
    return std::to_string(n) + ' ' + (n == 1 ? one : more);
}

std::string lost_words(const std::string& destination, std::int64_t count)
{
    return "destination " + destination + " lost " +
           counted(static_cast<std::size_t>(count), "breach", "breaches") +
           ": the archive was full, or hold was over, before it had them";
}

std::string reused_words(const std::string& master, std::int64_t count)
{
    return "master " + master + " uses ids again that were archived with another creation time (" +
           std::to_string(count) + "): was it restored or replaced?";
}

}  // namespace

bool watch_state::mishap::is_recent(std::int64_t now) const
{
    return at != 0 && now - at < day_ms;
}

bool watch_state::mishap::is_news(std::int64_t counter, std::int64_t now)
{
    const auto before = std::exchange(seen, counter);
    const auto more = counter < before ? counter : counter - before;
    if (more == 0)
        return false;
    const bool quiet = !is_recent(now);
    count += more;
    at = now;
    return quiet;
}

/// Idle is a loop that waits for its time; stuck is one whose time has long come.
bool service::impl::is_stuck(const poll::master_status& s, const poll::master_options& o) const
{
    if (s.alive_at == 0)
        return false;
    return steady_ms() > std::max(s.alive_at, s.due_at) + o.timeout.count() + patience_ms;
}

bool service::impl::is_stuck(const deliver::status& s, const deliver::destination_options& o) const
{
    const auto paced = o.pace_per_second > 0 ? static_cast<std::int64_t>(2000.0 / o.pace_per_second) : 0;
    return s.stalled > stalled_ms + paced;
}

health service::impl::look_at_health() const
{
    health h;
    if (paused)
        h.broken.push_back("polling is paused: the archive is full and when_full is \"pause\"");
    if (const auto trouble = bridges ? bridges->trouble() : std::string(); !trouble.empty())
        h.broken.push_back(trouble);
    for (const auto& [name, m] : masters)
    {
        // Another bridge's, or about to be opened.
        if (!owns(m) || (bridges && !works_for(m) && m.error.empty()))
            continue;
        const auto s = m.poller ? m.poller->status() : poll::master_status{};
        if (!m.store)
            h.broken.push_back("the archive of master " + name + " is not open: " + m.error);
        else if (!m.error.empty())
            h.troubles.push_back("master " + name + " cannot be polled: " + m.error);
        else if (s.state == poll::poll_state::archive_full)
            h.broken.push_back("the archive of master " + name + " takes nothing: " + s.error);
        else if (!paused && !polls.has(name))
            h.broken.push_back("the polling of master " + name + " does not run");
        else if (!paused && is_stuck(s, m.options))
            h.broken.push_back("the polling of master " + name + " is stuck");
        else if (s.state == poll::poll_state::failing)
            h.troubles.push_back("master " + name + " cannot be polled: " + s.error);
    }
    for (const auto& d : config.destinations)
    {
        const auto& name = d.options.name;
        const auto at = destinations.find(name);
        if (at == destinations.end() || !deliveries.has(name))
        {
            h.broken.push_back("the delivery to destination " + name + " does not run");
            continue;
        }
        const auto s = at->second.delivery->now();
        if (is_stuck(s, d.options))
            h.broken.push_back("the delivery to destination " + name + " is stuck with " +
                               counted(static_cast<std::size_t>(s.lag), "breach", "breaches") + " waiting");
        else if (!s.error.empty())
            h.troubles.push_back("destination " + name + " cannot be reached: " + s.error);
    }
    for (const auto& [name, lost] : watching.lost)
        if (lost.is_recent(now_ms()))
            h.troubles.push_back(lost_words(name, lost.count));
    for (const auto& [name, reused] : watching.reused)
        if (reused.is_recent(now_ms()))
            h.troubles.push_back(reused_words(name, reused.count));
    if (watching.disk_is == watch_state::disk::full)
        h.troubles.push_back(
            "the disk of the archive is full: less than min_free is left, or max_size is reached");
    else if (watching.disk_is == watch_state::disk::filling)
        h.troubles.push_back("the disk of the archive fills");
    if (reload_failed)
        h.troubles.push_back("the configuration on disk is not right; the last good one is in force");
    return h;
}

/// To the destinations that get this master's breaches, so that nobody hears of another customer's; "" to
/// all.
void service::impl::announce(format::formatter::event e, const std::string& about_master)
{
    e.time = now_ms();
    e.master = about_master;
    for (auto& [name, d] : destinations)
    {
        if (about_master.empty() || d.masters.contains(about_master))
            tell(*d.delivery, e);
    }
}

/// Where several bridges send events, each says which one it is.
void service::impl::tell(deliver::delivery& to, format::formatter::event e) const
{
    if (bridges)
        e.message = "bridge " + bridges->name() + ": " + e.message;
    to.announce(std::move(e));
}

void service::impl::watch_masters()
{
    const auto now = clock::now();
    for (const auto& [name, m] : masters)
    {
        if (!owns(m))
            continue;
        const auto s = m.poller ? m.poller->status() : poll::master_status{};
        const bool gone = !m.error.empty() || cannot_be_polled(s.state);
        const auto at = watching.masters.find(name);
        if (!gone)
        {
            // "starting", after a reload, is no answer yet.
            const bool answers =
                s.state == poll::poll_state::polling || s.state == poll::poll_state::catching_up;
            if (at == watching.masters.end() || !answers)
                continue;
            if (at->second.announced)
            {
                format::formatter::event e;
                e.type = "health";
                e.name = "Master can be polled again";
                e.severity = 3;
                e.message = "master " + name + " can be polled again";
                announce(std::move(e), name);
            }
            watching.masters.erase(at);
            continue;
        }
        auto& t = watching.masters.try_emplace(name, watch_state::trouble{now, false}).first->second;
        if (t.announced || now - t.since < master_gone_after)
            continue;
        t.announced = true;
        format::formatter::event e;
        e.type = "health";
        e.name = "Master cannot be polled";
        e.severity = 8;
        e.message = "master " + name + " cannot be polled: " + (m.error.empty() ? s.error : m.error);
        announce(std::move(e), name);
    }
    std::erase_if(watching.masters, [&](const auto& t) {
        const auto m = masters.find(t.first);
        return m == masters.end() || !owns(m->second);
    });
}

/// What cannot be mended any more, but must be known: an event on the first day of each, and health for a
/// day.
void service::impl::watch_mishaps()
{
    const auto event = [](const char* name, int severity, std::string words) {
        format::formatter::event e;
        e.type = "health";
        e.name = name;
        e.severity = severity;
        e.time = now_ms();
        e.message = std::move(words);
        return e;
    };
    for (const auto& [name, d] : destinations)
    {
        auto& lost = watching.lost[name];
        if (lost.is_news(d.delivery->now().lost, now_ms()))
            tell(*d.delivery, event("Breaches were dropped", 9, lost_words(name, lost.count)));
    }
    for (const auto& [name, m] : masters)
    {
        auto& reused = watching.reused[name];
        if (reused.is_news(m.poller ? m.poller->status().reused_pbids : 0, now_ms()))
            announce(event("Ids are used again", 6, reused_words(name, reused.count)), name);
    }
    std::erase_if(watching.lost, [&](const auto& l) { return !destinations.contains(l.first); });
    std::erase_if(watching.reused, [&](const auto& r) { return !masters.contains(r.first); });
}

/// Once a day for each certificate that ends within 14 days.
void service::impl::watch_certificates()
{
    const auto now = now_ms();
    const auto look = [&](const std::string& side, const std::string& name, std::int64_t expires) {
        const auto key = side + ' ' + name;
        if (expires == 0 || expires - now > certificate_notice)
        {
            watching.certificates.erase(key);
            return;
        }
        auto& said = watching.certificates[key];
        if (said != 0 && now - said < day_ms)
            return;
        said = now;
        const auto words = side == "listen" ? "the certificate of our own listener (listen_tls)"
                                            : "the certificate of " + key;
        format::formatter::event e;
        e.type = "health";
        e.name = "Certificate expires";
        e.severity = expires <= now ? 8 : 6;
        e.message = words + ' ' + expiry_words(expires - now) + ", on " + rfc3339_ms(expires).substr(0, 10);
        log::warning("service", side == "listen" ? "" : name, e.message);
        e.time = now;
        if (side == "master")
            announce(std::move(e), name);
        else if (side == "listen")
            announce(std::move(e), "");
        else
            tell(*destinations.at(name).delivery, std::move(e));
    };
    for (const auto& [name, m] : masters)
        look("master", name, m.poller ? m.poller->status().certificate_expires : 0);
    for (const auto& [name, d] : destinations)
        look("destination", name, d.delivery->now().certificate_expires);
    look("listen", "", listener_tls ? listener_tls->expires() : 0);
}

std::int64_t service::impl::stored_bytes() const
{
    std::int64_t all = 0;
    for (const auto& [name, f] : stored)
        all += f.bytes;
    return all;
}

void service::impl::watch_disk()
{
    watching.disk_free = free_bytes(config.service.state_dir);
    const std::int64_t used = stored_bytes();
    const auto least = static_cast<double>(config.archive.min_free);
    const auto most = static_cast<double>(config.archive.max_size);
    const auto free = static_cast<double>(watching.disk_free);
    auto now = watch_state::disk::ok;
    if ((watching.disk_free >= 0 && free < least) || static_cast<double>(used) > most)
        now = watch_state::disk::full;
    else if ((watching.disk_free >= 0 && free < least * 1.25) || static_cast<double>(used) > most * 0.9)
        now = watch_state::disk::filling;
    const auto before = std::exchange(watching.disk_is, now);
    if (before == now)
        return;
    format::formatter::event e;
    e.type = "health";
    e.severity = now == watch_state::disk::full ? 9 : now == watch_state::disk::filling ? 6 : 3;
    e.name = now == watch_state::disk::full      ? "Disk is full"
             : now == watch_state::disk::filling ? "Disk fills"
                                                 : "Disk has room again";
    e.message = "archives " + std::to_string(used >> 20) + " MiB of " +
                std::to_string(config.archive.max_size >> 20) + ", free " +
                std::to_string(std::max<std::int64_t>(0, watching.disk_free) >> 20) + " MiB, of which " +
                std::to_string(config.archive.min_free >> 20) + " are to be left";
    log::write(now == watch_state::disk::ok ? log::level::info : log::level::warning,
               "service",
               "",
               e.name,
               {{"facts", e.message}});
    announce(std::move(e), "");
}

/// Heartbeats that are due, to destinations that are connected: one that is handed over later than it was
/// made would say what is not true any more.
void service::impl::beat()
{
    const auto now = clock::now();
    for (auto& [name, d] : destinations)
    {
        const auto& every = d.config.options.heartbeat;
        if (!every)
        {
            watching.heartbeats.erase(name);
            continue;
        }
        const auto last = watching.heartbeats.find(name);
        if (last != watching.heartbeats.end() && now - last->second < *every)
            continue;
        const auto s = d.delivery->now();
        if (s.now != deliver::status::state::connected)
            continue;
        watching.heartbeats[name] = now;
        std::size_t polled = 0;
        std::string gone;
        for (const auto& m : d.masters)
        {
            const auto at = masters.find(m);
            if (at == masters.end() || !at->second.poller)
                continue;
            const bool fails = cannot_be_polled(at->second.poller->status().state);
            polled += !fails;
            if (fails)
                gone += (gone.empty() ? "" : ", ") + m;
        }
        format::formatter::event e;
        e.type = "heartbeat";
        e.name = "Heartbeat";
        e.severity = 1;
        e.time = now_ms();
        e.count = s.lag;
        e.message = "alive; polls " + counted(polled, "master", "masters") +
                    (gone.empty() ? "" : ", cannot poll " + gone) + "; " + std::to_string(s.lag) + " waiting";
        tell(*d.delivery, std::move(e));
    }
    std::erase_if(watching.heartbeats, [&](const auto& h) { return !destinations.contains(h.first); });
}

awaitable<void> service::impl::watch()
{
    asio::steady_timer timer(ex);
    auto next_disk = clock::now(), next_facts = clock::now();
    for (;;)
    {
        begin_rounds();
        beat();
        watch_masters();
        if (clock::now() >= next_facts)
        {
            next_facts = clock::now() + destinations_every;
            watch_certificates();
            watch_mishaps();
            for (const auto& [name, d] : destinations)
                watching.rates[name].look(d.delivery->now().confirmed, now_ms());
            std::erase_if(watching.rates, [&](const auto& r) { return !destinations.contains(r.first); });
        }
        if (clock::now() >= next_disk)
        {
            next_disk = clock::now() + disk_every;
            watch_disk();
        }
        timer.expires_after(look_every);
        co_await timer.async_wait(asio::use_awaitable);
    }
}

/// Size and age of the archives, looked up only where something was added since.
awaitable<void> service::impl::keep_facts()
{
    asio::steady_timer timer(ex);
    for (;;)
    {
        std::vector<std::string> names;
        for (const auto& [name, m] : masters)
        {
            const auto known = stored.find(name);
            if (m.store && (known == stored.end() || known->second.last_seq != m.store->last_seq()))
                names.push_back(name);
        }
        for (const auto& name : names)
        {
            const auto m = masters.find(name);
            if (m == masters.end() || !m->second.store)
                continue;
            const auto files = m->second.store;
            auto found = co_await files->facts();
            const auto still = masters.find(name);
            if (found && still != masters.end() && still->second.store == files)
                stored[name] = *found;
        }
        std::erase_if(stored, [&](const auto& f) { return !masters.contains(f.first); });
        timer.expires_after(facts_every);
        co_await timer.async_wait(asio::use_awaitable);
    }
}

}  // namespace dtbridge::app
