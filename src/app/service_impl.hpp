#pragma once

/// What the files of the running service share: service.cpp starts, reloads and stops, service_answers.cpp
/// answers what commands ask through the control socket. Private to them.

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <boost/asio/signal_set.hpp>
#include <boost/json/object.hpp>

#include <dtbridge/archive/archive.hpp>
#include <dtbridge/async/doorbell.hpp>
#include <dtbridge/config/configuration.hpp>
#include <dtbridge/core/time.hpp>
#include <dtbridge/deliver/delivery.hpp>
#include <dtbridge/poll/poller.hpp>
#include <dtbridge/web/pull.hpp>
#include <dtbridge/web/server.hpp>

#include "app/control.hpp"
#include "app/enrichment.hpp"
#include "app/notify.hpp"
#include "app/ownership.hpp"
#include "app/service.hpp"
#include "app/watch.hpp"

namespace dtbridge::app
{

struct service::impl
{
    struct master
    {
        poll::master_options options;
        std::string files;               ///< digest of the files its connection uses
        std::shared_ptr<archive> store;  ///< null while it cannot be opened
        std::unique_ptr<poll::poller> poller;
        std::string error;  ///< why there is no store or no poller
        // Where bridges share masters:
        std::shared_ptr<const cluster::permit> lease;        ///< to work for it; null: another bridge does
        std::shared_ptr<const cluster::permit> works_under;  ///< what store was opened with
        bool handing_over = false;  ///< the lease is given away when the work has ended
    };
    struct destination
    {
        config::destination config;
        std::unique_ptr<deliver::delivery> delivery;
        std::set<std::string> masters;  ///< that were added to the delivery
    };

    impl(asio::io_context& i, asio::any_io_executor w, std::string file)
        : ex(i.get_executor()),
          worker(std::move(w)),
          config_file(std::move(file)),
          signals(ex, SIGTERM, SIGINT, SIGHUP),
          polls(ex, [this](const std::string& name, std::exception_ptr e) { task_failed("poll", name, e); }),
          deliveries(
              ex, [this](const std::string& name, std::exception_ptr e) { task_failed("deliver", name, e); }),
          sharing(ex,
                  [this](const std::string& name, std::exception_ptr e) { task_failed("cluster", name, e); }),
          others(ex,
                 [this](const std::string& name, std::exception_ptr e) { task_failed("service", name, e); }),
          update_bell(ex)
    {}

    // Start
    outcome<bool> prepare();
    void start_control();
    awaitable<void> open_master(std::string name);
    bool is_configured(const std::string& name) const;
    void start_poller(master& m);
    awaitable<bool> stop_poller(std::string name);
    awaitable<void> finish_master(std::string name);
    outcome<bool> start_destination(const config::destination& d);
    void start_or_say(const config::destination& d);
    awaitable<void> stop_destination(std::string name);
    void attach(destination& d, const std::string& master_name);
    void start_listener();
    awaitable<void> renew_listener(const config::service_options& before);
    awaitable<void> start_rest();

    // Masters that several bridges share: service_bridges.cpp
    void share_masters();
    /// Whether this bridge is to work for it; always, where masters are not shared.
    bool owns(const master& m) const;
    /// Whether it does, under the lease it has now.
    bool works_for(const master& m) const;
    void gain(std::shared_ptr<const cluster::permit> lease);
    void hand_over(const std::string& name);
    void lose(const std::string& name);
    void lapse(const std::vector<std::string>& names);
    void follow_lease(const std::string& name);
    awaitable<void> keep_to_lease(std::string name);
    awaitable<void> end_work(std::string name);
    awaitable<bool> has_old_name_free(std::string name);
    awaitable<void> share_again(const config::configuration& next);
    awaitable<bool> leave_bridges(std::chrono::milliseconds limit);
    awaitable<void> end_sharing();
    awaitable<void> end_leaving();
    awaitable<void> ask_bridges();
    boost::json::object bridges_json() const;
    awaitable<outcome<std::shared_ptr<archive>>> readable_archive(std::string name);

    // Run
    void begin_rounds();
    awaitable<void> reopen_masters();
    awaitable<void> keep_space();
    awaitable<void> keep_enriched();
    awaitable<void> keep_line_counts();
    void save_line_counts();
    awaitable<void> feed_watchdog(std::chrono::milliseconds interval);
    void hang_up();
    awaitable<void> reload_as_asked();
    config::loaded load_again();
    awaitable<void> reload();
    awaitable<void> apply(config::configuration next);
    awaitable<void> stop();
    void end_at_second_signal();
    std::string summary() const;

    // What commands ask: service_answers.cpp and answer_*.cpp. Long work gets the asker too, to tell how far
    // it has come.
    awaitable<boost::json::object> answer(boost::json::object request, asker& back);
    awaitable<boost::json::object> answer_status(boost::json::object request);
    awaitable<boost::json::object> answer_sign(boost::json::object request);
    awaitable<boost::json::object> answer_get(boost::json::object request);
    awaitable<boost::json::object> answer_replay(boost::json::object request, asker& back);
    awaitable<boost::json::object> answer_check(boost::json::object request);
    awaitable<boost::json::object> answer_test(boost::json::object request);
    awaitable<boost::json::object> answer_backfill(boost::json::object request, asker& back);
    boost::json::object status_json() const;

