#pragma once

/// What the files of delivery share: delivery.cpp (the whole), delivery_connection.cpp, delivery_feed.cpp,
/// delivery_cursor.cpp, delivery_events.cpp. Private to them. Everything runs on one executor.

#include <dtbridge/deliver/delivery.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <dtbridge/async/doorbell.hpp>
#include <dtbridge/async/task_group.hpp>
#include <dtbridge/async/turnstile.hpp>
#include <dtbridge/core/breach.hpp>
#include <dtbridge/deliver/backoff.hpp>
#include <dtbridge/deliver/throttles.hpp>
#include <dtbridge/transport/pace.hpp>

#include <algorithm>
#include <chrono>
#include <deque>
#include <map>
#include <random>

namespace dtbridge::deliver
{

using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

/// Where nothing but a ring is waited for.
constexpr duration until_rung = std::chrono::hours(1);

/// Settings as they are used, with what is counted per set.
struct generation
{
    settings with;
    std::vector<std::shared_ptr<const std::string>> throttles;  // in words
    std::vector<std::size_t> kinds;                             // of policy lines, into status::decisions
};

/// A breach that a throttle held and whose cursor is not there yet: after a break it is held again.
struct remembered
{
    std::int64_t seq = 0;
    std::shared_ptr<const std::string> by;
};

/// Part of the way that is done but not saved.
struct finished
{
    confirmed_batch record;
    std::shared_ptr<generation> by;
    clock::time_point since;
};

struct flight;

/// One master as this destination sees it.
struct feed
{
    feed(const asio::any_io_executor& ex,
         std::shared_ptr<archive> s,
         format::master_info i,
         std::shared_ptr<const cluster::permit> l,
         std::uint64_t number,
         backoff b)
        : store(std::move(s)),
          info(std::move(i)),
          lease(std::move(l)),
          feeding("feed " + info.name + " " + std::to_string(number)),
          saving("save " + info.name + " " + std::to_string(number)),
          bell(ex),
          save_bell(ex),
          settled(ex),
          retry(b)
    {}

    std::shared_ptr<archive> store;
    format::master_info info;
    std::shared_ptr<const cluster::permit> lease;  // null: none is needed
    std::string feeding, saving;                   // names of the tasks
    doorbell bell, save_bell, settled;
    backoff retry;
    bool has_cursor = false;
    bool closing = false;
    bool dropped = false;       // closing, and nothing is saved any more
    std::int64_t began = 0;     // ms: the destination first ran then, as far as this archive is concerned
    std::int64_t position = 0;  // read up to here, what is in flight included
    std::int64_t done = 0;      // confirmed or passed over up to here
    std::int64_t saved = 0;     // the archive's own cursor: what was withheld up to here is noted there
    std::int64_t counted = 0;   // decisions up to here are in the counters: a repeat is not counted twice
    std::int64_t too_long = 0;  // the same for what was too long for a datagram
    std::int64_t latest_created = 0;         // ms, of what was decided
    std::optional<clock::time_point> asked;  // since when its archive is asked and has not answered
    std::deque<remembered> throttled;        // of (done, counted], by seq
    std::shared_ptr<const rules::inventory> inventory;
    std::size_t in_flight = 0;
    flight* last = nullptr;  // its youngest flight
    std::deque<finished> unsaved;
    std::shared_ptr<generation> hashed;  // whose texts the hashes are of
    std::string policy_hash, fields_hash;
    std::int64_t waiting_since = 0;  // ms, archive time of about the oldest breach that waits; 0 none
    std::string read_error, save_error;

    bool may_send() const { return !lease || lease->may_write(cluster::boot_clock::now()); }
    std::int64_t lag() const { return std::max<std::int64_t>(0, store->last_seq() - done); }
};

/// Which breach a message of a batch is.
struct sent_breach
{
    std::int64_t seq = 0;
    breach_key key = {};
};

/// A span of one master's archive on its way: a batch that was sent, or breaches behind one that need no
/// sending. A bridge event is of no master, and nothing follows from its confirmation.
struct flight
{
    std::shared_ptr<feed> from;  // null: a bridge event
    std::shared_ptr<generation> by;
    confirmed_batch record;
    std::size_t messages = 0;  // of the batch; 0: nothing to send
    std::size_t bytes = 0;
    std::int64_t archived = 0;          // ms, of the last breach
    std::vector<sent_breach> contents;  // of the batch; where the collector may refuse single messages
    bool is_batch() const { return messages > 0; }
};

void merge(confirmed_batch& into, confirmed_batch&& more);
/// Whether another connection is needed for b than for a.
bool same_way(const transport::options& a, const transport::options& b);

/// Many waiters, all woken together, who look for themselves.
class condition
{
public:
    explicit condition(const asio::any_io_executor& ex) : timer_(ex)
    {
        timer_.expires_at(clock::time_point::max());
    }
    void notify() { timer_.cancel(); }
    awaitable<void> wait()
    {
        auto token = asio::as_tuple(asio::use_awaitable);
        co_await timer_.async_wait(token);
    }

private:
    asio::steady_timer timer_;
};

struct delivery::impl
{
    impl(asio::any_io_executor e, settings s, std::int64_t began, limits l);

