// The pure classes of windows, clocks and waits.

#include <boost/test/unit_test.hpp>

#include <dtbridge/poll/back_off.hpp>
#include <dtbridge/poll/master_clock.hpp>
#include <dtbridge/poll/window.hpp>

using namespace dtbridge::poll;

namespace
{

constexpr std::int64_t minute = 60'000;
constexpr std::int64_t hour = 60 * minute;
constexpr std::int64_t t0 = 1704070800000;

std::ostream& operator<<(std::ostream& o, const window& w)
{
    return o << '[' << w.start - t0 << ", " << w.end - t0 << ']';
}

poll_plan::settings settings()
{
    poll_plan::settings s;
    s.interval = 10'000;
    s.backfill = 24 * hour;
    s.overlap = 10 * minute;
    return s;
}

}  // namespace

namespace dtbridge::poll
{
using ::operator<<;
}

BOOST_AUTO_TEST_SUITE(windows)

BOOST_AUTO_TEST_CASE(the_first_poll_reaches_back_by_backfill_in_growing_slices)
{
    poll_plan plan(settings());
    std::optional<std::int64_t> position;
    std::int64_t from = t0 - 24 * hour;
    for (const std::int64_t length : {1, 2, 4, 8, 9})
    {
        const window w = plan.next(position, t0, 0);
        BOOST_TEST((w == window{from, from + length * hour}), w);
        plan.slices.answered(w, 1000, 100, 60'000);
        position = plan.position_after(w);
        plan.done(w);
        BOOST_TEST(*position == w.end);
        from = w.end;
    }
    BOOST_TEST(*position == t0);
    BOOST_TEST(plan.caught_up());
}

BOOST_AUTO_TEST_CASE(reach_is_a_minute_and_overlap_once_a_minute)
{
    poll_plan plan(settings());
    std::int64_t position = t0 - 10'000;
    // After a start the first poll reaches back by overlap; the one at 50 s is followed at 60 s, still in
    // time.
    const std::int64_t reaches[] = {10, 1, 1, 1, 1, 1, 10, 1, 1, 1, 1, 1, 10};
    for (std::size_t i = 0; i < std::size(reaches); ++i)
    {
        const auto now = static_cast<std::int64_t>(i) * 10'000;
        const window w = plan.next(position, t0 + now, now);
        BOOST_TEST((w == window{position - reaches[i] * minute, t0 + now}), w);
        position = plan.position_after(w);
        plan.done(w);
    }
}

BOOST_AUTO_TEST_CASE(a_slow_interval_overlaps_every_time)
{
    auto s = settings();
    s.interval = 5 * minute;
    poll_plan plan(s);
    std::int64_t position = t0;
    for (int i = 1; i < 4; ++i)
    {
        const window w = plan.next(position, t0 + i * 5 * minute, i * 5 * minute);
        BOOST_TEST(w.start == position - 10 * minute);
        position = plan.position_after(w);
        plan.done(w);
    }
}

BOOST_AUTO_TEST_CASE(a_position_in_the_future_counts_as_now)
{
    poll_plan plan(settings());
    const window w = plan.next(t0 + hour, t0, 0);
    BOOST_TEST((w == window{t0 - 10 * minute, t0}), w);
    BOOST_TEST(plan.position_after(w) == t0);
}

BOOST_AUTO_TEST_CASE(slices_shorter_than_the_reach_make_progress)
{
    poll_plan plan(settings());
    const std::int64_t position = t0;
    window w = plan.next(position, t0 + 10'000, 0);
    BOOST_TEST((w == window{t0 - 10 * minute, t0 + 10'000}), w);
    // 10 m 10 s, 5 m 5 s, 2 m 32.5 s, 1 m 16.25 s, 1 m.
    for (const std::int64_t length : {305'000, 152'500, 76'250, 60'000})
    {
        BOOST_TEST(plan.slices.halve(w));
        w = plan.next(position, t0 + 10'000, 0);
        BOOST_TEST((w == window{t0 - 10 * minute, t0 - 10 * minute + length}), w);
    }
    BOOST_TEST(!plan.slices.halve(w));
    // The position never falls back behind where it was.
    for (int i = 1; i <= 10; ++i)
    {
        BOOST_TEST(plan.position_after(w) == t0);
        plan.done(w);
        BOOST_TEST(!plan.caught_up());
        w = plan.next(position, t0 + 20'000, 1'000);  // now moves on meanwhile
        BOOST_TEST(w.start == t0 - 10 * minute + i * minute);
    }
    BOOST_TEST((w == window{t0, t0 + 20'000}), w);
    BOOST_TEST(plan.position_after(w) == t0 + 20'000);
    plan.done(w);
    BOOST_TEST(plan.caught_up());
}

BOOST_AUTO_TEST_CASE(a_failed_slice_is_asked_for_again)
{
    poll_plan plan(settings());
    const window first = plan.next(t0, t0 + 10'000, 0);
    const window again = plan.next(t0, t0 + 25'000, 15'000);
    BOOST_TEST(again.start == first.start);
    BOOST_TEST(again.end == t0 + 25'000);
}

BOOST_AUTO_TEST_CASE(a_clock_set_back_starts_anew_and_reaches_further)
{
    poll_plan plan(settings());
    window w = plan.next(t0, t0 + 10'000, 0);
    plan.done(w);
    plan.reach_further(11 * minute);
    w = plan.next(t0 + 10'000, t0 - 40 * minute, 20'000);
    BOOST_TEST((w == window{t0 - 40 * minute - 12 * minute, t0 - 40 * minute}), w);
    BOOST_TEST(plan.position_after(w) == t0 - 40 * minute);
    plan.done(w);
    // Once.
    w = plan.next(t0 - 40 * minute, t0 - 40 * minute + 10'000, 30'000);
    BOOST_TEST(w.start == t0 - 41 * minute);
}

BOOST_AUTO_TEST_CASE(a_slice_grows_on_small_quick_full_answers_only)
{
    slice_length s(hour);
    const window full{0, hour};
    s.answered(window{0, 70'000}, 10, 10, 60'000);
    BOOST_TEST(s.get() == hour);
    s.answered(full, 9u << 20, 10, 60'000);
    BOOST_TEST(s.get() == hour);
    s.answered(full, 10, 15'000, 60'000);
    BOOST_TEST(s.get() == hour);
    s.answered(full, 10, 14'999, 60'000);
    BOOST_TEST(s.get() == 2 * hour);
    BOOST_TEST(s.halve(window{0, 2 * hour}));
    for (unsigned i = 0; i < slice_length::patience; ++i)
    {
        s.answered(full, 10, 10, 60'000);
        BOOST_TEST(s.get() == hour);
    }
    s.answered(full, 10, 10, 60'000);
    BOOST_TEST(s.get() == 2 * hour);
    for (int i = 0; i < 40; ++i)
        s.answered(window{0, s.get()}, 10, 10, 60'000);
    BOOST_TEST(s.get() == slice_length::most);
}

BOOST_AUTO_TEST_CASE(what_is_newer_than_an_unanswered_window_is_asked_for_in_slices)
{
    plan_beside plan(t0, 10 * minute);
    BOOST_TEST(!plan.next(t0).has_value());
    BOOST_TEST((*plan.next(t0 + 5) == window{t0 + 1, t0 + 5}));
    const std::int64_t now = t0 + 90 * minute;
    BOOST_TEST((*plan.next(now) == window{t0 + 1, t0 + 1 + hour}));
    plan.done(*plan.next(now), now, 0);
    BOOST_TEST(!plan.caught_up());
    BOOST_TEST((*plan.next(now) == window{t0 + 1 + hour, now}));
    plan.done(*plan.next(now), now, 0);
    BOOST_TEST(plan.caught_up());
    // Back by overlap once a minute, else by one.
    BOOST_TEST((*plan.next(now + 10'000) == window{now - 10 * minute, now + 10'000}));
    plan.done(*plan.next(now + 10'000), now + 10'000, 10'000);
    BOOST_TEST((*plan.next(now + 20'000) == window{now + 10'000 - minute, now + 20'000}));
    // Never to what is not answered.
    plan.pass(window{now, now + 20'000});
    BOOST_TEST((*plan.next(now + 30'000) == window{now + 20'001, now + 30'000}));
    // A clock set back behind that has nothing newer.
    BOOST_TEST(!plan.next(now).has_value());
}

BOOST_AUTO_TEST_CASE(sweeps_are_hourly_and_a_deep_one_daily)
{
    sweep_schedule s(hour, 0, 0.5);
    BOOST_TEST((s.due(hour / 2 - 1) == sweep_schedule::kind::none));
    BOOST_TEST(s.wait(hour / 4) == hour / 4);
    BOOST_TEST((s.due(hour / 2) == sweep_schedule::kind::deep));
    s.done(sweep_schedule::kind::deep, hour / 2, 0.0);
    BOOST_TEST((s.due(hour / 2 + hour - 1) == sweep_schedule::kind::none));
    BOOST_TEST((s.due(hour / 2 + hour) == sweep_schedule::kind::plain));
    for (int i = 1; i < 24; ++i)
    {
        BOOST_TEST((s.due(hour / 2 + i * hour) == sweep_schedule::kind::plain));
        s.done(sweep_schedule::kind::plain, hour / 2 + i * hour, 0.0);
    }
    BOOST_TEST((s.due(hour / 2 + 24 * hour) == sweep_schedule::kind::deep));
    sweep_schedule never(0, 0, 0.0);
    BOOST_TEST((never.due(100 * hour) == sweep_schedule::kind::none));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(clocks)

BOOST_AUTO_TEST_CASE(own_clock_until_a_date_is_known)
{
    master_clock c;
    BOOST_TEST(!c.known());
    BOOST_TEST(c.now({t0, 5}) == t0);
    BOOST_TEST(!c.skew_seconds({t0, 5}).has_value());
    BOOST_TEST((c.listen(t0 + 90'000, 1'000) == master_clock::heard::taken));
    BOOST_TEST(c.now({t0, 1'000}) == t0 + 90'999);
    BOOST_TEST(c.now({t0, 11'000}) == t0 + 100'999);
    BOOST_TEST(*c.skew_seconds({t0, 1'000}) == 91);  // 90.5 on average, half up
    BOOST_TEST(*c.skew_seconds({t0 + 91'000, 1'000}) == -1);
    BOOST_TEST(*c.skew_seconds({t0 + 90'200, 1'000}) == 0);
}

BOOST_AUTO_TEST_CASE(a_jump_is_believed_at_the_second_answer)
{
    master_clock c;
    c.listen(t0, 0);
    BOOST_TEST((c.listen(t0 + 10'000 + 5 * minute, 10'000) == master_clock::heard::taken));
    c.listen(t0 + 20'000, 20'000);
    BOOST_TEST((c.listen(t0 + hour, 30'000) == master_clock::heard::doubted));
    BOOST_TEST(c.now({0, 30'000}) == t0 + 30'999);
    BOOST_TEST((c.listen(t0 + hour + 10'000, 40'000) == master_clock::heard::jumped_forward));
    BOOST_TEST(c.now({0, 40'000}) == t0 + hour + 10'999);
    BOOST_TEST((c.listen(t0 + 50'000, 50'000) == master_clock::heard::doubted));
    // A single liar between is forgotten.
    BOOST_TEST((c.listen(t0 + hour + 30'000, 60'000) == master_clock::heard::taken));
    BOOST_TEST((c.listen(t0 + 70'000, 70'000) == master_clock::heard::doubted));
    BOOST_TEST((c.listen(t0 - 5 * hour, 80'000) == master_clock::heard::doubted));  // two that disagree
    BOOST_TEST((c.listen(t0 - 5 * hour + 10'000, 90'000) == master_clock::heard::jumped_back));
    BOOST_TEST(c.now({0, 90'000}) == t0 - 5 * hour + 10'999);
}

BOOST_AUTO_TEST_CASE(setting_this_hosts_clock_changes_only_the_skew)
{
    master_clock c;
    c.listen(t0, 0);
    BOOST_TEST(c.now({t0 + 3 * hour, 1'000}) == t0 + 1'999);
    BOOST_TEST(*c.skew_seconds({t0 + 3 * hour, 0}) == -3 * 3600);
}

BOOST_AUTO_TEST_CASE(waits_double_to_a_bound_and_honour_retry_after)
{
    back_off b(1'000, 60'000);
    const std::int64_t whole[] = {1'000, 2'000, 4'000, 8'000, 16'000, 32'000, 60'000, 60'000};
    for (const auto step : whole)
    {
        back_off low = b;
        BOOST_TEST(low.failed(0.0) == step / 2);
        BOOST_TEST(b.failed(0.5) == step * 3 / 4);
    }
    for (int i = 0; i < 100'000; ++i)
        b.failed(0.0);
    BOOST_TEST(b.failed(0.0) == 30'000);
    BOOST_TEST(b.failed(0.0, 300'000) == 300'000);
    BOOST_TEST(b.failed(0.5, 300'000) == 315'000);
    b.succeeded();
    BOOST_TEST(b.failed(0.0) == 500);
}

BOOST_AUTO_TEST_SUITE_END()
