/// Profiles are good destinations in every transport and format, say why they are as they are, and lose
/// against keys.

#include <sstream>

#include "unit/config/case.hpp"

using namespace config_test;
using namespace dtbridge;

namespace
{

deliver::destination_options with(const std::string& profile, const std::string& keys = {})
{
    folder f;
    auto l =
        f.load(std::string(master) + std::string(destination) + "profile = \"" + profile + "\"\n" + keys);
    BOOST_TEST_CONTEXT(profile << " " << keys)
    {
        BOOST_TEST(lines_of(l) == "");
        BOOST_REQUIRE(l.value.destinations.size() == 1u);
    }
    return l.value.destinations[0].options;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(profiles)

BOOST_AUTO_TEST_CASE(all_of_the_contract_are_there)
{
    const std::vector<std::string> names{"arcsight",
                                         "elastic",
                                         "exabeam",
                                         "fortisiem",
                                         "graylog",
                                         "qradar",
                                         "rsyslog",
                                         "sentinel",
                                         "splunk-sc4s",
                                         "sumo",
                                         "syslog-ng",
                                         "wazuh"};
    BOOST_TEST(config::profile_names() == names, boost::test_tools::per_element());
    BOOST_TEST(config::profile_text("") == "");
    BOOST_TEST(config::profile_text("splunk") == "");
}

BOOST_AUTO_TEST_CASE(every_profile_is_good_with_every_transport_and_format)
{
    for (const auto& name : config::profile_names())
    {
        with(name);
        for (std::string transport : {"udp", "tcp", "tls", "relp", "relp+tls"})
            for (std::string format : {"json", "cef", "leef"})
            {
                auto d = with(name, "transport = \"" + transport + "\"\nformat = \"" + format + "\"\n");
                BOOST_TEST(d.format.max_message <= (transport == "udp" ? 10u << 10 : 64u << 10));
                BOOST_TEST(d.format.max_message >= 1024u);
                // formats.md 5.2, R3: CEF and LEEF are found by the program name; rfc5424 only where the
                // source reads nothing else.
                if (format != "json" && name != "syslog-ng" && name != "elastic" && name != "sumo")
                    BOOST_TEST((d.format.header == format::header_kind::rfc3164));
            }
    }
}

BOOST_AUTO_TEST_CASE(rsyslog_cuts_at_8_kib_whatever_the_transport)
{
    // formats.md 5.4: maxMessageSize, which is imrelp's maxDataSize, too.
    for (std::string transport : {"udp", "tcp", "tls", "relp", "relp+tls"})
        BOOST_TEST(with("rsyslog", "transport = \"" + transport + "\"\n").format.max_message <= 8192u);
}

BOOST_AUTO_TEST_CASE(values_that_the_receivers_need)
{
    using format::header_kind;
    using format::kind;
    using transport::framing;
    using transport::protocol;
    struct expected
    {
        const char* name;
        kind format;
        protocol transport;
        framing frames;
        header_kind header;
        std::size_t max_message;
    };
    // formats.md 5.4; darktrace.md 4.1 to 4.4.
    const expected table[] = {
        {"arcsight", kind::cef, protocol::tls, framing::newline, header_kind::rfc3164, 8192},
        {"elastic", kind::json, protocol::tls, framing::newline, header_kind::rfc5424, 50 * 1024},
        {"exabeam", kind::cef, protocol::tls, framing::newline, header_kind::rfc3164, 8192},
        {"fortisiem", kind::cef, protocol::tls, framing::newline, header_kind::rfc3164, 8192},
        {"graylog", kind::json, protocol::tls, framing::newline, header_kind::rfc5424, 65536},
        {"qradar", kind::leef, protocol::tls, framing::octet_counting, header_kind::rfc3164, 4096},
        {"rsyslog", kind::json, protocol::tls, framing::octet_counting, header_kind::rfc5424, 8192},
        {"sentinel", kind::cef, protocol::tcp, framing::newline, header_kind::rfc3164, 8192},
        {"splunk-sc4s", kind::json, protocol::tls, framing::newline, header_kind::rfc5424, 65536},
        {"sumo", kind::json, protocol::tcp, framing::newline, header_kind::rfc5424, 65536},
        {"syslog-ng", kind::json, protocol::tls, framing::octet_counting, header_kind::rfc5424, 63 * 1024},
        {"wazuh", kind::json, protocol::tcp, framing::newline, header_kind::rfc3164, 60 * 1024},
    };
    for (const auto& e : table)
    {
        BOOST_TEST_CONTEXT(e.name)
        {
            auto d = with(e.name);
            BOOST_TEST(d.profile == e.name);
            BOOST_TEST((d.format.format == e.format));
            BOOST_TEST((d.transport.kind == e.transport));
            BOOST_TEST((d.transport.frames == e.frames));
            BOOST_TEST((d.format.header == e.header));
            BOOST_TEST(d.format.max_message == e.max_message);
            BOOST_TEST(!d.format.bom);
        }
    }
    BOOST_TEST(with("sentinel").format.cef_product == "Enterprise Immune System");
    BOOST_TEST(with("exabeam").format.cef_product == "DCIP");
    BOOST_TEST((with("graylog").format.shape == format::json_shape::api));
    BOOST_TEST((with("elastic").format.shape == format::json_shape::native));
    BOOST_TEST(with("qradar", "transport = \"udp\"\n").format.max_message == 1024u);
    BOOST_TEST((with("qradar", "transport = \"tcp\"\n").transport.frames == framing::newline));
    BOOST_TEST(with("elastic", "transport = \"udp\"\n").format.max_message == 10240u);
    BOOST_TEST((with("graylog", "format = \"cef\"\n").format.header == header_kind::rfc3164));
    BOOST_TEST(with("graylog", "format = \"cef\"\n").format.max_message == 8192u);  // the built-in default
}

BOOST_AUTO_TEST_CASE(keys_of_the_destination_win)
{
    auto d = with("qradar",
                  "transport = \"tcp\"\nmax_message = \"32KiB\"\nframing = \"nul\"\nheader = "
                  "\"rfc5424\"\nleef = { delimiter = \"#\" }\n"
                  "tls = { verify = true }\n");
    BOOST_TEST(d.format.max_message == 32u << 10);
    BOOST_TEST((d.transport.frames == transport::framing::nul));
    BOOST_TEST((d.format.header == format::header_kind::rfc5424));
    BOOST_TEST(d.format.leef_delimiter == '#');
    // LEEF 1.0 wins over the delimiter that the profile has for 2.0.
    BOOST_TEST(with("qradar", "leef = { version = \"1.0\" }\n").format.leef_delimiter == '\t');
    BOOST_TEST((with("sentinel", "transport = \"tls\"\n").transport.kind == transport::protocol::tls));
    BOOST_TEST(
        (with("sentinel", "cef = { severity = { Critical = 9 } }\n").format.cef_severity.table.size() == 1u));
    BOOST_TEST(with("sentinel", "cef = { severity = { Critical = 9 } }\n").format.cef_product ==
               "Enterprise Immune System");
}

BOOST_AUTO_TEST_CASE(every_value_has_its_reason)
{
    for (const auto& name : config::profile_names())
    {
        std::istringstream lines{std::string(config::profile_text(name))};
        unsigned n = 0, without = 0;
        for (std::string line; std::getline(lines, line);)
        {
            ++n;
            if (line.find(" = ") != std::string::npos && line[0] != '#' &&
                line.find("# ") == std::string::npos)
            {
                ++without;
                BOOST_TEST_MESSAGE(name << ":" << n << ": " << line);
            }
        }
        BOOST_TEST_CONTEXT(name)
        {
            BOOST_TEST(n > 5u);
            BOOST_TEST(without == 0u);
            const auto text = config::profile_text(name);
            for (const char* part :
                 {"\n# Source: ", "\nheader = ", "\nframing = ", "\nfacility = ", "\nmax_message = "})
                BOOST_TEST((text.find(part) != text.npos), part << " is missing");
            if (text.find("\nformat = \"cef\"") != text.npos)
                BOOST_TEST((text.find("\nproduct = ") != text.npos));
            if (text.find("\nformat = \"json\"") != text.npos)
                BOOST_TEST((text.find("\nshape = ") != text.npos));
        }
    }
}

BOOST_AUTO_TEST_SUITE_END()
