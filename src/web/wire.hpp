#pragma once

/// One accepted connection below HTTP, plain or TLS. It has no deadline of its own: close() ends what is
/// pending.

#include <memory>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <dtbridge/core/failure.hpp>
#include <dtbridge/web/server.hpp>

namespace dtbridge::web
{

class wire
{
public:
    virtual ~wire() = default;
    /// False where the client does not shake hands as it should.
    virtual awaitable<bool> open() = 0;
    virtual awaitable<result<std::size_t>> read_some(asio::mutable_buffer into) = 0;
    /// All of it or false.
    virtual awaitable<bool> write(asio::const_buffer from) = 0;
    /// In order.
    virtual awaitable<void> finish() = 0;
    virtual void close() = 0;
    virtual bool is_open() const = 0;
};

std::unique_ptr<wire> make_plain_wire(asio::ip::tcp::socket socket);
std::unique_ptr<wire> make_tls_wire(asio::ip::tcp::socket socket, std::shared_ptr<tls_server> tls);

}  // namespace dtbridge::web
