#include <dtbridge/transport/window.hpp>

#include <boost/test/unit_test.hpp>

#include <transport/address_order.hpp>

#include <vector>

using namespace dtbridge::transport;

BOOST_AUTO_TEST_SUITE(window)

BOOST_AUTO_TEST_CASE(breaks_halve_down_to_one_and_confirmations_double)
{
    send_window w({.messages = 64, .bytes = 1u << 20});
    BOOST_TEST(w.messages_free() == 64u);
    for (const auto expected : {32u, 16u, 8u, 4u, 2u, 1u, 1u, 1u})
    {
        w.sent(w.messages_free(), 100);
        w.broken();
        BOOST_TEST(w.limit() == expected);
        BOOST_TEST(w.unconfirmed() == 0u);
    }
    for (const auto expected : {2u, 4u, 8u, 16u, 32u, 64u, 64u})
    {
        w.sent(1, 100);
        w.confirmed(1, 100);
        BOOST_TEST(w.limit() == expected);
    }
}

BOOST_AUTO_TEST_CASE(half_of_what_was_unconfirmed_counts)
{
    send_window w({.messages = 16384, .bytes = 1u << 20});
    w.sent(10, 1000);
    w.broken();
    BOOST_TEST(w.limit() == 5u);
}

BOOST_AUTO_TEST_CASE(a_break_with_nothing_unconfirmed_changes_nothing)
{
    send_window w({.messages = 8, .bytes = 1000});
    w.broken();
    BOOST_TEST(w.limit() == 8u);
    w.sent(3, 10);
    w.confirmed(3, 10);
    w.broken();
    BOOST_TEST(w.limit() == 8u);
}

BOOST_AUTO_TEST_CASE(bytes_are_bounded_but_one_message_always_goes)
{
    send_window w({.messages = 8, .bytes = 1000});
    BOOST_TEST(!w.full());
    w.sent(1, 5000);
    BOOST_TEST(w.full());
    BOOST_TEST(w.bytes_free() == 0u);
    BOOST_TEST(w.messages_free() == 7u);
    w.confirmed(1, 5000);
    BOOST_TEST(!w.full());
    w.sent(8, 10);
    BOOST_TEST(w.full());
    BOOST_TEST(w.messages_free() == 0u);
}

BOOST_AUTO_TEST_CASE(a_smaller_limit_than_what_is_out_is_no_underflow)
{
    send_window w({.messages = 4, .bytes = 1000});
    w.sent(4, 10);
    w.broken();
    w.sent(4, 10);  // more than the limit of 2
    BOOST_TEST(w.messages_free() == 0u);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(order_of_addresses)

BOOST_AUTO_TEST_CASE(the_first_that_works)
{
    address_order a(3);
    BOOST_TEST(a.at(0) == 0u);
    BOOST_TEST(a.at(2) == 2u);
    a.did_not_work(0);  // took the connection and broke it
    BOOST_TEST(a.at(0) == 1u);
    BOOST_TEST(a.at(2) == 0u);
    a.did_not_work(2);
    BOOST_TEST(a.at(0) == 0u);
    a.did_not_work(1);
    a.worked();
    BOOST_TEST(a.at(0) == 0u);
}

BOOST_AUTO_TEST_CASE(one_address_is_always_itself)
{
    address_order a(1);
    a.did_not_work(0);
    BOOST_TEST(a.at(0) == 0u);
}

BOOST_AUTO_TEST_SUITE_END()