    // settings: delivery.cpp

    void take_over(settings s);
    /// Whether `start` lets the destination begin after that time (ms).
    bool is_before_start(const feed& m, std::int64_t created) const
    {
        const auto& start = current->with.options.start;
        return start && created < m.began - start->count();
    }
    /// Where decisions of that kind are counted; there are about a dozen kinds.
    std::size_t kind_index(std::string_view kind);
    void count_decision(const rules::decision& said, bool throttled);
    void new_connector();

    // the connection and what is in flight on it: delivery_connection.cpp

    bool can_send() const
    {
        return conn && conn->now() == transport::connection::state::up && !draining && !other_way &&
               !stopping;
    }
    void failing(const failure& why);
    void proved_itself();
    void became_up();
    void connection_changed();
    /// Takes in what the transport confirmed.
    void collect();
    /// A message of a batch that was otherwise confirmed.
    void refuse(flight& f, const transport::refused_message& r);
    /// f and everything of its master before it is done.
    void arrived(flight& f);
    void done(flight& f);
    /// Breaches that need no sending: done at once, or with what is in flight before them.
    void pass(flight f);
    void take_off(flight f);
    /// Everything unconfirmed is for sending again.
    void start_again();
    /// Whether the connection carried something, or was there for long and nothing was asked of it.
    bool has_worked() const
    {
        const bool lasted = proven && clock::now() - connected_at >= bounds.lasting;
        return taken > 0 || (lasted && flights.empty());
    }
    /// Ends the present connection, broken or not.
    awaitable<void> disconnect();
    /// Sends nothing more and waits until what is in flight is confirmed.
    awaitable<void> retire();
    bool is_work_waiting() const;
    /// until_work: nothing waits for the collector now, so what comes later ends the wait.
    awaitable<void> wait_to_retry(bool until_work);
    awaitable<void> keep_connected();
    /// Until the connection is gone, or stop() wants it for itself.
    awaitable<void> stay_connected();

    // one master's breaches: delivery_feed.cpp

    void start(const std::shared_ptr<feed>& m);
    bool is_ending(const feed& m) const { return stopping || m.closing; }
    /// Whether what m read in that epoch may still be sent.
    bool goes_on(const feed& m, std::uint64_t at) const
    {
        return at == epoch && can_send() && !m.closing && m.may_send();
    }
    awaitable<void> deliver_from(std::shared_ptr<feed> m);
    /// Waits until one more message may go; false if it is no use any more.
    awaitable<bool> wait_for_room(std::shared_ptr<feed> m, std::uint64_t at);
    /// The same for the pace.
    awaitable<bool> wait_for_pace(std::shared_ptr<feed> m, std::uint64_t at, duration wait);
    /// Lets everybody else run: where memory answers the read and the kernel takes the write at once, nothing
    /// else here ever suspends, and one backlog would hold the thread until its end.
    awaitable<bool> give_way(std::shared_ptr<feed> m, std::uint64_t at);
    awaitable<void> send_span(std::shared_ptr<feed> m, const archive_span& span, std::uint64_t at);
    /// Decides and formats from span[next] on as much as fits one batch, and moves next.
    flight prepare(const std::shared_ptr<feed>& m, const archive_span& span, std::size_t& next);
    /// Decides what is in scratch and adds its message to the batch. False where the batch has no room for
    /// it, and then nothing was counted.
    bool decide(
        feed& m, flight& f, const archived_breach& a, std::size_t place, std::int64_t created, bool fresh);
    /// Whether a throttle holds what the rules forward; if so, it is noted. What was decided once stays: a
    /// repeat is neither asked nor counted again.
    bool is_throttled(
        feed& m, flight& f, const archived_breach& a, std::int64_t created, bool always, bool fresh);
    void pass_over(const feed& m,
                   flight& f,
                   std::int64_t seq,
                   const breach_key& key,
                   bool fresh,
                   const std::string& why);
    /// The same for what the transport or the collector takes in no way. Not taken off count.sent here.
    void cannot_go(flight& f, const sent_breach& b, std::size_t size);
    /// What goes beside the message of what is in scratch.
    transport::message_label label_of(const feed& m, const breach_key& key) const;
    /// A write that is under way; by: for which master, null for a bridge event.
    struct in_progress
    {
        in_progress(impl& o, const feed* by) : owner(o)
        {
            owner.sending = true;
            owner.sender = by;
        }
        in_progress(const in_progress&) = delete;
        in_progress& operator=(const in_progress&) = delete;
        ~in_progress()
        {
            owner.sending = false;
            owner.sender = nullptr;
            owner.conn_bell.ring();
            owner.run_bell.ring();
        }
        impl& owner;
    };
    /// Sends the prepared batch; true if the span may go on.
    awaitable<bool> send(flight f, const archive_span& span, std::uint64_t at);
    void undeliverable(const feed& m, const breach_key& key, const std::string& why);

