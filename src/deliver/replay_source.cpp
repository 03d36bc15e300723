#include <dtbridge/deliver/replay_source.hpp>

#include <algorithm>

#include <dtbridge/core/breach.hpp>
#include <dtbridge/rules/policy.hpp>

namespace dtbridge::deliver
{

namespace
{

class replay_source : public archive
{
public:
    replay_source(std::shared_ptr<archive> real, replay_order order, std::int64_t last_seq)
        : real_(std::move(real)), order_(std::move(order)), last_seq_(last_seq)
    {}

    const std::string& master() const override { return real_->master(); }
    std::int64_t last_seq() const override { return last_seq_; }

    awaitable<outcome<archive_span>> read(std::int64_t after_seq,
                                          std::size_t max_count,
                                          std::size_t max_bytes) override
    {
        archive_span span;
        if (order_.pbid)
        {
            auto found = co_await real_->find(*order_.pbid);
            if (!found)
                co_return found.error();
            span = std::move(*found);
            span.scanned_to = last_seq_;
        }
        else
        {
            scan_order what;
            what.after_seq = after_seq;
            what.created_from = order_.created_from;
            what.created_before = order_.created_before;
            what.max_count = max_count;
            what.max_bytes = max_bytes;
            auto found = co_await real_->scan(what);
            if (!found)
                co_return found.error();
            span = std::move(*found);
            span.scanned_to = std::min(span.scanned_to, last_seq_);
        }
        std::erase_if(span.breaches, [&](const archived_breach& b) {
            return b.seq <= after_seq || b.seq > last_seq_ || !is_wanted(b);
        });
        co_return span;
    }

    awaitable<outcome<archive_cursor>> ensure_cursor(std::string destination, new_cursor) override
    {
        archive_cursor c;
        c.destination = std::move(destination);
        c.seq = seq_;
        co_return c;
    }
    awaitable<outcome<bool>> confirm(std::string, confirmed_batch batch) override
    {
        const bool forward = batch.last_seq > seq_;
        seq_ = std::max(seq_, batch.last_seq);
        co_return forward;
    }
    awaitable<outcome<std::vector<archive_cursor>>> cursors() override
    {
        std::vector<archive_cursor> none;
        co_return none;
    }
    awaitable<outcome<std::string>> remember(std::string, std::string) override
    {
        std::string nothing;
        co_return nothing;
    }
    awaitable<outcome<std::vector<throttle_window>>> throttle_windows(std::string) override
    {
        std::vector<throttle_window> none;
        co_return none;
    }
    awaitable<outcome<bool>> note_summary(std::string, throttle_window) override { return refused<bool>(); }

    // What a replay has no business with.
    awaitable<outcome<added>> add(archive_block) override { return refused<added>(); }
    awaitable<outcome<bool>> save_position(poll_position) override { return refused<bool>(); }
    awaitable<outcome<std::optional<poll_position>>> position() override { return real_->position(); }
    awaitable<outcome<std::vector<breach_key>>> missing(std::vector<breach_key> keys) override
    {
        return real_->missing(std::move(keys));
    }
    awaitable<outcome<archive_span>> find(std::int64_t pbid) override { return real_->find(pbid); }
    awaitable<outcome<archive_span>> scan(scan_order what) override { return real_->scan(what); }
    awaitable<outcome<bool>> forget_cursor(std::string) override { return refused<bool>(); }
    awaitable<outcome<std::optional<std::string>>> recall(std::string hash) override
    {
        return real_->recall(std::move(hash));
    }
    awaitable<outcome<std::vector<confirmed_record>>> confirmed(std::int64_t seq) override
    {
        return real_->confirmed(seq);
    }
    awaitable<outcome<std::vector<breach_history>>> history(std::int64_t pbid) override
    {
        return real_->history(pbid);
    }
    awaitable<outcome<bool>> set_aside(std::string, std::string) override { return refused<bool>(); }
    awaitable<outcome<std::vector<noted_change>>> note_states(std::vector<shown_state>) override
    {
        return refused<std::vector<noted_change>>();
    }
    awaitable<outcome<std::vector<std::pair<std::string, withheld_breach>>>> withheld(
        std::int64_t first_seq, std::int64_t last_seq) override
    {
        return real_->withheld(first_seq, last_seq);
    }
    awaitable<outcome<key_span>> keys(key_order what) override { return real_->keys(what); }
    awaitable<outcome<std::vector<difference>>> note_differences(std::vector<difference>) override
    {
        return refused<std::vector<difference>>();
    }
    awaitable<outcome<bool>> settle_differences(difference::kind, std::vector<breach_key>) override
    {
        return refused<bool>();
    }
    awaitable<outcome<std::vector<difference>>> differences(std::size_t n) override
    {
        return real_->differences(n);
    }
    awaitable<outcome<std::vector<state_change>>> changes(breach_key key) override
    {
        return real_->changes(key);
    }
    awaitable<outcome<std::vector<window_counts>>> windows(std::size_t n) override
    {
        return real_->windows(n);
    }
    awaitable<outcome<retention_result>> prune(retention_order) override
    {
        return refused<retention_result>();
    }
    awaitable<outcome<archive_facts>> facts() override { return real_->facts(); }
    awaitable<outcome<bool>> close() override { co_return true; }

private:
    template <class T>
    awaitable<outcome<T>> refused()
    {
        co_return fail(errc::refused, real_->master() + ": a replay changes no archive");
    }

    bool is_wanted(const archived_breach& b)
    {
        std::string_view model;
        // What cannot be read is the delivery's to report.
        if (!order_.model.empty() && scratch_.read(b.body))
            model = string_member(scratch_.then, "name");
        return is_asked_for(order_, b.key, model);
    }

    std::shared_ptr<archive> real_;
    replay_order order_;
    std::int64_t last_seq_;
    std::int64_t seq_ = 0;
    breach scratch_;
};

}  // namespace

bool is_asked_for(const replay_order& order, const breach_key& key, std::string_view model_name)
{
    return (!order.pbid || key.pbid == *order.pbid) && key.created >= order.created_from &&
           (key.created < order.created_before ||
            order.created_before == std::numeric_limits<std::int64_t>::max()) &&
           (order.model.empty() || rules::model_matches(order.model, model_name));
}

std::shared_ptr<archive> make_replay_source(std::shared_ptr<archive> real,
                                            replay_order order,
                                            std::int64_t last_seq)
{
    return std::make_shared<replay_source>(std::move(real), std::move(order), last_seq);
}

}  // namespace dtbridge::deliver
