#include <string>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <dtbridge/web/pull.hpp>

using namespace dtbridge;
using web::read_pull_order;

namespace
{

constexpr std::int64_t now = 1'767'225'600'000;  // 2026-01-01T00:00:00Z

struct bad
{
    const char* query;
    const char* words;  // part of what is said
};
std::ostream& operator<<(std::ostream& out, const bad& b)
{
    return out << b.query;
}

}  // namespace

BOOST_AUTO_TEST_CASE(an_order_has_the_defaults_of_the_contract)
{
    const auto o = read_pull_order("master=acme", now);
    BOOST_REQUIRE(o.has_value());
    BOOST_TEST(o->master == "acme");
    BOOST_TEST(!o->after.has_value());
    BOOST_TEST(o->limit == 1000u);
    BOOST_TEST((o->as == format::kind::json));
    BOOST_TEST(!o->envelope);
    BOOST_TEST(o->wait.count() == 0);
}

BOOST_AUTO_TEST_CASE(everything_may_be_said)
{
    const auto after = web::make_cursor("acme", 77);
    const auto o =
        read_pull_order("master=acme&after=" + after +
                            "&limit=10000&model=Compliance+%2f%20*&since=-24h&rules=stage-2&format=leef"
                            "&envelope=json&wait=60s&",
                        now);
    BOOST_REQUIRE(o.has_value());
    BOOST_TEST(*o->after == 77);
    BOOST_TEST(o->limit == 10'000u);
    BOOST_TEST(o->model == "Compliance / *");
    BOOST_TEST(*o->since == now - 24 * 3'600'000);
    BOOST_TEST(o->rules == "stage-2");
    BOOST_TEST((o->as == format::kind::leef));
    BOOST_TEST(o->envelope);
    BOOST_TEST(o->wait.count() == 60'000);
    BOOST_TEST(read_pull_order("master=a&wait=5", now)->wait.count() == 5'000);
    BOOST_TEST(!read_pull_order("master=a&after=", now)->after.has_value());
}

BOOST_DATA_TEST_CASE(wrong_orders_are_named,
                     boost::unit_test::data::make({
                         bad{"", "master is missing"},
                         bad{"master=", "master is missing"},
                         bad{"master=a&master=b", "given twice"},
                         bad{"%c2%9b=1&%c2%9b=2", "parameter \\xc2\\x9b is given twice"},  // a terminal's CSI
                         bad{"master=a&=b", "no name"},
                         bad{"master=a&limit=0", "1 to 10000"},
                         bad{"master=a&limit=10001", "1 to 10000"},
                         bad{"master=a&limit=-1", "1 to 10000"},
                         bad{"master=a&limit=99999999999999999999", "1 to 10000"},
                         bad{"master=a&wait=61s", "at most 60s"},
                         bad{"master=a&wait=61", "at most 60s"},
                         bad{"master=a&wait=soon", "at most 60s"},
                         bad{"master=a&since=yesterday", "a time"},
                         bad{"master=a&format=xml", "json, cef or leef"},
                         bad{"master=a&envelope=xml", "json"},
                         bad{"master=a&token=secret", "unknown parameter token"},
                         bad{"master=a&model=%zz", "%XX"},
                         bad{"master=a&model=%f", "%XX"},
                         bad{"master=a&model=%00", "%XX"},
                         bad{"master=a&model=%ff", "UTF-8"},
                         bad{"master=a&after=%21", "unchanged"},
                         bad{"master=a&after=AAAA", "unchanged"},
                         bad{"a=1&b&c&d&e&f&g&h&i&j&k&l&m&n&o&p&q", "too many"},
                     }))
{
    const auto o = read_pull_order(sample.query, now);
    BOOST_REQUIRE(!o.has_value());
    BOOST_TEST(o.error().detail.find(sample.words) != std::string::npos, o.error().detail);
}

BOOST_AUTO_TEST_CASE(a_cursor_comes_back_as_it_went)
{
    for (const std::int64_t seq : {std::int64_t{0}, std::int64_t{1}, std::int64_t{9'223'372'036'854'775'807}})
    {
        for (const char* master : {"a", "ab", "abc", "customer-1"})
        {
            const auto text = web::make_cursor(master, seq);
            BOOST_TEST(
                text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") ==
                std::string::npos);
            const auto back = web::read_cursor(text);
            BOOST_REQUIRE(back.has_value());
            BOOST_TEST(back->seq == seq);
            BOOST_TEST(back->master == master);
        }
    }
    BOOST_TEST(!web::read_cursor(std::string(201, 'A')).has_value());
}

BOOST_AUTO_TEST_CASE(a_cursor_is_good_for_its_master_and_for_what_that_is_called_now)
{
    const auto order = [](const std::string& master, const std::string& cursor_of) {
        return *read_pull_order("master=" + master + "&after=" + web::make_cursor(cursor_of, 7), now);
    };
    BOOST_TEST(*order("new", "old").after == 7);
    BOOST_TEST(!web::foreign_cursor(order("new", "new"), ""));
    BOOST_TEST(!web::foreign_cursor(order("new", "new"), "old"));
    BOOST_TEST(!web::foreign_cursor(order("new", "old"), "old"));
    for (const auto* formerly : {"", "older"})
    {
        const auto foreign = web::foreign_cursor(order("new", "old"), formerly);
        BOOST_REQUIRE(foreign.has_value());
        BOOST_TEST(foreign->detail == "after: this cursor is of another master");
    }
    // A cursor without a name is nobody's.
    BOOST_TEST(web::foreign_cursor(order("new", ""), "").has_value());
    BOOST_TEST(!web::foreign_cursor(*read_pull_order("master=new", now), ""));
}
