#include <transport/confirmation.hpp>

#include <boost/test/unit_test.hpp>

using namespace dtbridge::transport;
using namespace std::chrono_literals;

namespace
{

const confirmation_tracker::time_point t0{1h};

}

BOOST_AUTO_TEST_SUITE(confirmation)

BOOST_AUTO_TEST_CASE(acknowledged_and_then_up_for_a_while)
{
    confirmation_tracker t(250ms);
    t.sent(100);
    t.sent(200);
    BOOST_TEST(t.settle(t0 + 1h, false) == 0u);  // time alone confirms nothing
    t.acknowledged(99, t0);
    BOOST_TEST(t.settle(t0 + 1h, false) == 0u);
    t.acknowledged(150, t0);
    BOOST_TEST(t.settle(t0 + 249ms, false) == 0u);
    BOOST_TEST(t.settle(t0 + 250ms, false) == 1u);
    BOOST_TEST(t.unconfirmed() == 1u);
    t.acknowledged(200, t0 + 300ms);
    BOOST_TEST(t.settle(t0 + 549ms, false) == 0u);
    BOOST_TEST(t.settle(t0 + 550ms, false) == 1u);
    BOOST_TEST(t.unconfirmed() == 0u);
}

BOOST_AUTO_TEST_CASE(the_first_acknowledgement_counts_not_the_last_look)
{
    confirmation_tracker t(250ms);
    t.sent(100);
    t.acknowledged(100, t0);
    t.acknowledged(100, t0 + 200ms);
    BOOST_TEST(t.settle(t0 + 250ms, false) == 1u);
}

BOOST_AUTO_TEST_CASE(an_orderly_close_confirms_what_is_acknowledged_and_no_more)
{
    confirmation_tracker t(250ms);
    t.sent(100);
    t.sent(200);
    t.sent(300);
    t.acknowledged(200, t0);
    BOOST_TEST(!t.all_acknowledged());
    BOOST_TEST(t.settle(t0, true) == 2u);
    BOOST_TEST(t.unconfirmed() == 1u);
    BOOST_TEST(t.settle(t0 + 1h, true) == 0u);
    t.acknowledged(300, t0);
    BOOST_TEST(t.all_acknowledged());
    BOOST_TEST(t.settle(t0, true) == 1u);
}

BOOST_AUTO_TEST_CASE(when_to_look_again)
{
    confirmation_tracker t(250ms);
    t.sent(100);
    BOOST_TEST((t.next_look(t0, 10ms) == 10ms));
    t.acknowledged(100, t0);
    BOOST_TEST((t.next_look(t0, 10ms) == 250ms));  // all acknowledged: only time is waited for
    BOOST_TEST((t.next_look(t0 + 245ms, 10ms) == 5ms));
    t.sent(200);
    BOOST_TEST((t.next_look(t0, 10ms) == 10ms));
    BOOST_TEST((t.next_look(t0 + 1h, 10ms) == 1ms));  // overdue is soon, not a spin
}

BOOST_AUTO_TEST_SUITE_END()
