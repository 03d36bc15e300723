#include <utility>

#include <dtbridge/async/cancelled.hpp>
#include <dtbridge/core/log.hpp>
#include <dtbridge/core/time.hpp>
#include <dtbridge/poll/target.hpp>

#include "poll/poller_impl.hpp"

namespace dtbridge::poll
{
namespace
{

/// A failure that lasts is logged again only after this long, with how often it came; ms.
constexpr std::int64_t same_words = 600'000;

/// Windows that are passed over beside one that is not answered, without a good answer in between: half an
/// hour at least, where each is the shortest.
constexpr unsigned most_passes = 30;

/// Whether the Date of such an answer is the master's and not that of something on the way.
bool is_masters_own(answer_kind k)
{
    return k == answer_kind::ok || k == answer_kind::cut || k == answer_kind::malformed ||
           k == answer_kind::signature_error || k == answer_kind::refused || k == answer_kind::input_error;
}

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
        co_await end_if_cancelled();
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
    untold = untold || v.kind == answer_kind::archive_failed;
    take_counts(in.counts());
}

/// What a commit brought whose answer was lost is a repeat when it is shown again, so nobody would be told.
void poller::impl::tell_what_is_untold()
{
    if (!untold)
        return;
    untold = false;
    if (parts.on_news)
        parts.on_news(parts.store->last_seq());
}

void poller::impl::take_counts(const intake::tally& t)
{
    status.archived += t.archived;
    status.late += t.late;
    status.state_changes += t.changes;
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
    if (began_too_late())
    {
        plan.start_anew();
        horizon = std::numeric_limits<std::int64_t>::min();
    }
    if (plan.caught_up())
    {
        run_position = position;
        guessed.reset();
        if (!position && !clock.known())
            guessed = own;
    }
    const window w = plan.next(position, clock.now(own), own.steady);
    if (!position && horizon == std::numeric_limits<std::int64_t>::min())
        horizon = w.start;
    const window asked = asked_window(w, options.times);
    if (status.state == poll_state::archive_full)
    {
        // A master is not asked for what cannot be kept: first any answer of the archive, about a key that
        // memory does not know.
        constexpr std::int64_t never = std::numeric_limits<std::int64_t>::min();
        std::vector<breach_key> nobody = {breach_key{never, never}};
        const outcome<std::vector<breach_key>> there = co_await parts.store->missing(std::move(nobody));
        if (!there)
        {
            verdict unkept = judge_archive(there.error());
            const std::int64_t pause = settle(unkept, w);
            report(unkept, pause);
            next_poll = now().steady + pause;
            co_return;
        }
    }
    intake::order o = order_of(asked);
    if (run_position)
    {
        o.late_from = std::numeric_limits<std::int64_t>::min();
        o.late_before = *run_position - poll_plan::short_reach;
    }
    intake in(*parts.store, o, tell, steady_clock());
    status.last_poll = own.wall;
    std::string target = breaches_target(options, w, polled_by());
    const net::http_limits limits = bounds(w);
    verdict v = co_await ask(*parts.wire, std::move(target), in, limits);
    const std::int64_t elapsed = now().steady - own.steady;
    const bool void_run = began_too_late();
    if (v.what == reaction::take && !void_run)
    {
        v = co_await keep(in, w, asked, own);
    }
    else if (v.kind != answer_kind::archive_failed)
    {
        // What came before a cut stays, and what came from a span that was too late.
        const outcome<bool> kept = co_await in.finish(std::nullopt, std::nullopt, false);
        if (!kept)
            v = judge_archive(kept.error());
    }
    count(v, in);
    if (v.what == reaction::take && void_run)
    {
        log::info("poll",
                  options.name,
                  "this host's clock is ahead of the master's: the first poll begins again by the master's");
        next_poll = now().steady;
        co_return;
    }
    if (v.what == reaction::take)
    {
        plan.slices.answered(w, in.bytes(), elapsed, timeout_ms);
        tell_what_is_untold();
    }
    const std::int64_t wait = settle(v, w);
    report(v, wait);
    next_poll = now().steady + wait;
    if (v.what == reaction::take && plan.caught_up())
        next_poll = next_interval(own.steady);
}

/// Of a poll that the master answers for that window.
intake::order poller::impl::order_of(window asked) const
{
    intake::order o;
    if (options.window == window_kind::automatic && !by_activity)
        o.asked = asked;
    o.minimal = options.has_query("minimal", "true");
    return o;
}

std::int64_t poller::impl::next_interval(std::int64_t from)
{
    const double spread = 0.9 + 0.2 * parts.time->jitter();
    return from + static_cast<std::int64_t>(static_cast<double>(options.interval.count()) * spread);
}

/// The first run began by this host's clock, which is ahead of the master's as it is known by now: it would
/// pass over a part of `backfill`.
bool poller::impl::began_too_late() const
{
    return !position && guessed && clock.known() && guessed->wall - clock.now(*guessed) > master_clock::jump;
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
        bad = {};
        beside.reset();
        return 0;
    }
    const double jitter = parts.time->jitter();
    const bool shorter = bad.shorten(v, w, plan.slices);
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
    if (bad.is_hopeless() && !beside)
        begin_beside(w);
    if (beside && beside->last_was_good && may_be_the_window(v.kind))
        v.words += "; the position stays before what was created from " +
                   rfc3339_ms(beside->unanswered.start) + " to " + rfc3339_ms(beside->unanswered.end) +
                   ", and what is newer is polled meanwhile";
    if (v.what == reaction::retry_slowly)
        return slow.failed(jitter, v.retry_after);
    return quick.failed(jitter, v.retry_after);
}

