#include <boost/test/unit_test.hpp>

#include "readers.hpp"

using namespace dtbridge;
using namespace dtbridge::format;
using namespace dtbridge::format_test;

namespace
{

std::string header_of(const options& o, std::string_view element)
{
    auto f = formatter_of(o);
    auto text = message_of(f, *read_breach(element));
    return text.substr(0, text.find(R"({"pbid")"));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(headers)

BOOST_AUTO_TEST_CASE(time_outside_the_calendar)
{
    options o;
    // Year 10000 and before 1970: nil in RFC 5424 (RFC 3339 has four digits), the calendar's end in RFC 3164.
    BOOST_TEST(header_of(o, R"({"pbid":1,"creationTime":253402300800000})") ==
               "<165>1 - acme darktrace - - - ");
    BOOST_TEST(header_of(o, R"({"pbid":1,"creationTime":253402300799999})") ==
               "<165>1 9999-12-31T23:59:59.999Z acme darktrace - - - ");
    BOOST_TEST(header_of(o, R"({"pbid":1,"creationTime":-1})") == "<165>1 - acme darktrace - - - ");
    BOOST_TEST(header_of(o, R"({"pbid":1})") == "<165>1 - acme darktrace - - - ");
    o.header = header_kind::rfc3164;
    BOOST_TEST(header_of(o, R"({"pbid":1,"creationTime":253402300800000})") ==
               "<165>Dec 31 23:59:59 acme darktrace: ");
    BOOST_TEST(header_of(o, R"({"pbid":1,"creationTime":-9223372036854775808})") ==
               "<165>Jan  1 00:00:00 acme darktrace: ");
}

BOOST_AUTO_TEST_CASE(what_options_change)
{
    constexpr std::string_view element = R"({"pbid":1,"time":1704100000000})";
    options o;
    o.facility = 16;
    o.severity = 2;
    o.hostname_is_bridge = true;
    o.app_name = "my app";
    BOOST_TEST(header_of(o, element) == "<130>1 2024-01-01T09:06:40.000Z bridge.example my_app - - - ");
    o.bom = true;
    o.cookie = "@cee:";
    BOOST_TEST(header_of(o, element) ==
               "<130>1 2024-01-01T09:06:40.000Z bridge.example my_app - - - \xef\xbb\xbf@cee: ");
    o.header = header_kind::rfc3164;
    o.time_offset_minutes = -570;
    BOOST_TEST(header_of(o, element) == "<130>Dec 31 23:36:40 bridge.example my_app: @cee: ");
    o.header = header_kind::none;
    BOOST_TEST(header_of(o, element) == "@cee: ");
}

BOOST_AUTO_TEST_CASE(structured_data)
{
    options o;
    o.structured_data = true;
    o.mark_held_back = true;
    BOOST_TEST(
        header_of(o, R"({"pbid":-1,"time":1704100000000,"score":0.50})") ==
        R"(<165>1 2024-01-01T09:06:40.000Z acme darktrace - - [dtbridge@32473 master="acme" pbid="-1" score="0.5" decision="alert"] )");
}

BOOST_AUTO_TEST_CASE(cef_and_leef_have_no_tag)
{
    options o;
    o.format = kind::cef;
    auto f = formatter_of(o);
    auto b = read_breach(R"({"pbid":1,"time":1704100000000})");
    BOOST_TEST(message_of(f, *b).starts_with("<165>1 2024-01-01T09:06:40.000Z acme darktrace - - - CEF:0|"));
    o.header = header_kind::rfc3164;
    o.format = kind::leef;
    auto g = formatter_of(o);
    BOOST_TEST(message_of(g, *b).starts_with("<165>Jan  1 09:06:40 acme LEEF:2.0|"));
}

BOOST_AUTO_TEST_SUITE_END()
