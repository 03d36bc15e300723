#include <algorithm>
#include <utility>

#include <dtbridge/core/log.hpp>
#include <dtbridge/core/time.hpp>
#include <dtbridge/poll/target.hpp>

#include "poll/poller_impl.hpp"

namespace dtbridge::poll
{
namespace
{

/// A sweep that would fetch more than this in full asks for minimal=true.
constexpr double full_sweep_bytes = 4.0 * 1024 * 1024;
constexpr std::size_t fetched_singly = intake::most_missing - 1;  ///< more, and the window is asked for whole
constexpr std::size_t pbids_named = 20;
constexpr std::size_t differences_kept = 10'000;  ///< of one sweep
/// Whether a breach is really gone is asked for so many of a sweep, one by one. Where each of them was, the
/// rest is believed too.
constexpr std::size_t verified_singly = 32;
constexpr std::size_t not_gone_kept = 1'000;
/// A sweep ends where the master did not answer for so many slices in a row, however short they were.
constexpr unsigned most_left_out = 3;
/// A breach cannot have been archived before it happened, but for what the clocks differ beyond the skew that
/// is known.
constexpr std::int64_t clock_margin = one_hour;

std::string named_pbids(const std::vector<breach_key>& keys)
{
    std::string out;
    for (std::size_t i = 0; i < std::min(keys.size(), pbids_named); ++i)
        out += (i > 0 ? ", " : "") + std::to_string(keys[i].pbid);
    if (keys.size() > pbids_named)
        out += ", .. (" + std::to_string(keys.size()) + ")";
    return out;
}

/// Whether this answer to the question for one breach is about that breach or about all that is asked for, as
/// where a token was revoked.
bool is_refusal(answer_kind k)
{
    return k == answer_kind::not_a_list || k == answer_kind::refused || k == answer_kind::forbidden ||
           k == answer_kind::permission_redirect || k == answer_kind::malformed ||
           k == answer_kind::input_error;
}

/// Whether the query leaves breaches out: then that one is not shown says nothing.
bool narrows(const master_options& o)
{
    const auto is_true = [&](std::string_view name) { return o.has_query(name, "true"); };
    const auto narrowing = [](const auto& p) {
        for (const char* name : {"uuid", "pid", "did", "minscore", "saasonly", "saasfilter"})
        {
            if (p.first == name)
                return true;
        }
        return false;
    };
    return !is_true("includeacknowledged") || !is_true("includesuppressed") ||
           std::any_of(o.query.begin(), o.query.end(), narrowing);
}

}  // namespace

awaitable<verdict> poller::impl::begin_sweep()
{
    const std::int64_t end = clock.now(now());
    const auto kind = schedule.due(now().steady);
    const bool deep = kind == sweep_schedule::kind::deep;
    const std::int64_t span = deep ? std::max(options.reconcile_deep, options.reconcile_span).count()
                                   : options.reconcile_span.count();
    const outcome<std::vector<difference>> kept = co_await parts.store->differences(differences_kept);
    if (!kept)
    {
        verdict v = judge_archive(kept.error());
        co_return v;
    }
    left_out.clear();
    sweep.emplace();
    sweep->kind = kind;
    sweep->whole.start = std::max<std::int64_t>(0, end - span);
    sweep->whole.end = end;
    sweep->cursor = sweep->whole.start;
    for (const auto& d : *kept)
    {
        if (d.what == difference::kind::gone)
            sweep->known_gone.insert(d.key);
    }
    co_return verdict{};
}

bool poller::impl::wants_minimal(window w) const
{
    if (minimal_is_useless || options.has_query("minimal", "true"))
        return false;
    const double rate = sweep->full_ms > 0 ? sweep->full_bytes / sweep->full_ms : full_rate;
    return rate * static_cast<double>(std::max(sweep->whole.end - w.start, one_hour)) > full_sweep_bytes;
}

awaitable<void> poller::impl::sweep_step()
{
    verdict v;
    if (!sweep)
        v = co_await begin_sweep();
    bool redo = false, shorter = false, left = false;
    window w;
    if (sweep)
    {
        sweep->asks_for_window = true;
        w.start = sweep->cursor;
        w.end = std::min(sweep->whole.end, sweep->cursor + sweep->slices.get());
        const std::int64_t before = now().steady;
        const std::uint64_t bytes_before = status.bytes;
        if (wants_minimal(w))
            v = co_await sweep_minimal(w, redo);
        else
            v = co_await sweep_full(w);
        if (redo)
            co_return;
        if (v.what == reaction::take)
        {
            sweep->bad = {};
            sweep->failed_singly.clear();
            sweep->left_out_in_a_row = 0;
            sweep->slices.answered(w, status.bytes - bytes_before, now().steady - before, timeout_ms);
        }
        else if (sweep->asks_for_window)
        {
            shorter = sweep->bad.shorten(v, w, sweep->slices);
            left = sweep->bad.is_hopeless();
            if (left)
                leave_out(w, v);
        }
        if (v.what == reaction::take || left)
        {
            sweep->cursor = w.end;
            verdict at_end;
            if (sweep->left_out_in_a_row >= most_left_out)
                at_end = co_await give_up_sweep(v);
            else if (w.end >= sweep->whole.end)
                at_end = co_await finish_sweep();
            if (at_end.what != reaction::take)
                v = at_end;
        }
    }
    if (v.what == reaction::take)
    {
        sweep_wait.succeeded();
        status.sweep_error = left_out;
        sweep_logged = answer_kind::ok;
        co_return;
    }
    // That an answer was too large is no fault: the next one will be shorter.
    if (shorter && v.kind == answer_kind::too_large)
    {
        log::debug("poll", options.name, "a sweep asks for less at a time: " + v.words);
        co_return;
    }
    const std::int64_t wait = sweep_wait.failed(parts.time->jitter(), v.retry_after);
    sweep_not_before = now().steady + wait;
    if (!left || v.kind == answer_kind::archive_failed)
        status.sweep_error = v.words;
    if (v.kind != sweep_logged)
        log::warning("poll",
                     options.name,
                     "a sweep failed: " + v.words,
                     {{"outcome", std::string(name_of(v.kind))}, {"retry_ms", std::to_string(wait)}});
    sweep_logged = v.kind;
}

/// The rest of a sweep does not wait for what the master cannot answer. It is said once: where all that is
/// asked for fails, there are very many.
void poller::impl::leave_out(window w, const verdict& v)
{
    sweep->bad = {};
    sweep->failed_singly.clear();
    ++sweep->left_out;
    ++sweep->left_out_in_a_row;
    left_out =
        "left out what happened from " + rfc3339_ms(w.start) + " to " + rfc3339_ms(w.end) +
        (sweep->left_out > 1 ? " and " + std::to_string(sweep->left_out - 1) + " spans before it" : "") +
        ": " + v.words;
    status.sweep_error = left_out;
    if (sweep->left_out == 1)
        log::warning("poll",
                     options.name,
                     "a sweep leaves out a span that the master does not answer for: " + v.words,
                     {{"from", rfc3339_ms(w.start)}, {"to", rfc3339_ms(w.end)}});
}

/// A master that answers no slice any more is not asked for each of them.
awaitable<verdict> poller::impl::give_up_sweep(const verdict& why)
{
    // What was found is archived, so that no other sweep would find it.
    verdict v = co_await note_found();
    if (v.what != reaction::take)
        co_return v;
    status.sweep_error = "ended early, at what happened to " + rfc3339_ms(sweep->cursor) + ": " + why.words;
    log::warning(
        "poll",
        options.name,
        "a sweep ends early, as the master does not answer for one span after the other: " + why.words,
        {{"to", rfc3339_ms(sweep->cursor)}, {"left_out", std::to_string(sweep->left_out)}});
    schedule.done(sweep->kind, now().steady, parts.time->jitter());
    sweep.reset();
    co_return v;
}

/// What was archived stays so, whatever becomes of the rest of the answer.
void poller::impl::take_sweep_counts(const intake::tally& t)
{
    sweep->archived += t.archived;
    sweep->late += t.late;
    for (const auto& k : t.late_keys)
    {
        if (sweep->found.size() < differences_kept)
            sweep->found.push_back(difference{difference::kind::late, k, 0});
    }
}

awaitable<verdict> poller::impl::sweep_full(window w)
{
    intake::order o;
    o.keep_keys = true;
    o.minimal = options.has_query("minimal", "true");
    o.late_from = horizon;
    o.late_before = position.value_or(0) - poll_plan::short_reach;
    intake in(*parts.store, o, tell, steady_clock());
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
    take_sweep_counts(in.counts());
    if (v.what != reaction::take)
        co_return v;
    v = co_await compare(w, in);
    if (v.what != reaction::take)
        co_return v;
    sweep->shown += in.counts().shown;
    sweep->full_bytes += static_cast<double>(in.bytes());
    sweep->full_ms += static_cast<double>(w.length());
    co_return v;
}

awaitable<verdict> poller::impl::sweep_minimal(window w, bool& redo)
{
    intake::order o;
    o.survey = true;
    o.minimal = true;
    o.keep_keys = true;
    intake in(*parts.store, o, tell, steady_clock());
    verdict v = co_await ask_survey(w, in);
    if (v.kind != answer_kind::archive_failed)
    {
        const outcome<bool> looked = co_await in.finish_survey();
        if (!looked)
            v = judge_archive(looked.error());
    }
    status.outcomes[static_cast<std::size_t>(v.kind)] += 1;
    status.state_changes += in.counts().changes;
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
    if (in.missing().size() > fetched_singly)
    {
        v = co_await sweep_full(w);
        co_return v;
    }
    std::vector<breach_key> refused;
    for (const auto& k : in.missing())
    {
        bool is_refused = false;
        v = co_await fetch(k, is_refused);
        if (v.what != reaction::take)
            co_return v;
        if (is_refused)
            refused.push_back(k);
    }
    if (!refused.empty())
    {
        // A token that was revoked meanwhile is refused everything, which says nothing about these.
        v = co_await still_answers(w);
        if (v.what != reaction::take)
            co_return v;
        for (const auto& k : refused)
            note_withheld(k);
    }
    v = co_await compare(w, in);
    if (v.what == reaction::take)
        sweep->shown += in.counts().shown;
    co_return v;
}

/// Whether the master still answers for the window of a survey.
awaitable<verdict> poller::impl::still_answers(window w)
{
    intake::order o;
    o.survey = true;
    o.minimal = true;
    intake in(*parts.store, o, tell, steady_clock());
    verdict v = co_await ask_survey(w, in);
    status.outcomes[static_cast<std::size_t>(v.kind)] += 1;
    co_return v;
}

/// For what happened in that window, in brief.
awaitable<verdict> poller::impl::ask_survey(window w, intake& in)
{
    std::string target = breaches_target(options, w, filter::activity, true);
    const net::http_limits limits = bounds(w);
    verdict v = co_await ask(*parts.wire, std::move(target), in, limits);
    co_return v;
}

bool poller::impl::has_given_up(breach_key key) const
{
    const auto failed = sweep->failed_singly.find(key);
    return failed != sweep->failed_singly.end() && failed->second >= patience;
}

/// One breach that the master refuses, or trips over again and again, must not keep sweeps from the others.
bool poller::impl::is_not_to_be_had(breach_key key, answer_kind k)
{
    return is_refusal(k) || (may_be_the_window(k) && ++sweep->failed_singly[key] >= patience);
}

void poller::impl::note_withheld(breach_key key)
{
    if (sweep->found.size() < differences_kept)
        sweep->found.push_back(difference{difference::kind::withheld, key, 0});
}

/// One breach in full, by its pbid. refused: it is not to be had, or nothing is.
awaitable<verdict> poller::impl::fetch(breach_key key, bool& refused)
{
    refused = has_given_up(key);
    if (refused)
        co_return verdict{};
    intake::order o;
    o.late_from = horizon;
    o.late_before = position.value_or(0) - poll_plan::short_reach;
    intake in(*parts.store, o, tell, steady_clock());
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
            note_withheld(key);
    }
    count(v, in);
    take_sweep_counts(in.counts());
    refused = is_not_to_be_had(key, v.kind);
    if (refused)
        v = verdict{};
    sweep->asks_for_window = v.what == reaction::take;
    co_return v;
}

