#pragma once

/// An archive in memory for tests of the loops around it: the same answers as the real one, nothing on disk,
/// and failures on request. Not thread-safe; every call completes at once.

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dtbridge/archive/archive.hpp>

namespace dtbridge::test
{

class memory_archive : public archive
{
public:
    struct record
    {
        std::int64_t seq = 0;
        std::int64_t archived = 0;
        std::int64_t time = 0;  ///< created where there is none
        breach_key key;
        std::string body;
        bool archive_only = false;
        bool acknowledged = false;
        std::int64_t comment_count = 0;
        std::vector<state_change> changes;
    };
    struct aside
    {
        std::string raw, reason;
    };

    explicit memory_archive(std::string master = "acme") : master_(std::move(master)) {}

    // What a test looks at and may change.
    std::deque<record> records;
    std::optional<poll_position> stored;
    std::vector<window_counts> recorded;
    std::vector<aside> asides;
    std::vector<difference> kept_differences;
    std::map<std::string, archive_cursor> cursor_by_name;
    std::vector<confirmed_record> batches;
    std::map<std::string, std::string> texts;
    std::map<std::string, std::vector<throttle_window>> windows_of;  ///< by destination
    std::int64_t clock = 1'704'070'800'000;                          ///< ms, when things are archived
    std::size_t adds = 0, position_saves = 0, missing_calls = 0, notes = 0, key_reads = 0;
    /// Every call that writes fails with this while it is set.
    std::optional<failure> write_failure;
    std::optional<failure> read_failure;
    /// The next add is made, and its answer is this.
    std::optional<failure> lost_answer;
    /// Called at every add, before anything is done.
    std::function<void(const archive_block&)> on_add;

    std::vector<std::int64_t> pbids() const
    {
        std::vector<std::int64_t> out;
        for (const auto& r : records)
            out.push_back(r.key.pbid);
        return out;
    }
    const record* by_key(breach_key k) const
    {
        const auto at = seq_of_.find(k);
        return at == seq_of_.end() ? nullptr : record_of(at->second);
    }

    const std::string& master() const override { return master_; }

    awaitable<outcome<added>> add(archive_block block) override
    {
        ++adds;
        if (on_add)
            on_add(block);
        if (write_failure)
            co_return *write_failure;
        for (const auto& e : block.elements)
        {
            if (e.body.size() > max_element_bytes)
                co_return fail(errc::over_limit, "an element is over the bound");
            if (e.body.data() < block.bytes.data() ||
                e.body.data() + e.body.size() > block.bytes.data() + block.bytes.size())
                co_return fail(errc::malformed, "a body lies outside the block's bytes");
        }
        added out;
        for (const auto& e : block.elements)
        {
            if (seq_of_.contains(e.key))
            {
                ++out.repeated;
                continue;
            }
            if (pbids_.contains(e.key.pbid))
                ++out.reused_pbids;
            record r;
            r.seq = ++last_seq_;
            r.archived = clock;
            r.key = e.key;
            r.time = e.time.value_or(e.key.created);
            r.body = std::string(e.body);
            r.archive_only = block.archive_only;
            r.acknowledged = e.acknowledged;
            r.comment_count = e.comment_count;
            seq_of_.emplace(e.key, r.seq);
            pbids_.insert(e.key.pbid);
            records.push_back(std::move(r));
            out.keys.push_back(e.key);
        }
        out.last_seq = last_seq_;
        if (block.position)
            stored = block.position;
        if (block.window)
        {
            recorded.push_back(*block.window);
            recorded.back().archived += static_cast<std::int64_t>(out.keys.size());
        }
        if (lost_answer)
        {
            const failure f = *lost_answer;
            lost_answer.reset();
            co_return f;
        }
        co_return out;
    }
    awaitable<outcome<bool>> save_position(poll_position p) override
    {
        ++position_saves;
        if (write_failure)
            co_return *write_failure;
        stored = p;
        co_return true;
    }
    awaitable<outcome<std::optional<poll_position>>> position() override
    {
        if (read_failure)
            co_return *read_failure;
        co_return stored;
    }
    awaitable<outcome<std::vector<breach_key>>> missing(std::vector<breach_key> keys) override
    {
        ++missing_calls;
        if (read_failure)
            co_return *read_failure;
        std::erase_if(keys, [this](const breach_key& k) { return seq_of_.contains(k); });
        co_return keys;
    }

