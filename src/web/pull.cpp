#include <dtbridge/web/pull.hpp>

#include <algorithm>
#include <utility>

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <dtbridge/core/breach.hpp>
#include <dtbridge/core/text.hpp>
#include <dtbridge/core/time.hpp>

#include <web/compact_json.hpp>

namespace dtbridge::web
{

namespace
{

using clock = std::chrono::steady_clock;

format::formatter make_formatter(format::kind as)
{
    format::options o;
    o.format = as;
    o.header = format::header_kind::none;
    o.max_message = 0;
    format::field_map fields;
    if (as != format::kind::json)
        fields = std::move(format::load_field_map(as, "", "built-in").value);
    return format::formatter(std::move(o), std::move(fields), "");
}

/// "Compliance :: File Storage" and "Compliance/File Storage" are one path (product.md 5).
std::string one_path(std::string_view name)
{
    std::string path = model_path(name);
    for (const std::string_view blank : {" /", "/ "})
    {
        for (auto at = path.find(blank); at != std::string::npos; at = path.find(blank, at))
            path.replace(at, blank.size(), "/");
    }
    return path;
}

class pull_source final : public body_source
{
public:
    pull_source(pull_parts parts, pull_bounds bounds)
        : parts_(std::move(parts)),
          bounds_(bounds),
          order_(parts_.order),
          model_(one_path(order_.model)),
          formatter_(make_formatter(order_.as)),
          position_(order_.after.value_or(0))
    {}

    awaitable<outcome<bool>> begin(news_board& board);
    awaitable<outcome<std::string>> next() override;

private:
    awaitable<outcome<bool>> find_gap();
    awaitable<outcome<bool>> look();
    void take(const archive_span& span);
    bool wanted(const archived_breach& a, std::string& reason, rules::decision& said);
    void add_line(const archived_breach& a, const std::string& reason, const rules::decision& said);
    std::string end() const;

    bool is_full() const { return found_ >= order_.limit; }
    bool reads_breach() const { return parts_.policy || !model_.empty() || order_.as != format::kind::json; }