/// A complete answer to w against what the archive holds of it.
awaitable<verdict> poller::impl::compare(window w, intake& in)
{
    if (in.lacks_keys())
    {
        if (w.length() > slice_length::least)
        {
            verdict v;
            v.kind = answer_kind::too_large;
            v.what = reaction::halve;
            v.words = "a sweep's answer has too many breaches to compare";
            co_return v;
        }
        co_return verdict{};
    }
    std::vector<breach_key> shown = in.take_keys();
    std::sort(shown.begin(), shown.end());
    verdict v = co_await settle_shown(shown);
    if (v.what != reaction::take || narrows(options))
        co_return v;
    key_order o;
    o.from = w.start;
    // The next slice begins where this one ends.
    o.to = w.end < sweep->whole.end ? w.end - 1 : w.end;
    o.archived_from = w.start - clock.skew_seconds(now()).value_or(0) * 1'000 - clock_margin;
    std::int64_t held = 0, gone = 0;
    std::vector<breach_key> candidates;
    for (;;)
    {
        const outcome<key_span> span = co_await parts.store->keys(o);
        if (!span)
        {
            v = judge_archive(span.error());
            co_return v;
        }
        held += static_cast<std::int64_t>(span->keys.size());
        for (const auto& k : span->keys)
        {
            if (std::binary_search(shown.begin(), shown.end(), k) || not_gone.contains(k))
                continue;
            if (sweep->known_gone.contains(k))
                ++gone;
            else if (candidates.size() < differences_kept)
                candidates.push_back(k);
        }
        if (span->end)
            break;
        o.after_seq = span->scanned_to;
    }
    v = co_await look_for_gone(std::move(candidates), gone);
    if (v.what != reaction::take)
        co_return v;
    sweep->held += held;
    sweep->gone += gone;
    co_return v;
}

