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
    std::exception_ptr error;
    asio::thread_pool worker(2);
    {
        asio::io_context io(1);
        service bridge(io, worker.get_executor(), said->config());
        asio::co_spawn(io, bridge.run(std::move(c)), [&](std::exception_ptr e, int answer) {
            error = e;
            status = answer;
        });
        io.run();
    }
    worker.join();
    if (error)
        std::rethrow_exception(error);
    return status;
}

}  // namespace dtbridge::app
