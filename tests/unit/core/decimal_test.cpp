#include <dtbridge/core/decimal.hpp>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <climits>
#include <ostream>

using dtbridge::decimal;

namespace
{

decimal of(std::string_view text)
{
    const auto d = decimal::parse(text);
    BOOST_REQUIRE_MESSAGE(d, text);
    return *d;
}

struct order_case
{
    std::string a, b;
    int order;
};
std::ostream& operator<<(std::ostream& o, const order_case& c)
{
    return o << c.a << " ? " << c.b;
}
const order_case order_cases[] = {
    {"0.499", "0.5", -1},
    {"0.50", "5e-1", 0},
    {"0", "-0.0", 0},
    {"0e99", "0", 0},
    {"-0.1", "0", -1},
    {"-0.1", "-0.2", 1},
    {"1", "0.99999999999999999999", 1},
    {"9", "10", -1},
    {"1e-7", "0", 1},
    {"123", "1.23E+2", 0},
    {"0.4", "0.40001", -1},
    {"-5", "-5.0", 0},
    {"1e400", "1e399", 1},
    {"100", "1e2", 0},
    {"0.1", "0.10000000000000000555", -1},
    {"1e999999999999", "1e99999999", 0},
};

struct text_case
{
    std::string in, out;
};
std::ostream& operator<<(std::ostream& o, const text_case& c)
{
    return o << c.in;
}
const text_case text_cases[] = {
    {"0.50", "0.5"},
    {"1.0", "1"},
    {"-0", "0"},
    {"0.0", "0"},
    {"5e-1", "0.5"},
    {"1e3", "1000"},
    {"12.340", "12.34"},
    {"1e-7", "0.0000001"},
    {"-0.1", "-0.1"},
    {"1.7", "1.7"},
    {"0.45600000000000002", "0.45600000000000002"},
    {"1.5e-50", "1.5e-50"},
    {"2e60", "2e60"},
    {"1e40", "10000000000000000000000000000000000000000"},
};

struct round_case
{
    std::string in;
    int shift, expected;
};
std::ostream& operator<<(std::ostream& o, const round_case& c)
{
    return o << c.in << " shifted by " << c.shift;
}
const round_case round_cases[] = {
    {"0.45", 1, 5},
    {"0.449", 1, 4},
    {"0.05", 1, 1},
    {"0.04", 1, 0},
    {"0", 1, 0},
    {"1", 1, 10},
    {"1.7", 1, 10},
    {"-0.1", 1, 0},
    {"0.499", 2, 50},
    {"0.95", 1, 10},
    {"1e-7", 1, 0},
    {"1e400", 1, 10},
    {"-1e400", 1, 0},
    {"0.5", 0, 1},
    {"2.5", 0, 3},
};

}  // namespace

BOOST_AUTO_TEST_SUITE(decimals)

BOOST_DATA_TEST_CASE(are_compared_as_written, boost::unit_test::data::make(order_cases))
{
    BOOST_TEST(of(sample.a).compare(of(sample.b)) == sample.order);
    BOOST_TEST(of(sample.b).compare(of(sample.a)) == -sample.order);
}

BOOST_DATA_TEST_CASE(are_written_plainly, boost::unit_test::data::make(text_cases))
{
    BOOST_TEST(of(sample.in).text() == sample.out);
    BOOST_TEST((of(of(sample.in).text()) == of(sample.in)));
}

BOOST_DATA_TEST_CASE(are_scaled_half_up, boost::unit_test::data::make(round_cases))
{
    BOOST_TEST(of(sample.in).scaled_half_up(sample.shift, 0, sample.shift == 2 ? 100 : 10) ==
               sample.expected);
}

BOOST_AUTO_TEST_CASE(negative_halves_go_up_too)
{
    BOOST_TEST(of("-0.5").scaled_half_up(0, INT_MIN, INT_MAX) == 0);
    BOOST_TEST(of("-0.51").scaled_half_up(0, INT_MIN, INT_MAX) == -1);
    BOOST_TEST(of("-1.5").scaled_half_up(0, INT_MIN, INT_MAX) == -1);
    BOOST_TEST(of("9999999999").scaled_half_up(0, INT_MIN, INT_MAX) == INT_MAX);
}

BOOST_DATA_TEST_CASE(take_only_json_numbers,
                     boost::unit_test::data::make(std::vector<std::string>{"",
                                                                           "-",
                                                                           "+1",
                                                                           "01",
                                                                           "-01",
                                                                           ".5",
                                                                           "1.",
                                                                           "1.e2",
                                                                           "1e",
                                                                           "1e+",
                                                                           " 1",
                                                                           "1 ",
                                                                           "0x1",
                                                                           "NaN",
                                                                           "Infinity",
                                                                           "1,5",
                                                                           "1.2.3",
                                                                           "--1",
                                                                           "1e1.5"}))
{
    BOOST_TEST(!decimal::parse(sample));
}

BOOST_AUTO_TEST_CASE(a_million_digits_are_bounded)
{
    const std::string many(1000000, '7');
    BOOST_TEST(of("0." + many).text() == "0." + many.substr(0, 64));
    BOOST_TEST(of(many).compare(of("1e999998")) == 1);
}

BOOST_AUTO_TEST_SUITE_END()
