#include <dtbridge/poll/poller.hpp>

#include <algorithm>
#include <limits>
#include <unordered_map>
#include <utility>
#include <vector>

#include <dtbridge/core/log.hpp>
#include <dtbridge/core/time.hpp>
#include <dtbridge/poll/back_off.hpp>
#include <dtbridge/poll/master_clock.hpp>
#include <dtbridge/poll/target.hpp>
#include <dtbridge/poll/window.hpp>

#include "intake.hpp"

namespace dtbridge::poll
{
namespace
{

constexpr std::uint64_t max_answer = 64u << 20;
/// The shortest window is taken whatever its size, within the timeout: nothing shorter could be asked for,
/// and what streams in is committed as it comes.
constexpr std::uint64_t max_shortest_answer = std::uint64_t{4} << 30;
/// A sweep that would fetch more than this in full asks for minimal=true.
constexpr double full_sweep_bytes = 4.0 * 1024 * 1024;
/// More missing than this in one window and the window is fetched whole.
constexpr std::size_t fetched_singly = 32;
constexpr std::size_t states_kept = 50'000;
constexpr std::size_t pbids_named = 20;
constexpr unsigned backfill_attempts = 5;
/// A failure that lasts is logged again only after this long, with how often it came; ms.
constexpr std::int64_t same_words = 600'000;
/// After so many bad answers in a row that a shorter window may cure, it is shortened though none was too
/// large.
constexpr unsigned patience = 3;

struct key_hash
{
    std::size_t operator()(const breach_key& k) const
    {
        const auto mixed = static_cast<std::uint64_t>(k.pbid) * 0x9E3779B97F4A7C15u;
        return static_cast<std::size_t>((mixed ^ mixed >> 29) + static_cast<std::uint64_t>(k.created));
    }
};

std::string named_pbids(const std::vector<breach_key>& keys, std::int64_t total)
{
    std::string out;
    for (std::size_t i = 0; i < std::min(keys.size(), pbids_named); ++i)
        out += (i > 0 ? ", " : "") + std::to_string(keys[i].pbid);
    if (total > static_cast<std::int64_t>(std::min(keys.size(), pbids_named)))
        out += ", .. (" + std::to_string(total) + ")";
    return out;
}

bool has_parameter(const master_options& o, std::string_view name, std::string_view value)
{
    return std::any_of(
        o.query.begin(), o.query.end(), [&](const auto& p) { return p.first == name && p.second == value; });
}

/// Whether the Date of such an answer is the master's and not that of something on the way.
bool is_masters_own(answer_kind k)
{
    return k == answer_kind::ok || k == answer_kind::cut || k == answer_kind::malformed ||
           k == answer_kind::signature_error || k == answer_kind::refused || k == answer_kind::input_error;
}

struct sweep_state
{
    sweep_schedule::kind kind = sweep_schedule::kind::plain;
    window whole;
    std::int64_t cursor = 0;
    slice_length slices;
    std::int64_t shown = 0, archived = 0, late = 0;
    std::vector<breach_key> late_keys;
    std::vector<breach_key> vanished;  // shown by the survey, not to be had by pbid
    double full_bytes = 0, full_ms = 0;
};

}  // namespace

std::string_view name_of(poll_state s)
{
    switch (s)
    {
        case poll_state::starting:
            return "starting";
        case poll_state::catching_up:
            return "catching_up";
        case poll_state::polling:
            return "polling";
        case poll_state::failing:
            return "failing";
        case poll_state::archive_full:
            return "archive_full";
    }
    return "unknown";
}

struct poller::impl
{
    impl(poller_parts p, master_status carried)
        : parts(std::move(p)),
          options(parts.options),
          status(std::move(carried)),
          plan(plan_settings(parts.options)),
          schedule(parts.options.reconcile_interval.count(), parts.time->now().steady, parts.time->jitter())
    {
        status.name = options.name;
        status.state = poll_state::starting;
        status.error.clear();
        status.sweep_error.clear();
        timeout_ms = options.timeout.count();
    }

