#include <algorithm>
#include <iostream>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/json/object.hpp>

#include <dtbridge/core/time.hpp>
#include <dtbridge/poll/poller.hpp>

#include "app/ask.hpp"
#include "app/backfill.hpp"
#include "app/commands.hpp"
#include "app/host.hpp"
#include "app/load_config.hpp"
#include "app/options.hpp"
#include "app/progress_view.hpp"
#include "app/service_request.hpp"
#include "app/version.hpp"

namespace dtbridge::app
{

namespace
{

std::int64_t time_of(const parsed& said, const char* name, std::int64_t now)
{
    const auto text = said.get(name);
    const auto t = parse_time_argument(text, now);
    if (!t)
        throw usage_error("--" + std::string(name) + " " + text +
                          ": no time; as in 2026-01-31, 2026-01-31T08:00:00Z, -24h or now");
    return *t;
}

struct order
{
    poll::master_options master;
    poll::window wanted;
    bool deliver = false;
    std::string state_dir;
    archive_database database;
};

void show(progress_view& view,
          const poll::window& wanted,
          std::int64_t reached,
          const poll::backfill_report& r)
{
    if (!view.visible())
        return;
    const auto whole = std::max<std::int64_t>(1, wanted.length());
    const auto percent = std::clamp<std::int64_t>((reached - wanted.start) * 100 / whole, 0, 100);
    view.show(std::to_string(percent) + "% " + rfc3339_ms(reached) + ": " + std::to_string(r.shown) +
              " shown, " + std::to_string(r.archived) + " archived");
}

/// Shows how far it has come, and goes on.
struct viewer
{
    progress_view* view;
    poll::window wanted;
    poll::backfill_report* so_far;

    awaitable<bool> operator()(std::int64_t reached, const poll::backfill_report& r) const
    {
        *so_far = r;
        show(*view, wanted, reached, r);
        return go_on();
    }
    static awaitable<bool> go_on() { co_return true; }
};

awaitable<outcome<poll::backfill_report>> work(archive_pool& pool, order what, viewer tell)
{
    auto store = co_await archive::open(pool, what.master.name, what.master.formerly);
    if (!store)
        co_return store.error();
    auto wire = poll::make_exchange(what.master, program_agent);
    if (!wire)
        co_return wire.error();
    const auto ex = co_await asio::this_coro::executor;
    poll::poller_parts parts;
    parts.options = what.master;
    parts.wire = std::move(*wire);
    parts.store = *store;
    parts.time = poll::make_timekeeper(ex);
    poll::poller worker(std::move(parts));
    poll::backfill_progress progress = tell;
    auto done = co_await worker.backfill(what.wanted, !what.deliver, std::move(progress));
    co_await (*store)->close();
    co_return done;
}

/// Where no service runs.
poll::backfill_report act(const order& what, progress_view& view)
{
    become_owner(what.state_dir);
    auto lock = service_store::open(what.state_dir);  // refuses, naming it, while a service runs
    if (!lock)
        throw action_error(lock.error().detail);
    asio::thread_pool worker(1);
    asio::io_context io(1);
    poll::backfill_report so_far;
    outcome<poll::backfill_report> done = fail(errc::timed_out, "nothing was done");
    std::exception_ptr error;
    {
        archive_pool pool(worker.get_executor(), what.state_dir + "/masters", what.database);
        const viewer tell{&view, what.wanted, &so_far};
        asio::co_spawn(
            io, work(pool, what, tell), [&](std::exception_ptr e, outcome<poll::backfill_report> r) {
                error = e;
                if (!e)
                    done = std::move(r);
            });
        io.run();
    }
    worker.join();
    if (error)
        std::rethrow_exception(error);
    if (!done)
        throw action_error(backfill_failed(what.master.name, done.error().detail, so_far));
    return *done;
}

}  // namespace

int backfill(const arguments& args)
{
    const auto said = parse(args,
                            "backfill",
                            {{"master", "M", "which master to ask", true},
                             {"from", "T", "created at or after this", true},
                             {"to", "T", "and before this", true},
                             {"deliver", "", "forwards what is new, too; else it is archived only"}});
    if (!said)
        return exit_done;
    const auto now = now_ms();
    const auto from = time_of(*said, "from", now);
    const auto to = time_of(*said, "to", now);
    if (from >= to)
        throw usage_error("--from must be before --to");
    ignore_broken_pipes();
    const auto name = said->get("master");
    boost::json::object request;
    request["command"] = "backfill";
    request["master"] = name;
    request["from"] = from;
    request["to"] = to;
    request["deliver"] = said->has("deliver");
    const auto wanted = backfill_window(from, to, now);
    progress_view view;
    const auto seen = [&](const boost::json::object& words) {
        show(view, wanted, number_member(words, "reached").value_or(0), to_backfill_report(words));
    };
    poll::backfill_report report;
    if (const auto reply = ask(*said, request, seen))
    {
        report = to_backfill_report(*reply);
    }
    else
    {
        const auto c = load_config(said->config(), true);
        order what;
        what.master = find_master(c, name);
        what.wanted = wanted;
        what.deliver = said->has("deliver");
        what.state_dir = c.service.state_dir;
        what.database = c.archive.database;
        report = act(what, view);
    }
    view.clear();
    std::cout << backfill_line(name, report) << '\n';
    return exit_done;
}

}  // namespace dtbridge::app
