#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <dtbridge/net/stream.hpp>

#include <ostream>

using namespace dtbridge;
using namespace dtbridge::net;

namespace
{

struct good
{
    const char* text;
    std::uint16_t default_port;
    const char* host;
    std::uint16_t port;
    const char* back;
};
std::ostream& operator<<(std::ostream& os, const good& g)
{
    return os << g.text;
}

const good good_ones[] = {
    {"siem.example:6514", 514, "siem.example", 6514, "siem.example:6514"},
    {"siem.example", 514, "siem.example", 514, "siem.example:514"},
    {"192.0.2.1:1", 514, "192.0.2.1", 1, "192.0.2.1:1"},
    {"192.0.2.1", 6514, "192.0.2.1", 6514, "192.0.2.1:6514"},
    {"[2001:db8::1]:65535", 514, "2001:db8::1", 65535, "[2001:db8::1]:65535"},
    {"[2001:db8::1]", 514, "2001:db8::1", 514, "[2001:db8::1]:514"},
    {"2001:db8::1", 514, "2001:db8::1", 514, "[2001:db8::1]:514"},
    {"[fe80::1%eth0]:514", 1, "fe80::1%eth0", 514, "[fe80::1%eth0]:514"},
    {"a_b-c.example.:80", 514, "a_b-c.example.", 80, "a_b-c.example.:80"},
};

const char* const bad_ones[] = {
    "",
    ":514",
    "siem.example:",
    "siem.example:0",
    "siem.example:65536",
    "siem.example:99999999999999999999",
    "siem.example:+5",
    "siem.example:5 ",
    " siem.example:5",
    "siem.example:5:6",
    "siem example:5",
    "http://siem.example:5",
    "siem.example/x:5",
    "user@siem.example:5",
    "siem..example:5",
    ".example:5",
    "[2001:db8::1",
    "[2001:db8::1]5",
    "[2001:db8::1]:",
    "[192.0.2.1]:5",
    "[siem.example]:5",
    "[2001:db8::zz]:5",
    "2001:db8::zz",
    "fe80::1%",
    "siem.example\r\nHost: x:5",
    "s\xc3\xaf.example:5",
};

}  // namespace

BOOST_AUTO_TEST_SUITE(endpoint_test)

BOOST_DATA_TEST_CASE(is_read_and_written, boost::unit_test::data::make(good_ones), c)
{
    const auto e = parse_endpoint(c.text, c.default_port);
    BOOST_REQUIRE(e.has_value());
    BOOST_TEST(e->host == c.host);
    BOOST_TEST(e->port == c.port);
    BOOST_TEST(e->text() == c.back);
    BOOST_TEST((parse_endpoint(e->text(), 9).value() == *e));
}

BOOST_DATA_TEST_CASE(what_is_wrong_is_said, boost::unit_test::data::make(bad_ones), text)
{
    const auto e = parse_endpoint(text, 514);
    BOOST_REQUIRE(e.has_error());
    BOOST_TEST((e.error().code == make_error_code(errc::malformed)));
    BOOST_TEST(!e.error().detail.empty());
    for (const char c : e.error().detail)
        BOOST_TEST((static_cast<unsigned char>(c) >= 0x20 && c != 0x7f));
}

BOOST_AUTO_TEST_CASE(bounds_of_names)
{
    const std::string label(63, 'a');
    const std::string longest = label + "." + label + "." + label + "." + std::string(61, 'a');
    BOOST_TEST(longest.size() == 253u);
    BOOST_TEST(parse_endpoint(longest, 514).has_value());
    BOOST_TEST(parse_endpoint(longest + "a", 514).has_error());
    BOOST_TEST(parse_endpoint(label + "a", 514).has_error());
    BOOST_TEST(parse_endpoint(std::string(1u << 20, ':'), 514).has_error());
    BOOST_TEST(parse_endpoint("siem.example", 0).has_error());
}

BOOST_AUTO_TEST_SUITE_END()
