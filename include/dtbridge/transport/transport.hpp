#pragma once

/// Messages to a collector over UDP, TCP, TLS, RELP or Kafka, and what of them counts as confirmed
/// (product.md 8). The deciding parts are pure and have headers of their own: framing.hpp, window.hpp,
/// pace.hpp, and in src/transport the tracker of acknowledgements, the RELP session and the order of
/// addresses. This header is the thin part around sockets. What to send, when to try again and moving cursors
/// is left to `deliver`. Tested in tests/unit/transport by vectors, scripts and real sockets on loopback.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <dtbridge/core/failure.hpp>
#include <dtbridge/transport/framing.hpp>
#include <dtbridge/transport/options.hpp>

namespace dtbridge::transport
{

namespace asio = boost::asio;
using asio::awaitable;
using duration = std::chrono::steady_clock::duration;

/// Every wait of a connection. Settable so that tests need not wait; the defaults are the contract.
struct timing
{
    duration connect = std::chrono::seconds(10);  ///< one address: resolve, connect, handshake
    duration write = std::chrono::seconds(30);    ///< one batch; a collector that takes nothing is given up
    duration stay_up = std::chrono::milliseconds(250);  ///< product.md 8
    duration look_every =
        std::chrono::milliseconds(10);                   ///< at acknowledgements, while bytes are outstanding
    duration udp_quiet = std::chrono::milliseconds(50);  ///< product.md 8
    duration last_acknowledgements = std::chrono::seconds(2);  ///< after the peer's orderly end
    duration answer = std::chrono::seconds(30);  ///< RELP: some answer, while messages have none; Kafka: the
                                                 ///< report of a message's delivery
};

/// What became of one batch.
struct send_report
{
    /// Positions in the batch of messages that no datagram (EMSGSIZE) or record can carry. They count as sent
    /// for confirmed().
    std::vector<std::size_t> undeliverable;
};

/// A message of a confirmed batch that the collector said it will never take.
struct refused_message
{
    std::uint64_t batch = 0;  ///< the first of the connection is 1
    std::size_t place = 0;    ///< in it
    std::size_t size = 0;     ///< bytes
};

/// One connection to a collector. All calls from the thread of its executor. The owner calls close() and
/// awaits it before the connection is destroyed.
class connection
{
public:
    enum class state {
        up,      ///< takes batches
        ending,  ///< the peer closed in order; the last acknowledgements may still come
        over,    ///< broken or ended: what is not confirmed is for sending again
    };

    virtual ~connection() = default;
    /// "siem.example:6514 (192.0.2.1:6514)"
    virtual const std::string& peer() const = 0;
    /// Writes a whole batch (not empty) or fails, and then the connection is over: with errc::lease_lost
    /// where the batch's lease ended before all of it was written. One at a time. b must outlive the call.
    virtual awaitable<outcome<send_report>> send(const batch& b) = 0;
    /// How many batches are confirmed since the connection was made, in the order of sending.
    virtual std::uint64_t confirmed() const = 0;
    /// How many were sent and are not confirmed.
    virtual std::size_t unconfirmed() const = 0;
    /// What was refused for good of the batches up to confirmed(), in their order, each once.
    virtual std::vector<refused_message> take_refused() { return {}; }
    virtual state now() const = 0;
    /// When the collector's certificate expires, ms since 1970; 0 where there is none.
    virtual std::int64_t certificate_expires() const { return 0; }
    /// Why it is over, in plain words; empty while it is not. asio::error::eof where the peer closed in
    /// order.
    virtual const std::optional<failure>& reason() const = 0;
    /// Clean stop: half-closes and waits until the peer ended too or limit passed. confirmed() may grow
    /// meanwhile.
    virtual awaitable<void> finish(duration limit) = 0;
    /// Over at once, with errc::lease_lost: the lease of something that is under way has ended. What can be
    /// held back of it is; the collector sees a reset.
    virtual void lapse() = 0;
    /// At once. Afterwards nothing of the connection runs any more.
    virtual awaitable<void> close() = 0;
};

/// Makes connections to the addresses of one destination.
class connector
{
public:
    /// Called whenever confirmed() or now() of a connection changed; must not destroy the connection.
    using notify = std::function<void()>;

    connector(asio::any_io_executor ex, options o, timing t = {});
    ~connector();
    connector(const connector&) = delete;
    connector& operator=(const connector&) = delete;

    /// The first address that works; for Kafka all of them together. Names are resolved and certificate files
    /// read (if they changed) at each call. The failure names every address that was tried.
    awaitable<outcome<std::unique_ptr<connection>>> connect(notify changed);
    /// Connects to the first address alone, while another one is in use.
    awaitable<outcome<std::unique_ptr<connection>>> connect_first(notify changed);

    /// The last connection that was made is to another address than the first.
    bool is_on_another() const;
    /// Whether the name no longer leads to where the last connection goes. Of UDP alone, which has no end of
    /// its own that would tell; false while the name cannot be resolved.
    awaitable<bool> has_moved();
    /// To tell the connector about the last connection it made: it carried messages or stayed up, or it ended
    /// before.
    void worked();
    void did_not_work();

    const options& settings() const;
    /// From now on what connecting sees goes there too, failures included. For UDP: the addresses alone. For
    /// Kafka: who answered; and connecting then only looks, where else it may make brokers create the topic.
    void report_to(std::shared_ptr<net::connect_report> report);

private:
    struct impl;
    std::unique_ptr<impl> impl_;
};

}  // namespace dtbridge::transport