    // where each master's way is up to: delivery_cursor.cpp

    void note(const feed& m, std::string& kept, std::string_view doing, const failure& why);
    void mended(const feed& m, std::string& kept);
    /// This master's archive failed: nobody else waits for it.
    awaitable<void> pause(std::shared_ptr<feed> m);
    awaitable<void> open_cursor(std::shared_ptr<feed> m);
    /// Saves what is done, one commit at a time: what arrives meanwhile goes with the next one.
    awaitable<void> save_cursor(std::shared_ptr<feed> m);
    awaitable<outcome<bool>> save(std::shared_ptr<feed> m, const finished& work);

    // bridge events and what throttles tell: delivery_events.cpp

    std::size_t room_for_events() const;
    void announce(format::formatter::event e);
    /// Sends what was announced, at most once: what a break cuts off is not sent again.
    awaitable<void> send_events();
    /// The first of them; the lane is the caller's.
    awaitable<void> send_event();
    /// The time by which windows end: that of the breaches which the master that is furthest behind was seen
    /// to have last. An archive that fails or hangs is not waited for.
    std::int64_t throttle_time() const;
    /// Tells, at most once, what was held back in windows that are over.
    awaitable<void> sum_up();
    awaitable<void> tell(const throttle_summary& s);

    // the whole: delivery.cpp

    void task_failed(std::exception_ptr error);
    void wake_all();
    awaitable<void> run();
    /// Finishes what is in flight.
    awaitable<void> drain();
    awaitable<void> shut_down();
    void add(std::shared_ptr<archive> store,
             format::master_info info,
             std::shared_ptr<const cluster::permit> lease);
    awaitable<void> remove(std::string master);
    /// Takes a master out of the feeds; null where there is none of that name.
    std::shared_ptr<feed> take_out(std::string_view master);
    /// Ends the tasks of a feed that is leaving.
    awaitable<void> end(std::shared_ptr<feed> m);
    void lapse(const feed& m);
    status now() const;

    asio::any_io_executor ex;
    limits bounds;
    std::int64_t first_ran;
    std::string name;
    task_group tasks;
    turnstile turns;     // spans in memory
    turnstile lane;      // one batch at a time
    condition up_again;  // for feeds, while there is no connection
    doorbell room;       // for the one in the lane
    doorbell conn_bell;  // for the task that keeps the connection
    doorbell run_bell;
    doorbell event_bell;
    doorbell throttle_bell;
    throttles limiter;
    line_counts lines;
    std::int64_t sampled_at = 0;                  // ms
    std::deque<format::formatter::event> events;  // that were announced and not sent yet
    transport::send_window window;
    transport::pacer pacer{0};
    transport::batch batch;
    std::vector<std::size_t> in_batch;  // which breach of the span each message is
    std::string message;
    breach scratch;
    std::shared_ptr<generation> current;
    std::unique_ptr<transport::connector> connector;
    std::unique_ptr<transport::connection> conn, first;
    std::uint64_t taken = 0;  // batches of conn whose confirmation was taken in
    std::deque<flight> flights;
    std::uint64_t epoch = 0;  // of positions: counts how often everything unconfirmed went back
    std::map<std::string, std::shared_ptr<feed>, std::less<>> feeds;
    std::vector<std::shared_ptr<feed>> leaving;
    std::uint64_t feeds_made = 0;
    backoff retry;
    std::minstd_rand random;
    clock::time_point connected_at{}, first_again_at{}, look_up_at{};
    clock::time_point progress_at{};  // something was confirmed or passed over, or began to wait
    bool proven = false;
    bool woken = false;  // the present connection was made before its time, for what came
    bool draining = false;
    bool sending = false;
    const feed* sender = nullptr;  // while sending
    bool stopping = false;
    bool last_save = false;
    bool other_way = false;  // the transport's options changed
    bool said_failing = false, said_connected = false;
    struct logged_words
    {
        clock::time_point when{};
        std::int64_t times = 0;  // again since then
    };
    std::map<std::string, logged_words> logged;
    std::optional<clock::time_point> named_at;
    std::int64_t unnamed = 0;
    std::exception_ptr failed;
    status count;
};

}  // namespace dtbridge::deliver
