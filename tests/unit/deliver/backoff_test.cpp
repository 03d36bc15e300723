#include <dtbridge/deliver/backoff.hpp>

#include <boost/test/unit_test.hpp>

using dtbridge::deliver::backoff;
using namespace std::chrono_literals;

BOOST_AUTO_TEST_SUITE(back_off)

BOOST_AUTO_TEST_CASE(doubles_up_to_the_bound)
{
    backoff b(250ms, 30s);
    for (const auto expected : {250ms, 500ms, 1000ms, 2000ms, 4000ms, 8000ms, 16000ms, 30000ms, 30000ms})
        BOOST_TEST((b.next(1) == expected));
    b.succeeded();
    BOOST_TEST((b.next(1) == 250ms));
}

BOOST_AUTO_TEST_CASE(jitter_takes_off_up_to_half)
{
    backoff b(10s, 10s);
    BOOST_TEST((b.next(0) == 5s));
    BOOST_TEST((b.next(0.5) == 7500ms));
    BOOST_TEST((b.next(1) == 10s));
    BOOST_TEST((b.next(-3) == 5s));
    BOOST_TEST((b.next(7) == 10s));
}

BOOST_AUTO_TEST_SUITE_END()
