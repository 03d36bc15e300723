#include <csignal>
#include <iostream>
#include <limits>

#include <boost/asio/signal_set.hpp>

#include <dtbridge/core/log.hpp>
#include <dtbridge/core/time.hpp>

#include "app/ask.hpp"
#include "app/breach_labels.hpp"
#include "app/commands.hpp"
#include "app/compact_json.hpp"
#include "app/destination_settings.hpp"
#include "app/host.hpp"
#include "app/load_config.hpp"
#include "app/options.hpp"
#include "app/progress_view.hpp"
#include "app/replay.hpp"
#include "app/service_request.hpp"
#include "app/state_reading.hpp"

namespace dtbridge::app
{

namespace
{

std::int64_t time_of(const parsed& said, const char* name, std::int64_t fallback)
{
    if (!said.has(name))
        return fallback;
    const auto at = parse_time_argument(said.get(name), now_ms());
    if (!at)
        throw usage_error("--" + std::string(name) + " is a time such as 2026-01-31, 2026-01-31T08:00:00Z, " +
                          "1769846400 or -24h, not '" + said.get(name) + "'");
    return *at;
}

std::int64_t whole_number(const std::string& text, const std::string& what)
{
    std::int64_t n = 0;
    bool right = !text.empty() && text.size() <= 19;
    for (const char c : text)
    {
        right = right && c >= '0' && c <= '9' && n <= (std::numeric_limits<std::int64_t>::max() - 9) / 10;
        if (right)
            n = n * 10 + (c - '0');
    }
    if (!right)
        throw usage_error(what + ", not '" + text + "'");
    return n;
}

deliver::replay_order order_of(const parsed& said)
{
    deliver::replay_order order;
    order.created_from = time_of(said, "from", order.created_from);
    order.created_before = time_of(said, "to", order.created_before);
    if (order.created_from >= order.created_before)
        throw usage_error("--from is not before --to: no breach lies between them");
    order.model = said.get("model");
    if (said.has("pbid"))
        order.pbid = to_pbid(said.get("pbid"));
    return order;
}

/// "200/s" or "200".
std::int64_t pace_of(const parsed& said)
{
    auto text = said.get("pace");
    if (text.empty())
        return 0;
    if (text.ends_with("/s"))
        text.resize(text.size() - 2);
    const auto pace = whole_number(text, "--pace is messages a second such as 200/s");
    if (pace < 1 || pace > 1'000'000)
        throw usage_error("--pace is from 1/s to 1000000/s");
    return pace;
}

/// The masters whose breaches the destination gets, or the one that was named.
std::vector<std::string> masters_of(const parsed& said, const config::destination& d)
{
    if (!said.has("master"))
        return d.options.masters;
    for (const auto& m : d.options.masters)
        if (m == said.get("master"))
            return {m};
    throw usage_error("destination " + d.options.name + " gets no breaches of a master named '" +
                      said.get("master") + "'");
}

int print_end(const boost::json::object& counts, bool finished)
{
    std::cout << (finished ? "replayed: " : "ended early: ") << words_of(counts) << std::endl;
    return finished && std::cout ? exit_done : exit_not_right;
}

// ---- --dry-run

struct dry_counts
{
    std::int64_t forwarded = 0, held_back = 0, marked = 0, unusable = 0;
};

/// Decides one span of an archive, prints what would go.
void decide_span(const archive_span& span,
                 const deliver::replay_order& order,
                 const config::destination& d,
                 const format::master_info& master,
                 const breach_labels& labels,
                 dry_counts& counts)
{
    breach b;
    for (const auto& a : span.breaches)
    {
        if (order.model.empty() && !is_asked_for(order, a.key, ""))
            continue;
        if (!b.read(a.body))
        {
            ++counts.unusable;
            continue;
        }
        const auto model = string_member(b.then, "name");
        if (!is_asked_for(order, a.key, model))
            continue;
        const auto said = d.policy->decide(b, labels.of(master.name, b));
        const bool marked = !said.forward && d.options.format.mark_held_back;
        counts.forwarded += said.forward;
        counts.marked += marked;
        counts.held_back += !said.forward && !marked;
        if (!said.forward && !marked)
            continue;
        std::cout << "{\"master\":" << json_quoted(master.name) << ",\"pbid\":" << a.key.pbid
                  << ",\"created\":" << a.key.created << ",\"model\":" << json_quoted(model_path(model))
                  << ",\"score\":" << (b.score ? b.score->text() : "null")
                  << ",\"decision\":" << (said.forward ? "\"alert\"" : "\"context\"")
                  << ",\"reason\":" << json_quoted(said.reason) << "}\n";
    }
}

int dry_run(const parsed& said, const deliver::replay_order& order)
{
    const auto c = load_config(said.config(), true);
    const auto& d = find_destination(c, said.get("destination"));
    const auto names = masters_of(said, d);
    become_owner(c.service.state_dir);
    state_reader state(c);
    const breach_labels labels(c);
    dry_counts counts;
    for (const auto& name : names)
    {
        auto opened = state.open(name);
        if (!opened && opened.error().code == errc::not_found)
            continue;  // nothing was ever archived of it
        if (!opened)
            throw action_error(opened.error().detail);
        const auto master = to_master_info(find_master(c, name));
        const auto end = (*opened)->last_seq();
        progress_view progress;
        scan_order what;
        what.created_from = order.created_from;
        what.created_before = order.created_before;
        for (;;)
        {
            auto span = state.must(order.pbid ? (*opened)->find(*order.pbid) : (*opened)->scan(what));
            if (span.breaches.empty() || !std::cout)
                break;
            progress.clear();
            decide_span(span, order, d, master, labels, counts);
            what.after_seq = span.scanned_to;
            progress.show(name + ": " + std::to_string(end > 0 ? what.after_seq * 100 / end : 100) + " %");
            if (order.pbid)
                break;
        }
    }
    std::cout.flush();
    std::cerr << "would send " << counts.forwarded + counts.marked << " ("
              << (counts.marked > 0 ? std::to_string(counts.marked) + " of them as context; " : std::string())
              << "held back " << counts.held_back << ", unusable " << counts.unusable
              << "); nothing was sent\n";
    return std::cout ? exit_done : exit_not_right;
}

// ---- without a service

/// Shows how far it has come, and ends at Ctrl-C.
class on_terminal : public replay_listener
{
public:
    explicit on_terminal(asio::io_context& io) : signals_(io, SIGINT, SIGTERM)
    {
        signals_.async_wait([this](error_code ec, int) { ended_ = ended_ || !ec; });
    }
    awaitable<bool> told(const replay_counts& counts) override
    {
        view_.show(words_of(to_json(counts)));
        co_return !ended_;
    }
    void finish()
    {
        view_.clear();
        signals_.cancel();
    }

private:
    asio::signal_set signals_;
    progress_view view_;
    bool ended_ = false;
};

awaitable<outcome<replay_result>> replay_and_finish(asio::any_io_executor ex,
                                                    deliver::settings with,
                                                    std::vector<replay_part> parts,
                                                    deliver::replay_order order,
                                                    double per_second,
                                                    on_terminal& listener)
{
    auto result =
        co_await replay(ex, std::move(with), std::move(parts), std::move(order), per_second, listener);
    listener.finish();
    co_return result;
}

int replay_alone(const parsed& said, const deliver::replay_order& order, std::int64_t pace)
{
    const auto c = load_config(said.config(), true);
    const auto& d = find_destination(c, said.get("destination"));
    const auto names = masters_of(said, d);
    become_owner(c.service.state_dir);
    log::set_level(log::level::error);
    state_reader state(c);
    std::vector<replay_part> parts;
    for (const auto& name : names)
    {
        auto opened = state.open(name);
        if (!opened && opened.error().code == errc::not_found)
            continue;
        if (!opened)
            throw action_error(opened.error().detail);
        parts.push_back(
            replay_part{std::move(*opened), to_master_info(find_master(c, name)), inventory_of(c, name)});
    }
    on_terminal listener(state.io());
    auto result = state.must(replay_and_finish(state.io().get_executor(),
                                               to_settings(d),
                                               std::move(parts),
                                               order,
                                               static_cast<double>(pace),
                                               listener));
    return print_end(to_json(result.counts), result.finished);
}

}  // namespace

int replay(const arguments& args)
{
    const auto said =
        parse(args,
              "replay",
              {{"destination", "D", "to whom", true},
               {"master", "M", "breaches of this master only"},
               {"model", "GLOB", "of models with such a name, as in \"Compliance / *\""},
               {"from", "T", "created from then on"},
               {"to", "T", "created before"},
               {"pbid", "N", "this breach"},
               {"pace", "N/s", "messages a second (the destination's pace, else 500/s)"},
               {"dry-run", "", "prints what would be sent, one JSON line each, and sends nothing"}});
    if (!said)
        return exit_done;
    const auto order = order_of(*said);
    const auto pace = pace_of(*said);
    ignore_broken_pipes();
    if (said->has("dry-run"))
        return dry_run(*said, order);
    auto request = to_json(order);
    request["command"] = "replay";
    request["destination"] = said->get("destination");
    request["master"] = said->get("master");
    request["pace"] = pace;
    progress_view view;
    const auto reply =
        ask(*said, request, [&view](const boost::json::object& words) { view.show(words_of(words)); });
    view.clear();
    if (!reply)
        return replay_alone(*said, order, pace);
    const auto* counts = reply->if_contains("counts");
    if (counts == nullptr || !counts->is_object())
        throw action_error("the running service answered without its counts; is it of another version?");
    return print_end(counts->get_object(), flag_member(*reply, "finished"));
}

}  // namespace dtbridge::app
