#include "app/health.hpp"

namespace dtbridge::app
{

health_listener::health_listener(boost::asio::any_io_executor ex, std::string address)
    : address_(std::move(address)), server_(ex)
{
    server_.handle("/healthz", [](const web::request&) {
        web::response alive;
        alive.body = "alive\n";
        return alive;
    });
}

outcome<bool> health_listener::listen()
{
    return server_.listen(address_);
}

boost::asio::awaitable<void> health_listener::run()
{
    return server_.run();
}

}  // namespace dtbridge::app
