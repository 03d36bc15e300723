/// Any bytes as an answer to a GET, over a real connection: the client answers or fails, it hands on at most
/// what its bounds allow, its texts are without controls, and a body is complete only where it said so.

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <dtbridge/net/http_client.hpp>

namespace
{

using namespace dtbridge;
namespace asio = boost::asio;
using asio::ip::tcp;
constexpr auto use_tuple = asio::as_tuple(asio::use_awaitable);
constexpr std::uint64_t max_body = 1u << 20;
constexpr std::size_t max_header = 4096;
/// Nothing here waits for anything; a fuzzer that hardly gets the processor does.
constexpr std::chrono::seconds patience{60};

asio::awaitable<void> answer_once(tcp::acceptor& acceptor, std::string_view bytes)
{
    auto [ec, socket] = co_await acceptor.async_accept(use_tuple);
    if (ec)
        co_return;
    char request[4096];
    const auto room = asio::buffer(request);
    auto [read_error, n] = co_await socket.async_read_some(room, use_tuple);
    if (read_error)
        co_return;
    const auto all = asio::buffer(bytes);
    const auto written = co_await asio::async_write(socket, all, use_tuple);
    (void)written;  // a client that has seen enough may be gone
    boost::system::error_code ignored;
    socket.shutdown(tcp::socket::shutdown_send, ignored);
    // Until the client has gone: closing at once would be a reset.
    for (boost::system::error_code end; !end;)
    {
        auto [e, k] = co_await socket.async_read_some(room, use_tuple);
        end = e;
    }
}

struct sink : net::body_sink
{
    bool head_seen = false;
    std::uint64_t bytes = 0;

    void head(const net::http_response& r) override
    {
        if (head_seen)
            std::abort();
        head_seen = true;
        for (const auto* text : {&r.content_type, &r.location, &r.retry_after, &r.date})
        {
            for (const char c : *text)
            {
                if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f)
                    std::abort();
            }
        }
    }
    net::awaitable<outcome<bool>> body(std::string_view piece) override
    {
        if (!head_seen)
            std::abort();
        bytes += piece.size();
        outcome<bool> on = true;
        co_return on;
    }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    asio::io_context io(1);
    tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    std::optional<outcome<net::http_response>> got;
    sink taken;
    {
        net::connect_options peer;
        peer.peer.host = "127.0.0.1";
        peer.peer.port = acceptor.local_endpoint().port();
        net::http_client client(peer, "master.test", "fuzz");
        net::http_request request;
        request.target = "/modelbreaches";
        net::http_limits bounds;
        bounds.max_body = max_body;
        bounds.max_header = max_header;
        asio::co_spawn(io, answer_once(acceptor, bytes), asio::detached);
        asio::co_spawn(io,
                       client.get(std::move(request), taken, bounds, patience),
                       [&](std::exception_ptr e, outcome<net::http_response> r) {
                           if (e)
                               std::abort();
                           got.emplace(std::move(r));
                           client.close();
                           acceptor.close();
                       });
        io.run();
    }
    if (!got || taken.bytes > max_body)
        std::abort();
    if (!*got)
    {
        const auto& words = got->error().detail;
        if (words.empty() || words.find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos ||
            got->error().code == errc::timed_out)
            std::abort();
        return 0;
    }
    const auto& r = **got;
    if (!taken.head_seen || r.status < 200 || r.status > 599 || r.body_bytes != taken.bytes ||
        r.wire_bytes > size)
        std::abort();
    return 0;
}