    // The network face: service_face.cpp, service_newest.cpp, service_metrics.cpp
    void add_routes(web::server& s);
    std::optional<web::response> admit(const web::request& r, bool data, access& who) const;
    web::response answer_ready(const web::request& r) const;
    awaitable<web::response> answer_api_status(web::request r);
    web::response answer_masters(const web::request& r) const;
    web::response answer_metrics(const web::request& r) const;
    awaitable<web::response> answer_breaches(web::request r);
    awaitable<web::response> answer_newest(web::request r);
    std::shared_ptr<const rules::policy> policy_for(const std::string& master, const std::string& stem) const;
    std::vector<std::string> masters_with_news(const access& who) const;
    boost::json::object newest_json(const master& m,
                                    const archived_breach& a,
                                    const std::vector<std::pair<std::string, withheld_breach>>& withheld,
                                    breach& scratch) const;

    // What is watched: service_watch.cpp
    awaitable<void> watch();
    awaitable<void> keep_facts();
    void watch_masters();
    void watch_certificates();
    void watch_mishaps();
    std::int64_t stored_bytes() const;
    void watch_disk();
    void beat();
    void announce(format::formatter::event e, const std::string& about_master);
    void tell(deliver::delivery& to, format::formatter::event e) const;
    health look_at_health() const;
    bool is_stuck(const poll::master_status& s, const poll::master_options& o) const;
    bool is_stuck(const deliver::status& s, const deliver::destination_options& o) const;
    std::int64_t master_now(const master& m) const;  ///< ms, by the master's clock as far as it is known

    // Updates: updates.cpp
    struct update
    {
        std::string master;
        noted_change change;
        std::set<std::string, std::less<>> destinations;  ///< that want it and were not told yet
    };
    void note_updates(const std::string& master, const std::vector<noted_change>& changes);
    void count_acknowledged(const std::string& master, const std::vector<noted_change>& changes);
    void make_room(std::deque<update>& in, std::size_t for_more);
    awaitable<void> send_updates();
    std::vector<std::string> take_ready(update& u, std::map<std::string, std::size_t>& room);
    awaitable<void> tell_update(const std::string& of,
                                const noted_change& c,
                                const std::vector<std::string>& to);

    void task_failed(const char* component, const std::string& name, std::exception_ptr error);
    void news(const std::string& name);

    asio::any_io_executor ex, worker;
    std::string config_file;
    asio::signal_set signals;
    task_group polls, deliveries, sharing, others;
    config::configuration config;
    std::unique_ptr<service_store> store;
    std::unique_ptr<archive_pool> pool;
    /// Taken in at once. Well below the archives that may be open (64), so that one that is filled stays
    /// open.
    static constexpr std::size_t most_long_answers = 16;
    std::shared_ptr<turnstile> long_answers = std::make_shared<turnstile>(ex, most_long_answers);
    std::unique_ptr<ownership> bridges;  ///< null: this one has all masters
    std::map<std::string, master> masters;
    std::map<std::string, destination> destinations;
    std::vector<std::unique_ptr<deliver::delivery>> abandoned;  ///< run() still uses them: a disk hangs
    enrichment inventories;
    std::set<std::string> replaying;                ///< destinations with a replay under way
    std::map<std::string, archive_facts> stored;    ///< size and age of each archive, as last looked up
    std::map<std::string, std::int64_t> last_news;  ///< ms, per master
    std::set<std::string> backfilling;              ///< masters that a command asks again for a span
    std::deque<update> updates;                     ///< of breaches, that send_updates() has not taken yet
    bool updates_dropped = false;
    /// How long breaches of a model took to be acknowledged, by master and model.
    struct acknowledged_model
    {
        std::int64_t count = 0, delay_ms = 0;
    };
    std::map<std::pair<std::string, std::string>, acknowledged_model> acknowledged;
    doorbell update_bell;
    std::unique_ptr<control_server> control;
    std::shared_ptr<web::server> listener;
    std::shared_ptr<web::tls_server> listener_tls;
    web::news_board board;
    watch_state watching;
    std::int64_t reloaded = 0;  ///< ms, when the configuration in force was taken
    bool reload_failed = false;
    notifier notify;
    std::int64_t started = now_ms();
    std::chrono::steady_clock::time_point next_reopen, next_space, next_pass;  ///< when rounds are due
    bool was_full = false;  ///< the archive, when retention last looked
    bool paused = false;    ///< when_full = "pause" and it is full
    bool failed = false;
    bool starting = false, stopping = false;
    bool reload_wanted = false, reloading = false;
};

}  // namespace dtbridge::app