    static poll_plan::settings plan_settings(const master_options& o)
    {
        poll_plan::settings s;
        s.interval = o.interval.count() + o.interval.count() / 10;  // with the jitter of waiting
        s.backfill = o.backfill.count();
        s.overlap = o.overlap.count();
        return s;
    }

    poller_parts parts;
    const master_options& options;
    master_status status;
    master_clock clock;
    poll_plan plan;
    sweep_schedule schedule;
    back_off quick{1'000, 60'000};
    back_off slow{30'000, 300'000};
    back_off sweep_wait{5'000, 300'000};
    std::int64_t timeout_ms = 0;

    std::optional<std::int64_t> position;      // of the last complete answer, stored or about to be
    std::optional<std::int64_t> run_position;  // what it was when the present run began
    std::int64_t last_saved = 0;               // steady; of the stored position
    bool ever_saved = false;
    bool by_activity = false;
    std::int64_t horizon = std::numeric_limits<std::int64_t>::min();  // polling never asked for what is older
    std::int64_t trusted_at = 0;                       // steady; when the master's Date last was as expected
    std::int64_t next_poll = 0, sweep_not_before = 0;  // steady
    unsigned bad_in_a_row = 0;
    bool adapting = false;  // the last answer was too large, and the next question is for a shorter window
    bool last_was_good = false, sweep_turn = false, minimal_is_useless = false;
    answer_kind logged = answer_kind::ok, sweep_logged = answer_kind::ok;
    bool said_polling = false;
    std::int64_t failed_times = 0;  // since the last good answer
    std::int64_t logged_at = 0;     // steady; of the last line about it
    std::optional<sweep_state> sweep;
    double full_rate = 0;  // bytes per ms of full answers, of the last sweep
    std::unordered_map<breach_key, std::int64_t, key_hash> states;

    instant now() const { return parts.time->now(); }
    std::function<std::int64_t()> steady_clock() const
    {
        return [time = parts.time] { return time->now().steady; };
    }
    net::http_limits bounds(window w) const
    {
        net::http_limits l;
        l.max_body = w.length() <= slice_length::least ? max_shortest_answer : max_answer;
        return l;
    }
    filter polled_by() const { return by_activity ? filter::activity : filter::creation; }

    void hear(const std::string& text, std::int64_t steady, bool believe);
    awaitable<verdict> ask(exchange& wire, std::string target, intake& in, net::http_limits limits);
    void count(const verdict& v, const intake& in);
    void take_counts(const intake::tally& t);
    void turn_to_activity(const intake::tally& t);

    awaitable<void> load();
    awaitable<void> poll_step();
    awaitable<verdict> keep(intake& in, window w, window asked, instant own);
    std::int64_t settle(verdict& v, window w);
    void report(const verdict& v, std::int64_t wait);

    awaitable<void> sweep_step();
    awaitable<verdict> sweep_full(window w);
    awaitable<verdict> sweep_minimal(window w, bool& redo);
    awaitable<verdict> fetch(breach_key key);
    awaitable<verdict> note_states(const intake& in, bool survey);
    awaitable<verdict> finish_sweep();
    void begin_sweep();
    bool wants_minimal(window w) const;

