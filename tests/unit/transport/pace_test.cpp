#include <dtbridge/transport/pace.hpp>

#include <boost/test/unit_test.hpp>

using namespace dtbridge::transport;
using namespace std::chrono_literals;

BOOST_AUTO_TEST_SUITE(pace)

BOOST_AUTO_TEST_CASE(without_limit_nothing_waits)
{
    pacer p(0);
    BOOST_TEST((p.take(1000000, pacer::time_point{}) == 0ns));
    BOOST_TEST(p.burst() > 100000u);
}

BOOST_AUTO_TEST_CASE(a_thousand_a_second)
{
    pacer p(1000);
    BOOST_TEST(p.burst() == 50u);
    pacer::time_point now{1h};
    BOOST_TEST((p.take(50, now) == 0ns));   // the bucket is full at first
    BOOST_TEST((p.take(50, now) == 50ms));  // 50 messages are 50 ms
    BOOST_TEST((p.take(50, now + 50ms) == 50ms));
    BOOST_TEST((p.take(10, now + 100ms) == 10ms));
    BOOST_TEST((p.take(1, now + 10s) == 0ns));  // an idle time saves no more than a burst
    BOOST_TEST((p.take(50, now + 10s) == 1ms));
}

BOOST_AUTO_TEST_CASE(never_more_than_rate_and_burst_in_any_second)
{
    pacer p(200);
    BOOST_TEST(p.burst() == 10u);
    pacer::time_point now{1h};
    const auto end = now + 10s;
    int sent = 0;
    while (now < end)
    {
        now += p.take(10, now);
        if (now < end)
            sent += 10;
    }
    BOOST_TEST(sent >= 1990);
    BOOST_TEST(sent <= 2010);
}

BOOST_AUTO_TEST_CASE(slow_paces_send_one_at_a_time)
{
    pacer p(0.5);
    BOOST_TEST(p.burst() == 1u);
    pacer::time_point now{1h};
    BOOST_TEST((p.take(1, now) == 0ns));
    BOOST_TEST((p.take(1, now) == 2s));
}

BOOST_AUTO_TEST_CASE(a_clock_that_goes_back_brings_nothing)
{
    pacer p(1000);
    pacer::time_point now{1h};
    BOOST_TEST((p.take(50, now) == 0ns));
    BOOST_TEST((p.take(1, now - 10s) == 1ms));
    BOOST_TEST((p.take(1, now) == 2ms));
}

BOOST_AUTO_TEST_SUITE_END()
