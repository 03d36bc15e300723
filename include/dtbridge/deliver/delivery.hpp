#pragma once

/// One destination: reads every master's archive from a cursor of its own, decides, formats, sends, and moves
/// the cursor past what the transport confirmed (product.md 1, 8). A collector that is down is a cursor that
/// lags; what is in flight is remembered as spans of the archive, so memory is flat and after a break the
/// archive is simply read again. When to poll, what a decision is and what a confirmation is are left to
/// `poll`, `rules` and `transport`. Tested in tests/unit/deliver with collectors on loopback that reset,
/// stall, refuse and come back.

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <dtbridge/archive/archive.hpp>
#include <dtbridge/cluster/permit.hpp>
#include <dtbridge/deliver/line_counts.hpp>
#include <dtbridge/deliver/options.hpp>
#include <dtbridge/format/formatter.hpp>
#include <dtbridge/rules/inventory.hpp>
#include <dtbridge/rules/policy.hpp>
#include <dtbridge/transport/transport.hpp>
#include <dtbridge/transport/window.hpp>

namespace dtbridge::deliver
{

namespace asio = boost::asio;
using asio::awaitable;
using duration = std::chrono::steady_clock::duration;

/// What a delivery decides, formats and sends with. Replaced as a whole by reconfigure().
struct settings
{
    destination_options options;
    std::shared_ptr<const rules::policy> policy;   ///< never null
    std::shared_ptr<format::formatter> formatter;  ///< never null
    std::string fields_text;  ///< of the field map, for the record of batches; "" for JSON
    std::string version;      ///< of the bridge, for bridge events
    bool throttled = true;    ///< the policy's throttles apply (not so for a replay)
};

/// Bounds and waits. The defaults are the contract; tests shorten the waits.
struct limits
{
    transport::timing transport;
    transport::send_window::bounds window;
    std::size_t udp_window = 64;                                  ///< datagrams; product.md 8
    std::size_t relp_window = 1024;                               ///< messages without an answer
    transport::send_window::bounds kafka_window{4096, 8u << 20};  ///< librdkafka keeps them in memory
    std::size_t batch_messages = 64;                              ///< at most; product.md 8: on UDP 64
    std::size_t batch_bytes = 128u << 10;                         ///< about; one message may be longer
    std::size_t span_breaches = 128, span_bytes = 256u << 10;     ///< of one read of an archive
    std::size_t spans_at_once = 4;                                ///< in memory, over all masters
    std::size_t remembered = 65536;  ///< of a master, throttled behind what is in flight; then it waits
    duration slow_read = std::chrono::seconds(1);  ///< from then on a read occupies none of spans_at_once
    duration first_retry = std::chrono::milliseconds(250), last_retry = std::chrono::seconds(30);
    duration proven = std::chrono::seconds(1);        ///< a connection that is up for that long works
    duration lasting = std::chrono::seconds(30);      ///< one that lasted so long is made again at once
    duration first_again = std::chrono::seconds(60);  ///< the first address, while another is in use
    duration look_up = std::chrono::seconds(60);      ///< the name of a collector over UDP again
    duration lazy_commit = std::chrono::seconds(5);   ///< of cursors that only passed held-back breaches
    duration drain = std::chrono::seconds(2);         ///< stop(): for the write in progress
    duration finish = std::chrono::seconds(2);        ///< stop(): for the peer's end
};

struct cursor_status
{
    std::string master;
    std::int64_t seq = 0;  ///< everything up to here is done, and saved or about to be
    std::int64_t lag = 0;  ///< breaches behind it, as far as sequence numbers tell
    std::string error;     ///< of this master's archive; "" while it works
};

/// How often the lines of one kind of a policy spoke, whatever policy was in force.
struct decision_count
{
    std::string kind;  ///< "score", "model", "always_tags", ..; "other" where no line spoke
    std::int64_t forwarded = 0, held_back = 0;
};

/// A copy for status, metrics and health. Counts are since the start of the process.
struct status
{
    enum class state { stopped, connecting, connected, waiting };  ///< waiting: for the next attempt
    std::string name;
    state now = state::stopped;
    std::string connected_to;      ///< "" while not connected
    std::string error;             ///< why not; "" while connected and working
    std::int64_t error_since = 0;  ///< ms; 0 without error
    std::vector<cursor_status> cursors;
    std::int64_t lag = 0;          ///< breaches, over all masters
    std::int64_t lag_seconds = 0;  ///< about how long the oldest of them has waited; 0 without lag
    std::int64_t sent = 0;         ///< repeats included
    std::int64_t confirmed = 0;
    std::int64_t held_back = 0;  ///< decided so, marked ones included
    std::int64_t forwarded = 0;  ///< decided so, and not throttled
    std::int64_t throttled = 0;  ///< forwarded by the rules and held by a throttle
    std::vector<decision_count>
        decisions;           ///< by kind, the same counts; throttled ones as held back by "throttle"
    std::int64_t bytes = 0;  ///< of messages sent, framing included, repeats included
    std::int64_t shortened = 0;
    std::int64_t undeliverable = 0;
    std::int64_t passed_over = 0;     ///< created before start
    std::int64_t lost = 0;            ///< count_lost()
    std::int64_t events = 0;          ///< bridge events sent
    std::int64_t events_dropped = 0;  ///< announced, and never sent: too many waited
    std::int64_t connects = 0, breaks = 0;
    std::int64_t last_confirmed = 0;       ///< ms; 0 never
    std::size_t unconfirmed = 0;           ///< messages in flight
    std::int64_t certificate_expires = 0;  ///< ms; of the last connection's leaf, 0 unknown or without TLS
    /// ms for which nothing was done though it is connected and breaches wait; 0 while there is nothing to
    /// do. A collector that takes nothing is noticed by its own deadlines: minutes of this mean a loop that
    /// hangs.
    std::int64_t stalled = 0;
    std::vector<std::int64_t>
        policy_lines;  ///< how often each of policy::lines() spoke, since the start of the process
    bool running = false;
};

/// All calls from the thread of ex.
class delivery
{
public:
    /// first_ran: when the service first ran with this destination (ms), for `start`.
    delivery(asio::any_io_executor ex, settings s, std::int64_t first_ran, limits l = {});
    ~delivery();
    delivery(const delivery&) = delete;
    delivery& operator=(const delivery&) = delete;