    awaitable<void> run();
    awaitable<outcome<backfill_report>> backfill(std::shared_ptr<exchange> wire,
                                                 std::int64_t from,
                                                 std::int64_t to,
                                                 bool archive_only,
                                                 std::function<void(std::int64_t)> progress);
};

void poller::impl::hear(const std::string& text, std::int64_t steady, bool believe)
{
    const auto date = parse_http_date(text);
    if (!date)
        return;
    instant own = now();
    own.steady = steady;
    const bool was_known = clock.known();
    const std::int64_t expected = clock.now(own);
    auto heard = master_clock::heard::taken;
    if (believe)
    {
        clock.believe(*date, steady);
        if (was_known && *date - expected > master_clock::jump)
            heard = master_clock::heard::jumped_forward;
        if (was_known && expected - *date > master_clock::jump)
            heard = master_clock::heard::jumped_back;
    }
    else
    {
        heard = clock.listen(*date, steady);
    }
    if (heard == master_clock::heard::jumped_back || heard == master_clock::heard::jumped_forward)
    {
        log::warning("poll",
                     options.name,
                     "the master's clock jumped and is followed",
                     {{"seconds", std::to_string((*date - expected) / 1000)}});
    }
    // What was created since the clock was set back has times that polling has passed already.
    if (heard == master_clock::heard::jumped_back)
        plan.reach_further(steady - trusted_at + options.overlap.count());
    if (heard != master_clock::heard::doubted)
        trusted_at = steady;
    status.skew_seconds = clock.skew_seconds(now());
}

/// One question, and the same again at once with the learnt date where the master did not like ours.
awaitable<verdict> poller::impl::ask(exchange& wire, std::string target, intake& in, net::http_limits limits)
{
    for (bool repeated = false;; repeated = true)
    {
        const instant own = now();
        net::http_request request;
        request.target = target;
        request.headers = signed_headers(options, target, clock.now(own));
        const net::duration limit = options.timeout;
        status.alive_at = own.steady;
        const outcome<net::http_response> r = co_await wire.get(std::move(request), in, limits, limit);
        const instant then = now();
        status.bytes += in.bytes();
        status.answer_seconds.add(static_cast<double>(then.steady - own.steady) / 1000.0);
        status.answer_bytes.add(static_cast<double>(in.bytes()));
        status.alive_at = then.steady;
        if (const auto expires = wire.peer().expires; expires != 0)
            status.certificate_expires = expires;
        if (in.archive_failure())
        {
            verdict v = judge_archive(*in.archive_failure());
            co_return v;
        }
        verdict v;
        if (r)
            v = judge(*r, in.facts(), then.wall);
        else
            v = judge(r.error(), in.facts());
        const std::int64_t heard_at = in.head_at().value_or(then.steady);
        if (v.what != reaction::learn_date)
        {
            if (is_masters_own(v.kind))
                hear(in.date(), heard_at, false);
            co_return v;
        }
        const bool has_date = parse_http_date(in.date()).has_value();
        if (has_date)
            hear(in.date(), heard_at, true);
        const auto skew = clock.skew_seconds(then);
        if (!has_date || repeated)
        {
            v.what = reaction::retry_slowly;
            if (has_date && skew)
                v.words +=
                    "; its clock is " + std::to_string(*skew) +
                    " s ahead of this host's and was used, so date_format may not be what it understands";
            else
                v.words += "; it does not say its own time, so this host's clock must be right";
            co_return v;
        }
        status.outcomes[static_cast<std::size_t>(v.kind)] += 1;
        log::info("poll",
                  options.name,
                  "the master refused the date of a request; its own date is used from now on",
                  {{"skew_seconds", std::to_string(skew.value_or(0))}});
        in.reset();
    }
}

void poller::impl::count(const verdict& v, const intake& in)
{
    status.outcomes[static_cast<std::size_t>(v.kind)] += 1;
    take_counts(in.counts());
}

void poller::impl::take_counts(const intake::tally& t)
{
    status.archived += t.archived;
    status.late += t.late;
    status.repeated += t.repeated;
    status.reused_pbids += t.reused_pbids;
    status.set_aside += t.set_aside;
    if (t.set_aside > 0)
        log::warning("poll",
                     options.name,
                     "elements that are no breaches were set aside in set-aside.ndjson",
                     {{"count", std::to_string(t.set_aside)}});
    if (t.reused_pbids > 0)
        log::warning(
            "poll",
            options.name,
            "the master uses ids again that were archived with another creation time: was it restored or "
            "replaced? They are taken as new breaches",
            {{"count", std::to_string(t.reused_pbids)}});
    if (t.has_pbscore && !status.sees_pbscore)
    {
        status.sees_pbscore = true;
        log::warning("poll",
                     options.name,
                     "answers hold pbscore, so score is the device's and not the breach's: does something on "
                     "the way add "
                     "group=device to the query?");
    }
}

void poller::impl::turn_to_activity(const intake::tally& t)
{
    if (!t.ignored_creation || by_activity || options.window != window_kind::automatic)
        return;
    by_activity = true;
    status.by_activity = true;
    log::warning(
        "poll",
        options.name,
        "the master ignores creationtime=true: polling by activity from now on; breaches created long after "
        "their activity are found by the sweeps");
}

awaitable<void> poller::impl::load()
{
    back_off wait(1'000, 60'000);
    for (;;)
    {
        status.alive_at = now().steady;
        const outcome<std::optional<poll_position>> stored = co_await parts.store->position();
        if (stored)
        {
            if (*stored)
            {
                position = (*stored)->position;
                by_activity = (*stored)->by_activity;
                ever_saved = true;
                last_saved = now().steady;
            }
            break;
        }
        verdict v = judge_archive(stored.error());
        const std::int64_t ms = wait.failed(parts.time->jitter());
        report(v, ms);
        status.due_at = now().steady + ms;
        co_await parts.time->wait(ms);
    }
    if (options.window != window_kind::automatic)
        by_activity = options.window == window_kind::activity;
    status.by_activity = by_activity;
    status.position = position;
    const std::int64_t backfill_ms = options.backfill.count();
    if (!position)
        co_return;
    horizon = *position - backfill_ms;
    const outcome<archive_facts> facts = co_await parts.store->facts();
    if (facts && facts->oldest_archived > 0)
        horizon = std::min(horizon, facts->oldest_archived - backfill_ms);
}

awaitable<void> poller::impl::poll_step()
{
    const instant own = now();
    if (plan.caught_up())
        run_position = position;
    const window w = plan.next(position, clock.now(own), own.steady);
    if (!position && horizon == std::numeric_limits<std::int64_t>::min())
        horizon = w.start;
    const window asked = asked_window(w, options.times);
    intake::order o;
    if (run_position)
    {
        o.late_from = std::numeric_limits<std::int64_t>::min();
        o.late_before = *run_position - poll_plan::short_reach;
    }
    if (options.window == window_kind::automatic && !by_activity)
        o.asked = asked;
    intake in(*parts.store, o, parts.on_news, steady_clock());
    status.last_poll = own.wall;
    std::string target = breaches_target(options, w, polled_by());
    const net::http_limits limits = bounds(w);
    verdict v = co_await ask(*parts.wire, std::move(target), in, limits);
    const std::int64_t elapsed = now().steady - own.steady;
    if (v.what == reaction::take)
    {
        v = co_await keep(in, w, asked, own);
    }
    else if (v.kind != answer_kind::archive_failed)
    {
        // What came before a cut stays.
        const outcome<bool> kept = co_await in.finish(std::nullopt, std::nullopt, false);
        if (!kept)
            v = judge_archive(kept.error());
    }
    count(v, in);
    if (v.what == reaction::take)
        plan.slices.answered(w, in.bytes(), elapsed, timeout_ms);
    const std::int64_t wait = settle(v, w);
    report(v, wait);
    next_poll = now().steady + wait;
    if (v.what == reaction::take && plan.caught_up())
    {
        const double spread = 0.9 + 0.2 * parts.time->jitter();
        next_poll =
            own.steady + static_cast<std::int64_t>(static_cast<double>(options.interval.count()) * spread);
    }
}

/// A complete answer to w: its last block and the position, together.
awaitable<verdict> poller::impl::keep(intake& in, window w, window asked, instant own)
{
    turn_to_activity(in.counts());
    // Where the question was asked by our own clock and that was ahead of the master's, its answer reaches no
    // further than the master's time.
    const std::int64_t known_to = std::max(w.start, clock.now(own));
    poll_position p;
    p.position = std::min(plan.position_after(w), known_to);
    p.by_activity = by_activity && options.window == window_kind::automatic;
    const outcome<bool> saved = co_await in.finish(p, asked, false);
    if (!saved)
    {
        verdict v = judge_archive(saved.error());
        co_return v;
    }
    const std::int64_t steady = now().steady;
    bool is_saved = *saved;
    // An empty poll writes nothing, and its position at most once a minute.
    if (!is_saved && (!ever_saved || in.counts().ignored_creation || steady - last_saved >= one_minute))
    {
        const outcome<bool> alone = co_await parts.store->save_position(p);
        if (!alone)
        {
            verdict v = judge_archive(alone.error());
            co_return v;
        }
        is_saved = true;
    }
    if (is_saved)
    {
        ever_saved = true;
        last_saved = steady;
    }
    plan.done(w);
    position = p.position;
    status.position = position;
    co_return verdict{};
}

/// What the answer means for the next question; answers the wait in ms.
std::int64_t poller::impl::settle(verdict& v, window w)
{
    last_was_good = v.what == reaction::take;
    adapting = false;
    if (last_was_good)
    {
        quick.succeeded();
        slow.succeeded();
        bad_in_a_row = 0;
        return 0;
    }
    ++bad_in_a_row;
    const double jitter = parts.time->jitter();
    const bool may_be_size = v.kind == answer_kind::cut || v.kind == answer_kind::server_error;
    const bool shorter = v.what == reaction::halve && plan.slices.halve(w);
    // That an answer was too large is no fault: the next one will be shorter, and there are only so many
    // halvings.
    if (shorter && v.kind == answer_kind::too_large)
    {
        back_off once(1'000, 1'000);
        adapting = true;
        return once.failed(jitter);
    }
    if (v.what == reaction::halve && !shorter)
        v.words += "; the window was the shortest there is, one minute, so this master cannot be read faster";
    else if (may_be_size && bad_in_a_row >= patience)
        plan.slices.halve(w);
    if (v.what == reaction::retry_slowly)
        return slow.failed(jitter, v.retry_after);
    return quick.failed(jitter, v.retry_after);
}

/// Logs a change of state, and only that.
void poller::impl::report(const verdict& v, std::int64_t wait)
{
    if (v.what == reaction::take)
    {
        status.last_success = now().wall;
        status.error.clear();
        status.state = plan.caught_up() ? poll_state::polling : poll_state::catching_up;
        if (logged != answer_kind::ok || !said_polling)
        {
            if (failed_times > 1)
                log::info("poll",
                          options.name,
                          said_polling ? "the master answers again" : "the master answers",
                          {{"failures", std::to_string(failed_times)}});
            else
                log::info(
                    "poll", options.name, said_polling ? "the master answers again" : "the master answers");
        }
        failed_times = 0;
        said_polling = true;
        logged = answer_kind::ok;
        return;
    }
    if (adapting)
    {
        status.state = poll_state::catching_up;
        log::debug("poll", options.name, v.words);
        return;
    }
    status.error = v.words;
    status.state = v.kind == answer_kind::archive_failed ? poll_state::archive_full : poll_state::failing;
    ++failed_times;
    const std::int64_t steady = now().steady;
    if (v.kind == logged && steady - logged_at < same_words)
        return;
    logged = v.kind;
    logged_at = steady;
    const bool needs_hand = v.what == reaction::retry_slowly || v.kind == answer_kind::archive_failed;
    log::write(needs_hand ? log::level::error : log::level::warning,
               "poll",
               options.name,
               v.words,
               {{"outcome", std::string(name_of(v.kind))},
                {"retry_ms", std::to_string(wait)},
                {"times", std::to_string(failed_times)}});
}

void poller::impl::begin_sweep()
{
    const std::int64_t end = clock.now(now());
    const auto kind = schedule.due(now().steady);
    const bool deep = kind == sweep_schedule::kind::deep;
    const std::int64_t span = deep ? std::max(options.reconcile_deep, options.reconcile_span).count()
                                   : options.reconcile_span.count();
    sweep.emplace();
    sweep->kind = kind;
    sweep->whole.start = std::max<std::int64_t>(0, end - span);
    sweep->whole.end = end;
    sweep->cursor = sweep->whole.start;
    if (deep)
        states.clear();  // so that what no sweep shows any more is let go
}

bool poller::impl::wants_minimal(window w) const
{
    if (minimal_is_useless || has_parameter(options, "minimal", "true"))
        return false;
    const double rate = sweep->full_ms > 0 ? sweep->full_bytes / sweep->full_ms : full_rate;
    return rate * static_cast<double>(std::max(sweep->whole.end - w.start, one_hour)) > full_sweep_bytes;
}

awaitable<void> poller::impl::sweep_step()
{
    if (!sweep)
        begin_sweep();
    window w;
    w.start = sweep->cursor;
    w.end = std::min(sweep->whole.end, sweep->cursor + sweep->slices.get());
    bool redo = false;
    const std::int64_t before = now().steady;
    const std::uint64_t bytes_before = status.bytes;
    verdict v;
    if (wants_minimal(w))
        v = co_await sweep_minimal(w, redo);
    else
        v = co_await sweep_full(w);
    if (redo)
        co_return;
    if (v.what == reaction::take)
    {
        sweep->slices.answered(w, status.bytes - bytes_before, now().steady - before, timeout_ms);
        sweep->cursor = w.end;
        if (w.end >= sweep->whole.end)
            v = co_await finish_sweep();
    }
    if (v.what == reaction::take)
    {
        sweep_wait.succeeded();
        status.sweep_error.clear();
        sweep_logged = answer_kind::ok;
        co_return;
    }
    if (v.what == reaction::halve)
        sweep->slices.halve(w);
    const std::int64_t wait = sweep_wait.failed(parts.time->jitter(), v.retry_after);
    sweep_not_before = now().steady + wait;
    status.sweep_error = v.words;
    if (v.kind != sweep_logged)
        log::warning("poll",
                     options.name,
                     "a sweep failed: " + v.words,
                     {{"outcome", std::string(name_of(v.kind))}, {"retry_ms", std::to_string(wait)}});
    sweep_logged = v.kind;
}

awaitable<verdict> poller::impl::sweep_full(window w)
{
    intake::order o;
    o.note_states = true;
    o.late_from = horizon;
    o.late_before = position.value_or(0) - poll_plan::short_reach;
    intake in(*parts.store, o, parts.on_news, steady_clock());
    std::string target = breaches_target(options, w, filter::activity);
    const net::http_limits limits = bounds(w);
    verdict v = co_await ask(*parts.wire, std::move(target), in, limits);
    if (v.kind != answer_kind::archive_failed)
    {
        const outcome<bool> kept = co_await in.finish(std::nullopt, std::nullopt, true);
        if (!kept)
            v = judge_archive(kept.error());
    }
    count(v, in);
    const intake::tally& t = in.counts();
    sweep->archived += t.archived;
    sweep->late += t.late;
    for (const auto& k : t.late_keys)
        sweep->late_keys.push_back(k);
    if (v.what != reaction::take)
        co_return v;
    sweep->shown += t.shown;
    sweep->full_bytes += static_cast<double>(in.bytes());
    sweep->full_ms += static_cast<double>(w.length());
    v = co_await note_states(in, false);
    co_return v;
}

awaitable<verdict> poller::impl::sweep_minimal(window w, bool& redo)
{
    intake::order o;
    o.survey = true;
    intake in(*parts.store, o, parts.on_news, steady_clock());
    std::string target = breaches_target(options, w, filter::activity, true);
    const net::http_limits limits = bounds(w);
    verdict v = co_await ask(*parts.wire, std::move(target), in, limits);
    status.outcomes[static_cast<std::size_t>(v.kind)] += 1;
    if (v.what != reaction::take)
        co_return v;
    if (in.counts().lacks_creation)
    {
        // Without creationTime a breach cannot be recognised (the 6.1 guide's minimal example has none).
        minimal_is_useless = true;
        redo = true;
        log::info(
            "poll", options.name, "minimal answers of this master lack creationTime: sweeps ask in full");
        co_return v;
    }
    std::vector<breach_key> keys;
    keys.reserve(in.all().size());
    for (const auto& s : in.all())
        keys.push_back(s.key);
    const outcome<std::vector<breach_key>> missing = co_await parts.store->missing(std::move(keys));
    if (!missing)
    {
        v = judge_archive(missing.error());
        co_return v;
    }
    if (missing->size() > fetched_singly)
    {
        v = co_await sweep_full(w);
        co_return v;
    }
    for (const auto& k : *missing)
    {
        v = co_await fetch(k);
        if (v.what != reaction::take)
            co_return v;
    }
    sweep->shown += in.counts().shown;
    v = co_await note_states(in, true);
    co_return v;
}

/// One breach in full, by its pbid.
awaitable<verdict> poller::impl::fetch(breach_key key)
{
    intake::order o;
    o.late_from = horizon;
    o.late_before = position.value_or(0) - poll_plan::short_reach;
    intake in(*parts.store, o, parts.on_news, steady_clock());
    std::string target = breach_target(options, key.pbid);
    net::http_limits limits;
    limits.max_body = max_answer;
    verdict v = co_await ask(*parts.wire, std::move(target), in, limits);
    // A missing id is [] or 404 (darktrace.md 2.3).
    if (v.kind == answer_kind::not_found)
        v = verdict{};
    if (v.what == reaction::take)
    {
        const outcome<bool> kept = co_await in.finish(std::nullopt, std::nullopt, true);
        if (!kept)
            v = judge_archive(kept.error());
        else if (in.counts().shown == 0)
            sweep->vanished.push_back(key);
    }
    count(v, in);
    const intake::tally& t = in.counts();
    sweep->archived += t.archived;
    sweep->late += t.late;
    for (const auto& k : t.late_keys)
        sweep->late_keys.push_back(k);
    co_return v;
}

/// acknowledged and commentCount change after a breach was archived.
awaitable<verdict> poller::impl::note_states(const intake& in, bool survey)
{
    for (const auto& s : in.all())
    {
        // Whether a minimal answer leaves acknowledged out or the breach is not acknowledged cannot be told
        // apart.
        if (survey && !s.knows_acknowledged)
            continue;
        const std::int64_t packed = (s.comment_count & 0xFFFFFFFF) * 2 + (s.acknowledged ? 1 : 0);
        const auto known = states.find(s.key);
        if (known != states.end() && known->second == packed)
            continue;
        const outcome<bool> noted = co_await parts.store->note_state(s.key, s.acknowledged, s.comment_count);
        if (!noted)
        {
            verdict v = judge_archive(noted.error());
            co_return v;
        }
        status.state_changes += *noted ? 1 : 0;
        if (known != states.end())
            known->second = packed;
        else if (states.size() < states_kept)
            states.emplace(s.key, packed);
    }
    co_return verdict{};
}

awaitable<verdict> poller::impl::finish_sweep()
{
    archive_block block;
    block.window.emplace();
    block.window->start = sweep->whole.start;
    block.window->end = sweep->whole.end;
    block.window->sweep = true;
    block.window->shown = sweep->shown;
    block.window->archived = sweep->archived;
    block.window->late = sweep->late;
    const outcome<added> recorded = co_await parts.store->add(std::move(block));
    if (!recorded)
    {
        verdict v = judge_archive(recorded.error());
        co_return v;
    }
    if (sweep->full_ms > 0)
        full_rate = sweep->full_bytes / sweep->full_ms;
    if (sweep->late > 0)
        log::warning(
            "poll",
            options.name,
            "a sweep found breaches that polling had not seen; they are archived now",
            {{"count", std::to_string(sweep->late)}, {"pbids", named_pbids(sweep->late_keys, sweep->late)}});
    if (!sweep->vanished.empty())
        log::warning(
            "poll",
            options.name,
            "breaches that a window shows cannot be had by their pbid",
            {{"pbids", named_pbids(sweep->vanished, static_cast<std::int64_t>(sweep->vanished.size()))}});
    log::debug("poll",
               options.name,
               "sweep done",
               {{"shown", std::to_string(sweep->shown)}, {"archived", std::to_string(sweep->archived)}});
    status.differences += sweep->late + static_cast<std::int64_t>(sweep->vanished.size());
    status.sweeps += 1;
    status.last_sweep = now().wall;
    schedule.done(sweep->kind, now().steady, parts.time->jitter());
    sweep.reset();
    co_return verdict{};
}

awaitable<void> poller::impl::run()
{
    co_await load();
    // A thousand masters that start together do not all ask at once.
    const std::int64_t first = std::min<std::int64_t>(options.interval.count(), 1'000);
    co_await parts.time->wait(static_cast<std::int64_t>(static_cast<double>(first) * parts.time->jitter()));
    for (;;)
    {
        const std::int64_t steady = now().steady;
        status.alive_at = steady;
        status.due_at = std::max(next_poll, steady);
        const bool poll_due = steady >= next_poll;
        const bool may_sweep = last_was_good && plan.caught_up();
        const bool sweep_due = may_sweep && steady >= sweep_not_before &&
                               (sweep || schedule.due(steady) != sweep_schedule::kind::none);
        // A long sweep and polling take turns, so that neither waits for the other.
        if (sweep_due && (!poll_due || sweep_turn))
        {
            sweep_turn = false;
            co_await sweep_step();
            continue;
        }
        if (poll_due)
        {
            sweep_turn = true;
            co_await poll_step();
            continue;
        }
        std::int64_t wait = next_poll - steady;
        if (may_sweep)
        {
            std::int64_t until_sweep = sweep_not_before - steady;
            if (!sweep)
                until_sweep = std::max(until_sweep, schedule.wait(steady));
            wait = std::min(wait, until_sweep);
        }
        co_await parts.time->wait(std::max<std::int64_t>(1, wait));
    }
}

awaitable<outcome<backfill_report>> poller::impl::backfill(std::shared_ptr<exchange> wire,
                                                           std::int64_t from,
                                                           std::int64_t to,
                                                           bool archive_only,
                                                           std::function<void(std::int64_t)> progress)
{
    backfill_report report_of;
    slice_length slices;
    back_off wait(1'000, 30'000);
    window wanted;
    wanted.start = std::max<std::int64_t>(0, from);
    wanted.end = to - 1;
    std::int64_t cursor = wanted.start;
    // By activity what was created in the span may have begun long before it.
    if (by_activity)
        cursor = std::max<std::int64_t>(0, cursor - options.reconcile_span.count());
    while (cursor <= wanted.end)
    {
        window w;
        w.start = cursor;
        w.end = std::min(wanted.end, cursor + slices.get());
        intake::order o;
        o.created = wanted;
        o.archive_only = archive_only;
        intake in(*parts.store, o, parts.on_news, steady_clock());
        const std::int64_t before = now().steady;
        std::string target = breaches_target(options, w, polled_by());
        const net::http_limits limits = bounds(w);
        verdict v = co_await ask(*wire, std::move(target), in, limits);
        if (v.kind != answer_kind::archive_failed)
        {
            const outcome<bool> kept = co_await in.finish(std::nullopt, std::nullopt, false);
            if (!kept)
                v = judge_archive(kept.error());
        }
        take_counts(in.counts());
        report_of.archived += in.counts().archived;
        report_of.repeated += in.counts().repeated;
        report_of.set_aside += in.counts().set_aside;
        if (v.what == reaction::take)
        {
            wait.succeeded();
            report_of.shown += in.counts().shown;
            slices.answered(w, in.bytes(), now().steady - before, timeout_ms);
            if (progress)
                progress(w.end);
            if (w.end >= wanted.end)
                break;
            cursor = w.end;
            continue;
        }
        const bool shorter = v.what == reaction::halve && slices.halve(w);
        const std::int64_t ms = wait.failed(parts.time->jitter(), v.retry_after);
        if (v.what == reaction::retry_slowly || (!shorter && wait.failures() >= backfill_attempts))
            co_return fail(errc::refused, v.words);
        co_await parts.time->wait(ms);
    }
    co_return report_of;
}

poller::poller(poller_parts parts, master_status carried)
    : impl_(std::make_unique<impl>(std::move(parts), std::move(carried)))
{}

poller::~poller() = default;

awaitable<void> poller::run()
{
    return impl_->run();
}

awaitable<outcome<backfill_report>> poller::backfill(std::shared_ptr<exchange> wire,
                                                     std::int64_t from,
                                                     std::int64_t to,
                                                     bool archive_only,
                                                     std::function<void(std::int64_t)> progress)
{
    return impl_->backfill(std::move(wire), from, to, archive_only, std::move(progress));
}

const master_status& poller::status() const
{
    return impl_->status;
}

const master_clock& poller::clock() const
{
    return impl_->clock;
}

}  // namespace dtbridge::poll
