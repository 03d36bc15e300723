#include <dtbridge/core/time.hpp>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <limits>
#include <ostream>

using namespace dtbridge;
using std::chrono::milliseconds;

namespace
{

constexpr std::int64_t now = 1704100000000;  // 2024-01-01 09:06:40 UTC
constexpr std::int64_t none = -1;

struct time_case
{
    std::string text;
    std::int64_t ms;
};
std::ostream& operator<<(std::ostream& o, const time_case& c)
{
    return o << c.text;
}

const time_case http_dates[] = {
    // RFC 9110 5.6.7's own example in its three forms.
    {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777000},
    {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777000},
    {"Sun Nov  6 08:49:37 1994", 784111777000},
    {"Wed Nov 16 08:49:37 1994", 784975777000},
    {"Mon, 01 Jan 2024 09:06:40 GMT", now},
    {"Thu, 29 Feb 2024 00:00:00 GMT", 1709164800000},
    {"Wed, 29 Feb 2023 00:00:00 GMT", none},
    {"Mon, 01 Jan 2024 24:00:00 GMT", none},
    {"Mon, 01 Jan 2024 09:06:40 CET", none},
    {"Mon, 1 Jan 2024 09:06:40 GMT", none},
    {"Mon, 01 Jan 2024 09:06:40 GMT x", none},
    {"Fri, 31 Dec 1965 00:00:00 GMT", none},
    {"", none},
    {"1704100000", none},
};

const time_case arguments[] = {
    {"now", now},
    {"-24h", now - 86400000},
    {"-90d", now - 90LL * 86400000},
    {"24h", none},
    {"-", none},
    {"1704100000", now},
    {"1704100000000", now},
    {"170410000", none},
    {"2024-01-01", 1704067200000},
    {"2024-01-01 09:06", 1704099960000},
    {"2024-01-01 09:06:40", now},
    {"2024-01-01T09:06:40Z", now},
    {"2024-01-01t09:06:40z", now},
    {"2024-01-01T09:06:40.5Z", now + 500},
    {"2024-01-01T09:06:40.123999Z", now + 123},
    {"2024-01-01T10:06:40+01:00", now},
    {"2024-01-01T03:36:40-05:30", now},
    {"2024-01-01T09:06:40", none},
    {"2024-01-01T09:06:40.Z", none},
    {"2024-02-30", none},
    {"2024-13-01", none},
    {"2024-01-01 25:00", none},
    {"2024-01-01 09:06:4", none},
    {"2024-01-01T", none},
    {"1969-12-31", none},
    {"1970-01-01T00:00:00+01:00", none},
    {"9999-12-31T23:59:59.999Z", max_calendar_ms},
    {"-99999999999999999999d", none},
    {"", none},
};

const time_case durations[] = {
    {"10s", 10000},
    {"5m", 300000},
    {"24h", 86400000},
    {"90d", 7776000000},
    {"250ms", 250},
    {"0s", 0},
    {"9223372036854775807ms", std::numeric_limits<std::int64_t>::max()},
    {"9223372036854775808ms", none},
    {"106751991168d", none},
    {"10", none},
    {"s", none},
    {"-5s", none},
    {"1.5s", none},
    {"5 m", none},
    {"5M", none},
    {"", none},
    {"5sx", none},
};

const time_case sizes[] = {
    {"512B", 512},
    {"8KiB", 8192},
    {"64MiB", 67108864},
    {"20GiB", 21474836480},
    {"77", 77},
    {"1KB", 1000},
    {"2MB", 2000000},
    {"3GB", 3000000000},
    {"KiB", none},
    {"8kib", none},
    {"-1", none},
    {"1.5GiB", none},
    {"99999999999GiB", none},
    {"", none},
};

}  // namespace

BOOST_AUTO_TEST_SUITE(times)

BOOST_AUTO_TEST_CASE(spellings)
{
    BOOST_TEST(rfc3339_ms(now) == "2024-01-01T09:06:40.000Z");
    BOOST_TEST(rfc3339_ms(1767323045678) == "2026-01-02T03:04:05.678Z");
    BOOST_TEST(rfc3164_time(1767323045678) == "Jan  2 03:04:05");
    BOOST_TEST(rfc3164_time(1767323045678, 330) == "Jan  2 08:34:05");
    BOOST_TEST(rfc3164_time(1767323045678, -240) == "Jan  1 23:04:05");
    BOOST_TEST(rfc3164_time(0, -60) == "Jan  1 00:00:00");  // clamped
    BOOST_TEST(leef_time(1767323045678) == "Jan 02 2026 03:04:05.678 GMT");
    BOOST_TEST(rfc1123_time(784111777000) == "Sun, 06 Nov 1994 08:49:37 GMT");
    BOOST_TEST(rfc3339_ms(253402300800000) == "9999-12-31T23:59:59.999Z");  // hostile 910006
    BOOST_TEST(rfc3339_ms(std::numeric_limits<std::int64_t>::min()) == "1970-01-01T00:00:00.000Z");
}

BOOST_AUTO_TEST_CASE(calendar_and_back)
{
    for (std::int64_t ms = 0; ms < 4102444800000; ms += 86399 * 997 * 1000LL + 7)
    {
        const auto c = to_calendar(ms);
        BOOST_REQUIRE(from_calendar(c.year, c.month, c.day, c.hour, c.minute, c.second, c.millisecond) == ms);
    }
    BOOST_TEST(to_calendar(0).weekday == 4);
    BOOST_TEST(to_calendar(now).weekday == 1);
}

BOOST_DATA_TEST_CASE(dates_of_http, boost::unit_test::data::make(http_dates))
{
    BOOST_TEST(parse_http_date(sample.text).value_or(none) == sample.ms);
}

BOOST_DATA_TEST_CASE(time_arguments, boost::unit_test::data::make(arguments))
{
    BOOST_TEST(parse_time_argument(sample.text, now).value_or(none) == sample.ms);
}

BOOST_DATA_TEST_CASE(durations_are_read, boost::unit_test::data::make(durations))
{
    BOOST_TEST(parse_duration(sample.text).value_or(milliseconds(none)).count() == sample.ms);
}

BOOST_AUTO_TEST_CASE(durations_are_written)
{
    BOOST_TEST(format_duration(milliseconds(0)) == "0s");
    BOOST_TEST(format_duration(milliseconds(86400000)) == "1d");
    BOOST_TEST(format_duration(milliseconds(90 * 60000)) == "90m");
    BOOST_TEST(format_duration(milliseconds(10000)) == "10s");
    BOOST_TEST(format_duration(milliseconds(1500)) == "1500ms");
    for (const std::int64_t ms :
         {1LL, 999LL, 1000LL, 61000LL, 3600000LL, 5400000LL, 86400000LL, 7776000000LL})
        BOOST_TEST(parse_duration(format_duration(milliseconds(ms)))->count() == ms);
}

BOOST_DATA_TEST_CASE(sizes_are_read, boost::unit_test::data::make(sizes))
{
    const auto size = parse_size(sample.text);
    BOOST_TEST((size ? static_cast<std::int64_t>(*size) : none) == sample.ms);
}

BOOST_AUTO_TEST_SUITE_END()