/// What was gone and is shown again.
awaitable<verdict> poller::impl::settle_shown(const std::vector<breach_key>& shown)
{
    std::vector<breach_key> back;
    for (const auto& k : sweep->known_gone)
    {
        if (std::binary_search(shown.begin(), shown.end(), k))
            back.push_back(k);
    }
    if (back.empty())
        co_return verdict{};
    const std::string names = named_pbids(back);
    for (const auto& k : back)
        sweep->known_gone.erase(k);
    const auto kind = difference::kind::gone;
    const outcome<bool> settled = co_await parts.store->settle_differences(kind, std::move(back));
    if (!settled)
    {
        verdict v = judge_archive(settled.error());
        co_return v;
    }
    log::info("poll",
              options.name,
              "breaches that the master had not shown any more are shown again",
              {{"pbids", names}});
    co_return verdict{};
}

/// Archived and lacking in their window: whether the master has them no longer is asked by pbid, since a
/// breach may also have moved to another time.
awaitable<verdict> poller::impl::look_for_gone(std::vector<breach_key> candidates, std::int64_t& gone)
{
    for (const auto& k : candidates)
    {
        std::optional<bool> shown = false;
        if (sweep->verified >= verified_singly)
        {
            // Too many to ask; the next sweep goes on where these are mixed.
            if (!sweep->verified_all_gone)
                break;
        }
        else
        {
            const verdict v = co_await is_shown(k, shown);
            if (v.what != reaction::take)
                co_return v;
            ++sweep->verified;
        }
        if (!shown)
        {
            sweep->verified_all_gone = false;
        }
        else if (*shown)
        {
            sweep->verified_all_gone = false;
            if (not_gone.size() >= not_gone_kept)
                not_gone.clear();
            not_gone.insert(k);
        }
        else if (sweep->found.size() < differences_kept)
        {
            sweep->found.push_back(difference{difference::kind::gone, k, 0});
            sweep->known_gone.insert(k);
            ++gone;
        }
    }
    co_return verdict{};
}

