#include "intake.hpp"

#include <algorithm>
#include <utility>

#include <dtbridge/core/text.hpp>

namespace dtbridge::poll
{

intake::intake(archive& store, order what, const listeners& tell, std::function<std::int64_t()> steady)
    : store_(store), order_(std::move(what)), tell_(tell), steady_(std::move(steady))
{}

intake::~intake() = default;

void intake::head(const net::http_response& r)
{
    head_at_ = steady_();
    date_ = r.date;
    // Only a good status makes a list of breaches of an array.
    takes_elements_ = r.status >= 200 && r.status <= 203;
}

outcome<bool> intake::archive_error(const failure& f)
{
    archive_failure_ = f;
    return f;
}

awaitable<outcome<bool>> intake::body(std::string_view piece)
{
    splitter_.feed(piece);
    for (;;)
    {
        const auto event = splitter_.next();
        if (event == element_splitter::event::more)
            break;
        const bool top_object = splitter_.shape() == body_shape::object;
        if (!takes_elements_)
        {
            if (top_object)
                object_.assign(splitter_.element());
            continue;
        }
        std::optional<bad> refused;
        if (event == element_splitter::event::oversized)
        {
            refused.emplace();
            refused->raw.assign(splitter_.element());
            refused->reason = "an element of " + std::to_string(splitter_.size()) +
                              " bytes is over the bound of 4 MiB; this is its start";
            ++tally_.shown;
        }
        else
        {
            // The last block waits for the end of the answer, so one is written only when there is more. One
            // element too many would make two of it in the archive.
            if (!block_.elements.empty() && !order_.survey &&
                block_.bytes.size() + splitter_.element().size() > block_bytes)
            {
                const outcome<bool> flushed = co_await flush(std::nullopt, std::nullopt);
                if (!flushed)
                    co_return flushed.error();
            }
            if (portion_.size() >= survey_portion)
            {
                const outcome<bool> looked_up = co_await look_up_portion();
                if (!looked_up)
                    co_return looked_up.error();
            }
            if (!has_turn_ && tell_.turns && block_.bytes.size() > short_bytes)
                co_await wait_for_turn();
            take(splitter_.element(), top_object, refused);
        }
        if (refused && !order_.survey)
        {
            const outcome<bool> aside = co_await put_aside(std::move(*refused));
            if (!aside)
                co_return aside.error();
        }
    }
    co_return true;
}

/// A thousand masters that show much at once would hold a block each, and their archives would be opened and
/// closed for every block. Whoever takes in slowly is not waited for.
awaitable<void> intake::wait_for_turn()
{
    using namespace std::chrono_literals;
    has_turn_ = true;
    auto mine = co_await tell_.turns->enter();
    turn_ = std::move(mine);
    turn_.lend_after(10s);
}

void intake::take(std::string_view element, bool top_object, std::optional<bad>& refused)
{
    if (!reader_)
        reader_ = std::make_unique<breach>();
    const auto read = reader_->read(element);
    if (!read)
    {
        if (top_object)
        {
            object_.assign(element);
            return;
        }
        ++tally_.shown;
        // Clients compare values, whatever stands around them (darktrace.md 2.6).
        if (element.size() < 64 && api_error_.empty())
            api_error_ = find_api_error(element);
        refused.emplace();
        refused->raw.assign(element);
        refused->reason = read.error().detail;
        return;
    }
    is_breach_ = top_object;
    shows_breach_ = true;
    ++tally_.shown;
    const breach& b = *reader_;
    look(b);
    if (order_.created && !order_.created->holds(b.key.created))
        return;
    if (order_.keep_keys && keys_.size() < most_keys)
        keys_.push_back(b.key);
    else if (order_.keep_keys)
        lacks_keys_ = true;
    look_at_state(b);
    if (order_.survey)
    {
        portion_.push_back(b.key);
        return;
    }
    archive_element e;
    e.key = b.key;
    e.time = b.time;
    e.acknowledged = is_acknowledged(b);
    b.root.find("commentCount").integer(e.comment_count);
    // The next block of a long answer will be as long; growing by doubling would touch twice the memory. Not
    // before it has something: while the last one is being written, a thousand masters would hold two each.
    if (is_long_ && block_.bytes.empty())
        block_.bytes.reserve(block_bytes);
    spans_.emplace_back(block_.bytes.size(), element.size());
    block_.bytes.append(element);
    block_.elements.push_back(e);
}

/// acknowledged: absent, false, true, or {time, username} (darktrace.md 2.5).
void intake::look_at_state(const breach& b)
{
    const json::value said = b.root.find("acknowledged");
    auto& state = states_.emplace_back();
    // Whether a minimal answer leaves acknowledged out or the breach is not acknowledged cannot be told
    // apart.
    if (order_.minimal && !said)
        return;
    state.emplace();
    state->key = b.key;
    state->acknowledged = is_acknowledged(b);
    b.root.find("commentCount").integer(state->comment_count);
    if (!state->acknowledged)
        return;
    state->model = text::printable(model_path(string_member(b.then, "name")), 200);
    if (!said.is(json::kind::object))
        return;
    std::int64_t at = 0;
    if (said.find("time").integer(at) && at > 0)
        state->acknowledged_at = at;
    state->acknowledged_by = text::printable(string_member(said, "username"), 80);
}

void intake::look(const breach& b)
{
    if (!b.creation_time)
        tally_.lacks_creation = true;
    // A breach whose time lies inside the window and whose creation does not was not found by its creation
    // (contract 3).
    if (order_.asked && b.creation_time && b.time && order_.asked->holds(*b.time) &&
        !order_.asked->holds(*b.creation_time))
    {
        tally_.ignored_creation = true;
    }
    if (!tally_.has_pbscore && b.root.find("pbscore"))
        tally_.has_pbscore = true;
}

awaitable<outcome<bool>> intake::put_aside(bad b)
{
    outcome<bool> kept = co_await store_.set_aside(std::move(b.raw), std::move(b.reason));
    if (!kept)
        co_return archive_error(kept.error());
    if (*kept)
        ++tally_.set_aside;
    co_return true;
}

bool intake::is_late(const breach_key& k) const
{
    return k.created >= order_.late_from && k.created < order_.late_before;
}

void intake::note_late(const breach_key& k)
{
    if (!is_late(k))
        return;
    ++tally_.late;
    if (tally_.late_keys.size() < 10'000)
        tally_.late_keys.push_back(k);
}

/// The archive keeps a new block's bytes in memory for the deliveries: repeats have no place there.
void intake::drop_unused_bytes()
{
    std::string kept;
    for (auto& [at, size] : spans_)
    {
        const std::size_t from = at;
        at = kept.size();
        kept.append(block_.bytes, from, size);
    }
    block_.bytes = std::move(kept);
}

awaitable<outcome<bool>> intake::leave_out_repeated(std::int64_t& late_here)
{
    const std::size_t keys_in_block = block_.elements.size();
    std::vector<breach_key> keys;
    keys.reserve(keys_in_block);
    for (const auto& e : block_.elements)
        keys.push_back(e.key);
    const outcome<std::vector<breach_key>> missing = co_await store_.missing(std::move(keys));
    if (!missing)
        co_return archive_error(missing.error());
    // In order, so one pass keeps exactly those.
    std::size_t next = 0;
    std::size_t kept = 0;
    for (std::size_t i = 0; i < keys_in_block; ++i)
    {
        if (next < missing->size() && block_.elements[i].key == (*missing)[next])
        {
            ++next;
            block_.elements[kept] = block_.elements[i];
            spans_[kept] = spans_[i];
            ++kept;
            late_here += is_late(block_.elements[kept - 1].key) ? 1 : 0;
            continue;
        }
        ++tally_.repeated;
        if (states_[i])
            repeated_.push_back(std::move(*states_[i]));
    }
    block_.elements.resize(kept);
    spans_.resize(kept);
    if (kept > 0 && kept < keys_in_block)
        drop_unused_bytes();
    outcome<bool> noted = co_await note_repeated();
    co_return noted;
}

/// acknowledged and commentCount change after a breach was archived.
awaitable<outcome<bool>> intake::note_repeated()
{
    if (repeated_.empty())
        co_return true;
    const outcome<std::vector<noted_change>> noted = co_await store_.note_states(std::move(repeated_));
    repeated_.clear();
    if (!noted)
        co_return archive_error(noted.error());
    tally_.changes += static_cast<std::int64_t>(noted->size());
    if (!noted->empty() && tell_.on_changes)
        tell_.on_changes(*noted);
    co_return true;
}

/// Which elements of a survey are not archived, and what changed about the others.
awaitable<outcome<bool>> intake::look_up_portion()
{
    for (auto& s : states_)
    {
        if (s)
            repeated_.push_back(std::move(*s));
    }
    states_.clear();
    const outcome<std::vector<breach_key>> missing = co_await store_.missing(std::move(portion_));
    portion_.clear();
    if (!missing)
        co_return archive_error(missing.error());
    for (const auto& k : *missing)
    {
        if (missing_.size() < most_missing)
            missing_.push_back(k);
    }
    outcome<bool> noted = co_await note_repeated();
    co_return noted;
}

awaitable<outcome<bool>> intake::finish_survey()
{
    outcome<bool> done = co_await look_up_portion();
    co_return done;
}

/// Commits the block. What is already archived is left out first, so that an answer without news opens
/// nothing; not so where the block before was all new, for there the archive's own look is enough.
awaitable<outcome<bool>> intake::flush(std::optional<poll_position> position,
                                       std::optional<window_counts> counts)
{
    const bool last = position.has_value() || counts.has_value();
    std::int64_t late_here = 0;
    if (!block_.elements.empty() && (last || !mostly_new_))
    {
        const outcome<bool> left_out = co_await leave_out_repeated(late_here);
        if (!left_out)
            co_return left_out.error();
    }
    states_.clear();
    const bool news_before = tally_.archived > 0;
    const bool worth = !block_.elements.empty() || (last && news_before) || (counts && counts->sweep);
    if (!worth)
    {
        block_.bytes.clear();
        block_.elements.clear();
        spans_.clear();
        co_return false;
    }
    // A short text moves its bytes along when it is moved; the views must stay.
    block_.bytes.reserve(256);
    for (std::size_t i = 0; i < spans_.size(); ++i)
        block_.elements[i].body = std::string_view(block_.bytes).substr(spans_[i].first, spans_[i].second);
    for (auto& e : block_.elements)
        e.late = is_late(e.key);
    block_.archive_only = order_.archive_only;
    block_.position = position;
    if (counts)
    {
        counts->shown = tally_.shown;
        counts->archived = tally_.archived;
        counts->late = tally_.late + late_here;
        block_.window = *counts;
    }
    archive_block out = std::move(block_);
    block_ = archive_block{};
    is_long_ = !last;
    spans_.clear();
    const auto offered = static_cast<std::int64_t>(out.elements.size());
    const outcome<added> done = co_await store_.add(std::move(out));
    if (!done)
        co_return archive_error(done.error());
    const auto fresh = static_cast<std::int64_t>(done->keys.size());
    tally_.archived += fresh;
    tally_.repeated += done->repeated;
    tally_.reused_pbids += done->reused_pbids;
    mostly_new_ = offered > 0 && fresh == offered;
    for (const auto& k : done->keys)
        note_late(k);
    if (fresh > 0 && tell_.on_news && !order_.archive_only)
        tell_.on_news(done->last_seq);
    co_return true;
}

awaitable<outcome<bool>> intake::finish(std::optional<poll_position> position,
                                        std::optional<window> asked,
                                        bool sweep)
{
    std::optional<window_counts> counts;
    if (asked)
    {
        counts.emplace();
        counts->start = asked->start;
        counts->end = asked->end;
        counts->sweep = sweep;
    }
    // Not const: asio constructs the answer from what co_return names, and from a const result<bool> that
    // takes the explicit conversion to bool, which says true.
    outcome<bool> saved = co_await flush(position, counts);
    co_return saved;
}

void intake::reset()
{
    splitter_.reset();
    block_.bytes.clear();
    block_.elements.clear();
    spans_.clear();
    states_.clear();
    repeated_.clear();
    portion_.clear();
    keys_.clear();
    missing_.clear();
    lacks_keys_ = false;
    object_.clear();
    api_error_ = {};
    head_at_.reset();
    date_.clear();
    tally_.shown = 0;
    takes_elements_ = true;
    is_breach_ = false;
    shows_breach_ = false;
}

body_facts intake::facts() const
{
    body_facts f;
    f.begun = head_at_.has_value();
    f.shape = splitter_.shape();
    f.text = object_.empty() ? splitter_.head() : std::string_view(object_);
    f.is_breach = is_breach_;
    // A master that shows breaches has refused nothing, whatever stands in what it shows beside them.
    if (!shows_breach_)
        f.api_error = api_error_;
    return f;
}

}  // namespace dtbridge::poll
