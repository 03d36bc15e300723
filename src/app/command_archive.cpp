#include <algorithm>
#include <iostream>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_future.hpp>

#include <dtbridge/archive/archive.hpp>
#include <dtbridge/archive/copy.hpp>

#include "app/commands.hpp"
#include "app/host.hpp"
#include "app/load_config.hpp"
#include "app/options.hpp"
#include "app/progress_view.hpp"

namespace dtbridge::app
{

namespace
{

std::vector<std::string> names_in(const std::string& folder, const archive_database& place)
{
    asio::thread_pool worker(1);
    archive_pool pool(worker.get_executor(), folder, place);
    auto names = asio::co_spawn(worker, archive::names(pool), asio::use_future).get();
    if (!names)
        throw action_error(names.error().detail);
    return std::move(*names);
}

}  // namespace

int archive_command(const arguments& args)
{
    const auto said = parse(args,
                            "archive",
                            {{"to", "KIND", "postgresql or sqlite: from the other one", true},
                             {"master", "M", "whose archive; default: all there are"}},
                            1);
    if (!said)
        return exit_done;
    if (said->positional().empty() || said->positional().front() != "copy")
        throw usage_error("what with the archive? dtbridge archive copy --to postgresql, or --to sqlite");
    const auto to = said->get("to");
    if (to != "postgresql" && to != "sqlite")
        throw usage_error("--to: expected postgresql or sqlite");
    const auto c = load_config(said->config(), true);
    if (c.archive.database.url.empty())
        throw action_error(c.file +
                           ": [archive] url names no database; it has to say which one, in both directions");
    const auto& state_dir = c.service.state_dir;
    become_owner(state_dir);
    const auto lock = service_store::lock(state_dir);  // refuses, naming it, while a service runs
    if (!lock)
        throw action_error(lock.error().detail);
    const auto folder = state_dir + "/masters";
    auto names = names_in(folder, to == "sqlite" ? c.archive.database : archive_database());
    const bool is_of_one = said->has("master");
    if (is_of_one)
    {
        const auto name = said->get("master");
        if (std::find(names.begin(), names.end(), name) == names.end())
            throw usage_error("there is no archive of master '" + name + "' to copy");
        names = {name};
    }
    if (names.empty())
        throw action_error("there is no archive to copy");
    progress_view view;
    std::size_t left = 0;
    for (const auto& name : names)
    {
        const auto show = [&](std::int64_t breaches) {
            view.show("copying " + name + ": " + std::to_string(breaches) + " breaches");
        };
        const auto done = to == "sqlite" ? copy_archive_to_files(folder, name, c.archive.database, show)
                                         : copy_archive_to_database(folder, name, c.archive.database, show);
        view.clear();
        if (!done && !is_of_one && done.error().code == boost::system::errc::file_exists)
        {
            // Of a run that was cut short, perhaps: the others are copied all the same.
            std::cout << name << ": already there, left as it is\n";
            ++left;
            continue;
        }
        if (!done)
            throw action_error(done.error().detail);
        std::cout << name << ": copied " << done->breaches
                  << (done->breaches == 1 ? " breach, " : " breaches, ") << done->keys
                  << (done->keys == 1 ? " key, " : " keys, ") << done->cursors
                  << (done->cursors == 1 ? " cursor\n" : " cursors\n");
    }
    if (left > 0)
    {
        std::cout << std::flush;
        throw action_error("copied " + std::to_string(names.size() - left) + " of " +
                           std::to_string(names.size()) + " archives; " + std::to_string(left) +
                           (left == 1 ? " was" : " were") + " already there and left as " +
                           (left == 1 ? "it is" : "they are"));
    }
    return exit_done;
}

}  // namespace dtbridge::app