/// shown: nothing where the master refuses to say.
awaitable<verdict> poller::impl::is_shown(breach_key key, std::optional<bool>& shown)
{
    shown.reset();
    if (has_given_up(key))
        co_return verdict{};
    intake::order o;
    o.survey = true;
    o.minimal = options.has_query("minimal", "true");
    o.keep_keys = true;
    intake in(*parts.store, o, tell, steady_clock());
    std::string target = breach_target(options, key.pbid);
    net::http_limits limits;
    limits.max_body = max_answer;
    verdict v = co_await ask(*parts.wire, std::move(target), in, limits);
    if (v.kind == answer_kind::not_found)
        v = verdict{};
    if (v.what == reaction::take)
    {
        const outcome<bool> looked = co_await in.finish_survey();
        if (!looked)
            v = judge_archive(looked.error());
    }
    count(v, in);
    if (v.what == reaction::take)
    {
        const auto keys = in.take_keys();
        shown = std::find(keys.begin(), keys.end(), key) != keys.end();
    }
    else if (is_not_to_be_had(key, v.kind))
    {
        v = verdict{};
    }
    sweep->asks_for_window = v.what == reaction::take;
    co_return v;
}

void poller::impl::say_differences(const std::vector<difference>& fresh)
{
    const auto say = [&](difference::kind kind, const char* words) {
        std::vector<breach_key> keys;
        for (const auto& d : fresh)
        {
            if (d.what == kind)
                keys.push_back(d.key);
        }
        if (keys.empty())
            return;
        std::sort(keys.begin(), keys.end());
        log::warning("poll",
                     options.name,
                     words,
                     {{"count", std::to_string(keys.size())}, {"pbids", named_pbids(keys)}});
    };
    say(difference::kind::late, "a sweep found breaches that polling had not seen; they are archived now");
    say(difference::kind::gone,
        "breaches that are archived are not shown by the master any more: was it restored, or were they "
        "deleted?");
    say(difference::kind::withheld, "breaches that a window shows cannot be had by their pbid");
}

