// What happens to masters in days, with scripted answers: no sockets, no sleeping.

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <iterator>
#include <numeric>

#include <dtbridge/poll/target.hpp>

#include "scripted.hpp"
#include "support/captured_log.hpp"

using namespace dtbridge;
using namespace dtbridge::poll;
using dtbridge::poll::test::fake_breach;
using dtbridge::poll::test::question;
using dtbridge::poll::test::reply;
using dtbridge::poll::test::world;
using dtbridge::test::captured_log;

BOOST_AUTO_TEST_SUITE(faults)

namespace
{

constexpr std::int64_t second = 1'000;
constexpr std::int64_t minute = 60 * second;
constexpr std::int64_t hour = 60 * minute;
constexpr std::int64_t day = 24 * hour;
constexpr std::int64_t t0 = world::start;

using ids = std::vector<std::int64_t>;

ids up_to(std::int64_t last)
{
    ids out(static_cast<std::size_t>(last));
    std::iota(out.begin(), out.end(), 1);
    return out;
}

ids sorted(ids all)
{
    std::sort(all.begin(), all.end());
    return all;
}

reply refused_connection()
{
    reply r;
    r.headless = true;
    r.breaks = fail(make_error_code(boost::system::errc::connection_refused), "connection refused");
    return r;
}

/// A breach every so often, dated by the master's clock, as time goes by.
struct stream
{
    world& w;
    std::int64_t every;
    std::int64_t made = 0;

    void operator()(std::size_t)
    {
        while ((made + 1) * every < w.time->now().wall - t0)
        {
            ++made;
            w.add(made, w.master->clock() - second);
        }
    }

