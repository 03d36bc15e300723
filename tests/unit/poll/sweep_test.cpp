// Sweeps and back-fills with scripted answers: no sockets, no sleeping.

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <functional>

#include <dtbridge/core/log.hpp>

#include "scripted.hpp"
#include "support/captured_log.hpp"

using namespace dtbridge;
using namespace dtbridge::poll;
using dtbridge::poll::test::question;
using dtbridge::poll::test::reply;
using dtbridge::poll::test::world;
using dtbridge::test::captured_log;

BOOST_AUTO_TEST_SUITE(reconciling)

namespace
{

constexpr std::int64_t second = 1'000;
constexpr std::int64_t minute = 60 * second;
constexpr std::int64_t hour = 60 * minute;
constexpr std::int64_t day = 24 * hour;
constexpr std::int64_t t0 = world::start;

using ids = std::vector<std::int64_t>;

/// A world that sweeps every hour.
struct sweeping : world
{
    sweeping()
    {
        options.reconcile_interval = std::chrono::milliseconds(hour);
        options.interval = std::chrono::milliseconds(minute);  // polls are not what is looked at
    }

    void remove(std::int64_t pbid)
    {
        std::erase_if(master->breaches, [pbid](const auto& b) { return b.pbid == pbid; });
    }
    ids kept(difference::kind what) const
    {
        ids out;
        for (const auto& d : store->kept_differences)
        {
            if (d.what == what)
                out.push_back(d.key.pbid);
        }
        std::sort(out.begin(), out.end());
        return out;
    }
    /// Polls until such a question is asked, then stops; whether it ended by that.
    bool stop_when(std::function<bool(const question&)> is_then)
    {
        asio::cancellation_signal stop;
        // As the HTTP client answers it.
        master->instead = [&](const question& q) -> std::optional<reply> {
            if (!is_then(q))
                return std::nullopt;
            asio::post(io, [&] { stop.emit(asio::cancellation_type::terminal); });
            reply r;
            r.headless = true;
            r.breaks = fail(asio::error::operation_aborted, "acme: cancelled");
            return r;
        };
        time->until(day);
        io.restart();
        bool ended = false;
        asio::co_spawn(io, loop->run(), asio::bind_cancellation_slot(stop.slot(), [&](std::exception_ptr e) {
                           BOOST_CHECK_THROW(std::rethrow_exception(e), boost::system::system_error);
                           ended = is_then(master->questions.back());
                       }));
        io.run();
        return ended;
    }
    std::size_t asked_by_pbid() const
    {
        return static_cast<std::size_t>(
            std::count_if(master->questions.begin(), master->questions.end(), [](const question& q) {
                return q.query.contains("pbid");
            }));
    }
    /// The newest that a sweep recorded.
    window_counts last_sweep() const
    {
        for (auto w = store->recorded.rbegin(); w != store->recorded.rend(); ++w)
        {
            if (w->sweep)
                return *w;
        }
        return {};
    }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(sweeps)

BOOST_AUTO_TEST_CASE(a_sweep_finds_what_polling_cannot)
{
    world w;
    w.options.reconcile_interval = std::chrono::milliseconds(hour);
    w.run(3 * hour);
    // Shown three days after its creation; and by an appliance that only knows activity, created days after
    // its time.
    w.add(1, t0 - 12 * hour, t0 + 4 * hour);
    w.add(2, t0 + 4 * hour, 0, 20 * hour);
    w.run(3 * hour);
    ids all = w.store->pbids();
    std::sort(all.begin(), all.end());
    BOOST_TEST(all == (ids{1, 2}), boost::test_tools::per_element());
    BOOST_TEST(w.status().late == 1);
    BOOST_TEST(w.status().differences == 1);
    BOOST_TEST(w.status().sweeps >= 5);
    const auto sweep = std::find_if(w.store->recorded.begin(),
                                    w.store->recorded.end(),
                                    [](const window_counts& c) { return c.sweep && c.late == 1; });
    BOOST_REQUIRE((sweep != w.store->recorded.end()));
    BOOST_TEST(sweep->shown == 2);
    BOOST_TEST(sweep->archived == 1);
    BOOST_TEST(sweep->end - sweep->start == 24 * hour);
    // Sweeps do not disturb polling: no more than a poll's time between polls.
    std::int64_t last = 0;
    for (const auto& q : w.master->questions)
    {
        if (q.get("creationtime") != "true")
            continue;
        if (last != 0)
            BOOST_TEST(q.wall - last < 12 * second);
        last = q.wall;
    }
}

BOOST_AUTO_TEST_CASE(an_old_appliance_is_made_whole_by_sweeps)
{
    world w;
    w.options.reconcile_interval = std::chrono::milliseconds(hour);
    w.master->ignores_creation = true;
    w.run(3 * hour);
    // Found by nobody who asks by activity for the last minutes.
    w.add(1, w.time->now().wall + minute, 0, 3 * hour);
    w.run(2 * hour);
    BOOST_TEST(w.store->pbids() == (ids{1}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(the_first_sweep_is_deep_and_takes_what_is_older_without_calling_it_late)
{
    world w;
    w.options.reconcile_interval = std::chrono::milliseconds(hour);
    w.add(1, t0 - 5 * day);
    w.run(2 * hour);
    BOOST_TEST(w.store->pbids() == (ids{1}), boost::test_tools::per_element());
    BOOST_TEST(w.status().late == 0);
    BOOST_TEST(w.status().differences == 0);
    BOOST_TEST(w.store->recorded.front().sweep == true);
}

BOOST_AUTO_TEST_CASE(sweeps_ask_for_minimal_where_that_saves)
{
    world w;
    w.options.reconcile_interval = std::chrono::milliseconds(hour);
    w.options.reconcile_deep = std::chrono::milliseconds(day);
    // 6 KB a minute are 8.6 MB a day.
    const std::string pad = R"(,"pad":")" + std::string(6'000, 'p') + "\"";
    for (int i = 0; i < 24 * 60; ++i)
    {
        w.add(i + 1, t0 - 24 * hour + (i + 1) * minute);
        w.master->breaches.back().left_out = pad;
    }
    w.run(2 * hour);
    const auto minimal = [&](const question& q) { return q.get("minimal") == "true"; };
    BOOST_TEST(std::count_if(w.master->questions.begin(), w.master->questions.end(), minimal) > 0);
    const auto by_pbid = [](const question& q) { return q.query.contains("pbid"); };
    BOOST_TEST(std::count_if(w.master->questions.begin(), w.master->questions.end(), by_pbid) == 0);
    BOOST_TEST(w.store->records.size() == 1440u);
    // What is missing is fetched in full, by its pbid.
    w.add(5'000, t0 - 19 * hour + 1, w.time->now().wall);
    w.run(2 * hour);
    BOOST_TEST(std::count_if(w.master->questions.begin(), w.master->questions.end(), by_pbid) == 1);
    BOOST_REQUIRE(w.store->records.size() == 1441u);
    BOOST_TEST(w.store->records.back().body.find("\"model\"") != std::string::npos);
    BOOST_TEST(w.status().late == 1);
}

BOOST_AUTO_TEST_CASE(minimal_answers_without_creation_are_not_used)
{
    world w;
    w.options.reconcile_interval = std::chrono::milliseconds(hour);
    const std::string pad = R"(,"pad":")" + std::string(6'000, 'p') + "\"";
    for (int i = 0; i < 24 * 60; ++i)
    {
        w.add(i + 1, t0 - 24 * hour + (i + 1) * minute);
        w.master->breaches.back().left_out = pad;
    }
    w.master->instead = [&](const question& q) -> std::optional<reply> {
        if (q.get("minimal") != "true")
            return std::nullopt;
        reply r;
        r.body = R"([{"pbid":1,"time":1703984380000,"model":{}}])";
        return r;
    };
    w.run(2 * hour);
    const auto minimal = [&](const question& q) { return q.get("minimal") == "true"; };
    BOOST_TEST(std::count_if(w.master->questions.begin(), w.master->questions.end(), minimal) == 1);
    BOOST_TEST(w.store->records.size() == 1440u);
    BOOST_TEST(w.status().late == 0);
}

BOOST_AUTO_TEST_CASE(sweeps_note_what_changed_about_a_breach)
{
    world w;
    w.options.reconcile_interval = std::chrono::milliseconds(hour);
    w.add(1, t0 - hour);
    w.add(2, t0 - hour + 1);
    w.run(2 * hour);
    w.master->breaches[0].extra = R"(,"acknowledged":{"time":1,"username":"x"},"commentCount":3)";
    w.run(2 * hour);
    const auto* r = w.store->by_key({1, t0 - hour});
    BOOST_REQUIRE(r != nullptr);
    BOOST_REQUIRE(r->changes.size() == 1u);
    BOOST_TEST(r->changes[0].acknowledged);
    BOOST_TEST(r->changes[0].comment_count == 3);
    BOOST_TEST(w.status().state_changes == 1);
    w.master->breaches[0].extra.clear();
    w.run(2 * hour);
    BOOST_TEST(r->changes.size() == 2u);
    BOOST_TEST(w.store->by_key({2, t0 - hour + 1})->changes.empty());
}

BOOST_AUTO_TEST_CASE(what_polling_missed_is_kept_by_pbid)
{
    sweeping w;
    w.run(3 * hour);
    w.add(7, t0 - 12 * hour, t0 + 4 * hour);  // shown sixteen hours after its creation
    w.run(3 * hour);
    BOOST_TEST(w.kept(difference::kind::late) == (ids{7}), boost::test_tools::per_element());
    BOOST_TEST(w.status().differences == 1);
    // The window that found it, and the one after: held is what the archive has.
    BOOST_TEST(w.last_sweep().shown == 1);
    BOOST_TEST(w.last_sweep().held == 1);
    BOOST_TEST(w.last_sweep().late == 0);
    BOOST_TEST(w.last_sweep().gone == 0);
}

BOOST_AUTO_TEST_CASE(what_the_api_shows_no_longer_is_named_once)
{
    sweeping w;
    for (int i = 1; i <= 10; ++i)
        w.add(i, t0 - i * hour);
    w.run(90 * minute);
    BOOST_TEST(w.store->records.size() == 10u);
    BOOST_TEST(w.last_sweep().held == 10);
    BOOST_TEST(w.asked_by_pbid() == 0u);
    w.remove(3);
    w.remove(4);
    w.run(2 * hour);
    BOOST_TEST(w.kept(difference::kind::gone) == (ids{3, 4}), boost::test_tools::per_element());
    BOOST_TEST(w.kept(difference::kind::late).empty());
    BOOST_TEST(w.status().differences == 2);
    BOOST_TEST(w.last_sweep().shown == 8);
    BOOST_TEST(w.last_sweep().held == 10);
    BOOST_TEST(w.last_sweep().gone == 2);
    // Each was asked for by its pbid before it was believed, and not again by later sweeps.
    BOOST_TEST(w.asked_by_pbid() == 2u);
    const auto sweeps_before = w.status().sweeps;
    w.run(3 * hour);
    BOOST_TEST(w.status().sweeps > sweeps_before);
    BOOST_TEST(w.asked_by_pbid() == 2u);
    BOOST_TEST(w.status().differences == 2);
    // A restart does not name them anew.
    w.restart();
    w.run(2 * hour);
    BOOST_TEST(w.status().differences == 0);
    // Shown again: settled.
    w.add(3, t0 - 3 * hour);
    w.run(2 * hour);
    BOOST_TEST(w.kept(difference::kind::gone) == (ids{4}), boost::test_tools::per_element());
    BOOST_TEST(w.last_sweep().gone == 1);
}

BOOST_AUTO_TEST_CASE(a_breach_that_moved_out_of_its_window_is_not_gone)
{
    sweeping w;
    w.add(1, t0 - 5 * hour);
    w.add(2, t0 - 6 * hour);
    w.run(90 * minute);
    // The API shows another time for it now, as versions differ in what time is.
    w.master->breaches[0].time = t0 - 40 * day;
    w.run(5 * hour);
    BOOST_TEST(w.kept(difference::kind::gone).empty());
    BOOST_TEST(w.asked_by_pbid() == 1u);
    BOOST_TEST(w.last_sweep().gone == 0);
}

BOOST_AUTO_TEST_CASE(many_that_are_gone_are_not_all_asked_for)
{
    sweeping w;
    for (int i = 1; i <= 500; ++i)
        w.add(i, t0 - i * minute);
    w.run(90 * minute);
    BOOST_TEST(w.store->records.size() == 500u);
    w.master->breaches.clear();  // restored from before
    w.run(2 * hour);
    BOOST_TEST(w.kept(difference::kind::gone).size() == 500u);
    BOOST_TEST(w.asked_by_pbid() == 32u);
}

BOOST_AUTO_TEST_CASE(a_narrowed_query_says_nothing_about_what_is_gone)
{
    sweeping w;
    w.options.query = {{"includesuppressed", "true"}};  // leaves out what is acknowledged
    w.add(1, t0 - 5 * hour);
    w.run(90 * minute);
    w.remove(1);
    w.run(3 * hour);
    BOOST_TEST(w.kept(difference::kind::gone).empty());
    BOOST_TEST(w.asked_by_pbid() == 0u);
}

BOOST_AUTO_TEST_CASE(minimal_sweeps_see_what_is_gone_too)
{
    sweeping w;
    w.options.reconcile_deep = std::chrono::milliseconds(day);
    const std::string pad = R"(,"pad":")" + std::string(6'000, 'p') + "\"";
    for (int i = 0; i < 24 * 60; ++i)
    {
        w.add(i + 1, t0 - 24 * hour + (i + 1) * minute);
        w.master->breaches.back().left_out = pad;
    }
    w.run(2 * hour);
    BOOST_TEST(w.store->records.size() == 1440u);
    w.remove(1000);
    w.run(2 * hour);
    const auto minimal = [&](const question& q) { return q.get("minimal") == "true"; };
    BOOST_TEST(std::count_if(w.master->questions.begin(), w.master->questions.end(), minimal) > 0);
    BOOST_TEST(w.kept(difference::kind::gone) == (ids{1000}), boost::test_tools::per_element());
}

namespace
{

/// How a master answers where it does not give one breach by its pbid.
using refusing = reply (*)();
reply answered(unsigned status, std::string body)
{
    reply r;
    r.status = status;
    r.body = std::move(body);
    return r;
}
const refusing refusals[] = {
    [] { return answered(200, R"({"x":1})"); },
    [] { return answered(200, R"({"response":"ERROR"})"); },
    [] { return answered(400, R"({"response":"INPUT ERROR"})"); },
    [] { return answered(403, ""); },
    [] {
        reply r = answered(302, "");
        r.location = "/403";
        return r;
    },
    [] { return answered(200, R"([{"x":1}{"x":2}])"); },
    [] { return answered(500, ""); },
    [] {
        reply r;
        r.headless = true;
        r.takes = minute;
        r.breaks = fail(errc::timed_out, "no answer within 60 s");
        return r;
    },
};

/// Shows so much that sweeps ask for minimal=true, and breach 5000 to sweeps alone.
struct sweeping_minimal : sweeping
{
    sweeping_minimal()
    {
        options.reconcile_deep = std::chrono::milliseconds(day);
        const std::string pad = R"(,"pad":")" + std::string(6'000, 'p') + "\"";
        for (int i = 0; i < 24 * 60; ++i)
        {
            add(i + 1, t0 - 24 * hour + (i + 1) * minute);
            master->breaches.back().left_out = pad;
        }
        run(2 * hour);
        add(5'000, t0 - 19 * hour + 1, time->now().wall);
    }
};

/// Asked for that breach by its pbid, the master answers so.
void refuse(world& w, std::string pbid, std::function<reply()> answer)
{
    w.master->instead = [pbid = std::move(pbid),
                         answer = std::move(answer)](const question& q) -> std::optional<reply> {
        if (q.get("pbid") != pbid)
            return std::nullopt;
        return answer();
    };
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_breach_shown_and_not_to_be_had_is_kept_as_withheld)
{
    sweeping_minimal w;
    refuse(w, "5000", [] { return answered(404, ""); });
    w.run(2 * hour);
    BOOST_TEST(w.kept(difference::kind::withheld) == (ids{5'000}), boost::test_tools::per_element());
    BOOST_TEST(w.store->records.size() == 1440u);
}

BOOST_DATA_TEST_CASE(one_breach_that_is_refused_stops_no_sweep,
                     boost::unit_test::data::make(refusals),
                     refusal)
{
    sweeping_minimal w;
    w.add(5'001, t0 - 18 * hour + 1, w.time->now().wall);
    refuse(w, "5000", refusal);
    const auto before = w.status().sweeps;
    w.run(4 * hour);
    BOOST_TEST(w.status().sweeps >= before + 3);
    BOOST_TEST(w.status().sweep_error == "");
    BOOST_TEST(w.kept(difference::kind::withheld) == (ids{5'000}), boost::test_tools::per_element());
    BOOST_TEST(w.store->records.size() == 1441u);
    BOOST_TEST(w.kept(difference::kind::late) == (ids{5'001}), boost::test_tools::per_element());
}

BOOST_DATA_TEST_CASE(one_breach_that_is_refused_is_not_taken_for_gone,
                     boost::unit_test::data::make(refusals),
                     refusal)
{
    sweeping w;
    w.add(1, t0 - 5 * hour);
    w.add(2, t0 - 4 * hour);
    w.run(90 * minute);
    w.remove(1);
    w.remove(2);
    refuse(w, "1", refusal);
    const auto before = w.status().sweeps;
    w.run(4 * hour);
    BOOST_TEST(w.status().sweeps >= before + 3);
    BOOST_TEST(w.status().sweep_error == "");
    BOOST_TEST(w.kept(difference::kind::gone) == (ids{2}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_token_revoked_in_the_middle_of_a_sweep_withholds_nothing)
{
    sweeping_minimal w;
    bool revoked = false;
    w.master->instead = [&](const question& q) -> std::optional<reply> {
        revoked = revoked || q.get("pbid") == "5000";
        if (!revoked)
            return std::nullopt;
        return answered(403, "");
    };
    w.run(2 * hour);
    BOOST_TEST(revoked);
    BOOST_TEST(w.kept(difference::kind::withheld).empty());
    BOOST_TEST((w.status().state == poll_state::failing));
    w.master->instead = nullptr;
    w.run(2 * hour);
    BOOST_TEST(w.kept(difference::kind::withheld).empty());
    BOOST_TEST(w.store->records.size() == 1441u);
}

BOOST_AUTO_TEST_CASE(a_sweep_that_is_answered_nothing_ends_until_it_is_due_again)
{
    sweeping w;
    const auto is_of_a_sweep = [](const question& q) { return q.get("creationtime") != "true"; };
    w.add(1, t0 - 2 * day);
    w.master->instead = [&](const question& q) -> std::optional<reply> {
        if (!is_of_a_sweep(q))
            return std::nullopt;
        return answered(500, "");
    };
    {
        captured_log log;
        w.run(day);
        const auto& asked = w.master->questions;
        const auto of_sweeps = std::count_if(asked.begin(), asked.end(), is_of_a_sweep);
        BOOST_TEST(of_sweeps > 20);
        BOOST_TEST(of_sweeps < 400);
        BOOST_TEST(log.lines_with("a sweep ends early") > 3u);
        BOOST_TEST(log.lines_with(" warning ") < 40u);
    }
    BOOST_TEST(w.status().sweeps == 0);
    BOOST_TEST(w.status().sweep_error.find("500") != std::string::npos, w.status().sweep_error);
    BOOST_TEST((w.status().state == poll_state::polling));
    w.master->instead = nullptr;
    w.run(4 * hour);
    BOOST_TEST(w.status().sweeps > 0);
    BOOST_TEST(w.status().sweep_error == "");
    w.run(day);
    BOOST_TEST(w.store->pbids() == (ids{1}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(what_a_sweep_that_ended_early_found_is_kept_as_late)
{
    sweeping w;
    w.run(90 * minute);
    const std::int64_t from = t0 - 8 * hour;
    w.add(7, t0 - 12 * hour, w.time->now().wall);
    w.master->instead = [&](const question& q) -> std::optional<reply> {
        if (q.query.contains("pbid") || q.get("creationtime") == "true" || q.asked().end < from)
            return std::nullopt;
        return answered(500, "");
    };
    const auto before = w.status().sweeps;
    w.run(3 * hour);
    BOOST_TEST(w.status().sweeps == before);
    BOOST_TEST(w.status().sweep_error.find("ended early") == 0u, w.status().sweep_error);
    BOOST_TEST(w.kept(difference::kind::late) == (ids{7}), boost::test_tools::per_element());
    BOOST_TEST(w.status().differences == 1);
}

BOOST_AUTO_TEST_CASE(spans_that_a_sweep_leaves_out_are_said_once)
{
    sweeping w;
    w.options.reconcile_deep = std::chrono::milliseconds(day);
    const std::int64_t holes[] = {t0 - 20 * hour + 12'345, t0 - 15 * hour + 12'345, t0 - 10 * hour + 12'345};
    std::size_t failed = 0;
    w.master->instead = [&](const question& q) -> std::optional<reply> {
        const auto is_in = [&](std::int64_t hole) { return q.asked().holds(hole); };
        if (q.get("creationtime") == "true" || std::none_of(std::begin(holes), std::end(holes), is_in))
            return std::nullopt;
        ++failed;
        return answered(500, "");
    };
    captured_log log;
    w.make();
    while (w.status().sweeps == 0 && w.time->now().wall < t0 + day)
        w.run(5 * minute);
    BOOST_TEST(w.status().sweeps == 1);
    BOOST_TEST(w.status().sweep_error.find("left out") == 0u, w.status().sweep_error);
    BOOST_TEST(w.status().sweep_error.find("and 2 spans before it") != std::string::npos,
               w.status().sweep_error);
    BOOST_TEST(log.lines_with("a sweep leaves out a span") == 1u);
    BOOST_TEST(log.lines_with("a sweep left out more than one span") == 1u);
    // Each is waited for as any failure is, the left out one too.
    BOOST_TEST(failed < 60u);
}

/// What is being asked when the bridge is told to stop.
using moment = bool (*)(const question&);
const moment moments[] = {
    [](const question& q) { return q.get("creationtime") == "true"; },  // a poll
    [](const question& q) { return q.get("minimal") == "true"; },       // the window of a sweep
    [](const question& q) { return q.get("pbid") == "5000"; },          // a breach that a sweep found
};

BOOST_DATA_TEST_CASE(a_stop_is_no_failure_of_the_master, boost::unit_test::data::make(moments), is_then)
{
    sweeping w;
    w.options.reconcile_deep = std::chrono::milliseconds(day);
    const std::string pad = R"(,"pad":")" + std::string(6'000, 'p') + "\"";
    for (int i = 0; i < 24 * 60; ++i)
    {
        w.add(i + 1, t0 - 24 * hour + (i + 1) * minute);
        w.master->breaches.back().left_out = pad;
    }
    w.run(2 * hour);
    w.add(5'000, t0 - 19 * hour + 1, w.time->now().wall);
    BOOST_TEST(w.stop_when(is_then));
    BOOST_TEST(w.status().error == "");
    BOOST_TEST(w.status().sweep_error == "");
    BOOST_TEST(w.outcomes(answer_kind::unreachable) == 0u);
}

BOOST_AUTO_TEST_CASE(a_sweep_that_fails_in_the_middle_counts_once)
{
    sweeping w;
    for (int i = 1; i <= 200; ++i)
        w.add(i, t0 - i * hour);
    bool failing = false;
    std::size_t bad = 0;
    w.master->instead = [&](const question& q) -> std::optional<reply> {
        // Every third question of a sweep is not answered.
        if (!failing || q.get("creationtime") == "true" || ++bad % 3 != 0)
            return std::nullopt;
        reply r;
        r.status = 503;
        return r;
    };
    w.run(90 * minute);
    failing = true;
    w.remove(10);
    w.run(30 * hour);
    BOOST_TEST(bad > 10u);
    BOOST_TEST(w.kept(difference::kind::gone) == (ids{10}), boost::test_tools::per_element());
    bool deep = false;
    for (const auto& c : w.store->recorded)
    {
        if (!c.sweep || c.end - c.start < 8 * day || c.gone == 0)
            continue;
        deep = true;
        BOOST_TEST(c.gone == 1);
        BOOST_TEST(c.held == c.shown + 1);
    }
    BOOST_TEST(deep);
}

BOOST_AUTO_TEST_CASE(a_sweep_that_is_told_too_much_asks_for_less_and_says_so)
{
    sweeping w;
    w.add(1, t0 - 2 * day);
    w.master->instead = [](const question& q) -> std::optional<reply> {
        if (q.get("creationtime") == "true" || q.asked().length() <= hour)
            return std::nullopt;
        reply r;
        r.breaks = fail(errc::over_limit, "too much");
        return r;
    };
    dtbridge::log::set_level(dtbridge::log::level::debug);
    captured_log log;
    w.run(2 * hour);
    dtbridge::log::set_level(dtbridge::log::level::info);
    BOOST_TEST(w.status().sweeps >= 1);
    BOOST_TEST(w.status().sweep_error == "");
    BOOST_TEST((w.store->pbids() == (ids{1})));
    BOOST_TEST(log.lines_with("a sweep asks for less at a time: the answer is too large: too much") >= 1u);
    BOOST_TEST(log.lines_with(" warning ") == 0u);
}

BOOST_AUTO_TEST_CASE(polls_see_changed_states_within_their_overlap)
{
    world w;  // no sweep at all
    w.add(1, t0 - 2 * minute);
    w.add(2, t0 - 2 * minute);
    w.run(2 * minute);
    BOOST_TEST(w.changes.empty());
    w.master->breaches[0].extra =
        R"(,"acknowledged":{"time":1704070000000,"username":"jo\nx"},"commentCount":1)";
    w.run(2 * minute);
    BOOST_REQUIRE(w.changes.size() == 1u);
    BOOST_TEST(w.changes[0].key.pbid == 1);
    BOOST_TEST(!w.changes[0].was_acknowledged);
    BOOST_TEST(w.changes[0].now.acknowledged);
    BOOST_TEST(w.changes[0].now.comment_count == 1);
    BOOST_TEST(w.changes[0].now.acknowledged_at.value() == 1704070000000);
    BOOST_TEST(w.changes[0].acknowledged_by.find('\n') == std::string::npos);
    BOOST_TEST(w.changes[0].acknowledged_by.substr(0, 2) == "jo");
    w.master->breaches[0].extra = R"(,"acknowledged":false)";
    w.run(2 * minute);
    BOOST_REQUIRE(w.changes.size() == 2u);
    BOOST_TEST(w.changes[1].was_acknowledged);
    BOOST_TEST(!w.changes[1].now.acknowledged);
    BOOST_TEST(w.status().state_changes == 2);
}

BOOST_AUTO_TEST_CASE(a_minimal_answer_without_acknowledged_says_nothing_about_it)
{
    sweeping w;
    w.options.reconcile_deep = std::chrono::milliseconds(day);
    const std::string pad = R"(,"acknowledged":true,"pad":")" + std::string(6'000, 'p') + "\"";
    for (int i = 0; i < 24 * 60; ++i)
    {
        w.add(i + 1, t0 - 24 * hour + (i + 1) * minute);
        w.master->breaches.back().left_out = pad;
    }
    w.run(4 * hour);
    const auto minimal = [&](const question& q) { return q.get("minimal") == "true"; };
    BOOST_TEST(std::count_if(w.master->questions.begin(), w.master->questions.end(), minimal) > 0);
    BOOST_TEST(w.changes.empty());
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(backfill)

namespace
{

outcome<backfill_report> ask_again(
    world& w, std::int64_t from, std::int64_t to, backfill_progress progress = {}, bool only = true)
{
    w.make();
    window wanted;
    wanted.start = from;
    wanted.end = to - 1;
    auto task = w.loop->backfill(wanted, only, std::move(progress));
    return dtbridge::test::run_coro(w.io, std::move(task), std::chrono::seconds(10));
}

struct watcher
{
    std::vector<std::int64_t>* reached;
    std::size_t stop_after = 1'000;

    awaitable<bool> operator()(std::int64_t at, const backfill_report&) const
    {
        reached->push_back(at);
        return say(reached->size() < stop_after);
    }
    static awaitable<bool> say(bool go_on) { co_return go_on; }
};

}  // namespace

BOOST_AUTO_TEST_CASE(archives_a_span_beside_polling)
{
    world w;
    for (int i = 0; i < 100; ++i)
        w.add(i + 1, t0 - 30 * day + i * hour);
    w.run(minute);
    BOOST_TEST(w.store->records.empty());
    const auto position = w.store->stored->position;
    std::vector<std::int64_t> reached;
    w.time->until(hour);
    const auto report = ask_again(w, t0 - 30 * day + 10 * hour, t0 - 30 * day + 20 * hour, watcher{&reached});
    BOOST_REQUIRE(report.has_value());
    BOOST_TEST(report->archived == 10);
    BOOST_TEST(w.store->records.size() == 10u);
    BOOST_TEST(w.store->records.front().archive_only);
    BOOST_TEST(w.store->records.front().key.pbid == 11);  // from inclusive
    BOOST_TEST(w.store->records.back().key.pbid == 20);   // to exclusive
    BOOST_TEST(w.rings.empty());
    BOOST_TEST(reached.back() == t0 - 30 * day + 20 * hour - 1);
    BOOST_TEST(w.store->stored->position == position);
    // Once per breach: again, it brings nothing.
    const auto same = ask_again(w, t0 - 30 * day + 10 * hour, t0 - 30 * day + 20 * hour);
    BOOST_REQUIRE(same.has_value());
    BOOST_TEST(same->archived == 0);
    BOOST_TEST(same->repeated >= 10);  // what lies on the edge of two questions comes with both
    // It gives up on a master that stays bad.
    w.master->instead = [](const question&) {
        reply r;
        r.status = 503;
        return r;
    };
    const auto failed = ask_again(w, t0 - 30 * day, t0 - 29 * day);
    BOOST_REQUIRE(!failed.has_value());
    BOOST_TEST(failed.error().detail.find("503") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(what_polling_has_yet_to_bring_is_left_to_it)
{
    world w;
    w.run(5 * minute);
    w.restart();
    const auto position = w.store->stored->position;
    w.rings.clear();
    // The master is out of reach for three hours, and somebody asks again before polling does.
    w.time->advance(3 * hour);
    for (int i = 1; i <= 12; ++i)
        w.add(i, position - 2 * hour + i * 20 * minute);
    w.time->until(hour);
    const auto now = w.time->now().wall;
    const auto report = ask_again(w, now - 6 * hour, now);
    BOOST_REQUIRE(report.has_value());
    BOOST_TEST(report->archived == 5);
    BOOST_TEST(report->left_from == position - 10 * minute);
    BOOST_TEST(w.rings.empty());
    // A span that lies behind it altogether is not asked for.
    const auto asked = w.master->questions.size();
    const auto none = ask_again(w, now - hour, now);
    BOOST_REQUIRE(none.has_value());
    BOOST_TEST(none->left_from == now - hour);
    BOOST_TEST(w.master->questions.size() == asked);
    w.restart();
    w.run(minute);
    BOOST_TEST(w.store->records.size() == 12u);
    for (const auto& r : w.store->records)
        BOOST_TEST(r.archive_only == (r.key.pbid <= 5), r.key.pbid);
    BOOST_TEST(w.rings.back() == 12);
}

BOOST_AUTO_TEST_CASE(before_the_first_poll_what_that_reaches_back_to_is_left_to_it)
{
    world w;
    w.add(1, t0 - 25 * hour);
    w.add(2, t0 - 23 * hour);
    w.time->until(hour);
    const auto report = ask_again(w, t0 - 2 * day, t0);
    BOOST_REQUIRE(report.has_value());
    BOOST_TEST(w.store->pbids() == (ids{1}), boost::test_tools::per_element());
    BOOST_TEST(report->left_from == t0 - day);
}

BOOST_AUTO_TEST_CASE(what_is_delivered_is_asked_for_to_the_end_of_the_span)
{
    world w;
    w.run(minute);
    w.restart();
    w.time->advance(3 * hour);
    w.add(1, t0 + hour);
    w.time->until(hour);
    const auto report = ask_again(w, t0 - hour, t0 + 2 * hour, {}, false);
    BOOST_REQUIRE(report.has_value());
    BOOST_TEST(report->archived == 1);
    BOOST_TEST(report->left_from == 0);
}

BOOST_AUTO_TEST_CASE(delivers_where_asked)
{
    world w;
    w.add(1, t0 - 30 * day);
    w.time->until(hour);
    const auto report = ask_again(w, t0 - 31 * day, t0 - 29 * day, {}, false);
    BOOST_REQUIRE(report.has_value());
    BOOST_TEST(!w.store->records.at(0).archive_only);
    BOOST_TEST(w.rings.size() == 1u);
}

BOOST_AUTO_TEST_CASE(ends_when_nobody_listens_and_goes_on_when_run_again)
{
    world w;
    for (int i = 0; i < 200; ++i)
        w.add(i + 1, t0 - 30 * day + i * hour);
    std::vector<std::int64_t> reached;
    w.time->until(day);
    const auto cut = ask_again(w, t0 - 30 * day, t0 - 20 * day, watcher{&reached, 3});
    BOOST_REQUIRE(!cut.has_value());
    BOOST_TEST(reached.size() == 3u);
    BOOST_TEST(!w.store->records.empty());
    BOOST_TEST(w.store->records.size() < 200u);
    const auto whole = ask_again(w, t0 - 30 * day, t0 - 20 * day, watcher{&reached});
    BOOST_REQUIRE(whole.has_value());
    BOOST_TEST(w.store->records.size() == 200u);
}

BOOST_AUTO_TEST_CASE(a_master_that_ignores_creation_is_asked_from_earlier_on)
{
    world w;
    w.master->ignores_creation = true;
    w.add(1, t0 - 30 * day, 0, 20 * hour);  // began twenty hours before it was created
    w.add(
        2, t0 - 30 * day - 10 * minute, 0, -20 * minute);  // its time lies in the span, its creation does not
    w.time->until(day);
    const auto report = ask_again(w, t0 - 30 * day - minute, t0 - 29 * day);
    BOOST_REQUIRE(report.has_value());
    BOOST_TEST(w.store->pbids() == (ids{1}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(too_large_answers_are_halved)
{
    world w;
    for (int i = 0; i < 100; ++i)
        w.add(i + 1, t0 - 30 * day + i * minute);
    w.master->instead = [](const question& q) -> std::optional<reply> {
        if (q.asked().length() <= 10 * minute)
            return std::nullopt;
        reply r;
        r.breaks = fail(errc::over_limit, "too much");
        return r;
    };
    w.time->until(day);
    const auto report = ask_again(w, t0 - 30 * day, t0 - 30 * day + 2 * hour);
    BOOST_REQUIRE(report.has_value());
    BOOST_TEST(w.store->records.size() == 100u);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE_END()  // reconciling