    awaitable<outcome<archive_span>> read(std::int64_t after_seq,
                                          std::size_t max_count,
                                          std::size_t max_bytes) override
    {
        return pick([after_seq](const record& r) { return r.seq > after_seq && !r.archive_only; },
                    after_seq,
                    max_count,
                    max_bytes);
    }
    awaitable<outcome<archive_span>> find(std::int64_t pbid) override
    {
        return pick([pbid](const record& r) { return r.key.pbid == pbid; }, 0, 1'000, 1u << 30);
    }
    awaitable<outcome<archive_span>> scan(scan_order what) override
    {
        return pick(
            [what](const record& r) {
                return r.seq > what.after_seq && r.key.created >= what.created_from &&
                       r.key.created < what.created_before;
            },
            what.after_seq,
            what.max_count,
            what.max_bytes);
    }

    awaitable<outcome<std::vector<archive_cursor>>> cursors() override
    {
        if (read_failure)
            co_return *read_failure;
        std::vector<archive_cursor> out;
        for (const auto& [name, c] : cursor_by_name)
            out.push_back(c);
        co_return out;
    }
    awaitable<outcome<archive_cursor>> ensure_cursor(std::string destination, new_cursor otherwise) override
    {
        if (write_failure)
            co_return *write_failure;
        if (!cursor_by_name.contains(destination))
        {
            archive_cursor c;
            c.seq = otherwise.seq;
            if (const auto old = cursor_by_name.find(otherwise.formerly);
                !otherwise.formerly.empty() && old != cursor_by_name.end())
            {
                c = old->second;
                cursor_by_name.erase(old);
            }
            c.destination = destination;
            cursor_by_name[destination] = c;
        }
        auto& c = cursor_by_name[destination];
        if (c.began == 0)
            c.began = otherwise.began;
        co_return c;
    }
    awaitable<outcome<bool>> confirm(std::string destination, confirmed_batch batch) override
    {
        if (write_failure)
            co_return *write_failure;
        const auto at = cursor_by_name.find(destination);
        if (at == cursor_by_name.end())
            co_return fail(errc::not_found, "no cursor of that name");
        if (batch.last_seq <= at->second.seq)
            co_return false;
        at->second.seq = batch.last_seq;
        for (const auto& w : batch.windows)
        {
            auto& kept = windows_of[destination];
            std::erase_if(
                kept, [&](const throttle_window& k) { return k.throttle == w.throttle && k.key == w.key; });
            kept.push_back(w);
        }
        confirmed_record r;
        r.destination = destination;
        r.batch = batch;
        r.at = clock;
        batches.push_back(std::move(r));
        co_return true;
    }
    awaitable<outcome<bool>> forget_cursor(std::string destination) override
    {
        co_return cursor_by_name.erase(destination) > 0;
    }
    awaitable<outcome<std::vector<throttle_window>>> throttle_windows(std::string destination) override
    {
        co_return windows_of[destination];
    }
    awaitable<outcome<bool>> note_summary(std::string destination, throttle_window w) override
    {
        for (auto& kept : windows_of[destination])
        {
            if (kept.throttle == w.throttle && kept.key == w.key && kept.start == w.start)
            {
                kept.summed_up = std::max(kept.summed_up, w.summed_up);
                co_return true;
            }
        }
        co_return false;
    }
    awaitable<outcome<std::string>> remember(std::string text, std::string) override
    {
        std::string hash = "hash-" + std::to_string(std::hash<std::string>{}(text));
        texts[hash] = std::move(text);
        co_return hash;
    }
    awaitable<outcome<std::optional<std::string>>> recall(std::string hash) override
    {
        std::optional<std::string> out;
        if (const auto at = texts.find(hash); at != texts.end())
            out = at->second;
        co_return out;
    }
    awaitable<outcome<std::vector<confirmed_record>>> confirmed(std::int64_t seq) override
    {
        std::vector<confirmed_record> out;
        for (const auto& r : batches)
        {
            if (r.batch.first_seq <= seq && seq <= r.batch.last_seq)
                out.push_back(r);
        }
        co_return out;
    }

    awaitable<outcome<std::vector<std::pair<std::string, withheld_breach>>>> withheld(std::int64_t,
                                                                                      std::int64_t) override
    {
        co_return std::vector<std::pair<std::string, withheld_breach>>();
    }

    awaitable<outcome<std::vector<breach_history>>> history(std::int64_t pbid) override
    {
        std::vector<breach_history> out;
        for (const auto& r : records)
        {
            if (r.key.pbid != pbid)
                continue;
            breach_history h;
            h.seq = r.seq;
            h.key = r.key;
            h.archived = r.archived;
            h.archive_only = r.archive_only;
            h.acknowledged = r.acknowledged;
            h.comment_count = r.comment_count;
            out.push_back(std::move(h));
        }
        co_return out;
    }

    awaitable<outcome<bool>> set_aside(std::string raw, std::string reason) override
    {
        if (write_failure)
            co_return *write_failure;
        for (const auto& a : asides)
        {
            if (a.raw == raw)
                co_return false;
        }
        aside a;
        a.raw = std::move(raw);
        a.reason = std::move(reason);
        asides.push_back(std::move(a));
        co_return true;
    }
    awaitable<outcome<std::vector<noted_change>>> note_states(std::vector<shown_state> shown) override
    {
        notes += shown.size();
        if (write_failure)
            co_return *write_failure;
        std::vector<noted_change> out;
        for (const auto& s : shown)
        {
            const auto at = seq_of_.find(s.key);
            record* r = at == seq_of_.end() ? nullptr : const_cast<record*>(record_of(at->second));
            if (r == nullptr || (r->acknowledged == s.acknowledged && r->comment_count == s.comment_count))
                continue;
            noted_change n;
            n.key = s.key;
            n.seq = r->seq;
            n.archive_only = r->archive_only;
            n.was_acknowledged = r->acknowledged;
            n.now = state_change{clock, s.acknowledged, s.comment_count, s.acknowledged_at};
            n.acknowledged_by = s.acknowledged_by;
            n.model = s.model;
            r->acknowledged = s.acknowledged;
            r->comment_count = s.comment_count;
            r->changes.push_back(n.now);
            out.push_back(n);
        }
        co_return out;
    }
    awaitable<outcome<key_span>> keys(key_order what) override
    {
        ++key_reads;
        if (read_failure)
            co_return *read_failure;
        key_span out;
        out.scanned_to = last_seq_;
        out.end = true;
        for (const auto& r : records)
        {
            if (r.seq > what.after_seq && r.archived >= what.archived_from && r.time >= what.from &&
                r.time <= what.to)
                out.keys.push_back(r.key);
        }
        co_return out;
    }
    awaitable<outcome<std::vector<difference>>> note_differences(std::vector<difference> found) override
    {
        if (write_failure)
            co_return *write_failure;
        std::vector<difference> out;
        for (auto d : found)
        {
            d.at = clock;
            const auto same = [&](const difference& k) { return k.what == d.what && k.key == d.key; };
            if (std::any_of(kept_differences.begin(), kept_differences.end(), same))
                continue;
            kept_differences.push_back(d);
            out.push_back(d);
        }
        co_return out;
    }
    awaitable<outcome<bool>> settle_differences(difference::kind what, std::vector<breach_key> keys) override
    {
        std::erase_if(kept_differences, [&](const difference& d) {
            return d.what == what && std::find(keys.begin(), keys.end(), d.key) != keys.end();
        });
        co_return true;
    }
    awaitable<outcome<std::vector<difference>>> differences(std::size_t max_count) override
    {
        if (read_failure)
            co_return *read_failure;
        std::vector<difference> out(kept_differences.rbegin(), kept_differences.rend());
        if (out.size() > max_count)
            out.resize(max_count);
        co_return out;
    }
    awaitable<outcome<std::vector<state_change>>> changes(breach_key key) override
    {
        const record* r = by_key(key);
        std::vector<state_change> out;
        if (r != nullptr)
            out = r->changes;
        co_return out;
    }
    awaitable<outcome<std::vector<window_counts>>> windows(std::size_t max_count) override
    {
        std::vector<window_counts> out(recorded.rbegin(), recorded.rend());
        if (out.size() > max_count)
            out.resize(max_count);
        co_return out;
    }

    awaitable<outcome<retention_result>> prune(retention_order order) override
    {
        retention_result out;
        while (!records.empty() && records.front().archived < order.older_than)
        {
            const auto seq = records.front().seq;
            const bool needed =
                std::any_of(order.keep_for.begin(), order.keep_for.end(), [&](const archive_cursor& c) {
                    const auto at = cursor_by_name.find(c.destination);
                    return std::max(c.seq, at == cursor_by_name.end() ? 0 : at->second.seq) < seq;
                });
            if (needed)
                break;
            records.pop_front();
            ++out.dropped;
        }
        co_return out;
    }
    awaitable<outcome<archive_facts>> facts() override
    {
        if (read_failure)
            co_return *read_failure;
        archive_facts f;
        f.last_seq = last_seq_;
        f.breaches = static_cast<std::int64_t>(records.size());
        f.oldest_seq = records.empty() ? last_seq_ + 1 : records.front().seq;
        f.oldest_archived = records.empty() ? 0 : records.front().archived;
        for (const auto& r : records)
            f.bytes += static_cast<std::int64_t>(r.body.size());
        co_return f;
    }
    std::int64_t last_seq() const override { return last_seq_; }
    awaitable<outcome<bool>> close() override { co_return true; }

private:
    const record* record_of(std::int64_t seq) const
    {
        if (records.empty() || seq < records.front().seq)
            return nullptr;
        return &records[static_cast<std::size_t>(seq - records.front().seq)];
    }
    awaitable<outcome<archive_span>> pick(std::function<bool(const record&)> wanted,
                                          std::int64_t after_seq,
                                          std::size_t max_count,
                                          std::size_t max_bytes)
    {
        if (read_failure)
            co_return *read_failure;
        archive_span out;
        out.scanned_to = after_seq;
        const auto bodies = std::make_shared<std::deque<std::string>>();
        std::size_t bytes = 0;
        for (const auto& r : records)
        {
            if (r.seq > after_seq && !wanted(r))
                out.scanned_to = r.seq;
            if (!wanted(r))
                continue;
            if (out.breaches.size() >= max_count ||
                (!out.breaches.empty() && bytes + r.body.size() > max_bytes))
                break;
            bytes += r.body.size();
            bodies->push_back(r.body);
            archived_breach b;
            b.seq = r.seq;
            b.archived = r.archived;
            b.key = r.key;
            b.body = bodies->back();
            out.breaches.push_back(b);
            out.scanned_to = std::max(out.scanned_to, r.seq);
        }
        out.hold = bodies;
        co_return out;
    }

    std::string master_;
    std::int64_t last_seq_ = 0;
    std::map<breach_key, std::int64_t> seq_of_;
    std::set<std::int64_t> pbids_;
};

}  // namespace dtbridge::test
