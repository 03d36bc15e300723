#pragma once

/// What the files of the running service share: service.cpp starts, reloads and stops, service_answers.cpp
/// answers what commands ask through the control socket. Private to them.

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <boost/asio/signal_set.hpp>
#include <boost/json/object.hpp>

#include <dtbridge/archive/archive.hpp>
#include <dtbridge/config/configuration.hpp>
#include <dtbridge/core/time.hpp>
#include <dtbridge/deliver/delivery.hpp>
#include <dtbridge/poll/poller.hpp>

#include "app/control.hpp"
#include "app/health.hpp"
#include "app/notify.hpp"
#include "app/service.hpp"

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
          others(ex,
                 [this](const std::string& name, std::exception_ptr e) { task_failed("service", name, e); })
    {}

    // Start
    outcome<bool> prepare();
    void start_control();
    awaitable<void> open_master(std::string name);
    void start_poller(master& m);
    awaitable<bool> stop_poller(std::string name);
    outcome<bool> start_destination(const config::destination& d);
    void start_or_say(const config::destination& d);
    awaitable<void> stop_destination(std::string name);
    void attach(destination& d, const std::string& master_name);
    void start_listener();

    // Run
    awaitable<void> reopen_masters();
    awaitable<void> keep_space();
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
    boost::json::object status_json() const;
    std::int64_t master_now(const master& m) const;  ///< ms, by the master's clock as far as it is known

    void task_failed(const char* component, const std::string& name, std::exception_ptr error);
    void news(const std::string& name);

    asio::any_io_executor ex, worker;
    std::string config_file;
    asio::signal_set signals;
    task_group polls, deliveries, others;
    config::configuration config;
    std::unique_ptr<service_store> store;
    std::unique_ptr<archive_pool> pool;
    std::map<std::string, master> masters;
    std::map<std::string, destination> destinations;
    std::vector<std::unique_ptr<deliver::delivery>> abandoned;  ///< run() still uses them: a disk hangs
    std::map<std::string, std::int64_t> archive_bytes;
    std::unique_ptr<control_server> control;
    std::unique_ptr<health_listener> listener;
    notifier notify;
    std::int64_t started = now_ms();
    bool paused = false;  ///< when_full = "pause" and it is full
    bool failed = false;
    bool stopping = false;
    bool reload_wanted = false, reloading = false;
};

}  // namespace dtbridge::app