    const std::string& name() const;

    /// From now on delivers that master's breaches too; a master that is already there gets the new info for
    /// the next batch. Before or while run() runs. lease (null: none is needed) is asked before each write of
    /// that master's breaches, to the last piece of a batch; past its end nothing of them is sent, until it
    /// is renewed.
    void add_master(std::shared_ptr<archive> store,
                    format::master_info info,
                    std::shared_ptr<const cluster::permit> lease = {});
    /// Lets what is in flight be confirmed (at most 2 s), saves the cursor, and is done with that archive.
    awaitable<void> remove_master(std::string master);
    /// Another bridge owns the master by now: what is in flight of it is dropped with its connection, no
    /// cursor is saved. Nothing of it is sent from the call on; the answer comes when nothing uses the
    /// archive any more.
    awaitable<void> drop_master(std::string master);
    /// A lease has ended, though it may be renewed: where something of that master is in flight its
    /// connection is reset, what was not confirmed counts as not sent, and the other masters go on over a new
    /// one.
    void lapse(std::string_view master);
    /// A master's archive has news. Cheap; unknown names are ignored.
    void ring(std::string_view master);
    /// Takes effect with the next batch; nothing is lost or repeated. The connection stays unless addresses,
    /// protocol, framing or TLS changed; then what is in flight is confirmed first where the collector
    /// allows. The name stays.
    void reconfigure(settings s);
    /// Labels for a master's breaches from the next batch on; null: none. Unknown names are ignored.
    void enrich(std::string_view master, std::shared_ptr<const rules::inventory> with);
    /// How often the lines of the policy spoke.
    line_counts& lines();
    /// Breaches that retention dropped before this destination had them.
    void count_lost(std::int64_t breaches);

    /// Whether this destination's cursor, as it is saved, has passed that breach of a master: then the
    /// archive knows whether it was withheld. never: it does not get that master's breaches.
    enum class passage { never, not_yet, passed };
    passage passage_of(std::string_view master, std::int64_t seq) const;
    /// Whether that breach of a master was sent to this destination because its policy, as it is now,
    /// forwards it: the cursor has passed it, and it is no older than start. b is read from a.
    bool has_forwarded(std::string_view master, const archived_breach& a, const breach& b) const;

    /// How many bridge events of a kind that comes in numbers may be announced now without pushing out
    /// others.
    std::size_t room_for_events() const;
    /// Sends a bridge event (product.md 6) in this destination's format, at most once: as soon as there is a
    /// connection, outside rules and cursors. time 0 is now; destination is filled in. 64 may wait, the
    /// oldest go first.
    void announce(format::formatter::event e);

    /// Runs until stop() or a cancellation (which throws operation_aborted after saving what was confirmed).
    /// The object outlives it. Once.
    awaitable<void> run();
    /// Asks run() to send nothing new, half-close, wait for the peer's end, save the cursors and return: all
    /// within drain + finish + 1 s.
    void stop();

    status now() const;

    struct impl;

private:
    std::unique_ptr<impl> impl_;
};

}  // namespace dtbridge::deliver