/// One window that the master cannot answer, for one breach that it trips over, must not keep what is newer
/// from the archive. Whether it is that, or whether the master answers nothing at all, is known when what is
/// newer is answered.
void poller::impl::begin_beside(window unanswered)
{
    beside.emplace(polled_beside{plan_beside(unanswered.end, options.overlap.count()), unanswered, {}});
    beside->next_poll = now().steady;
}

/// What is newer was answered: then what was not is more than an outage.
void poller::impl::say_unanswered()
{
    if (!beside->said)
        log::warning(
            "poll",
            options.name,
            "the master does not answer for a span, however short; it is asked for again and again, "
            "and what is newer is polled meanwhile",
            {{"from", rfc3339_ms(beside->unanswered.start)}, {"to", rfc3339_ms(beside->unanswered.end)}});
    beside->said = true;
    if (beside->passed)
        log::warning("poll",
                     options.name,
                     "the master did not answer for another span either",
                     {{"from", rfc3339_ms(beside->passed->start)}, {"to", rfc3339_ms(beside->passed->end)}});
    beside->passed.reset();
    beside->passes = 0;
}

/// On from w, which is not answered either. Not for ever, as the master may answer nothing at all, and what
/// is passed waits for the position or for sweeps.
void poller::impl::pass_beside(window w)
{
    beside->bad = {};
    if (beside->passes >= most_passes)
        return;
    ++beside->passes;
    beside->plan.pass(w);
    if (!beside->passed)
        beside->passed = w;
    beside->passed->end = w.end;
}

