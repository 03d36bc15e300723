/// Values of product.md 2, key by key: what a file gets that sets nothing, and what one gets that sets
/// everything.

#include <fstream>
#include <sstream>

#include <boost/test/unit_test.hpp>

#include "unit/config/certificate.hpp"
#include "unit/config/folder.hpp"

using namespace dtbridge;
using namespace std::chrono_literals;
using config_test::folder;

namespace
{

using pairs = std::vector<std::pair<std::string, std::string>>;

config::configuration good(const folder& f, const std::string& text)
{
    auto l = f.load(text);
    BOOST_TEST(l.ok);
    BOOST_TEST(config_test::lines_of(l) == "");
    return l.value;
}

config::configuration minimal(const folder& f)
{
    return good(f, std::string(config_test::master) + std::string(config_test::destination));
}

deliver::destination_options only(const folder& f, const std::string& keys)
{
    auto l = f.load(std::string(config_test::master) +
                    "[[destination]]\nname = \"siem\"\naddress = \"siem.example\"\n" + keys);
    BOOST_TEST_INFO(config_test::lines_of(l));
    BOOST_TEST(l.ok);
    BOOST_REQUIRE(l.value.destinations.size() == 1u);
    return l.value.destinations[0].options;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(defaults)

BOOST_AUTO_TEST_CASE(service_and_archive)
{
    folder f;
    auto c = minimal(f);
    BOOST_TEST(c.file == f / "dtbridge.toml");
    BOOST_TEST(c.folder == f.path());
    BOOST_TEST(c.service.state_dir == "/var/lib/dtbridge");
    BOOST_TEST(c.service.listen == "127.0.0.1:9480");
    BOOST_TEST(c.service.listen_cert_file == "");
    BOOST_TEST(c.service.listen_key_file == "");
    BOOST_TEST((c.service.log_level == log::level::info));
    BOOST_TEST((c.service.log_format == log::format::text));
    BOOST_TEST((c.archive.retention == 90 * 24h));
    BOOST_TEST(c.archive.max_size == 20ull * 1024 * 1024 * 1024);
    BOOST_TEST(c.archive.min_free == 1024ull * 1024 * 1024);
    BOOST_TEST(!c.archive.pause_when_full);
    BOOST_TEST(c.tokens.empty());
}

BOOST_AUTO_TEST_CASE(master)
{
    folder f;
    auto c = minimal(f);
    BOOST_REQUIRE(c.masters.size() == 1u);
    const auto& m = c.masters[0];
    BOOST_TEST(m.name == "acme");
    BOOST_TEST(m.formerly == "");
    BOOST_TEST(m.url == "https://darktrace.acme.example");
    BOOST_TEST(m.https);
    BOOST_TEST(m.address.host == "darktrace.acme.example");
    BOOST_TEST(m.address.port == 443);
    BOOST_TEST(m.public_url == "");
    BOOST_TEST(m.public_token.equals("public0123"));
    BOOST_TEST(m.private_token.equals(config_test::private_token));  // the line end is trimmed
    BOOST_TEST(m.private_token_file == f / "acme.token");
    BOOST_TEST((m.interval == 10s));
    BOOST_TEST((m.backfill == 24h));
    BOOST_TEST((m.overlap == 10min));
    BOOST_TEST((m.window == poll::window_kind::automatic));
    BOOST_TEST((m.times == poll::time_parameters::epoch));
    BOOST_TEST((m.date == poll::date_format::compact));
    BOOST_TEST((m.reconcile_interval == 1h));
    BOOST_TEST((m.reconcile_span == 24h));
    BOOST_TEST((m.reconcile_deep == 8 * 24h));
    BOOST_TEST((m.timeout == 60s));
    BOOST_TEST(!m.proxy);
    BOOST_TEST((m.tls == net::tls_options{}));
    BOOST_TEST(m.tls.verify);
    BOOST_TEST(m.labels.empty());
    const pairs query{{"deviceattop", "true"},
                      {"includeacknowledged", "true"},
                      {"includebreachurl", "true"},
                      {"includesuppressed", "true"},
                      {"minimal", "false"}};
    BOOST_TEST((m.query == query));
}

BOOST_AUTO_TEST_CASE(destination)
{
    folder f;
    auto c = minimal(f);
    BOOST_REQUIRE(c.destinations.size() == 1u);
    const auto& d = c.destinations[0].options;
    BOOST_TEST(d.name == "siem");
    BOOST_TEST(d.formerly == "");
    BOOST_TEST(d.profile == "");
    BOOST_TEST((d.masters == std::vector<std::string>{"acme"}));  // "*"
    BOOST_TEST((d.transport.kind == transport::protocol::tls));
    BOOST_REQUIRE(d.transport.addresses.size() == 1u);
    BOOST_TEST(d.transport.addresses[0].text() == "siem.example:6514");
    BOOST_TEST((d.transport.frames == transport::framing::octet_counting));
    BOOST_TEST((d.transport.tls == net::tls_options{}));
    BOOST_TEST(d.transport.max_message == 65536u);
    BOOST_TEST((d.format.format == format::kind::json));
    BOOST_TEST((d.format.header == format::header_kind::rfc5424));
    BOOST_TEST(d.format.facility == 20);
    BOOST_TEST(d.format.severity == 5);
    BOOST_TEST(d.format.app_name == "darktrace");
    BOOST_TEST(!d.format.hostname_is_bridge);
    BOOST_TEST(d.format.time_offset_minutes == 0);
    BOOST_TEST(!d.format.structured_data);
    BOOST_TEST(d.format.fields_file == "");
    BOOST_TEST((d.format.shape == format::json_shape::native));
    BOOST_TEST(!d.format.bom);
    BOOST_TEST(d.format.cookie == "");
    BOOST_TEST(d.format.cef_version == 0);
    BOOST_TEST(d.format.cef_vendor == "Darktrace");
    BOOST_TEST(d.format.cef_product == "DCIP");
    BOOST_TEST(d.format.cef_device_version == "1");
    BOOST_TEST((d.format.cef_severity.by == format::severity_map::mode::score));
    BOOST_TEST(!d.format.space_after_header);
    BOOST_TEST(d.format.leef_version == "2.0");
    BOOST_TEST(d.format.leef_delimiter == '^');
    BOOST_TEST((d.format.leef_event_id == format::options::event_id::model));
    BOOST_TEST((d.format.leef_severity.by == format::severity_map::mode::score));
    BOOST_TEST(!d.format.mask_equals);
    BOOST_TEST(!d.format.annotate);
    BOOST_TEST(!d.format.mark_held_back);
    BOOST_TEST(d.format.max_message == 65536u);
    BOOST_TEST(d.rules_file == "");
    BOOST_TEST(d.fields_file == "");
    BOOST_REQUIRE(d.start.has_value());
    BOOST_TEST((*d.start == 0ms));
    BOOST_TEST(!d.hold.has_value());
    BOOST_TEST(d.pace_per_second == 0.0);
    BOOST_TEST(!d.heartbeat.has_value());
    BOOST_TEST(!d.updates);
    BOOST_REQUIRE(c.destinations[0].policy != nullptr);
    BOOST_TEST(c.destinations[0].fields_text == "");
}

BOOST_AUTO_TEST_CASE(what_depends_on_transport_and_format)
{
    struct expected
    {
        const char* transport;
        const char* format;
        std::uint16_t port;
        transport::framing frames;
        format::header_kind header;
        std::size_t max_message;
        double pace;
    };
    using format::header_kind;
    using transport::framing;
    // product.md 2.
    const expected table[] = {
        {"udp", "json", 514, framing::newline, header_kind::rfc5424, 8192, 1000},
        {"udp", "cef", 514, framing::newline, header_kind::rfc3164, 2048, 1000},
        {"udp", "leef", 514, framing::newline, header_kind::rfc3164, 2048, 1000},
        {"tcp", "json", 514, framing::newline, header_kind::rfc5424, 65536, 0},
        {"tcp", "cef", 514, framing::newline, header_kind::rfc3164, 8192, 0},
        {"tcp", "leef", 514, framing::newline, header_kind::rfc3164, 4096, 0},
        {"tls", "json", 6514, framing::octet_counting, header_kind::rfc5424, 65536, 0},
        {"tls", "cef", 6514, framing::octet_counting, header_kind::rfc3164, 8192, 0},
        {"tls", "leef", 6514, framing::octet_counting, header_kind::rfc3164, 4096, 0},
        {"relp", "json", 2514, {}, header_kind::rfc5424, 65536, 0},
        {"relp", "cef", 2514, {}, header_kind::rfc3164, 8192, 0},
        {"relp", "leef", 2514, {}, header_kind::rfc3164, 4096, 0},
        {"relp+tls", "json", 2514, {}, header_kind::rfc5424, 65536, 0},
        {"relp+tls", "cef", 2514, {}, header_kind::rfc3164, 8192, 0},
        {"relp+tls", "leef", 2514, {}, header_kind::rfc3164, 4096, 0},
    };
    folder f;
    for (const auto& e : table)
    {
        BOOST_TEST_CONTEXT(e.transport << " " << e.format)
        {
            auto d =
                only(f, std::string("transport = \"") + e.transport + "\"\nformat = \"" + e.format + "\"\n");
            BOOST_TEST(d.transport.addresses.at(0).port == e.port);
            const auto kind = d.transport.kind;
            BOOST_TEST((kind == transport::protocol::relp) == (std::string(e.transport) == "relp"));
            BOOST_TEST((kind == transport::protocol::relp_tls) == (std::string(e.transport) == "relp+tls"));
            // RELP and datagrams have no framing.
            if (kind == transport::protocol::tcp || kind == transport::protocol::tls)
                BOOST_TEST((d.transport.frames == e.frames));
            BOOST_TEST((d.format.header == e.header));
            BOOST_TEST(d.format.max_message == e.max_message);
            BOOST_TEST(d.pace_per_second == e.pace);
        }
    }
}

BOOST_AUTO_TEST_CASE(kafka_by_default_and_with_everything)
{
    folder f;
    auto d = only(f, "transport = \"kafka\"\ntopic = \"darktrace.breaches_1-x\"\nformat = \"cef\"\n");
    BOOST_TEST((d.transport.kind == transport::protocol::kafka));
    BOOST_TEST(d.transport.addresses.at(0).text() == "siem.example:9092");
    BOOST_TEST((d.format.header == format::header_kind::none));
    BOOST_TEST(d.format.max_message == 8192u);
    BOOST_TEST(d.pace_per_second == 0);
    const auto& k = d.transport.kafka;
    BOOST_TEST(k.topic == "darktrace.breaches_1-x");
    BOOST_TEST(k.compression == "lz4");
    BOOST_TEST(k.sasl_mechanism == "");
    BOOST_TEST(k.sasl_username == "");
    BOOST_TEST(k.sasl_password.empty());
    BOOST_TEST(!k.tls);

    auto l =
        f.load(std::string(config_test::master) +
               "[[destination]]\nname = \"siem\"\naddresses = [\"b1.example\", \"[2001:db8::1]:9093\"]\n"
               "transport = \"kafka\"\ntopic = \"b\"\nheader = \"rfc5424\"\ntls = {}\n"
               "kafka = { compression = \"zstd\", sasl_mechanism = \"PLAIN\", sasl_username = \"bridge\", "
               "sasl_password_file = \"proxy.password\" }\n");
    BOOST_TEST(config_test::lines_of(l) == "");
    BOOST_REQUIRE(l.value.destinations.size() == 1u);
    BOOST_TEST(l.value.destinations[0].line == 9u);
    d = l.value.destinations[0].options;
    BOOST_REQUIRE(d.transport.addresses.size() == 2u);
    BOOST_TEST(d.transport.addresses[0].text() == "b1.example:9092");
    BOOST_TEST(d.transport.addresses[1].text() == "[2001:db8::1]:9093");
    BOOST_TEST((d.format.header == format::header_kind::rfc5424));
    BOOST_TEST(d.transport.kafka.tls);
    BOOST_TEST(d.transport.kafka.compression == "zstd");
    BOOST_TEST(d.transport.kafka.sasl_mechanism == "PLAIN");
    BOOST_TEST(d.transport.kafka.sasl_username == "bridge");
    BOOST_TEST(d.transport.kafka.sasl_password.equals(config_test::proxy_password));

    // The password stays on this host.
    for (const char* near : {"127.0.0.1", "localhost", "[::1]:9092"})
    {
        l = f.load(
            std::string(config_test::master) + "[[destination]]\nname = \"siem\"\naddress = \"" + near +
            "\"\ntransport = \"kafka\"\ntopic = \"b\"\nkafka = { sasl_mechanism = \"PLAIN\", sasl_username = "
            "\"u\", sasl_password_file = \"proxy.password\" }\n");
        BOOST_TEST(config_test::lines_of(l) == "");
    }
}

BOOST_AUTO_TEST_CASE(the_built_in_field_map_comes_with_cef_and_leef)
{
    folder f;
    auto c = good(
        f, std::string(config_test::master) + std::string(config_test::destination) + "format = \"cef\"\n");
    BOOST_TEST(c.destinations.at(0).fields_text == format::builtin_field_map(format::kind::cef));
    BOOST_TEST(c.destinations.at(0).fields_text.find("externalId") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(every_key)

BOOST_AUTO_TEST_CASE(archive_in_postgresql)
{
    folder f;
    f.write("db.password", "from-a-file\n");
    auto c = good(f,
                  R"([archive]
url = "postgresql://bridge@db1.example,db2.example:5433/dtbridge?target_session_attrs=read-write"
password_file = "db.password"
bridge = "north.example"
schema_per_master = true
partition = "3d"
retention = "30d"
)" + std::string(config_test::master) +
                      std::string(config_test::destination));
    BOOST_TEST(c.archive.database.url ==
               "postgresql://bridge@db1.example,db2.example:5433/dtbridge?target_session_attrs=read-write");
    BOOST_TEST(c.archive.database.password.reveal() == "from-a-file");
    BOOST_TEST(c.archive.database.own_schemas);
    BOOST_TEST(c.archive.bridge == "north.example");
    BOOST_TEST((c.archive.database.partition == 72h));
    BOOST_TEST((c.archive.retention == 720h));
    // The database's file system is not this host's.
    BOOST_TEST(c.archive.min_free == 0u);
}

BOOST_AUTO_TEST_CASE(service_archive_and_master)
{
    folder f;
    const auto made = config_test::make_certificate();
    f.write("ca.pem", made.cert);
    auto c = good(f, R"([service]
state_dir = "state"
listen = "[::1]:9999"
log_level = "debug"
log_format = "json"
[archive]
url = ""
retention = "30d"
max_size = "5GiB"
min_free = "512MiB"
when_full = "pause"
[[master]]
name = "acme-2"
formerly = "acme"
url = "http://127.0.0.1:8080/"
public_url = "https://breaches.example/dt/"
public_token = "abc"
private_token_file = "acme.token"
interval = "30s"
backfill = "7d"
overlap = "1h"
window = "activity"
time_parameters = "text"
date_format = "rfc1123"
reconcile_interval = "2h"
reconcile_span = "48h"
reconcile_deep = "30d"
timeout = "2m"
proxy = "http://dom%40user@proxy.example:3128"
proxy_password_file = "proxy.password"
tls = { ca_file = "ca.pem", server_name = "darktrace.local", fingerprint_sha256 = "AA:bb:CC:dd:EE:ff:00:11:22:33:44:55:66:77:88:99:AA:bb:CC:dd:EE:ff:00:11:22:33:44:55:66:77:88:99", verify = true }
labels = { tenant = "acme", region = "EU" }
[master.query]
includebreachurl = false
historicmodelonly = true
expandenums = true
fulldevicedetails = false
[[destination]]
name = "siem"
address = "siem.example"
)");
    BOOST_TEST(c.service.state_dir == f / "state");
    BOOST_TEST(c.service.listen == "[::1]:9999");
    BOOST_TEST((c.service.log_level == log::level::debug));
    BOOST_TEST((c.service.log_format == log::format::json));
    BOOST_TEST((c.archive.retention == 30 * 24h));
    BOOST_TEST(c.archive.max_size == 5ull << 30);
    BOOST_TEST(c.archive.min_free == 512ull << 20);
    BOOST_TEST(c.archive.pause_when_full);
    BOOST_REQUIRE(c.masters.size() == 1u);
    const auto& m = c.masters[0];
    BOOST_TEST(m.name == "acme-2");
    BOOST_TEST(m.formerly == "acme");
    BOOST_TEST(m.url == "http://127.0.0.1:8080");
    BOOST_TEST(!m.https);
    BOOST_TEST(m.address.host == "127.0.0.1");
    BOOST_TEST(m.address.port == 8080);
    BOOST_TEST(m.public_url == "https://breaches.example/dt");
    BOOST_TEST((m.interval == 30s));
    BOOST_TEST((m.backfill == 7 * 24h));
    BOOST_TEST((m.overlap == 1h));
    BOOST_TEST((m.window == poll::window_kind::activity));
    BOOST_TEST((m.times == poll::time_parameters::text));
    BOOST_TEST((m.date == poll::date_format::rfc1123));
    BOOST_TEST((m.reconcile_interval == 2h));
    BOOST_TEST((m.reconcile_span == 48h));
    BOOST_TEST((m.reconcile_deep == 30 * 24h));
    BOOST_TEST((m.timeout == 2min));
    BOOST_REQUIRE(m.proxy);
    BOOST_TEST(m.proxy->address.text() == "proxy.example:3128");
    BOOST_TEST(m.proxy->user == "dom@user");
    BOOST_TEST(m.proxy->password.equals(config_test::proxy_password));
    BOOST_TEST(m.tls.ca_file == f / "ca.pem");
    BOOST_TEST(m.tls.server_name == "darktrace.local");
    BOOST_TEST(m.tls.fingerprint_sha256 ==
               "aabbccddeeff00112233445566778899aabbccddeeff00112233445566778899");
    const pairs labels{{"tenant", "acme"}, {"region", "EU"}};
    BOOST_TEST((m.labels == labels));
    const pairs query{{"deviceattop", "true"},
                      {"expandenums", "true"},
                      {"fulldevicedetails", "false"},
                      {"historicmodelonly", "true"},
                      {"includeacknowledged", "true"},
                      {"includebreachurl", "false"},
                      {"includesuppressed", "true"},
                      {"minimal", "false"}};
    BOOST_TEST((m.query == query));
}

BOOST_AUTO_TEST_CASE(destination)
{
    folder f;
    const auto made = config_test::make_certificate();
    f.write("ca.pem", made.cert);
    f.write("client.pem", made.cert);
    f.write("client.key", made.key);
    f.write("fields/own.toml", format::builtin_field_map(format::kind::leef));
    f.write("rules.toml", "[forward]\nmin_score = 0.4\n");
    auto c = good(f,
                  std::string(config_test::master) +
                      "[[master]]\nname = \"beta-1\"\nurl = \"https://b1.example\"\npublic_token = "
                      "\"b\"\nprivate_token_file = \"acme.token\"\n"
                      "[[master]]\nname = \"beta-2\"\nurl = \"https://b2.example\"\npublic_token = "
                      "\"b\"\nprivate_token_file = \"acme.token\"\n"
                      R"([[destination]]
name = "siem"
formerly = "old-siem"
profile = ""
masters = ["beta-*"]
addresses = ["one.example:7000", "[2001:db8::1]:7001", "[2001:db8::2]", "192.0.2.1"]
transport = "tls"
framing = "nul"
header = "rfc3164"
facility = "local0"
severity = "info"
app_name = "dt"
hostname = "bridge"
time_offset = "-03:30"
structured_data = false
format = "leef"
fields = "fields/own.toml"
json = { shape = "api", bom = true, cookie = "" }
cef = { version = 1, vendor = "V", product = "P", device_version = "2", severity = "priority", space_after_header = true }
leef = { version = "2.0", delimiter = "\t", event_id = "uuid", severity = { Critical = 10, "5" = 9 }, mask_equals = true }
rules = "rules.toml"
held_back = "mark"
start = "all"
hold = "30d"
max_message = "16KiB"
pace = "200/s"
heartbeat = "5m"
updates = false
annotate = false
tls = { ca_file = "ca.pem", cert_file = "client.pem", key_file = "client.key", server_name = "siem", fingerprint_sha256 = "", verify = true }
)");
    BOOST_REQUIRE(c.destinations.size() == 1u);
    const auto& d = c.destinations[0].options;
    BOOST_TEST(d.formerly == "old-siem");
    BOOST_TEST((d.masters == std::vector<std::string>{"beta-1", "beta-2"}));
    BOOST_REQUIRE(d.transport.addresses.size() == 4u);
    BOOST_TEST(d.transport.addresses[0].text() == "one.example:7000");
    BOOST_TEST(d.transport.addresses[1].text() == "[2001:db8::1]:7001");
    BOOST_TEST(d.transport.addresses[2].text() == "[2001:db8::2]:6514");
    BOOST_TEST(d.transport.addresses[3].text() == "192.0.2.1:6514");
    BOOST_TEST((d.transport.frames == transport::framing::nul));
    BOOST_TEST(d.transport.tls.ca_file == f / "ca.pem");
    BOOST_TEST(d.transport.tls.cert_file == f / "client.pem");
    BOOST_TEST(d.transport.tls.key_file == f / "client.key");
    BOOST_TEST(d.transport.tls.server_name == "siem");
    BOOST_TEST(d.transport.max_message == 16384u);
    BOOST_TEST((d.format.header == format::header_kind::rfc3164));
    BOOST_TEST(d.format.facility == 16);
    BOOST_TEST(d.format.severity == 6);
    BOOST_TEST(d.format.app_name == "dt");
    BOOST_TEST(d.format.hostname_is_bridge);
    BOOST_TEST(d.format.time_offset_minutes == -210);
    BOOST_TEST((d.format.format == format::kind::leef));
    BOOST_TEST(d.fields_file == f / "fields/own.toml");
    BOOST_TEST(d.format.fields_file == f / "fields/own.toml");
    BOOST_TEST((d.format.shape == format::json_shape::api));
    BOOST_TEST(d.format.bom);
    BOOST_TEST(d.format.cef_version == 1);
    BOOST_TEST(d.format.cef_vendor == "V");
    BOOST_TEST(d.format.cef_product == "P");
    BOOST_TEST(d.format.cef_device_version == "2");
    BOOST_TEST((d.format.cef_severity.by == format::severity_map::mode::priority));
    BOOST_TEST(d.format.space_after_header);
    BOOST_TEST(d.format.leef_delimiter == '\t');
    BOOST_TEST((d.format.leef_event_id == format::options::event_id::uuid));
    BOOST_TEST((d.format.leef_severity.by == format::severity_map::mode::table));
    BOOST_TEST(d.format.leef_severity.table.size() == 2u);
    BOOST_TEST(d.format.mask_equals);
    BOOST_TEST(d.format.mark_held_back);
    BOOST_TEST(d.format.max_message == 16384u);
    BOOST_TEST(d.rules_file == f / "rules.toml");
    BOOST_TEST(!d.start.has_value());
    BOOST_REQUIRE(d.hold.has_value());
    BOOST_TEST((*d.hold == 30 * 24h));
    BOOST_TEST(d.pace_per_second == 200.0);
    BOOST_TEST((d.heartbeat == std::chrono::milliseconds(300'000)));
    BOOST_TEST(c.destinations[0].policy->lines().size() > 0u);
    BOOST_TEST(c.destinations[0].fields_text == format::builtin_field_map(format::kind::leef));
}

BOOST_AUTO_TEST_CASE(leef_1_0_separates_by_tab)
{
    folder f;
    auto d = only(f, "format = \"leef\"\nleef = { version = \"1.0\" }\n");
    BOOST_TEST(d.format.leef_version == "1.0");
    BOOST_TEST(d.format.leef_delimiter == '\t');
}

BOOST_AUTO_TEST_CASE(every_allowed_delimiter)
{
    folder f;
    for (char delimiter : std::string("^#~;!@$%&"))  // formats.md 3.3; TAB above
    {
        auto d = only(f, std::string("format = \"leef\"\nleef.delimiter = \"") + delimiter + "\"\n");
        BOOST_TEST(d.format.leef_delimiter == delimiter);
    }
}

BOOST_AUTO_TEST_CASE(facilities_and_severities_have_the_codes_of_rfc_5424)
{
    folder f;
    const std::pair<const char*, int> facilities[] = {{"kern", 0},
                                                      {"user", 1},
                                                      {"daemon", 3},
                                                      {"auth", 4},
                                                      {"authpriv", 10},
                                                      {"audit", 13},
                                                      {"alert", 14},
                                                      {"local0", 16},
                                                      {"local7", 23}};
    for (auto [name, code] : facilities)
        BOOST_TEST(only(f, std::string("facility = \"") + name + "\"\n").format.facility == code);
    const std::pair<const char*, int> severities[] = {{"emerg", 0},
                                                      {"alert", 1},
                                                      {"crit", 2},
                                                      {"err", 3},
                                                      {"warning", 4},
                                                      {"notice", 5},
                                                      {"info", 6},
                                                      {"debug", 7}};
    for (auto [name, code] : severities)
        BOOST_TEST(only(f, std::string("severity = \"") + name + "\"\n").format.severity == code);
}

BOOST_AUTO_TEST_CASE(a_shipped_mapping_is_built_in_until_a_file_of_its_name_exists)
{
    folder f;
    auto d = only(f, "rules = \"mappings/stage-2.toml\"\n");
    BOOST_TEST(d.rules_file == "mappings/stage-2.toml");
    f.write("mappings/stage-2.toml", "[forward]\nmin_score = 0.9\n");
    d = only(f, "rules = \"mappings/stage-2.toml\"\n");
    BOOST_TEST(d.rules_file == f / "mappings/stage-2.toml");
}

BOOST_AUTO_TEST_CASE(the_shipped_example_is_right_once_its_blanks_are_filled)
{
    std::ifstream file(std::string(DTBRIDGE_SOURCE_DIR) + "/deploy/dtbridge.toml", std::ios::binary);
    const std::string example{std::istreambuf_iterator<char>(file), {}};
    BOOST_REQUIRE(!example.empty());
    auto fill = [](std::string text, std::string_view key, std::string_view value, bool last = false) {
        const std::string blank = "\n" + std::string(key) + " = \"\"";
        auto at = last ? text.rfind(blank) : text.find(blank);
        BOOST_REQUIRE(at != std::string::npos);
        return text.replace(at + blank.size() - 1, 0, value);
    };
    std::string filled = fill(example, "name", "siem", true);
    filled = fill(filled, "name", "acme");
    filled = fill(filled, "url", "https://darktrace.acme.example");
    filled = fill(filled, "public_token", "public0123");
    filled = fill(filled, "private_token_file", "acme.token");
    filled = fill(filled, "address", "siem.example");
    folder f;
    good(f, filled);

    // Unfilled, each blank is an error of its own; and no other key than the blanks is wrong.
    auto l = f.load(example);
    BOOST_TEST(!l.ok);
    std::vector<std::string> keys;
    for (const auto& p : l.problems)
    {
        BOOST_TEST(!p.warning);
        keys.push_back(p.key);
    }
    const std::vector<std::string> blanks{"master.name",
                                          "master.url",
                                          "master.public_token",
                                          "master.private_token_file",
                                          "destination.name",
                                          "destination.address"};
    BOOST_TEST(keys == blanks, boost::test_tools::per_element());
    std::size_t marks = 0;
    for (auto at = example.find(" = \"\" "); at != std::string::npos; at = example.find(" = \"\" ", at + 1))
        marks += example.substr(example.rfind('\n', at) + 1, 1) != "#";
    BOOST_TEST(marks == blanks.size());

    // The defaults in its comments are the defaults: with all of them uncommented but those that exclude
    // others, nothing changes.
    std::string all;
    std::istringstream lines(filled);
    for (std::string line; std::getline(lines, line);)
    {
        if (line.rfind("# [master.query]", 0) == 0)
            line.erase(0, 2);
        bool key = line.size() > 3 && line.substr(0, 2) == "# " && line[2] >= 'a' && line[2] <= 'z' &&
                   line.find(" = ") != std::string::npos && line.find(" = ") < 24 &&
                   line.find(' ', 2) == line.find(" = ");
        bool skip = line.find("# addresses") == 0 || line.find("# name") == 0 || line.find("# file") == 0 ||
                    line.find("# masters = [\"acme\"]") == 0 || line.find("# labels") == 0 ||
                    line.find("# key") == 0 || line.find("# topic") == 0 || line.find("# kafka") == 0;
        all += (key && !skip ? line.substr(2) : line) + "\n";
    }
    auto opened = f.load(all);
    BOOST_TEST(config_test::lines_of(opened) == "");
    BOOST_REQUIRE(opened.ok);
    auto closed = f.load(filled);
    const auto& a = opened.value;
    const auto& b = closed.value;
    BOOST_TEST(a.service.listen == b.service.listen);
    BOOST_TEST((a.archive.retention == b.archive.retention && a.archive.max_size == b.archive.max_size &&
                a.archive.min_free == b.archive.min_free));
    const auto& m = a.masters.at(0);
    const auto& n = b.masters.at(0);
    BOOST_TEST((m.interval == n.interval && m.backfill == n.backfill && m.overlap == n.overlap &&
                m.timeout == n.timeout && m.reconcile_interval == n.reconcile_interval &&
                m.reconcile_span == n.reconcile_span && m.reconcile_deep == n.reconcile_deep));
    BOOST_TEST((m.window == n.window && m.times == n.times && m.date == n.date && m.query == n.query &&
                m.tls == n.tls));
    const auto& d = a.destinations.at(0).options;
    const auto& e = b.destinations.at(0).options;
    BOOST_TEST((d.transport.kind == e.transport.kind && d.transport.frames == e.transport.frames &&
                d.transport.tls == e.transport.tls && d.transport.addresses == e.transport.addresses));
    BOOST_TEST((d.format.format == e.format.format && d.format.header == e.format.header &&
                d.format.facility == e.format.facility && d.format.severity == e.format.severity &&
                d.format.max_message == e.format.max_message &&
                d.format.leef_delimiter == e.format.leef_delimiter));
    BOOST_TEST((d.start == e.start && d.hold == e.hold && d.pace_per_second == e.pace_per_second &&
                d.rules_file == e.rules_file));
}

BOOST_AUTO_TEST_SUITE_END()
