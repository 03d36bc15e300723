#include <dtbridge/poll/exchange.hpp>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <chrono>
#include <random>

#include <dtbridge/core/time.hpp>

namespace dtbridge::poll
{
namespace
{

class http_exchange : public exchange
{
public:
    http_exchange(net::connect_options peer, std::string host, std::string user_agent)
        : client_(std::move(peer), std::move(host), std::move(user_agent))
    {}
    awaitable<outcome<net::http_response>> get(net::http_request request,
                                               net::body_sink& sink,
                                               net::http_limits bounds,
                                               net::duration limit) override
    {
        return client_.get(std::move(request), sink, bounds, limit);
    }
    void close() override { client_.close(); }
    const net::peer_facts& peer() const override { return client_.peer(); }

private:
    net::http_client client_;
};

/// RFC 9110 7.2: the port is left out where it is the scheme's own.
std::string host_header(const master_options& o)
{
    const auto& a = o.address;
    std::string host = a.host.find(':') == std::string::npos ? a.host : "[" + a.host + "]";
    if (a.port != (o.https ? 443 : 80))
        host += ":" + std::to_string(a.port);
    return host;
}

class real_timekeeper : public timekeeper
{
public:
    explicit real_timekeeper(asio::any_io_executor ex) : ex_(std::move(ex)), dice_(std::random_device{}()) {}
    instant now() const override
    {
        const auto since = std::chrono::steady_clock::now().time_since_epoch();
        instant i;
        i.wall = now_ms();
        i.steady = std::chrono::duration_cast<std::chrono::milliseconds>(since).count();
        return i;
    }
    awaitable<void> wait(std::int64_t ms) override
    {
        asio::steady_timer timer(ex_, std::chrono::milliseconds(ms));
        co_await timer.async_wait(asio::use_awaitable);
    }
    double jitter() override { return std::uniform_real_distribution<double>(0.0, 1.0)(dice_); }

private:
    asio::any_io_executor ex_;
    std::minstd_rand dice_;
};

}  // namespace

outcome<std::shared_ptr<exchange>> make_exchange(const master_options& o,
                                                 std::string user_agent,
                                                 std::shared_ptr<net::connect_report> report)
{
    net::connect_options peer;
    peer.peer = o.address;
    peer.server_name = o.tls.server_name;
    peer.proxy = o.proxy;
    peer.report = std::move(report);
    if (o.https)
    {
        auto tls = net::make_tls_client(o.tls);
        if (!tls)
            return tls.error();
        peer.tls = *tls;
    }
    return std::shared_ptr<exchange>(
        std::make_shared<http_exchange>(std::move(peer), host_header(o), std::move(user_agent)));
}

std::shared_ptr<timekeeper> make_timekeeper(asio::any_io_executor ex)
{
    return std::make_shared<real_timekeeper>(std::move(ex));
}

}  // namespace dtbridge::poll
