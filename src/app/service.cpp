#include "app/service.hpp"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <utility>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <dtbridge/async/offload.hpp>
#include <dtbridge/async/use_tuple.hpp>
#include <dtbridge/async/within.hpp>
#include <dtbridge/core/log.hpp>

#include "app/command.hpp"
#include "app/destination_settings.hpp"
#include "app/load_config.hpp"
#include "app/reload.hpp"
#include "app/retention.hpp"
#include "app/service_impl.hpp"
#include "app/version.hpp"

namespace dtbridge::app
{

namespace
{

using namespace std::chrono_literals;

// A clean stop takes at most 5 s (TimeoutStopSec and the contract): 1 s for polls, then the deliveries.
constexpr auto stop_limit = 5s;
constexpr auto polls_limit = 1s;
constexpr auto deliveries_limit = 4s;
constexpr auto leave_limit = 2s;
constexpr auto reopen_interval = 60s;
constexpr auto space_interval = 60s;
constexpr auto retention_interval = std::chrono::hours(1);
constexpr auto inventory_interval = 5s;
constexpr auto first_lines_saved = 60s;
constexpr auto lines_interval = 10min;

std::string words_of(const std::exception_ptr& error)
{
    try
    {
        std::rethrow_exception(error);
    }
    catch (const std::exception& e)
    {
        return e.what();
    }
    catch (...)
    {
        return "unknown error";
    }
}

}  // namespace

// ---- start
// -----------------------------------------------------------------------------------------------------------

outcome<bool> service::impl::prepare()
{
    auto opened = service_store::open(config.service.state_dir);
    if (!opened)
        return opened.error();
    store = std::move(*opened);
    pool = std::make_unique<archive_pool>(
        worker, config.service.state_dir + "/masters", config.archive.database);
    share_masters();
    start_control();
    return true;
}

void service::impl::start_control()
{
    control = std::make_unique<control_server>(
        ex,
        control_path_for_service(config.service.state_dir),
        [this](boost::json::object request, asker& back) { return answer(std::move(request), back); });
    if (auto listening = control->listen(); !listening)
    {
        // Forwarding matters more than being asked.
        log::error("control", "", listening.error().detail, {{"next", "tried again at the next reload"}});
        control.reset();
        return;
    }
    link_control(config.service.state_dir);
    others.spawn("control", control->run());
}

/// Opens the archive and starts the poller; what cannot be opened is said and tried again later.
awaitable<void> service::impl::open_master(std::string name)
{
    const auto formerly = masters.at(name).options.formerly;
    const auto lease = masters.at(name).lease;
    // The bridges' own wait for an old name looks at more than this.
    if (!bridges && masters.contains(formerly))
    {
        auto words = "its archive is still open as that of master " + formerly + ", whose poller did not end";
        auto& waits = masters.at(name);
        if (waits.error != words)
            log::error("archive", name, words, {{"next", "tried again every minute"}});
        waits.error = std::move(words);
        co_return;
    }
    auto opened = co_await archive::open(*pool, name, formerly, lease);
    // A reload may have come in between, or the lease have gone; stop() may have closed the others already.
    const auto at = masters.find(name);
    if (at == masters.end() || at->second.store || at->second.lease != lease || stopping)
    {
        if (opened)
            co_await (*opened)->close();
        co_return;
    }
    auto& m = at->second;
    if (!opened)
    {
        const auto& why = opened.error();
        const auto level = why.code == errc::lease_lost ? log::level::info : log::level::error;
        if (m.error != why.detail)
            log::write(level,
                       "archive",
                       name,
                       why.detail,
                       {{"next", bridges ? "tried again soon" : "tried again every minute"}});
        m.error = why.detail;
        co_return;
    }
    m.store = std::move(*opened);
    m.works_under = lease;
    m.error.clear();
    for (auto& [destination_name, d] : destinations)
        attach(d, name);
    // A reload may have taken it out of the configuration meanwhile; what bridges share they have joined
    // before.
    if (!paused && (bridges || is_configured(name)))
        start_poller(m);
}

/// Whether the configuration in force names it: one that a reload could not take away yet stays among the
/// masters, and must not be polled again.
bool service::impl::is_configured(const std::string& name) const
{
    return std::any_of(
        config.masters.begin(), config.masters.end(), [&name](const auto& c) { return c.name == name; });
}

void service::impl::start_poller(master& m)
{
    if (stopping)
        return;
    auto wire = poll::make_exchange(m.options, program_agent);
    if (!wire)
    {
        if (m.error != wire.error().detail)
            log::error("poll", m.options.name, wire.error().detail, {{"next", "tried again every minute"}});
        m.error = wire.error().detail;
        return;
    }
    m.error.clear();
    m.files = files_digest(connection_files(m.options));
    poll::poller_parts parts;
    parts.options = m.options;
    parts.wire = std::move(*wire);
    parts.store = m.store;
    parts.time = poll::make_timekeeper(ex);
    parts.turns = long_answers;
    parts.on_news = [this, name = m.options.name](std::int64_t) { news(name); };
    parts.on_changes = [this, name = m.options.name](const std::vector<noted_change>& changes) {
        note_updates(name, changes);
    };
    if (m.poller)
        parts.clock = m.poller->clock();
    const auto carried = m.poller ? m.poller->status() : poll::master_status{};
    m.poller = std::make_unique<poll::poller>(std::move(parts), carried);
    polls.spawn(m.options.name, m.poller->run());
}

/// False where it did not end: then it must not be replaced yet; reopen_masters() goes on when it has ended.
awaitable<bool> service::impl::stop_poller(std::string name)
{
    polls.cancel(name);
    // The poller finishes the commit it is in; a disk that hangs holds up nothing but this.
    const auto ended = co_await polls.join(name, 30s);
    if (!ended)
        log::error("poll", name, "the poller did not end within 30 s; its archive's disk may hang");
    co_return ended;
}

/// What a reload takes away, once nothing polls it any more.
awaitable<void> service::impl::finish_master(std::string name)
{
    auto old = masters.extract(name);
    old.mapped().poller.reset();
    if (old.mapped().store)
        co_await old.mapped().store->close();
}

/// Adds a master's archive to a delivery, where the destination wants it and the archive is there.
void service::impl::attach(destination& d, const std::string& master_name)
{
    const auto& wanted = d.config.options.masters;
    const auto m = masters.find(master_name);
    if (m == masters.end() || !works_for(m->second) ||
        std::find(wanted.begin(), wanted.end(), master_name) == wanted.end())
        return;
    d.delivery->add_master(m->second.store, to_master_info(m->second.options), m->second.lease);
    d.delivery->enrich(master_name, inventories.of(master_name));
    d.masters.insert(master_name);
}

outcome<bool> service::impl::start_destination(const config::destination& d)
{
    if (stopping)
        return true;
    auto first_ran = store->first_ran(d.options.name, d.options.formerly, now_ms());
    if (!first_ran)
        return first_ran.error();
    auto& added = destinations[d.options.name];
    added.config = d;
    added.delivery = std::make_unique<deliver::delivery>(ex, to_settings(d), *first_ran);
    if (auto lines = store->policy_lines(d.options.name); lines)
        added.delivery->lines().restore(*lines, now_ms());
    else
        log::warning(
            "deliver", d.options.name, lines.error().detail, {{"next", "its lines count from zero"}});
    for (const auto& name : d.options.masters)
        attach(added, name);
    deliveries.spawn(d.options.name, added.delivery->run());
    return true;
}

/// One that cannot be started keeps no other from delivering; it is tried again every minute.
void service::impl::start_or_say(const config::destination& d)
{
    auto started_one = start_destination(d);
    if (!started_one)
        log::error(
            "deliver", d.options.name, started_one.error().detail, {{"next", "tried again every minute"}});
}

awaitable<void> service::impl::stop_destination(std::string name)
{
    destinations.at(name).delivery->stop();
    auto ended = co_await deliveries.join(name, 10s);
    if (!ended)
    {
        deliveries.cancel(name);
        ended = co_await deliveries.join(name, 10s);
    }
    co_await end_leaving();
    auto old = destinations.extract(name);
    if (!ended)
    {
        log::error("deliver", name, "the delivery did not end within 20 s; an archive's disk may hang");
        abandoned.push_back(std::move(old.mapped().delivery));
    }
}

// ---- run
// -------------------------------------------------------------------------------------------------------------

void service::impl::task_failed(const char* component, const std::string& name, std::exception_ptr error)
{
    log::error(component,
               name,
               "a task failed; the service stops, so that it is started anew",
               {{"error", words_of(error)}});
    failed = true;
    signals.cancel();
}

/// A second SIGTERM or SIGINT while the service stops.
void service::impl::end_at_second_signal()
{
    signals.async_wait([this](error_code ec, int number) {
        if (ec)
            return;
        if (number == SIGHUP)
        {
            end_at_second_signal();
            return;
        }
        log::warning("service", "", "ended at once by a second signal");
        // The archive bears it as it bears a kill. Unwinding would not do: coroutines and jobs of the worker
        // that are under way use what would be destroyed before them.
        std::_Exit(exit_not_right);
    });
}

void service::impl::news(const std::string& name)
{
    last_news[name] = now_ms();
    board.ring(name);
    for (auto& [destination_name, d] : destinations)
        d.delivery->ring(name);
}

/// Begins the rounds that are due. Each is a task that ends, so that a reload waits for one and nothing has
/// to be started again after it, however long that one takes.
void service::impl::begin_rounds()
{
    if (reloading || stopping)
        return;
    const auto now = std::chrono::steady_clock::now();
    const auto begin = [&](const char* name, auto& next, auto interval, awaitable<void> (impl::*round)()) {
        const bool runs = others.has(name);
        if (!runs && now < next)
            return;
        next = now + interval;  // of one that takes long: from its end on
        if (!runs)
            others.spawn(name, (this->*round)());
    };
    begin("reopen", next_reopen, reopen_interval, &impl::reopen_masters);
    begin("space", next_space, space_interval, &impl::keep_space);
}

/// Archives that could not be opened, connections that could not be made and destinations that could not be
/// started are tried again. So is what a reload could not do for a poller that did not end in time: to start
/// it anew, or to take its master away. Gives way to a reload.
awaitable<void> service::impl::reopen_masters()
{
    std::vector<std::string> gone, names;
    for (const auto& [name, m] : masters)
    {
        if (!is_configured(name))
            gone.push_back(name);
        else if (!m.error.empty() || (works_for(m) && !paused && !polls.has(name)))
            names.push_back(name);
    }
    // First: one of the others may be waiting for the archive of its old name.
    for (const auto& name : gone)
    {
        if (reloading)
            co_return;
        polls.cancel(name);
        if (!polls.has(name))
            co_await finish_master(name);
    }
    for (const auto& name : names)
    {
        if (reloading)
            co_return;
        const auto m = masters.find(name);
        if (m == masters.end())
            continue;
        if (works_for(m->second) && !paused && !polls.has(name))
            start_poller(m->second);
        else if (!m->second.store && !bridges)
            co_await open_master(name);
    }
    if (reloading)
        co_return;
    for (const auto& d : config.destinations)
    {
        if (!destinations.contains(d.options.name))
            start_or_say(d);
    }
}

/// Retention every hour, and every minute a look at whether there is room at all. Gives way to a reload,
/// whose rules it does not know.
awaitable<void> service::impl::keep_space()
{
    const auto free = free_bytes(config.service.state_dir);
    const bool tight = (free >= 0 && static_cast<std::uint64_t>(free) < config.archive.min_free) ||
                       static_cast<std::uint64_t>(stored_bytes()) > config.archive.max_size;
    if (!tight && !was_full && std::chrono::steady_clock::now() < next_pass)
        co_return;
    next_pass = std::chrono::steady_clock::now() + retention_interval;

    std::vector<std::shared_ptr<archive>> archives;
    for (const auto& [name, m] : masters)
    {
        if (works_for(m))
            archives.push_back(m.store);
    }
    auto rules = retention_rules_of(config);
    rules.give_way = [this] { return reloading; };
    auto kept = archives;
    auto report = co_await keep_retention(std::move(archives), std::move(rules), now_ms());
    for (const auto& a : kept)
    {
        auto found = co_await a->facts();
        if (found)
            stored[a->master()] = *found;
    }
    if (report.dropped > 0)
        log::info("archive", "", "retention dropped breaches", {{"count", std::to_string(report.dropped)}});
    for (const auto& [name, count] : report.lost)
    {
        log::error("archive",
                   name,
                   "breaches were dropped that this destination had not got; they are counted lost",
                   {{"count", std::to_string(count)}});
        if (const auto d = destinations.find(name); d != destinations.end())
            d->second.delivery->count_lost(count);
    }
    for (const auto& e : report.errors)
        log::error("archive", "", e);
    if (report.gave_way)
    {
        next_pass = std::chrono::steady_clock::now();
        co_return;
    }
    if (report.full != was_full)
    {
        if (report.full)
            log::error("archive",
                       "",
                       "the archive is full: over max_size, or less than min_free is left on the file system",
                       {{"bytes", std::to_string(report.bytes)}, {"free", std::to_string(report.free)}});
        else
            log::info("archive", "", "the archive has room again");
        was_full = report.full;
    }
    paused = report.full && config.archive.pause_when_full;
    std::vector<std::string> names;
    for (const auto& [name, m] : masters)
        names.push_back(name);
    // All of them, as the last round may have had to give way.
    for (const auto& name : names)
    {
        if (reloading)
            co_return;
        const auto m = masters.find(name);
        if (m == masters.end() || !works_for(m->second) || polls.has(name) != paused)
            continue;
        if (paused)
            co_await stop_poller(name);
        else if (is_configured(name))
            start_poller(m->second);
    }
}

/// Inventories are read again when their files change (product.md, [enrich]).
awaitable<void> service::impl::keep_enriched()
{
    asio::steady_timer timer(ex);
    for (;;)
    {
        timer.expires_after(inventory_interval);
        co_await timer.async_wait(asio::use_awaitable);
        const auto changed = co_await inventories.look(worker);
        for (const auto& name : changed)
            for (auto& [destination_name, d] : destinations)
                d.delivery->enrich(name, inventories.of(name));
    }
}

/// What the lines of policies spoke outlives a restart; written rarely, and only where something changed.
awaitable<void> service::impl::keep_line_counts()
{
    asio::steady_timer timer(ex);
    timer.expires_after(first_lines_saved);
    for (;;)
    {
        co_await timer.async_wait(asio::use_awaitable);
        save_line_counts();
        timer.expires_after(lines_interval);
    }
}

void service::impl::save_line_counts()
{
    for (auto& [name, d] : destinations)
    {
        auto& lines = d.delivery->lines();
        const auto changes = lines.take_changes(now_ms());
        if (changes.lines.empty() && !changes.all)
            continue;
        if (auto saved = store->save_policy_lines(name, changes.lines, changes.all, changes.oldest_hour);
            !saved)
        {
            lines.not_saved();
            log::warning("deliver",
                         name,
                         "how often the lines of its policy spoke could not be saved",
                         {{"error", saved.error().detail}});
        }
    }
}

/// Fed only while the I/O loop and the worker both move.
awaitable<void> service::impl::feed_watchdog(std::chrono::milliseconds interval)
{
    asio::steady_timer timer(ex);
    for (;;)
    {
        auto job = [] { return true; };
        co_await offload(worker, std::move(job));
        notify.alive();
        timer.expires_after(interval);
        co_await timer.async_wait(asio::use_awaitable);
    }
}

/// SIGHUP. A task of its own, so that SIGTERM is heard meanwhile; a storm of them is one reload more.
void service::impl::hang_up()
{
    reload_wanted = true;
    if (reloading || starting)
        return;  // it follows
    reloading = true;
    others.spawn("reload", reload_as_asked());
}

awaitable<void> service::impl::reload_as_asked()
{
    while (std::exchange(reload_wanted, false))
        co_await reload();
    reloading = false;
}

/// The configuration as it is on disk now; what cannot be read or is half written is reported as not right.
config::loaded service::impl::load_again()
{
    config::loaded next;
    try
    {
        next = config::load(config_file, process_environment());
    }
    catch (const std::exception& e)
    {
        next.ok = false;
        log::error("config", "", e.what(), {{"file", config_file}});
    }
    // An editor empties a file before it writes it, and without its tables it would be valid.
    if (next.ok && next.value.masters.empty() && next.value.destinations.empty() &&
        !(masters.empty() && destinations.empty()))
    {
        next.ok = false;
        log::error("config",
                   "",
                   "it has no [[master]] and no [[destination]]; stop the service if nothing is to be done",
                   {{"file", config_file}});
    }
    return next;
}

awaitable<void> service::impl::reload()
{
    notify.reloading();
    auto next = load_again();
    for (const auto& p : next.problems)
    {
        const auto line = config::to_line(p);
        if (p.warning)
            log::warning("config", "", line);
        else
            log::error("config", "", line);
    }
    reload_failed = !next.ok;
    if (next.ok)
    {
        reloaded = now_ms();
        co_await apply(std::move(next.value));
        if (stopping)
            co_return;
        log::info("config", "", "the new configuration is in force", {{"file", config_file}});
    }
    else
    {
        log::error("config",
                   "",
                   "the configuration is not right; the last good one stays in force",
                   {{"file", config_file}});
    }
    notify.ready(summary());
}

/// Makes what runs equal to next. What did not change is not touched.
awaitable<void> service::impl::apply(config::configuration next)
{
    if (next.service.state_dir != config.service.state_dir)
    {
        log::warning("config",
                     "",
                     "state_dir changes at the next restart",
                     {{"until then", config.service.state_dir}});
        next.service.state_dir = config.service.state_dir;
    }
    if (!(next.archive.database == config.archive.database))
    {
        log::warning("config", "", "url and its keys of [archive] change at the next restart");
        next.archive.database = config.archive.database;
    }
    if (next.archive.bridge != config.archive.bridge)
    {
        log::warning("config", "", "bridge of [archive] changes at the next restart");
        next.archive.bridge = config.archive.bridge;
    }
    log::set_level(next.service.log_level);
    log::set_format(next.service.log_format);
    const auto before = config.service;

    std::map<std::string, const poll::master_options*> wanted_masters;
    for (const auto& m : next.masters)
        wanted_masters[m.name] = &m;
    std::map<std::string, const config::destination*> wanted_destinations;
    for (const auto& d : next.destinations)
        wanted_destinations[d.options.name] = &d;

    // Two objects of one archive must never be: what opens archives again pauses.
    const auto opened = co_await others.join("reopen", 30s);
    if (!opened)
        log::error("archive", "", "an archive was not opened within 30 s; its disk may hang");
    // Nor may retention drop by the old rules what is lacked by the new ones.
    std::string space("space");
    const auto pruned = co_await others.join(std::move(space), 30s);
    if (!pruned)
    {
        log::error("archive", "", "retention did not give way within 30 s; an archive's disk may hang");
        others.cancel("space");
    }

    // What goes: destinations first, so that none of them reads an archive that is closed.
    std::vector<std::string> gone;
    for (const auto& [name, d] : destinations)
    {
        if (!wanted_destinations.contains(name))
            gone.push_back(name);
    }
    for (const auto& name : gone)
    {
        log::info("deliver", name, "no longer configured; its cursors stay");
        destinations.at(name).delivery->stop();  // all together, then each is waited for
    }
    for (const auto& name : gone)
        co_await stop_destination(name);
    // What stays gets its new settings before any master comes, so that whichever archive is opened from here
    // on is attached to whom the new configuration says, under its rules.
    for (auto& [name, d] : destinations)
    {
        d.config = *wanted_destinations.at(name);
        d.delivery->reconfigure(to_settings(d.config));
        const auto& wanted = d.config.options.masters;
        std::vector<std::string> leaving;
        for (const auto& m : d.masters)
        {
            if (std::find(wanted.begin(), wanted.end(), m) == wanted.end() || !wanted_masters.contains(m))
                leaving.push_back(m);
        }
        // Together: each may wait seconds for a collector that takes nothing.
        for (const auto& m : leaving)
        {
            others.spawn("leave", d.delivery->remove_master(m));
            d.masters.erase(m);
        }
    }
    const auto left = co_await others.join("leave", 30s);
    if (!left)
        log::error("deliver", "", "masters could not be left within 30 s; an archive's disk may hang");
    if (bridges)
        co_await share_again(next);
    gone.clear();
    for (const auto& [name, m] : masters)
    {
        if (!wanted_masters.contains(name))
            gone.push_back(name);
    }
    for (const auto& name : gone)
    {
        log::info("poll", name, "no longer configured; its archive stays");
        const auto ended = co_await stop_poller(name);
        if (ended && opened)  // else reopen_masters() takes it away
            co_await finish_master(name);
    }

    config = std::move(next);
    inventories.follow(config.enrich);

    // What changed or is new.
    for (const auto& wanted : config.masters)
    {
        const auto at = masters.find(wanted.name);
        if (at == masters.end())
        {
            masters[wanted.name].options = wanted;
            co_await open_master(wanted.name);
            continue;
        }
        auto& m = at->second;
        const bool same = same_poller(m.options, wanted) && m.files == files_digest(connection_files(wanted));
        m.options = wanted;
        if (same)
            continue;
        const auto ended = co_await stop_poller(wanted.name);
        if (ended && works_for(m) && !paused)
            start_poller(m);
        else if (!m.store && !bridges && opened)  // else it may be the one that is being opened
            co_await open_master(wanted.name);
    }
    for (const auto& wanted : config.destinations)
    {
        const auto at = destinations.find(wanted.options.name);
        if (at == destinations.end())
        {
            start_or_say(wanted);
            continue;
        }
        for (const auto& name : wanted.options.masters)
            attach(at->second, name);
    }
    co_await renew_listener(before);
    if (!control)
        start_control();
}

awaitable<void> service::impl::stop()
{
    stopping = true;  // from here on nothing is started any more
    notify.stopping();
    others.cancel("reopen");
    others.cancel("space");
    others.cancel("enrich");
    others.cancel("lines");
    others.cancel("facts");
    others.cancel("watch");
    others.cancel("reload");
    const auto began = std::chrono::steady_clock::now();
    // The others take over as soon as leases are free, which needs no end of the connections.
    if (bridges)
        co_await leave_bridges(leave_limit);
    polls.cancel();
    const auto polled = co_await polls.join(polls_limit);
    if (!polled)
        log::warning("service", "", "a poller is still in a commit");
    for (auto& [name, d] : destinations)
        d.delivery->stop();
    const auto left = stop_limit - (std::chrono::steady_clock::now() - began);
    const std::chrono::steady_clock::duration limit =
        std::clamp<std::chrono::steady_clock::duration>(left, 1s, deliveries_limit);
    const auto delivered = co_await deliveries.join(limit);
    if (!delivered)
    {
        log::warning(
            "service",
            "",
            "a delivery did not finish in time; what it had not confirmed is sent again after the start");
        deliveries.cancel();
        co_await deliveries.join(500ms);
    }
    if (bridges)
        co_await end_sharing();
    save_line_counts();
    others.cancel();
    co_await others.join(500ms);
    // Commits that are on their way are waited for: they are short, and a kill would only cost a repeat.
    if (!polled)
        co_await polls.join(10s);
    for (auto& [name, m] : masters)
    {
        // One that still runs (its disk hangs) keeps its poller, and the process waits for it or is killed.
        if (!polls.has(name))
            m.poller.reset();
        if (m.store)
            co_await m.store->close();
    }
}

std::string service::impl::summary() const
{
    return std::to_string(masters.size()) + (masters.size() == 1 ? " master, " : " masters, ") +
           std::to_string(destinations.size()) +
           (destinations.size() == 1 ? " destination" : " destinations");
}

// ---- the whole
// --------------------------------------------------------------------------------------------------------

service::service(asio::io_context& io, asio::any_io_executor worker, std::string config_file)
    : impl_(std::make_unique<impl>(io, std::move(worker), std::move(config_file)))
{}

service::~service() = default;

/// What takes time at the start. Nothing is left half done when the service is stopped meanwhile.
awaitable<void> service::impl::start_rest()
{
    std::vector<std::string> master_names, destination_names;
    for (const auto& m : config.masters)
        master_names.push_back(m.name);
    for (const auto& d : config.destinations)
        destination_names.push_back(d.options.name);
    for (const auto& name : master_names)
    {
        if (bridges)
            break;  // opened as their leases come
        co_await open_master(name);
        if (stopping)
            co_return;
    }
    if (auto orphans = store->orphans(master_names, destination_names))
    {
        for (const auto& o : *orphans)
            log::warning(
                "service", "", o + " is no longer configured; its state stays until `dtbridge forget`");
    }
    start_listener();
    next_reopen = std::chrono::steady_clock::now() + reopen_interval;
    next_space = next_pass = std::chrono::steady_clock::now() + space_interval;
    others.spawn("updates", send_updates());
    others.spawn("enrich", keep_enriched());
    others.spawn("lines", keep_line_counts());
    others.spawn("facts", keep_facts());
    others.spawn("watch", watch());
    if (const auto interval = notify.watchdog_interval(); interval.count() > 0)
        others.spawn("watchdog", feed_watchdog(interval));

    log::info("service", "", "started", {{"version", program_version}, {"serves", summary()}});
    notify.ready(summary());
    starting = false;
    if (reload_wanted)
        hang_up();
}

awaitable<int> service::run(config::configuration first)
{
    auto& self = *impl_;
    self.config = std::move(first);
    self.inventories.follow(self.config.enrich);
    auto prepared = self.prepare();
    if (!prepared)
    {
        log::error("service", "", prepared.error().detail);
        self.others.cancel();
        co_await self.others.join(1s);
        co_return exit_not_right;
    }

    for (const auto& m : self.config.masters)
        self.masters[m.name].options = m;
    for (const auto& d : self.config.destinations)
        self.start_or_say(d);
    // A task of its own: opening many archives on a slow disk takes a while, and a signal is heard meanwhile.
    self.starting = true;
    self.others.spawn("start", self.start_rest());

    while (!self.failed)
    {
        auto [ec, number] = co_await self.signals.async_wait(use_tuple);
        if (ec)
            break;
        if (number == SIGHUP)
        {
            self.hang_up();
            continue;
        }
        log::info("service", "", "stopping", {{"signal", number == SIGTERM ? "SIGTERM" : "SIGINT"}});
        break;
    }
    self.end_at_second_signal();
    co_await self.stop();
    self.signals.cancel();
    log::info("service", "", "stopped");
    co_return self.failed ? exit_not_right : exit_done;
}

}  // namespace dtbridge::app
