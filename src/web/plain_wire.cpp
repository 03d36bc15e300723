#include <boost/asio/write.hpp>

#include <dtbridge/async/use_tuple.hpp>

#include <web/wire.hpp>

namespace dtbridge::web
{

namespace
{

using asio::ip::tcp;

class plain_wire final : public wire
{
public:
    explicit plain_wire(tcp::socket socket) : socket_(std::move(socket)) {}

    awaitable<bool> open() override { co_return true; }
    awaitable<result<std::size_t>> read_some(asio::mutable_buffer into) override
    {
        auto [ec, size] = co_await socket_.async_read_some(into, use_tuple);
        if (ec)
            co_return ec;
        co_return size;
    }
    awaitable<bool> write(asio::const_buffer from) override
    {
        auto [ec, size] = co_await asio::async_write(socket_, from, use_tuple);
        co_return !ec;
    }
    awaitable<void> finish() override
    {
        error_code ec;
        socket_.shutdown(tcp::socket::shutdown_both, ec);
        co_return;
    }
    void close() override
    {
        error_code ec;
        socket_.close(ec);
    }
    bool is_open() const override { return socket_.is_open(); }

private:
    tcp::socket socket_;
};

}  // namespace

std::unique_ptr<wire> make_plain_wire(tcp::socket socket)
{
    return std::make_unique<plain_wire>(std::move(socket));
}

}  // namespace dtbridge::web
