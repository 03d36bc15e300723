#pragma once

#include <memory>
#include <string>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <dtbridge/core/failure.hpp>
#include <dtbridge/net/http_client.hpp>
#include <dtbridge/poll/master_clock.hpp>
#include <dtbridge/poll/options.hpp>

namespace dtbridge
{

namespace asio = boost::asio;
using asio::awaitable;

}  // namespace dtbridge

namespace dtbridge::poll
{

/// One signed request to a master at a time. Abstract so that the loop is tested with scripted answers.
class exchange
{
public:
    virtual ~exchange() = default;
    /// As net::http_client::get.
    virtual awaitable<outcome<net::http_response>> get(net::http_request request,
                                                       net::body_sink& sink,
                                                       net::http_limits bounds,
                                                       net::duration limit) = 0;
    /// The connection is of no use any more.
    virtual void close() = 0;
    virtual const net::peer_facts& peer() const = 0;
};

/// A kept-alive connection of its own to the master. Fails with what is wrong with the TLS files.
/// report: gets what connecting saw; may be null.
outcome<std::shared_ptr<exchange>> make_exchange(const master_options& o,
                                                 std::string user_agent,
                                                 std::shared_ptr<net::connect_report> report = nullptr);

/// The clocks, timers and dice of the loop. Abstract for the same reason: a test runs days in milliseconds.
class timekeeper
{
public:
    virtual ~timekeeper() = default;
    virtual instant now() const = 0;
    /// Ends early only by cancellation, which throws operation_aborted.
    virtual awaitable<void> wait(std::int64_t ms) = 0;
    /// Uniform in [0, 1).
    virtual double jitter() = 0;
};
std::shared_ptr<timekeeper> make_timekeeper(asio::any_io_executor ex);

}  // namespace dtbridge::poll
