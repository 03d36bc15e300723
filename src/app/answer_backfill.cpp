#include <chrono>
#include <functional>
#include <optional>
#include <utility>

#include <dtbridge/core/log.hpp>
#include <dtbridge/core/time.hpp>

#include "app/backfill.hpp"
#include "app/service_impl.hpp"
#include "app/service_request.hpp"
#include "app/version.hpp"

namespace dtbridge::app
{

namespace
{

/// Notes that a master is being asked again for as long as this lives.
class one_at_a_time
{
public:
    one_at_a_time(std::set<std::string>& busy, std::string name) : busy_(busy), name_(std::move(name))
    {
        busy_.insert(name_);
    }
    one_at_a_time(const one_at_a_time&) = delete;
    one_at_a_time& operator=(const one_at_a_time&) = delete;
    ~one_at_a_time() { busy_.erase(name_); }

private:
    std::set<std::string>& busy_;
    std::string name_;
};

/// Tells the asker how far it has come, and whether to go on.
struct teller
{
    asker* back;
    std::function<bool()> still_there;
    std::chrono::seconds next_within;
    poll::backfill_report* so_far;
    bool* asker_left;

    awaitable<bool> operator()(std::int64_t reached, const poll::backfill_report& r) const
    {
        return tell(*this, reached, r);
    }
    static awaitable<bool> tell(teller t, std::int64_t reached, poll::backfill_report r)
    {
        *t.so_far = r;
        if (!t.still_there())
            co_return false;
        boost::json::object words = to_json(r, reached);
        const bool heard = co_await t.back->progress(std::move(words), t.next_within);
        *t.asker_left = !heard;
        co_return heard;
    }
};

}  // namespace

awaitable<boost::json::object> service::impl::answer_backfill(boost::json::object request, asker& back)
{
    const auto name = text_member(request, "master");
    const auto from = number_member(request, "from");
    const auto to = number_member(request, "to");
    const auto m = masters.find(name);
    if (m == masters.end())
        co_return refusal("no master is named '" + name + "' in the running service", true);
    if (!from || !to || *from >= *to)
        co_return refusal("a back-fill needs from and to, from before to");
    if (!owns(m->second))
    {
        co_await ask_bridges();
        const auto by = bridges->owner_of(name);
        co_return refusal(name + ": another bridge works for it" + (by.empty() ? "" : ", " + by) +
                          "; ask for the back-fill there");
    }
    if (!m->second.store)
        co_return refusal(name + ": its archive is not open: " + m->second.error);
    if (paused)
        co_return refusal(name + ": the archive is full and polling is paused (when_full = \"pause\")");
    if (backfilling.contains(name))
        co_return refusal(name + ": a back-fill of this master is already running");
    auto wire = poll::make_exchange(m->second.options, program_agent);
    if (!wire)
        co_return refusal(wire.error().detail);
    const one_at_a_time busy(backfilling, name);
    poll::poller_parts parts;
    parts.options = m->second.options;
    parts.wire = std::move(*wire);
    parts.store = m->second.store;
    parts.time = poll::make_timekeeper(ex);
    parts.turns = long_answers;
    parts.on_news = [this, name](std::int64_t) { news(name); };
    parts.on_changes = [this, name](const std::vector<noted_change>& c) { note_updates(name, c); };
    if (m->second.poller)
        parts.clock = m->second.poller->clock();
    const bool deliver = flag_member(request, "deliver");
    const poll::window wanted = backfill_window(*from, *to, now_ms());
    log::info("poll",
              name,
              deliver ? "a back-fill begins; what is new is delivered" : "a back-fill begins",
              {{"from", rfc3339_ms(*from)}, {"to", rfc3339_ms(*to)}});
    poll::backfill_report so_far;
    bool asker_left = false;
    // Five attempts at one answer, each as long as the master may take, and the waits between them.
    const auto patience = std::chrono::duration_cast<std::chrono::seconds>(parts.options.timeout * 5) +
                          std::chrono::seconds(120);
    // A reload may take the master away or rename it.
    const auto still_there = [this, name, store = parts.store] {
        const auto now = masters.find(name);
        return !stopping && now != masters.end() && now->second.store == store;
    };
    teller tell{&back, still_there, patience, &so_far, &asker_left};
    boost::json::object first = to_json(so_far, wanted.start);
    const bool there = co_await back.progress(std::move(first), patience);
    if (!there)
        co_return refusal("nobody waits for the answer");
    poll::poller worker_of(std::move(parts));
    poll::backfill_progress progress = tell;
    auto done = co_await worker_of.backfill(wanted, !deliver, std::move(progress));
    const auto again = masters.find(name);
    if (again != masters.end() && again->second.poller)
        again->second.poller->absorb(worker_of.status());
    if (done)
        so_far = *done;
    log::info("poll",
              name,
              done ? "the back-fill is done" : "the back-fill ended early",
              {{"shown", std::to_string(so_far.shown)},
               {"archived", std::to_string(so_far.archived)},
               {"reason",
                done         ? ""
                : asker_left ? "the command was interrupted"
                             : done.error().detail}});
    boost::json::object o = to_json(so_far);
    o["ok"] = static_cast<bool>(done);
    if (!done)
        o["error"] = backfill_failed(name, done.error().detail, so_far);
    co_return o;
}

}  // namespace dtbridge::app
