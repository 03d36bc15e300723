#include "app/watch.hpp"

#include <boost/test/unit_test.hpp>

using dtbridge::app::watch_state;

namespace
{

constexpr std::int64_t t0 = 1'700'000'000'000, day = 24 * 3'600'000;

}  // namespace

BOOST_AUTO_TEST_CASE(a_mishap_is_news_on_its_first_day_and_again_after_a_quiet_one)
{
    watch_state::mishap m;
    BOOST_TEST(!m.is_news(0, t0));
    BOOST_TEST(!m.is_recent(t0));
    BOOST_TEST(m.is_news(5, t0));
    BOOST_TEST(!m.is_news(5, t0 + 1));
    BOOST_TEST(!m.is_news(6, t0 + 2));
    BOOST_TEST(m.count == 6);
    BOOST_TEST(m.is_recent(t0 + 1 + day));
    BOOST_TEST(!m.is_recent(t0 + 2 + day));
    BOOST_TEST(m.is_news(7, t0 + 2 + day));
}

BOOST_AUTO_TEST_CASE(a_counter_that_starts_again_is_heard_from_its_first)
{
    watch_state::mishap m;
    BOOST_TEST(m.is_news(5, t0));
    BOOST_TEST(!m.is_news(0, t0 + 1));  // a new poller
    BOOST_TEST(m.count == 5);           // that happened, and health says so for a day
    BOOST_TEST(m.is_news(1, t0 + 2 * day));
    BOOST_TEST(m.count == 6);
    // Not looked at between its start and its first.
    BOOST_TEST(m.is_news(4, t0 + 4 * day));
    BOOST_TEST(m.is_news(2, t0 + 6 * day));
    BOOST_TEST(m.count == 11);
}
