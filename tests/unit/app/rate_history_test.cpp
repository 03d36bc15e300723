#include <boost/test/unit_test.hpp>

#include <numeric>

#include "app/rate_history.hpp"

using dtbridge::app::rate_history;

namespace
{

constexpr std::int64_t slot = rate_history::slot_ms;
constexpr std::int64_t start = 1'000'000 * slot;

}  // namespace

BOOST_AUTO_TEST_CASE(growth_falls_into_the_half_hour_it_was_seen_in)
{
    rate_history h;
    h.look(5, start);
    h.look(7, start + 1000);
    h.look(10, start + slot);
    h.look(10, start + 3 * slot);
    const auto v = h.values(start + 3 * slot);
    BOOST_REQUIRE(v.size() == 48u);
    BOOST_TEST(v[44] == 7);
    BOOST_TEST(v[45] == 3);
    BOOST_TEST(v[46] == 0);
    BOOST_TEST(v[47] == 0);
    BOOST_TEST(h.total(start + 3 * slot) == 10);
}

BOOST_AUTO_TEST_CASE(what_is_older_than_a_day_is_gone)
{
    rate_history h;
    h.look(5, start);
    BOOST_TEST(h.total(start + 47 * slot) == 5);
    BOOST_TEST(h.total(start + 48 * slot) == 0);
    h.look(6, start + 1000 * slot);
    BOOST_TEST(h.total(start + 1000 * slot) == 1);
}

BOOST_AUTO_TEST_CASE(a_counter_or_a_clock_that_goes_back_loses_nothing)
{
    rate_history h;
    h.look(100, start);
    h.look(4, start + 10);  // a new process of the counter
    h.look(6, start - 5 * slot);
    BOOST_TEST(h.total(start) == 106);
    BOOST_TEST(h.values(start)[47] == 106);
}
