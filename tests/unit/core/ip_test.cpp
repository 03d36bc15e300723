#include <dtbridge/core/ip.hpp>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <ostream>

using dtbridge::ip_address;
using dtbridge::ip_network;
using dtbridge::normal_mac;

BOOST_AUTO_TEST_SUITE(addresses_and_macs)

namespace
{

struct text_case
{
    std::string in, out;  // out "" where it is no address
};
std::ostream& operator<<(std::ostream& o, const text_case& c)
{
    return o << c.in;
}

// RFC 5952 4 and the ways an address is spelled wrong.
const text_case addresses[] = {
    {"192.0.2.1", "192.0.2.1"},
    {"0.0.0.0", "0.0.0.0"},
    {"255.255.255.255", "255.255.255.255"},
    {"256.0.0.1", ""},
    {"192.0.2", ""},
    {"192.0.2.1.", ""},
    {"192.0.2.01", ""},
    {"192.0.2.1/32", ""},
    {"192.168.1.#18408", ""},
    {" 192.0.2.1", ""},
    {"192.0.2.1%eth0", ""},
    {"", ""},
    {" ", ""},
    {"2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
    {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
    {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
    {"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},
    {"::", "::"},
    {"::1", "::1"},
    {"1::", "1::"},
    {"2001:db8::0001", "2001:db8::1"},
    {"fe80::1%eth0", "fe80::1"},
    {"fe80::1%", ""},
    {"::ffff:192.0.2.7", "192.0.2.7"},
    {"::FFFF:c000:0207", "192.0.2.7"},
    {"64:ff9b::192.0.2.33", "64:ff9b::c000:221"},
    {"1:2:3:4:5:6:7", ""},
    {"1:2:3:4:5:6:7:8:9", ""},
    {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
    {"1::2::3", ""},
    {":1::2", ""},
    {"1:2:3:4:5:6:7:", ""},
    {":::", ""},
    {"12345::", ""},
    {"g::", ""},
    {"::1.2.3.4:5", ""},
    {"1:2:3:4:5:6:7:1.2.3.4", ""},
    {"::1:2:3:4:5:6:7:8", ""},
};

struct contains_case
{
    std::string network, address;
    bool contains;
};
std::ostream& operator<<(std::ostream& o, const contains_case& c)
{
    return o << c.network << " has " << c.address;
}
const contains_case networks[] = {
    {"10.0.0.0/8", "10.255.1.2", true},
    {"10.0.0.0/8", "11.0.0.0", false},
    {"10.20.30.40/16", "10.20.0.1", true},
    {"192.0.2.128/25", "192.0.2.127", false},
    {"192.0.2.128/25", "192.0.2.255", true},
    {"192.0.2.1", "192.0.2.1", true},
    {"192.0.2.1", "192.0.2.2", false},
    {"0.0.0.0/0", "203.0.113.9", true},
    {"0.0.0.0/0", "2001:db8::1", false},
    {"2001:db8::/32", "2001:db8:ffff::1", true},
    {"2001:db8::/33", "2001:db8:8000::1", false},
    {"::/0", "2001:db8::1", true},
    {"::ffff:10.0.0.0/104", "10.1.2.3", true},
    {"10.0.0.0/8", "::ffff:10.1.2.3", true},
};

}  // namespace

BOOST_DATA_TEST_CASE(addresses_are_normal, boost::unit_test::data::make(addresses))
{
    const auto a = ip_address::parse(sample.in);
    BOOST_TEST((a ? a->text() : "") == sample.out);
    if (a)
        BOOST_TEST((ip_address::parse(a->text()) == a));
}

BOOST_DATA_TEST_CASE(networks_contain, boost::unit_test::data::make(networks))
{
    const auto n = ip_network::parse(sample.network);
    BOOST_REQUIRE(n.has_value());
    BOOST_TEST(n->contains(*ip_address::parse(sample.address)) == sample.contains);
}

BOOST_DATA_TEST_CASE(no_networks,
                     boost::unit_test::data::make(std::vector<std::string>{"10.0.0.0/33",
                                                                           "10.0.0.0/",
                                                                           "10.0.0.0/-1",
                                                                           "10.0.0.0/8/8",
                                                                           "2001:db8::/129",
                                                                           "10.0.0/8",
                                                                           "::ffff:10.0.0.0/64",
                                                                           "10.0.0.0/1000",
                                                                           "fe80::%eth0/64",
                                                                           "",
                                                                           "/8"}))
{
    BOOST_TEST(!ip_network::parse(sample));
}

BOOST_AUTO_TEST_CASE(macs)
{
    for (const char* spelling :
         {"00:00:5e:00:53:af", "00-00-5E-00-53-AF", "0000.5e00.53af", "00005e0053AF", "00.00.5e.00.53.af"})
        BOOST_TEST(normal_mac(spelling).value_or("none") == "00:00:5E:00:53:AF");
    for (const char* wrong : {"",
                              "00:00:5e:00:53",
                              "00:00:5e:00:53:af:01",
                              "00:00-5e:00:53:af",
                              "0:0:5e:0:53:af",
                              "00:00:5e:00:53:ag",
                              "0000:5e00:53af",
                              "00:00:5e:00:53:af:",
                              ":00:00:5e:00:53:af",
                              "000.05e.005.3af",
                              "00005e:0053af"})
        BOOST_TEST(!normal_mac(wrong), wrong);
}

BOOST_AUTO_TEST_SUITE_END()
