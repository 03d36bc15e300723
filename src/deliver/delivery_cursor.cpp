#include "deliver/delivery_impl.hpp"

#include <dtbridge/core/log.hpp>
#include <dtbridge/core/time.hpp>

#include <iterator>
#include <utility>

namespace dtbridge::deliver
{

namespace
{

/// Rows of what was passed over that wait for an archive that cannot be written; more are counted only.
constexpr std::size_t most_rows = 65536;
constexpr std::size_t most_window_rows = 32768;

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

bool is_urgent(const confirmed_batch& b)
{
    return b.sent > 0 || b.undeliverable > 0;
}

}  // namespace

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

void delivery::impl::note(const feed& m, std::string& kept, std::string_view doing, const failure& why)
{
    if (kept == why.detail)
        return;
    kept = why.detail;
    // A lease that was lost is nobody's fault, and its owner is about to drop the master.
    const auto level = why.code == errc::lease_lost ? log::level::info : log::level::error;
    log::write(level, "deliver", name, doing, {{"master", m.info.name}, {"error", why.detail}});
}

void delivery::impl::mended(const feed& m, std::string& kept)
{
    if (kept.empty())
        return;
    kept.clear();
    log::info("deliver", name, "archive works again", {{"master", m.info.name}});
}

awaitable<void> delivery::impl::pause(std::shared_ptr<feed> m)
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

awaitable<void> delivery::impl::open_cursor(std::shared_ptr<feed> m)
{
    while (!is_ending(*m))
    {
        new_cursor otherwise;
        otherwise.formerly = current->with.options.formerly;
        otherwise.began = first_ran;
        auto cursor = co_await m->store->ensure_cursor(name, std::move(otherwise));
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
        m->position = m->done = m->saved = m->counted = cursor->seq;
        m->began = cursor->first_ran(first_ran).value();
        m->has_cursor = true;
        if (m->lag() == 0)
            co_return;
        // For the age of what waits; until it is known, as if it had come now.
        m->waiting_since = now_ms();
        auto oldest = co_await m->store->read(m->done, 1, 1);
        if (oldest && !oldest->breaches.empty())
            m->waiting_since = oldest->breaches.front().archived;
        co_return;
    }
}

awaitable<void> delivery::impl::save_cursor(std::shared_ptr<feed> m)
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
            m->saved = work.record.last_seq;
        if (m->dropped)
            m->unsaved.clear();
        if (saved || m->dropped)
        {
            mended(*m, m->save_error);
            again.succeeded();
            continue;
        }
        note(*m,
             m->save_error,
             "cannot save the cursor; what was delivered is repeated after a restart",
             saved.error());
        if (saved.error().code == errc::lease_lost)
        {
            // Another bridge goes on from the last cursor that was saved.
            m->unsaved.clear();
            continue;
        }
        if (!m->unsaved.empty() && m->unsaved.front().by == work.by)
        {
            merge(work.record, std::move(m->unsaved.front().record));
            m->unsaved.pop_front();
        }
        m->unsaved.push_front(std::move(work));
        if (last_save)
            co_return;
        const auto until = clock::now() + again.next(std::uniform_real_distribution<double>(0, 1)(random));
        while (!last_save && !m->dropped)
        {
            const auto left = until - clock::now();
            if (left <= duration::zero())
                break;
            co_await m->save_bell.wait(left);
        }
    }
}

awaitable<outcome<bool>> delivery::impl::save(std::shared_ptr<feed> m, const finished& work)
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

}  // namespace dtbridge::deliver
