#include <algorithm>
#include <iostream>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>

#include <dtbridge/archive/archive.hpp>

#include "app/commands.hpp"
#include "app/host.hpp"
#include "app/load_config.hpp"
#include "app/options.hpp"

namespace dtbridge::app
{

namespace
{

/// Drops the cursors of a destination in every archive there is; answers in how many there was one.
awaitable<outcome<int>> forget_cursors(archive_pool& pool, std::string destination)
{
    int found = 0;
    auto names = co_await archive::names(pool);
    if (!names)
        co_return names.error();
    for (const auto& name : *names)
    {
        auto store = co_await archive::open(pool, name, "");
        if (!store)
            co_return store.error();
        auto cursors = co_await (*store)->cursors();
        if (!cursors)
            co_return cursors.error();
        const bool has = std::any_of(cursors->begin(), cursors->end(), [&](const archive_cursor& c) {
            return c.destination == destination;
        });
        if (has)
        {
            auto gone = co_await (*store)->forget_cursor(destination);
            if (!gone)
                co_return gone.error();
            ++found;
        }
        co_await (*store)->close();
    }
    co_return found;
}

/// A typed "yes" on a terminal, or --yes.
bool is_sure(const parsed& said, const std::string& what)
{
    if (said.has("yes"))
        return true;
    std::cerr << what << " Type yes to go on: " << std::flush;
    std::string answer;
    return std::getline(std::cin, answer) && answer == "yes";
}

/// What task(pool) answers; throws action_error with its words.
template <class T, class F>
T with_archives(const config::configuration& c, F task)
{
    asio::thread_pool worker(1);
    asio::io_context io(1);
    outcome<T> done = fail(errc::timed_out, "nothing was done");
    std::exception_ptr error;
    {
        archive_pool pool(worker.get_executor(), c.service.state_dir + "/masters", c.archive.database);
        asio::co_spawn(io, task(pool), [&](std::exception_ptr e, outcome<T> n) {
            error = e;
            if (!e)
                done = std::move(n);
        });
        io.run();
    }
    worker.join();
    if (error)
        std::rethrow_exception(error);
    if (!done)
        throw action_error(done.error().detail);
    return std::move(*done);
}

/// Whether the database has an archive of that name, which a bridge of another machine may have made.
bool is_archived(const config::configuration& c, const std::string& name)
{
    if (c.archive.database.url.empty())
        return false;
    const auto names =
        with_archives<std::vector<std::string>>(c, [](archive_pool& pool) { return archive::names(pool); });
    return std::find(names.begin(), names.end(), name) != names.end();
}

int forget_destination(service_store& store, const config::configuration& c, const std::string& name)
{
    const auto found = with_archives<int>(c, [&](archive_pool& pool) { return forget_cursors(pool, name); });
    auto known = store.forget_destination(name);
    if (!known)
        throw action_error(known.error().detail);
    std::cout << "destination " << name << ": " << found << (found == 1 ? " cursor" : " cursors")
              << " forgotten\n";
    return exit_done;
}

}  // namespace

int forget(const arguments& args)
{
    const auto said = parse(args, "forget", {{"yes", "", "does not ask"}}, 1);
    if (!said)
        return exit_done;
    if (said->positional().empty())
        throw usage_error("whose state? dtbridge forget NAME");
    const auto& name = said->positional().front();
    const auto c = load_config(said->config(), true);
    for (const auto& m : c.masters)
    {
        if (m.name == name)
            throw usage_error("master " + name + " is configured; take it out of " + c.file + " first");
    }
    for (const auto& d : c.destinations)
    {
        if (d.options.name == name)
            throw usage_error("destination " + name + " is configured; take it out of " + c.file + " first");
    }
    const auto& state_dir = c.service.state_dir;
    become_owner(state_dir);
    auto store = service_store::open(state_dir);  // refuses, naming it, while a service runs
    if (!store)
        throw action_error(store.error().detail);
    auto orphans = (*store)->orphans({}, {});
    if (!orphans)
        throw action_error(orphans.error().detail);
    const auto is_known = [&](const std::string& what) {
        return std::find(orphans->begin(), orphans->end(), what + " " + name) != orphans->end();
    };
    if (is_known("master") || is_archived(c, name))
    {
        if (!is_sure(*said, "Every archived breach of master " + name + " is deleted for good."))
            throw action_error("nothing was deleted");
        with_archives<bool>(c, [&](archive_pool& pool) { return archive::erase(pool, name); });
        std::cout << "master " << name << ": its archive is deleted\n";
        return exit_done;
    }
    if (is_known("destination"))
    {
        if (!is_sure(*said, "The cursors of destination " + name + " are deleted for good."))
            throw action_error("nothing was deleted");
        return forget_destination(**store, c, name);
    }
    const auto& database = c.archive.database.url;
    throw usage_error("there is no state of '" + name + "' in " + state_dir +
                      (database.empty() ? "" : " or the database"));
}

}  // namespace dtbridge::app
