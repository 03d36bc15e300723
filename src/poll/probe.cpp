#include <dtbridge/poll/probe.hpp>

#include <array>
#include <chrono>
#include <cmath>

#include <dtbridge/core/breach.hpp>
#include <dtbridge/core/time.hpp>
#include <dtbridge/poll/target.hpp>

namespace dtbridge::poll
{
namespace
{

using std::chrono::steady_clock;

constexpr std::int64_t hour = 3'600'000;
constexpr std::array<std::int64_t, 3> spans = {hour, 24 * hour, 31 * 24 * hour};

/// Reads an answer for what it shows and keeps one breach's worth of memory.
class looking_sink : public net::body_sink
{
public:
    void head(const net::http_response& r) override
    {
        head_at = now_ms();
        date = parse_http_date(r.date);
    }
    awaitable<outcome<bool>> body(std::string_view piece) override
    {
        take(piece);
        co_return true;
    }
    body_facts facts() const
    {
        body_facts f;
        f.shape = splitter_.shape();
        f.text = object_.empty() ? splitter_.head() : std::string_view(object_);
        f.is_breach = is_breach_;
        f.api_error = api_error_;
        return f;
    }

    std::optional<std::int64_t> date, newest;
    std::int64_t head_at = 0;
    bool has_pbscore = false;

private:
    void take(std::string_view piece)
    {
        splitter_.feed(piece);
        for (;;)
        {
            const auto event = splitter_.next();
            if (event == element_splitter::event::more)
                return;
            if (event == element_splitter::event::element)
                look(splitter_.element(), splitter_.shape() == body_shape::object);
        }
    }
    void look(std::string_view element, bool top_object)
    {
        const auto key = reader_.read(element);
        if (!key)
        {
            if (top_object)
                object_.assign(element);
            else if (element.size() < 64 && api_error_.empty())
                api_error_ = find_api_error(element);
            return;
        }
        is_breach_ = top_object;
        newest = std::max(newest.value_or(0), key->created);
        has_pbscore = has_pbscore || reader_.root.find("pbscore");
    }

    element_splitter splitter_;
    breach reader_;
    std::string object_;
    std::string_view api_error_;
    bool is_breach_ = false;
};

struct asker
{
    const master_options& m;
    exchange& wire;
    steady_clock::time_point deadline;
    std::int64_t clock;  // the master's minus this host's, ms

    awaitable<verdict> ask(window w, looking_sink& sink)
    {
        const auto by = m.window == window_kind::activity ? filter::activity : filter::creation;
        net::http_request request;
        request.target = breaches_target(m, w, by, true);
        request.headers = signed_headers(m, request.target, now_ms() + clock);
        const net::http_limits bounds;
        const auto left = deadline - steady_clock::now();
        auto response = co_await wire.get(std::move(request), sink, bounds, left);
        const auto facts = sink.facts();
        if (!response)
            co_return judge(response.error(), facts);
        co_return judge(*response, facts, now_ms());
    }
};

/// A Date has whole seconds: the master's time was half a second later on average.
std::int64_t clock_difference(std::int64_t date, std::int64_t head_at)
{
    return date + 500 - head_at;
}

awaitable<void> find_newest(asker& a, probe_report& out)
{
    for (std::size_t i = 1; i < spans.size() && !out.newest; ++i)
    {
        const auto end = now_ms() + a.clock;
        looking_sink sink;
        const window w{end - spans[i], end - spans[i - 1]};
        const auto said = co_await a.ask(w, sink);
        out.newest = sink.newest;
        if (said.kind != answer_kind::ok)
        {
            out.newest_error = said.words;
            co_return;
        }
        out.looked_back = spans[i];
    }
}

}  // namespace

awaitable<probe_report> probe(master_options m,
                              std::string user_agent,
                              std::int64_t master_ms,
                              net::duration limit)
{
    probe_report out;
    const auto began = steady_clock::now();
    auto report = std::make_shared<net::connect_report>();
    auto wire = make_exchange(m, std::move(user_agent), report);
    if (!wire)
    {
        out.said.kind = answer_kind::tls_refused;
        out.said.what = reaction::retry_slowly;
        out.said.words = wire.error().detail;
        co_return out;
    }
    asker a{m, **wire, began + limit, master_ms - now_ms()};
    std::optional<looking_sink> sink(std::in_place);
    for (int attempt = 0; attempt < 2; ++attempt)
    {
        sink.emplace();
        const auto end = now_ms() + a.clock;
        const window w{end - spans[0], end};
        out.said = co_await a.ask(w, *sink);
        if (attempt == 0)
            out.answer_ms =
                std::chrono::duration_cast<std::chrono::milliseconds>(steady_clock::now() - began).count();
        if (sink->date)
        {
            const auto difference = clock_difference(*sink->date, sink->head_at);
            out.skew_seconds = std::llround(static_cast<double>(difference) / 1000.0);
            if (out.said.kind == answer_kind::date_error && attempt == 0)
            {
                out.date_was_refused = true;
                a.clock = difference;
                continue;
            }
        }
        break;
    }
    if (out.said.kind == answer_kind::ok)
    {
        out.newest = sink->newest;
        out.looked_back = spans[0];
        out.sees_pbscore = sink->has_pbscore;
        co_await find_newest(a, out);
    }
    (*wire)->close();
    out.connection = *report;
    co_return out;
}

}  // namespace dtbridge::poll
