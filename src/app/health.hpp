#pragma once

#include <memory>
#include <string>

#include <dtbridge/web/server.hpp>

namespace dtbridge::app
{

/// What `listen` answers in this version: /healthz, the process is alive and its loop moves.
class health_listener
{
public:
    health_listener(boost::asio::any_io_executor ex, std::string address);
    outcome<bool> listen();
    boost::asio::awaitable<void> run();

private:
    std::string address_;
    web::server server_;
};

}  // namespace dtbridge::app
