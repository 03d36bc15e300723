#pragma once

/// The bounded HTTP server of `listen` (product.md 9): GET and HEAD of registered paths, nothing that changes
/// anything. A slow, greedy or lying client costs itself its connection and nobody else anything. Tested in
/// tests/unit/web with raw sockets.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <dtbridge/core/failure.hpp>

namespace dtbridge::web
{

namespace asio = boost::asio;
using asio::awaitable;

struct request
{
    std::string path;   ///< without the query, as sent
    std::string query;  ///< without '?'
};

struct response
{
    unsigned status = 200;
    std::string content_type = "text/plain; charset=utf-8";
    std::string body;
};

struct limits
{
    std::size_t header = 16u << 10;  ///< bytes of a request's head; beyond: 431
    std::size_t connections = 64;    ///< at once; beyond, the longest idle one is closed
    unsigned requests = 100;         ///< per connection
    std::chrono::steady_clock::duration request =
        std::chrono::seconds(10);  ///< from its first byte to its answer taken
    std::chrono::steady_clock::duration idle = std::chrono::seconds(30);  ///< between requests
};

class server
{
public:
    /// Answers one request; must not throw and not block.
    using handler = std::function<response(const request&)>;

    explicit server(asio::any_io_executor ex, limits bounds = {});
    ~server();
    server(const server&) = delete;
    server& operator=(const server&) = delete;

    void handle(std::string path, handler h);
    /// Binds "address:port" (port 0: any). Fails with the address and what to do.
    outcome<bool> listen(const std::string& address);
    std::uint16_t port() const;
    std::size_t connections() const;
    /// Accepts until cancelled; owned by a task_group.
    awaitable<void> run();

private:
    struct impl;
    std::unique_ptr<impl> impl_;
};

}  // namespace dtbridge::web