    /// All of them but the last few, and nothing else.
    void are_there() const
    {
        const auto all = sorted(w.store->pbids());
        BOOST_TEST(all == up_to(static_cast<std::int64_t>(all.size())), boost::test_tools::per_element());
        BOOST_TEST(static_cast<std::int64_t>(all.size()) + 3 >= made);
    }
};

/// Refuses a date further than half an hour from the master's clock, as a master does.
std::optional<reply> strict_about_dates(const world& w, const question& q)
{
    const auto at = [&](std::int64_t ms) {
        return format_date(date_format::compact, w.master->clock() + ms);
    };
    const auto& date = q.headers.at("DTAPI-Date");
    if (date >= at(-30 * minute) && date <= at(30 * minute))
        return std::nullopt;
    reply r;
    r.status = 400;
    r.body = R"({"error":"API DATE ERROR"})";
    return r;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_master_gone_for_a_day_is_caught_up_with)
{
    world w;
    bool gone = false;
    for (int i = 0; i < 24 * 60; ++i)
        w.add(i + 1, t0 + i * minute);  // whether the bridge can reach it or not
    w.master->instead = [&](const question&) -> std::optional<reply> {
        if (gone)
            return refused_connection();
        return std::nullopt;
    };
    w.run(10 * minute);
    gone = true;
    const auto asked = w.master->questions.size();
    w.run(day);
    BOOST_TEST(w.status().error.find("refused") != std::string::npos);
    BOOST_TEST((w.status().state == poll_state::failing));
    BOOST_TEST(w.store->records.size() <= 12u);
    // Once a minute at most, when the back-off has grown.
    BOOST_TEST(w.master->questions.size() - asked < 2'100u);
    gone = false;
    w.run(3 * minute);
    BOOST_TEST(sorted(w.store->pbids()) == up_to(24 * 60), boost::test_tools::per_element());
    BOOST_TEST((w.status().state == poll_state::polling));
    BOOST_TEST(w.status().error == "");
    // What polling itself brings after a pause is not late.
    BOOST_TEST(w.status().late == 0);
    BOOST_TEST(w.status().archived == 24 * 60);
}

namespace
{

/// How a master fails where it trips over a breach.
using failing = reply (*)();
const failing failures[] = {
    [] {
        reply r;
        r.status = 500;
        return r;
    },
    [] {
        reply r;
        r.status = 504;
        return r;
    },
    [] {
        reply r;
        r.body = R"([{"pbid":99,"ti)";
        r.breaks = fail(make_error_code(boost::system::errc::connection_reset), "connection reset");
        return r;
    },
    [] {
        reply r;
        r.headless = true;
        r.takes = minute;
        r.breaks = fail(errc::timed_out, "no answer within 60 s");
        return r;
    },
    [] {
        reply r;
        r.body = R"([{"x":1}{"x":2}])";
        return r;
    },
};

void keeps_nothing_newer_back(failing fails)
{
    world w;
    w.options.reconcile_interval = std::chrono::milliseconds(hour);
    w.run(10 * minute);
    stream breaches{w, 30 * second};
    const std::int64_t corrupt = t0 + 10 * minute + 10 * second;
    bool mended = false;
    w.master->at_question = [&](std::size_t n) { breaches(n); };
    w.master->instead = [&](const question& q) -> std::optional<reply> {
        if (mended || q.query.contains("pbid"))
            return std::nullopt;
        const bool by_creation = q.get("creationtime") == "true";
        if (!q.asked().holds(by_creation ? corrupt : corrupt - 20 * second))
            return std::nullopt;
        return fails();
    };
    w.run(6 * hour);
    // All but what stands around it, and no later than in another hour.
    const auto there = sorted(w.store->pbids());
    BOOST_TEST(there.size() + 12 >= static_cast<std::size_t>(breaches.made));
    BOOST_TEST(there.back() + 6 >= breaches.made);
    BOOST_TEST(w.rings.size() > 100u);
    BOOST_TEST((w.status().state == poll_state::failing));
    BOOST_TEST(w.status().error.find("what is newer is polled meanwhile") != std::string::npos,
               w.status().error);
    BOOST_TEST(*w.status().position <= corrupt);
    BOOST_TEST(w.store->stored->position <= corrupt);
    BOOST_TEST(w.status().sweeps > 0);
    // The sweep under way may be at it just now.
    const auto has_left_out = [&] { return w.status().sweep_error.find("left out") == 0u; };
    while (!has_left_out() && w.time->now().wall < t0 + 8 * hour)
        w.run(minute);
    BOOST_TEST(has_left_out(), w.status().sweep_error);
    // The span is still asked for, though not more often than any master that fails.
    const auto is_for_it = [&](const question& q) {
        return q.get("creationtime") == "true" && q.asked().holds(corrupt);
    };
    const auto& asked = w.master->questions;
    const auto times = std::count_if(asked.begin(), asked.end(), is_for_it);
    BOOST_TEST(times > 100);
    BOOST_TEST(times < 700);
    mended = true;
    w.run(30 * minute);
    breaches.are_there();
    BOOST_TEST((w.status().state == poll_state::polling));
    BOOST_TEST(*w.status().position > t0 + 6 * hour);
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_span_that_is_not_answered_keeps_nothing_newer_back)
{
    for (std::size_t i = 0; i < std::size(failures); ++i)
    {
        BOOST_TEST_CONTEXT(i)
        keeps_nothing_newer_back(failures[i]);
    }
}

BOOST_AUTO_TEST_CASE(two_spans_that_are_not_answered_keep_nothing_newer_back)
{
    world w;
    w.run(10 * minute);
    stream breaches{w, 30 * second};
    const std::int64_t first = t0 + 10 * minute + 10 * second;
    const std::int64_t second_one = t0 + 2 * hour;
    bool mended = false;
    w.master->at_question = [&](std::size_t n) { breaches(n); };
    w.master->instead = [&](const question& q) -> std::optional<reply> {
        if (mended || (!q.asked().holds(first) && !q.asked().holds(second_one)))
            return std::nullopt;
        reply r;
        r.status = 500;
        return r;
    };
    w.run(5 * hour);
    BOOST_TEST(sorted(w.store->pbids()).back() + 3 >= breaches.made);
    BOOST_TEST(w.store->records.size() + 20 >= static_cast<std::size_t>(breaches.made));
    BOOST_TEST(w.store->stored->position <= first);
    mended = true;
    w.run(30 * minute);
    breaches.are_there();
}

BOOST_AUTO_TEST_CASE(minutes_that_are_not_answered_keep_nothing_newer_back)
{
    world w;
    w.run(10 * minute);
    stream breaches{w, 30 * second};
    const window hole{t0 + 10 * minute + 10 * second, t0 + 15 * minute};
    bool mended = false;
    w.master->at_question = [&](std::size_t n) { breaches(n); };
    w.master->instead = [&](const question& q) -> std::optional<reply> {
        if (mended || q.asked().end < hole.start || q.asked().start > hole.end)
            return std::nullopt;
        reply r;
        r.status = 500;
        return r;
    };
    {
        captured_log log;
        w.run(3 * hour);
        BOOST_TEST(log.lines_with("does not answer for a span, however short") == 1u);
        BOOST_TEST(log.lines_with("did not answer for another span either") == 1u);
    }
    BOOST_TEST(sorted(w.store->pbids()).back() + 3 >= breaches.made);
    BOOST_TEST(w.status().error.find("what is newer is polled meanwhile") != std::string::npos,
               w.status().error);
    mended = true;
    w.run(30 * minute);
    breaches.are_there();
}

BOOST_AUTO_TEST_CASE(a_master_that_answers_nothing_is_not_taken_for_a_span_that_is_not_answered)
{
    for (std::size_t i = 0; i < std::size(failures); ++i)
    {
        BOOST_TEST_CONTEXT(i)
        {
            world w;
            w.options.reconcile_interval = std::chrono::milliseconds(hour);
            w.run(10 * minute);
            stream breaches{w, 30 * second};
            bool gone = true;
            w.master->at_question = [&](std::size_t n) { breaches(n); };
            w.master->instead = [&](const question&) -> std::optional<reply> {
                if (!gone)
                    return std::nullopt;
                return failures[i]();
            };
            {
                captured_log log;
                w.run(12 * hour);
                BOOST_TEST(log.lines_with("not answer for") == 0u);
                // One every ten minutes, of a failure that lasts.
                BOOST_TEST(log.lines_with(" warning ") < 80u);
            }
            BOOST_TEST((w.status().state == poll_state::failing));
            BOOST_TEST(w.status().error.find("meanwhile") == std::string::npos, w.status().error);
            gone = false;
            w.run(5 * minute);
            breaches.are_there();
        }
    }
}

namespace
{

/// Does not answer for one moment, from ten minutes on.
struct one_hole : world
{
    static constexpr std::int64_t hole = t0 + 10 * minute + 10 * second;

    one_hole()
    {
        options.reconcile_interval = std::chrono::milliseconds(hour);
        run(10 * minute);
        master->instead = [this](const question& q) { return at_hole(q); };
        run(hour);
        BOOST_TEST(status().error.find("what is newer is polled meanwhile") != std::string::npos,
                   status().error);
    }
    static bool is_of_a_sweep(const question& q) { return q.get("creationtime") != "true"; }
    /// After one breach that was never shown before.
    std::optional<reply> at_hole(const question& q)
    {
        if (is_of_a_sweep(q) || !q.asked().holds(hole))
            return std::nullopt;
        fake_breach b;
        b.pbid = ++shown;
        b.time = b.creation = hole - second;
        reply r;
        r.body = "[" + b.text(false) + ",";
        r.breaks = fail(make_error_code(boost::system::errc::connection_reset), "connection reset");
        return r;
    }
    std::size_t of_sweeps() const
    {
        return static_cast<std::size_t>(
            std::count_if(master->questions.begin(), master->questions.end(), is_of_a_sweep));
    }
    std::int64_t shown = 1'000;
};

}  // namespace

BOOST_AUTO_TEST_CASE(nothing_is_swept_beside_a_span_while_the_archive_takes_nothing)
{
    one_hole w;
    BOOST_TEST(w.of_sweeps() > 0u);
    w.store->write_failure = fail(errc::disk_full, "no space");
    w.run(5 * minute);
    BOOST_TEST((w.status().state == poll_state::archive_full));
    const auto before = w.of_sweeps();
    w.run(6 * hour);
    BOOST_TEST((w.status().state == poll_state::archive_full));
    BOOST_TEST(w.of_sweeps() == before);
    w.store->write_failure.reset();
    w.run(2 * hour);
    BOOST_TEST(w.of_sweeps() > before);
}

BOOST_AUTO_TEST_CASE(a_token_refused_beside_a_span_is_asked_with_as_rarely_as_ever)
{
    for (const unsigned status : {401u, 403u})
    {
        BOOST_TEST_CONTEXT(status)
        {
            one_hole w;
            w.master->instead = [&](const question&) -> std::optional<reply> {
                reply r;
                r.status = status;
                r.body = "";
                return r;
            };
            w.run(hour);
            const auto before = w.master->questions.size();
            w.run(6 * hour);
            // Two, for the span and for what is newer, at most every 225 s.
            BOOST_TEST(w.master->questions.size() - before <= 200u);
            BOOST_TEST(w.master->questions.size() - before > 20u);
            w.master->instead = nullptr;
            w.run(20 * minute);
            BOOST_TEST((w.status().state == poll_state::polling));
        }
    }
}

BOOST_AUTO_TEST_CASE(a_bridge_stopped_for_a_day_is_the_same)
{
    world w;
    for (int i = 0; i < 24 * 60; ++i)
        w.add(i + 1, t0 + i * minute);
    w.run(10 * minute);
    w.restart();
    w.time->advance(day);
    w.run(3 * minute);
    BOOST_TEST(sorted(w.store->pbids()) == up_to(24 * 60), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_clock_off_by_forty_minutes_that_jumps_to_and_fro_loses_nothing)
{
    for (const std::int64_t first : {40 * minute, -40 * minute})
    {
        BOOST_TEST_CONTEXT(first)
        {
            world w;
            stream breaches{w, 7 * second};
            w.master->ahead = first;
            w.master->at_question = [&](std::size_t n) { breaches(n); };
            w.master->instead = [&](const question& q) { return strict_about_dates(w, q); };
            for (const std::int64_t ahead : {first, -first, std::int64_t{0}, first, std::int64_t{0}})
            {
                w.master->ahead = ahead;
                w.run(20 * minute);
                BOOST_TEST(*w.status().skew_seconds == ahead / second);
                BOOST_TEST(w.status().error == "");
            }
            w.run(2 * minute);
            const auto all = sorted(w.store->pbids());
            BOOST_TEST(all.size() + 3 >= static_cast<std::size_t>(breaches.made));
            BOOST_TEST(all == up_to(static_cast<std::int64_t>(all.size())), boost::test_tools::per_element());
            // A refused date costs one question, and no wait.
            BOOST_TEST(w.outcomes(answer_kind::date_error) <= 6u);
        }
    }
}

BOOST_AUTO_TEST_CASE(shown_three_days_after_its_creation)
{
    world w;
    w.options.reconcile_interval = std::chrono::milliseconds(hour);
    w.run(2 * hour);
    w.add(1, w.time->now().wall, w.time->now().wall + 3 * day);
    // The daily sweep reaches back that far.
    w.run(3 * day + 26 * hour);
    BOOST_TEST(w.store->pbids() == (ids{1}), boost::test_tools::per_element());
    BOOST_TEST(w.status().late == 1);
}

BOOST_AUTO_TEST_CASE(created_three_days_after_its_activity)
{
    world w;
    w.run(hour);
    w.add(1, w.time->now().wall, 0, 3 * day);
    w.run(minute);
    BOOST_TEST(w.store->pbids() == (ids{1}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(ids_used_again_by_a_replaced_appliance)
{
    world w;
    w.options.reconcile_interval = std::chrono::milliseconds(hour);
    for (int i = 1; i <= 20; ++i)
        w.add(i, t0 - i * minute);
    w.run(90 * minute);
    BOOST_TEST(w.store->records.size() == 20u);
    // Restored from nothing: its counter begins anew, and what it had is gone.
    w.master->breaches.clear();
    const auto now = w.time->now().wall;
    for (int i = 1; i <= 20; ++i)
        w.add(i, now + i * minute);
    w.run(3 * hour);
    BOOST_TEST(w.store->records.size() == 40u);
    BOOST_TEST(w.status().reused_pbids == 20);
    const auto gone = std::count_if(w.store->kept_differences.begin(),
                                    w.store->kept_differences.end(),
                                    [](const difference& d) { return d.what == difference::kind::gone; });
    BOOST_TEST(gone == 20);
    BOOST_TEST(w.status().archived == 40);
}

BOOST_AUTO_TEST_CASE(an_old_appliance_that_ignores_creationtime_is_made_whole)
{
    world w;
    w.options.reconcile_interval = std::chrono::milliseconds(hour);
    w.master->ignores_creation = true;
    w.add(1, t0 - 90 * minute, 0, 10 * hour);  // inside the window by its time alone
    w.add(2, t0 - 80 * minute);
    w.run(2 * hour);
    BOOST_TEST(w.status().by_activity);
    // Created hours after its activity: no poll by activity sees it, the hourly sweep does.
    w.add(3, w.time->now().wall + minute, 0, 5 * hour);
    w.run(90 * minute);
    BOOST_TEST(sorted(w.store->pbids()) == up_to(3), boost::test_tools::per_element());
    BOOST_TEST(w.status().differences == 1);
}

BOOST_AUTO_TEST_CASE(an_address_that_answers_nobody_halves_nothing)
{
    world w;
    for (int i = 0; i < 600; ++i)
        w.add(i + 1, t0 - 20 * hour + i * minute);
    bool black_hole = true;
    w.master->instead = [&](const question&) -> std::optional<reply> {
        if (!black_hole)
            return std::nullopt;
        reply r;
        r.headless = true;
        r.takes = minute;
        r.breaks = fail(make_error_code(boost::system::errc::timed_out), "timed out connecting");
        return r;
    };
    w.run(2 * hour);
    BOOST_TEST(w.outcomes(answer_kind::unreachable) > 20u);
    BOOST_TEST(w.outcomes(answer_kind::timed_out) == 0u);
    black_hole = false;
    const auto asked = w.master->questions.size();
    w.run(3 * minute);
    BOOST_TEST(sorted(w.store->pbids()) == up_to(600), boost::test_tools::per_element());
    // The first slice is still an hour long, as at the start.
    BOOST_REQUIRE(w.master->questions.size() > asked);
    BOOST_TEST(w.master->questions[asked].asked().length() == hour);
}

BOOST_AUTO_TEST_SUITE_END()