/// A poll that moves no position.
awaitable<void> poller::impl::beside_step()
{
    const instant own = now();
    const std::int64_t end = clock.now(own);
    const std::optional<window> next = beside->plan.next(end);
    if (!next)
    {
        beside->next_poll = next_interval(own.steady);
        co_return;
    }
    const window w = *next;
    std::optional<window> asked = asked_window(w, options.times);
    intake in(*parts.store, order_of(*asked), tell, steady_clock());
    status.last_poll = own.wall;
    std::string target = breaches_target(options, w, polled_by());
    const net::http_limits limits = bounds(w);
    verdict v = co_await ask(*parts.wire, std::move(target), in, limits);
    const std::int64_t elapsed = now().steady - own.steady;
    if (v.what != reaction::take)
        asked.reset();
    else
        turn_to_activity(in.counts());
    if (v.kind != answer_kind::archive_failed)
    {
        const outcome<bool> kept = co_await in.finish(std::nullopt, asked, false);
        if (!kept)
            v = judge_archive(kept.error());
    }
    count(v, in);
    const std::int64_t steady = now().steady;
    beside->last_was_good = v.what == reaction::take;
    if (beside->last_was_good)
    {
        tell_what_is_untold();
        say_unanswered();
        beside->wait.succeeded();
        beside->slow.succeeded();
        beside->bad = {};
        beside->plan.slices.answered(w, in.bytes(), elapsed, timeout_ms);
        beside->plan.done(w, end, steady);
        beside->next_poll = beside->plan.caught_up() ? next_interval(own.steady) : steady;
        co_return;
    }
    beside->bad.shorten(v, w, beside->plan.slices);
    if (beside->bad.is_hopeless())
        pass_beside(w);
    back_off& pause = v.what == reaction::retry_slowly ? beside->slow : beside->wait;
    const std::int64_t wait = pause.failed(parts.time->jitter(), v.retry_after);
    // A master that answers nothing, each time after long, is not asked by both in turn without a pause.
    beside->next_poll = steady + wait;
    next_poll = std::max(next_poll, beside->next_poll);
    // That the window is not answered is said already; that the archive takes nothing stops all questions.
    if (v.kind == answer_kind::archive_failed)
        report(v, wait);
}

/// Sweeps wait for polling to catch up, which the one window that is not answered may keep from it for ever,
/// and for an archive that takes what they find.
bool poller::impl::may_sweep() const
{
    if (status.state == poll_state::archive_full)
        return false;
    if (beside)
        return beside->last_was_good && beside->plan.caught_up();
    return last_was_good && plan.caught_up();
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
    log::write(v.quiet      ? log::level::info
               : needs_hand ? log::level::error
                            : log::level::warning,
               "poll",
               options.name,
               v.words,
               {{"outcome", std::string(name_of(v.kind))},
                {"retry_ms", std::to_string(wait)},
                {"times", std::to_string(failed_times)}});
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
        const bool asks_beside = beside && status.state != poll_state::archive_full;
        const bool beside_due = asks_beside && steady >= beside->next_poll;
        const bool sweep_due = may_sweep() && steady >= sweep_not_before &&
                               (sweep || schedule.due(steady) != sweep_schedule::kind::none);
        // A long sweep and polling take turns, so that neither waits for the other.
        if (sweep_due && ((!poll_due && !beside_due) || sweep_turn))
        {
            sweep_turn = false;
            co_await sweep_step();
            continue;
        }
        if (beside_due && (!poll_due || beside_turn))
        {
            sweep_turn = true;
            beside_turn = false;
            co_await beside_step();
            continue;
        }
        if (poll_due)
        {
            sweep_turn = true;
            beside_turn = true;
            co_await poll_step();
            continue;
        }
        std::int64_t wait = next_poll - steady;
        if (asks_beside)
            wait = std::min(wait, beside->next_poll - steady);
        if (may_sweep())
        {
            std::int64_t until_sweep = sweep_not_before - steady;
            if (!sweep)
                until_sweep = std::max(until_sweep, schedule.wait(steady));
            wait = std::min(wait, until_sweep);
        }
        co_await parts.time->wait(std::max<std::int64_t>(1, wait));
    }
}

poller::poller(poller_parts parts, master_status carried)
    : impl_(std::make_unique<impl>(std::move(parts), std::move(carried)))
{}

poller::~poller() = default;

awaitable<void> poller::run()
{
    return impl_->run();
}

awaitable<outcome<backfill_report>> poller::backfill(window wanted,
                                                     bool archive_only,
                                                     backfill_progress progress)
{
    return impl_->backfill(wanted, archive_only, std::move(progress));
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
