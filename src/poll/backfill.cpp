#include <algorithm>
#include <utility>

#include <dtbridge/core/log.hpp>
#include <dtbridge/poll/target.hpp>

#include "poll/poller_impl.hpp"

namespace dtbridge::poll
{
namespace
{

constexpr unsigned backfill_attempts = 5;

}  // namespace

awaitable<outcome<backfill_report>> poller::impl::backfill(window wanted,
                                                           bool archive_only,
                                                           backfill_progress progress)
{
    backfill_report so_far;
    slice_length slices;
    back_off wait(1'000, 30'000);
    wanted.start = std::max<std::int64_t>(0, wanted.start);
    const outcome<std::optional<poll_position>> stored = co_await parts.store->position();
    if (!stored)
        co_return stored.error();
    if (options.window == window_kind::automatic)
        by_activity = *stored && (*stored)->by_activity;
    else
        by_activity = options.window == window_kind::activity;
    if (archive_only)
    {
        // What polling has yet to bring, archived behind every cursor, would be a repeat to it and reach no
        // destination.
        const std::int64_t passed = passed_by_polling(*stored);
        if (wanted.end > passed)
        {
            wanted.end = passed;
            so_far.left_from = std::max(passed, wanted.start);
        }
        if (wanted.end < wanted.start)
            co_return so_far;
    }
    window whole = span_of_questions(wanted);
    std::int64_t cursor = whole.start;
    while (cursor <= whole.end)
    {
        window w;
        w.start = cursor;
        w.end = std::min(whole.end, cursor + slices.get());
        intake::order o;
        o.created = wanted;
        o.archive_only = archive_only;
        o.minimal = options.has_query("minimal", "true");
        if (options.window == window_kind::automatic && !by_activity)
            o.asked = asked_window(w, options.times);
        intake in(*parts.store, o, tell, steady_clock());
        const std::int64_t before = now().steady;
        std::string target = breaches_target(options, w, polled_by());
        const net::http_limits limits = bounds(w);
        verdict v = co_await ask(*parts.wire, std::move(target), in, limits);
        if (v.kind != answer_kind::archive_failed)
        {
            const outcome<bool> kept = co_await in.finish(std::nullopt, std::nullopt, false);
            if (!kept)
                v = judge_archive(kept.error());
        }
        count(v, in);
        so_far.archived += in.counts().archived;
        so_far.repeated += in.counts().repeated;
        so_far.set_aside += in.counts().set_aside;
        if (v.what == reaction::take)
        {
            if (!archive_only)
                tell_what_is_untold();
            wait.succeeded();
            so_far.shown += in.counts().shown;
            slices.answered(w, in.bytes(), now().steady - before, timeout_ms);
            if (in.counts().ignored_creation && !by_activity)
            {
                // What was created in the span may have begun long before it: once more, from there.
                turn_to_activity(in.counts());
                whole = span_of_questions(wanted);
                cursor = whole.start;
                continue;
            }
            if (progress)
            {
                const std::int64_t reached = std::clamp(w.end, wanted.start, wanted.end);
                const bool go_on = co_await progress(reached, so_far);
                if (!go_on)
                    co_return fail(asio::error::operation_aborted, "interrupted");
            }
            if (w.end >= whole.end)
                break;
            cursor = w.end;
            continue;
        }
        const bool shorter = v.what == reaction::halve && slices.halve(w);
        const std::int64_t ms = wait.failed(parts.time->jitter(), v.retry_after);
        if (v.what == reaction::retry_slowly || (!shorter && wait.failures() >= backfill_attempts))
            co_return fail(errc::refused, v.words);
        log::debug("poll", options.name, "backfill asks again: " + v.words);
        co_await parts.time->wait(ms);
    }
    co_return so_far;
}

/// Polling asks for nothing that was created before this.
std::int64_t poller::impl::passed_by_polling(const std::optional<poll_position>& stored) const
{
    const std::int64_t end = clock.now(now());
    if (!stored)
        return end - options.backfill.count();
    return std::min(stored->position, end) - std::max(options.overlap.count(), poll_plan::short_reach);
}

/// By activity, what was created in the span may have begun long before it, or a little after (darktrace.md
/// 2.4).
window poller::impl::span_of_questions(window wanted) const
{
    if (!by_activity)
        return wanted;
    window w;
    w.start = std::max<std::int64_t>(0, wanted.start - options.reconcile_span.count());
    w.end = wanted.end + options.overlap.count();
    return w;
}

void poller::absorb(const master_status& of_backfill)
{
    master_status& s = impl_->status;
    s.archived += of_backfill.archived;
    s.set_aside += of_backfill.set_aside;
    s.repeated += of_backfill.repeated;
    s.reused_pbids += of_backfill.reused_pbids;
    s.state_changes += of_backfill.state_changes;
    s.bytes += of_backfill.bytes;
    for (std::size_t i = 0; i < answer_kinds; ++i)
        s.outcomes[i] += of_backfill.outcomes[i];
}

}  // namespace dtbridge::poll
