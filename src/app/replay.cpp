#include "app/replay.hpp"

#include <algorithm>
#include <chrono>

#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <dtbridge/async/task_group.hpp>

#include "app/service_request.hpp"

namespace dtbridge::app
{

namespace
{

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

constexpr double default_pace = 500;  // messages a second: a SIEM licence bears it beside the live stream
constexpr auto look_interval = 50ms;
constexpr auto tell_interval = 1s;
constexpr auto give_up_after = 2min;

/// A delivery that runs in a group of its own, and how far it has come.
struct work
{
    work(asio::any_io_executor e, deliver::settings with)
        : ex(e),
          tasks(ex, [this](const std::string&, std::exception_ptr failed) { error = failed; }),
          delivery(ex, std::move(with), 0)
    {}

    replay_counts counts() const
    {
        const auto now = delivery.now();
        replay_counts c;
        c.confirmed = now.confirmed;
        c.sent = now.sent;
        c.held_back = now.held_back;
        c.undeliverable = now.undeliverable;
        c.total = total;
        c.done = total - now.lag;
        c.error = now.error;
        return c;
    }

    asio::any_io_executor ex;
    std::exception_ptr error;
    task_group tasks;
    deliver::delivery delivery;
    std::int64_t total = 0;
};

/// True when everything is done, false when the listener had enough.
awaitable<outcome<bool>> go_through(work& w, replay_listener& listener)
{
    asio::steady_timer timer(w.ex);
    auto moved_at = clock::now(), told_at = clock::now();
    std::int64_t before = -1;
    for (;;)
    {
        const auto counts = w.counts();
        if (counts.done >= counts.total)
            co_return true;
        const auto now = clock::now();
        if (w.error)
            std::rethrow_exception(w.error);
        if (const auto moved = counts.done + counts.confirmed; moved != before)
        {
            before = moved;
            moved_at = now;
        }
        if (now - moved_at > give_up_after)
            co_return fail(errc::timed_out,
                           "nothing was confirmed for two minutes" +
                               (counts.error.empty() ? std::string() : ": " + counts.error));
        if (now - told_at >= tell_interval)
        {
            told_at = now;
            const bool on = co_await listener.told(counts);
            if (!on)
                co_return false;
        }
        timer.expires_after(look_interval);
        co_await timer.async_wait(asio::use_awaitable);
    }
}

}  // namespace

awaitable<outcome<replay_result>> replay(asio::any_io_executor ex,
                                         deliver::settings with,
                                         std::vector<replay_part> parts,
                                         deliver::replay_order order,
                                         double per_second,
                                         replay_listener& listener)
{
    auto& pace = with.options.pace_per_second;
    if (per_second > 0)
        pace = pace > 0 ? std::min(pace, per_second) : per_second;
    else if (pace <= 0)
        pace = default_pace;
    with.throttled = false;
    with.options.start.reset();  // whatever is asked for is meant
    with.options.name += " (replay)";
    work w(ex, std::move(with));
    for (auto& part : parts)
    {
        auto facts = co_await part.store->facts();
        if (!facts)
            co_return facts.error();
        // What comes from now on is the normal delivery's.
        w.total += facts->last_seq;
        auto source = deliver::make_replay_source(part.store, order, facts->last_seq);
        const auto name = part.master.name;
        w.delivery.add_master(std::move(source), std::move(part.master));
        w.delivery.enrich(name, part.inventory);
    }
    outcome<bool> finished = true;
    std::exception_ptr error;
    if (w.total > 0)
    {
        w.tasks.spawn("replay", w.delivery.run());
        try
        {
            finished = co_await go_through(w, listener);
        }
        catch (...)
        {
            error = std::current_exception();
        }
        // The delivery is this coroutine's: it must have ended before, whatever ends the replay.
        auto shield = asio::disable_cancellation();
        co_await asio::this_coro::reset_cancellation_state(shield);
        if (error)
            w.tasks.cancel();
        else
            w.delivery.stop();
        bool ended = co_await w.tasks.join(10s);
        while (!ended)
        {
            w.tasks.cancel();
            ended = co_await w.tasks.join(10s);
        }
        if (!error)
            error = w.error;
    }
    if (error)
        std::rethrow_exception(error);
    if (!finished)
        co_return finished.error();
    replay_result result;
    result.counts = w.counts();
    result.finished = *finished;
    co_return result;
}

boost::json::object to_json(const replay_counts& c)
{
    boost::json::object o;
    o["confirmed"] = c.confirmed;
    o["sent"] = c.sent;
    o["held_back"] = c.held_back;
    o["undeliverable"] = c.undeliverable;
    o["done"] = c.done;
    o["total"] = c.total;
    o["error"] = c.error;
    return o;
}

boost::json::object to_json(const deliver::replay_order& order)
{
    boost::json::object o;
    o["from"] = order.created_from;
    o["to"] = order.created_before;
    o["model"] = order.model;
    if (order.pbid)
        o["pbid"] = *order.pbid;
    return o;
}

deliver::replay_order to_replay_order(const boost::json::object& request)
{
    deliver::replay_order order;
    order.created_from = number_member(request, "from").value_or(order.created_from);
    order.created_before = number_member(request, "to").value_or(order.created_before);
    order.model = text_member(request, "model");
    order.pbid = number_member(request, "pbid");
    return order;
}

std::string words_of(const boost::json::object& c)
{
    const auto number = [&c](std::string_view name) { return number_member(c, name).value_or(0); };
    std::string out = "confirmed " + std::to_string(number("confirmed")) + ", held back " +
                      std::to_string(number("held_back"));
    if (number("undeliverable") > 0)
        out += ", undeliverable " + std::to_string(number("undeliverable"));
    if (number("total") > 0)
        out += ", " + std::to_string(number("done") * 100 / number("total")) + " % of the archive";
    if (const auto error = text_member(c, "error"); !error.empty())
        out += "; " + error;
    return out;
}

}  // namespace dtbridge::app
