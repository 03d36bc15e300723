#include <boost/test/unit_test.hpp>

#include <dtbridge/cluster/keeper.hpp>

#include <time.h>

using namespace dtbridge::cluster;
using namespace std::chrono_literals;

namespace
{

boot_time at(std::chrono::milliseconds t)
{
    return boot_time(t);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(clocks)

BOOST_AUTO_TEST_CASE(boot_clock_is_the_kernels)
{
    timespec before = {}, after = {};
    ::clock_gettime(CLOCK_BOOTTIME, &before);
    const auto now = boot_clock::now().time_since_epoch();
    ::clock_gettime(CLOCK_BOOTTIME, &after);
    BOOST_TEST((now >= std::chrono::seconds(before.tv_sec) + std::chrono::nanoseconds(before.tv_nsec)));
    BOOST_TEST((now <= std::chrono::seconds(after.tv_sec) + std::chrono::nanoseconds(after.tv_nsec)));
}

BOOST_AUTO_TEST_CASE(a_clock_that_goes_well_is_believed)
{
    database_clock c({});
    BOOST_TEST(c.no_later_than(at(5s), 1'000'000) == 1'000'000);  // knows nothing yet
    c.seen(at(1000ms), at(1010ms), 1'000'000);                    // between 998,990 and 999,000 ahead
    BOOST_TEST(c.no_later_than(at(1010ms), 1'000'000) == 1'000'000);
    c.seen(at(4000ms), at(4010ms), 1'003'005);
    BOOST_TEST(c.no_later_than(at(4010ms), 1'003'005) == 1'003'005);
}

// A failover to a machine whose clock is 60 s ahead: for a lease's length, time goes on as it would have
// without the jump.
BOOST_AUTO_TEST_CASE(a_jump_forward_counts_for_nothing_until_all_have_renewed)
{
    database_clock c({});
    c.seen(at(1000ms), at(1010ms), 1'000'000);
    c.seen(at(4000ms), at(4010ms), 1'063'005);
    // 999,000 ahead at most, and 3 ms of drift at the outside.
    BOOST_TEST(c.no_later_than(at(4010ms), 1'063'005) == 1'003'013);
    c.seen(at(7000ms), at(7010ms), 1'066'005);
    c.seen(at(10000ms), at(10010ms), 1'069'005);
    c.seen(at(13000ms), at(13010ms), 1'072'005);
    BOOST_TEST(c.no_later_than(at(13010ms), 1'072'005) == 1'012'022);
    c.seen(at(14010ms), at(14020ms), 1'073'015);  // ten seconds after the jump was seen
    BOOST_TEST(c.no_later_than(at(14020ms), 1'073'015) == 1'073'015);
}

// Leases written before it last longer by it, which harms nobody.
BOOST_AUTO_TEST_CASE(a_jump_back_is_believed_at_once)
{
    database_clock c({});
    c.seen(at(1000ms), at(1010ms), 1'000'000);
    c.seen(at(4000ms), at(4010ms), 943'005);
    BOOST_TEST(c.no_later_than(at(4010ms), 943'005) == 943'005);
    c.seen(at(7000ms), at(7010ms), 946'005);
    BOOST_TEST(c.no_later_than(at(7010ms), 946'005) == 946'005);
}

// An answer that took 30 s says little of when the database wrote it: a jump may hide in it, and does no harm
// there.
BOOST_AUTO_TEST_CASE(a_jump_within_a_slow_answer)
{
    database_clock c({});
    c.seen(at(1000ms), at(1010ms), 1'000'000);
    c.seen(at(4000ms), at(34000ms), 1'023'000);  // 20 s ahead, or written late
    BOOST_TEST(c.no_later_than(at(34000ms), 1'053'000) == 1'033'032);
}

BOOST_AUTO_TEST_CASE(drift_is_followed)
{
    database_clock c({});
    std::int64_t db = 1'000'000;
    boot_time t = at(1s);
    for (int i = 0; i < 10'000; ++i)  // eight hours of a clock that runs a three-thousandth fast
    {
        c.seen(t, t + 10ms, db);
        BOOST_TEST_REQUIRE(c.no_later_than(t + 10ms, db) >= db - 20);
        t += 3000ms;
        db += 3001;
    }
}

BOOST_AUTO_TEST_SUITE_END()