/// Keeps the differences of the sweep and says which are new.
awaitable<verdict> poller::impl::note_found()
{
    if (sweep->found.empty())
        co_return verdict{};
    std::vector<difference> found = sweep->found;
    const outcome<std::vector<difference>> noted = co_await parts.store->note_differences(std::move(found));
    if (!noted)
    {
        verdict v = judge_archive(noted.error());
        co_return v;
    }
    sweep->found.clear();
    say_differences(*noted);
    status.differences += static_cast<std::int64_t>(noted->size());
    co_return verdict{};
}

awaitable<verdict> poller::impl::finish_sweep()
{
    verdict v = co_await note_found();
    if (v.what != reaction::take)
        co_return v;
    archive_block block;
    block.window.emplace();
    block.window->start = sweep->whole.start;
    block.window->end = sweep->whole.end;
    block.window->sweep = true;
    block.window->shown = sweep->shown;
    block.window->archived = sweep->archived;
    block.window->late = sweep->late;
    block.window->held = sweep->held;
    block.window->gone = sweep->gone;
    const outcome<added> recorded = co_await parts.store->add(std::move(block));
    if (!recorded)
    {
        v = judge_archive(recorded.error());
        co_return v;
    }
    if (sweep->left_out > 1)
        log::warning("poll",
                     options.name,
                     "a sweep left out more than one span that the master does not answer for",
                     {{"count", std::to_string(sweep->left_out)}});
    if (sweep->full_ms > 0)
        full_rate = sweep->full_bytes / sweep->full_ms;
    log::debug("poll",
               options.name,
               "sweep done",
               {{"shown", std::to_string(sweep->shown)},
                {"archived", std::to_string(sweep->archived)},
                {"held", std::to_string(sweep->held)},
                {"gone", std::to_string(sweep->gone)}});
    status.sweeps += 1;
    status.last_sweep = now().wall;
    schedule.done(sweep->kind, now().steady, parts.time->jitter());
    sweep.reset();
    co_return verdict{};
}

}  // namespace dtbridge::poll