    pull_parts parts_;
    pull_bounds bounds_;
    pull_order order_;
    std::string model_;
    format::formatter formatter_;
    breach scratch_;
    std::int64_t position_;  // looked at up to here
    std::int64_t last_seq_ = 0;
    std::size_t found_ = 0;
    bool gap_ = false, at_end_ = false, closed_ = false, opened_ = false;
    std::string piece_;
    clock::time_point search_until_{};
};

/// A cursor that retention has overtaken goes on at the oldest, as does one of an archive that was there
/// before this one.
awaitable<outcome<bool>> pull_source::find_gap()
{
    const auto store = parts_.store.lock();
    if (!store)
        co_return fail(errc::not_found, "the master is not configured any more");
    if (!order_.after)
        co_return true;
    auto facts = co_await store->facts();
    if (!facts)
        co_return facts.error();
    if (position_ > facts->last_seq)
    {
        gap_ = true;
        position_ = 0;
    }
    else if (position_ + 1 < facts->oldest_seq)
    {
        gap_ = true;
        position_ = facts->oldest_seq - 1;
    }
    co_return true;
}

/// Reads on until a piece is full, the limit is reached, the archive ends or the search has taken long
/// enough.
awaitable<outcome<bool>> pull_source::look()
{
    const auto ex = co_await asio::this_coro::executor;
    at_end_ = false;
    do
    {
        const auto store = parts_.store.lock();
        if (!store)
            co_return fail(errc::not_found, "the master is not configured any more");
        last_seq_ = store->last_seq();
        if (last_seq_ <= position_)
        {
            at_end_ = true;
            break;
        }
        const auto most = std::min(bounds_.span_breaches, order_.limit - found_);
        auto span = co_await store->read(position_, most, bounds_.span_bytes);
        if (!span)
            co_return span.error();
        // A hole may be one of numbers that were never this reader's, or retention was here since the last
        // look. Without a cursor the first breach is wherever the archive begins.
        const bool goes_on = order_.after || position_ > 0;
        if (goes_on && !gap_ && (span->breaches.empty() || span->breaches.front().seq > position_ + 1))
        {
            auto facts = co_await store->facts();
            if (!facts)
                co_return facts.error();
            gap_ = facts->oldest_seq > position_ + 1;
        }
        if (span->breaches.empty() && span->scanned_to <= position_)
        {
            at_end_ = true;
            break;
        }
        take(*span);
        // What memory answers never suspends, and the others want their turn.
        co_await asio::post(ex, asio::use_awaitable);
    } while (!is_full() && piece_.size() < bounds_.piece && clock::now() < search_until_);
    co_return true;
}

void pull_source::take(const archive_span& span)
{
    for (const auto& a : span.breaches)
    {
        if (is_full())
            return;
        std::string reason;
        rules::decision said;
        if (wanted(a, reason, said))
        {
            add_line(a, reason, said);
            ++found_;
        }
        position_ = a.seq;
    }
    position_ = std::max(position_, span.scanned_to);
}

bool pull_source::wanted(const archived_breach& a, std::string& reason, rules::decision& said)
{
    if (order_.since && a.key.created_or(a.archived) < *order_.since)
        return false;
    if (!reads_breach())
        return true;
    // What is archived could be read when it came; if it cannot any more, lines still have it.
    if (!scratch_.read(a.body))
        return order_.as == format::kind::json && model_.empty();
    if (!model_.empty() && !text::glob_match(model_, one_path(string_member(scratch_.then, "name"))))
        return false;
    const auto known = rules::known_of(scratch_, &parts_.info.labels, parts_.devices.get());
    said.inventory = known.inventory;
    if (!parts_.policy)
        return true;
    said = parts_.policy->decide(scratch_, known);
    reason = said.reason;
    return said.forward;
}

void pull_source::add_line(const archived_breach& a, const std::string& reason, const rules::decision& said)
{
    if (order_.envelope && found_ > 0)
        piece_ += ',';
    piece_ += "{\"seq\":" + std::to_string(a.seq) + ",\"master\":";
    text::append_quoted(piece_, order_.master);
    piece_ += ",\"archived\":\"" + rfc3339_ms(a.archived) + '"';
    if (parts_.policy)
    {
        piece_ += ",\"reason\":";
        text::append_quoted(piece_, reason);
    }
    if (order_.as == format::kind::json)
    {
        piece_ += ",\"breach\":";
        append_compact(piece_, a.body);
    }
    else
    {
        std::string message;
        formatter_.message(scratch_, parts_.info, said, message);
        piece_ += ",\"message\":";
        text::append_quoted(piece_, message);
    }
    piece_ += order_.envelope ? "}" : "}\n";
}

std::string pull_source::end() const
{
    const bool more = last_seq_ > position_;
    std::string text = order_.envelope ? "],\"next\":" : "{\"next\":";
    text::append_quoted(text, make_cursor(order_.master, position_));
    text += more ? ",\"more\":true" : ",\"more\":false";
    if (gap_)
        text += ",\"gap\":true";
    return text + "}\n";
}

awaitable<outcome<bool>> pull_source::begin(news_board& board)
{
    const auto ex = co_await asio::this_coro::executor;
    auto started = co_await find_gap();
    if (!started)
        co_return started;
    const auto until = clock::now() + order_.wait;
    // Before the look, so that no news falls between.
    news_board::waiting news(board, ex, order_.master);
    for (;;)
    {
        search_until_ = clock::now() + bounds_.search;
        auto looked = co_await look();
        if (!looked)
            co_return looked;
        const auto left = until - clock::now();
        if (found_ > 0 || left <= clock::duration::zero())
            co_return true;
        auto patience = left;
        if (parts_.reader)
            patience = std::min(left, bounds_.look_again);
        if (at_end_)
            co_await news.wait(patience);
        if (parts_.reader)
            co_await parts_.reader->facts();  // so that its last_seq() is of now
    }
}

awaitable<outcome<std::string>> pull_source::next()
{
    if (closed_)
        co_return std::string();
    if (piece_.empty() && opened_ && !is_full() && !at_end_ && clock::now() < search_until_)
    {
        auto looked = co_await look();
        if (!looked)
            co_return looked.error();
    }
    std::string out = std::exchange(piece_, {});
    if (!opened_ && order_.envelope)
        out.insert(0, "{\"breaches\":[");
    opened_ = true;
    const bool over = is_full() || at_end_ || clock::now() >= search_until_;
    if (over)
    {
        out += end();
        closed_ = true;
    }
    else if (found_ > 0)
    {
        search_until_ = clock::now() + bounds_.search;
    }
    // An empty piece would be the end.
    if (out.empty())
        out = order_.envelope ? " " : "\n";
    co_return out;
}

}  // namespace

news_board::waiting::waiting(news_board& board, asio::any_io_executor ex, std::string master)
    : all_(board.all_), bell_(std::move(ex)), master_(std::move(master))
{
    all_->push_back(this);
}

news_board::waiting::~waiting()
{
    all_->remove(this);
}

void news_board::ring(std::string_view master)
{
    for (auto* w : *all_)
    {
        if (w->master_ == master)
            w->bell_.ring();
    }
}

awaitable<outcome<std::shared_ptr<body_source>>> start_pull(pull_parts parts,
                                                            news_board& board,
                                                            pull_bounds bounds)
{
    auto source = std::make_shared<pull_source>(std::move(parts), bounds);
    auto begun = co_await source->begin(board);
    if (!begun)
        co_return begun.error();
    co_return std::shared_ptr<body_source>(std::move(source));
}

}  // namespace dtbridge::web
