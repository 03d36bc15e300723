#include <cstdlib>
#include <exception>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>

#include <dtbridge/core/log.hpp>

#include "app/commands.hpp"
#include "app/host.hpp"
#include "app/load_config.hpp"
#include "app/options.hpp"
#include "app/service.hpp"

namespace dtbridge::app
{

namespace
{

/// The service itself threw: its tasks would run on with nobody to stop them, deaf to SIGTERM.
[[noreturn]] void end_at_once(const std::exception_ptr& error)
{
    try
    {
        std::rethrow_exception(error);
    }
    catch (const std::exception& e)
    {
        log::error("service", "", "ended by an error of its own", {{"error", e.what()}});
    }
    catch (...)
    {
        log::error("service", "", "ended by an error of its own");
    }
    std::_Exit(exit_not_right);
}

// Two files at a time keep a disk busy. A job of a database holds its thread for as long as the server takes,
// and one that hangs must not hold up the other masters; each has a connection of its own.
constexpr std::size_t file_workers = 2, database_workers = 8;

}  // namespace

int run(const arguments& args)
{
    const auto said = parse(args, "run", {});
    if (!said)
        return exit_done;
    ignore_broken_pipes();
    auto c = load_config(said->config());
    log::set_level(c.service.log_level);
    log::set_format(c.service.log_format);

    int status = exit_not_right;
    asio::thread_pool worker(c.archive.database.url.empty() ? file_workers : database_workers);
    {
        asio::io_context io(1);
        service bridge(io, worker.get_executor(), said->config());
        asio::co_spawn(io, bridge.run(std::move(c)), [&](std::exception_ptr e, int answer) {
            if (e)
                end_at_once(e);
            status = answer;
        });
        io.run();
    }
    worker.join();
    return status;
}

}  // namespace dtbridge::app
