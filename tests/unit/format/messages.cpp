// Whole messages, written by hand from product.md 6 and formats.md.

#include <ctime>

#include <boost/json.hpp>
#include <boost/test/unit_test.hpp>

#include "readers.hpp"

using namespace dtbridge;
using namespace dtbridge::format;
using namespace dtbridge::format_test;

namespace
{

constexpr std::string_view beaconing =
    R"({"commentCount":0,"pbid":900010,"time":1704100000000,"creationTime":1704100006000,)"
    R"("model":{"then":{"name":"Compromise::Beaconing Activity","pid":210,"uuid":"80010119-6d7f-0000-0305-5e0000000210",)"
    R"("tags":["","Enhanced Monitoring","AP: C2 Comms"],"description":"A device is beaconing.\n\nAction: a=b|c.",)"
    R"("priority":5,"category":"Critical","compliance":false,"mitre":{"techniques":["T1071.001","T1573"]}},)"
    R"("now":{"name":"Renamed","pid":210,"tags":["later"],"priority":1,"category":"Informational"}},)"
    R"("triggeredComponents":[{"metric":{"name":"externalconnections","label":"External Connections"},"triggeredFilters":)"
    R"([{"filterType":"Connection hostname","trigger":{"value":"c2.example.net"}}],"ip":"203.0.113.5/32","port":443}],)"
    R"("score":0.870,"device":{"did":101,"macaddress":"00-00-5e-00-53-65","ip":"192.0.2.101","hostname":"ws-101.example.com"}})";

constexpr std::string_view saas =
    R"({"pbid":-5,"time":1704100000000,"model":{"name":"SaaS::Login","pid":610,"compliance":true,"category":"Critical"},)"
    R"("score":0.05,"device":{"did":9,"hostname":"SaaS::Office365: user1@example.com"},"triggeredComponents":[]})";

constexpr std::string_view ipv6 =
    R"({"pbid":7,"time":1704100000000,"creationTime":1704100001000,"model":{"name":"Device::v6","pid":1},"score":1,)"
    R"("device":{"ip6":"2001:DB8:0::C9","macaddress":"x"},"triggeredComponents":[{"ip":"2001:db8:ffff::5/128","port":853}]})";

options cef_options()
{
    options o;
    o.format = kind::cef;
    o.header = header_kind::rfc3164;
    return o;
}

options leef_options()
{
    options o = cef_options();
    o.format = kind::leef;
    return o;
}

std::string one(const options& o, std::string_view element, const rules::decision& said = {})
{
    auto f = formatter_of(o);
    return message_of(f, *read_breach(element), said);
}

rules::decision held_back()
{
    rules::decision d;
    d.forward = false;
    d.reason = "score 0.87 is under 0.90";
    return d;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(messages)

BOOST_AUTO_TEST_CASE(cef_of_a_breach)
{
    // 1704100006000 is 2024-01-01 09:06:46 UTC; local4.notice is 20*8+5.
    BOOST_TEST(one(cef_options(), beaconing) ==
               "<165>Jan  1 09:06:46 acme CEF:0|Darktrace|DCIP|1|210|Compromise/Beaconing Activity|9|"
               "externalId=900010 rt=1704100000000 dst=203.0.113.5 dpt=443 dhost=c2.example.net "
               "dvchost=ws-101.example.com dvc=192.0.2.101 src=192.0.2.101 shost=ws-101.example.com "
               "smac=00:00:5E:00:53:65 darktraceUrl=https://dt.acme.example/#modelbreach/900010 "
               "cs1=Critical cs1Label=category cs2=Enhanced Monitoring,AP: C2 Comms cs2Label=tags "
               "cs3=80010119-6d7f-0000-0305-5e0000000210 cs3Label=modelUuid cs4=acme cs4Label=master "
               "cs5=T1071.001,T1573 cs5Label=mitreTechniques cs6=External Connections cs6Label=component "
               "cn1=5 cn1Label=priority cfp1=0.87 cfp1Label=score "
               "deviceCustomDate1=1704100006000 deviceCustomDate1Label=created "
               "message=A device is beaconing.\\n\\nAction: a\\=b|c.");
}

BOOST_AUTO_TEST_CASE(cef_of_a_saas_account)
{
    // No IPv4: dvc is 0.0.0.0; a compliance flag is the category; a score of 0.05 is severity 1.
    BOOST_TEST(one(cef_options(), saas) ==
               "<165>Jan  1 09:06:40 acme CEF:0|Darktrace|DCIP|1|610|SaaS/Login|1|"
               "externalId=-5 rt=1704100000000 dvchost=SaaS::Office365: user1@example.com dvc=0.0.0.0 "
               "shost=SaaS::Office365: user1@example.com suser=user1@example.com "
               "darktraceUrl=https://dt.acme.example/#modelbreach/-5 cs1=Compliance cs1Label=category "
               "cs4=acme cs4Label=master cfp1=0.05 cfp1Label=score "
               "deviceCustomDate1=1704100000000 deviceCustomDate1Label=created");
}

BOOST_AUTO_TEST_CASE(cef_of_ipv6)
{
    BOOST_TEST(
        one(cef_options(), ipv6) ==
        "<165>Jan  1 09:06:41 acme CEF:0|Darktrace|DCIP|1|1|Device/v6|10|"
        "externalId=7 rt=1704100000000 c6a3=2001:db8:ffff::5 c6a3Label=Destination IPv6 Address dpt=853 "
        "dvc=0.0.0.0 c6a2=2001:db8::c9 c6a2Label=Source IPv6 Address "
        "darktraceUrl=https://dt.acme.example/#modelbreach/7 cs4=acme cs4Label=master cfp1=1 cfp1Label=score "
        "deviceCustomDate1=1704100001000 deviceCustomDate1Label=created");
    auto o = cef_options();
    o.cef_version = 1;
    o.space_after_header = true;
    o.header = header_kind::none;
    auto text = one(o, ipv6);
    BOOST_TEST(
        text.starts_with("CEF:1|Darktrace|DCIP|1|1|Device/v6|10| externalId=7 rt=1704100000000 "
                         "dst=2001:db8:ffff::5 dpt=853 dvc=0.0.0.0 src=2001:db8::c9 darktraceUrl="));
}

BOOST_AUTO_TEST_CASE(the_peers_name_is_of_the_peers_own_component)
{
    auto o = cef_options();
    o.header = header_kind::none;
    // 203.0.113.50 begins as the peer's address does, and is another host.
    const std::string other =
        R"({"ip":"203.0.113.50","triggeredFilters":[{"filterType":"Connection hostname","trigger":{"value":"other.example"}}]})";
    const auto with = [&](const std::string& first) {
        return read_cef(one(o, R"({"pbid":1,"triggeredComponents":[)" + first + "," + other + "]}"));
    };
    BOOST_TEST(with(R"({"ip":["203.0.113.5"]})").at("dst") == "203.0.113.5");
    BOOST_TEST(!with(R"({"ip":["203.0.113.5"]})").has("dhost"));
    BOOST_TEST(
        with(
            R"({"ip":["203.0.113.5"],"triggeredFilters":[{"filterType":"Connection hostname","trigger":{"value":"c2.example"}}]})")
            .at("dhost") == "c2.example");
}

BOOST_AUTO_TEST_CASE(cef_prefers_ipv4_and_keeps_ipv6_fields_to_ipv6)
{
    auto o = cef_options();
    o.header = header_kind::none;
    auto e = read_cef(one(o, R"({"pbid":1,"device":{"ip":"2001:db8::1","ip6":"192.0.2.9"}})"));
    BOOST_TEST(e.at("dvc") == "192.0.2.9");
    BOOST_TEST(e.at("src") == "192.0.2.9");
    auto m = load_field_map_text(kind::cef,
                                 "fields = [ { key = \"externalId\", from = \"@pbid\" },\n"
                                 "{ key = \"c6a4\", label = \"any\", from = \"/device/ip\" } ]",
                                 "map.toml");
    BOOST_TEST_REQUIRE(m.ok);
    formatter f(o, std::move(m.value), "b");
    BOOST_TEST(message_of(f, *read_breach(R"({"pbid":1,"device":{"ip":"192.0.2.9"}})"))
                   .ends_with("|5|externalId=1"));
    BOOST_TEST(message_of(f, *read_breach(R"({"pbid":1,"device":{"ip":"2001:DB8::1"}})"))
                   .ends_with("|5|externalId=1 c6a4=2001:db8::1 c6a4Label=any"));
}

BOOST_AUTO_TEST_CASE(cef_marks_what_was_held_back)
{
    auto o = cef_options();
    o.mark_held_back = true;
    auto context = one(o, beaconing, held_back());
    BOOST_TEST(context.find("|Compromise/Beaconing Activity|3|externalId=900010 ") != context.npos);
    BOOST_TEST(context.find(" act=context darktraceUrl=") != context.npos);
    auto alert = one(o, beaconing);
    BOOST_TEST(alert.find("|Compromise/Beaconing Activity|9|") != alert.npos);
    BOOST_TEST(alert.find(" act=alert darktraceUrl=") != alert.npos);
    BOOST_TEST(one(cef_options(), beaconing).find("act=") == std::string::npos);
}

BOOST_AUTO_TEST_CASE(leef_of_a_breach)
{
    BOOST_TEST(
        one(leef_options(), beaconing) ==
        "<165>Jan  1 09:06:46 acme LEEF:2.0|Darktrace|DCIP|1|Compromise/Beaconing Activity|^|"
        "cat=ModelBreach^devTime=Jan 01 2024 09:06:40.000 GMT^devTimeFormat=MMM dd yyyy HH:mm:ss.SSS z^sev=9^"
        "src=192.0.2.101^dst=203.0.113.5^dstPort=443^srcMAC=00:00:5E:00:53:65^"
        "identSrc=192.0.2.101^identHostName=ws-101.example.com^category=Critical^externalId=900010^"
        "darktraceUrl=https://dt.acme.example/#modelbreach/900010^score=0.87^"
        "tags=Enhanced Monitoring,AP: C2 Comms^modelId=210^modelUuid=80010119-6d7f-0000-0305-5e0000000210^"
        "priority=5^mitre=T1071.001,T1573^master=acme^hostname=ws-101.example.com^"
        "description=A device is beaconing.  Action: a=b c.");
}

BOOST_AUTO_TEST_CASE(leef_of_a_saas_account_has_no_identity)
{
    // identHostName is used only together with identSrc, and there is no address.
    auto o = leef_options();
    o.leef_version = "1.0";
    o.mark_held_back = true;
    BOOST_TEST(one(o, saas) ==
               "<165>Jan  1 09:06:40 acme LEEF:1.0|Darktrace|DCIP|1|SaaS/Login|"
               "cat=ModelBreach\tdevTime=Jan 01 2024 09:06:40.000 GMT\tdevTimeFormat=MMM dd yyyy "
               "HH:mm:ss.SSS z\tsev=1\t"
               "usrName=user1@example.com\tcategory=Compliance\texternalId=-5\t"
               "darktraceUrl=https://dt.acme.example/#modelbreach/-5\tscore=0.05\tmodelId=610\tmaster=acme\t"
               "hostname=SaaS::Office365: user1@example.com\tdecision=alert");
}

BOOST_AUTO_TEST_CASE(leef_event_id_and_delimiter)
{
    auto o = leef_options();
    o.header = header_kind::none;
    o.leef_delimiter = '#';
    o.leef_event_id = options::event_id::uuid;
    auto text = one(o, beaconing);
    BOOST_TEST(text.starts_with(
        "LEEF:2.0|Darktrace|DCIP|1|80010119-6d7f-0000-0305-5e0000000210|#|cat=ModelBreach#devTime="));
    BOOST_TEST(text.find("darktraceUrl=https://dt.acme.example/ modelbreach/900010#") != text.npos);  // L3
    o.leef_event_id = options::event_id::pid;
    BOOST_TEST(one(o, beaconing).starts_with("LEEF:2.0|Darktrace|DCIP|1|210|#|"));
    BOOST_TEST(one(o, R"({"pbid":1})").starts_with("LEEF:2.0|Darktrace|DCIP|1|unknown|#|"));
}

BOOST_AUTO_TEST_CASE(leef_masks_equals_for_readers_that_split_on_spaces)
{
    auto o = leef_options();
    o.header = header_kind::none;
    constexpr std::string_view element =
        R"({"pbid":1,"model":{"name":"x","description":"see a=1 src=10.0.0.1 b.c-d_e==2 \u00e9=3 ^f=4"}})";
    auto plain = read_leef(one(o, element));
    BOOST_TEST(plain.at("description") == "see a=1 src=10.0.0.1 b.c-d_e==2 \xc3\xa9=3  f=4");
    o.mask_equals = true;
    BOOST_TEST(read_leef(one(o, element)).at("description") ==
               "see a:1 src:10.0.0.1 b.c-d_e:=2 \xc3\xa9=3  f:4");
}

BOOST_AUTO_TEST_CASE(native_json)
{
    options o;  // RFC 5424 is the default of JSON
    BOOST_TEST(
        one(o, beaconing) ==
        R"(<165>1 2024-01-01T09:06:46.000Z acme darktrace - - - {"commentCount":0,"pbid":900010,"time":1704100000000,)"
        R"("creationTime":1704100006000,"model":{"name":"Compromise::Beaconing Activity","pid":210,)"
        R"("uuid":"80010119-6d7f-0000-0305-5e0000000210","tags":["","Enhanced Monitoring","AP: C2 Comms"],)"
        R"("description":"A device is beaconing.\n\nAction: a=b|c.","priority":5,"category":"Critical","compliance":false,)"
        R"("mitre":{"techniques":["T1071.001","T1573"]}},)"
        R"("triggeredComponents":[{"metric":{"name":"externalconnections","label":"External Connections"},"triggeredFilters":)"
        R"([{"filterType":"Connection hostname","trigger":{"value":"c2.example.net"}}],"ip":"203.0.113.5/32","port":443}],)"
        R"("score":0.870,"device":{"did":101,"macaddress":"00-00-5e-00-53-65","ip":"192.0.2.101",)"
        R"("hostname":"ws-101.example.com"},"breachUrl":"https://dt.acme.example/#modelbreach/900010"})");
}

BOOST_AUTO_TEST_CASE(api_json_is_what_was_received_with_the_url)
{
    options o;
    o.shape = json_shape::api;
    o.header = header_kind::none;
    std::string expected(beaconing);
    expected.pop_back();
    BOOST_TEST(one(o, beaconing) ==
               expected + R"(,"breachUrl":"https://dt.acme.example/#modelbreach/900010"})");
}

BOOST_AUTO_TEST_CASE(json_keeps_digits_and_the_first_of_repeated_members)
{
    options o;
    o.header = header_kind::none;
    BOOST_TEST(
        one(o, R"({"pbid": 9007199254740993, "score": 1.0, "score": 0.2, "x": [1e-7, 1.50, -0, {"a":1,"a":2}],
                         "breachUrl": "", "time": "1704100000000", "nothing": null})") ==
        R"({"pbid":9007199254740993,"score":1.0,"x":[1e-7,1.50,-0,{"a":1}],)"
        R"("breachUrl":"https://dt.acme.example/#modelbreach/9007199254740993","time":"1704100000000","nothing":null})");
}

BOOST_AUTO_TEST_CASE(json_with_many_repeated_members_stays_quick_and_unique)
{
    std::string element = R"({"pbid":1)";
    for (int i = 0; i < 40000; ++i)
        element += ",\"k" + std::to_string(i % 20000) + "\":" + std::to_string(i);
    options o;
    o.header = header_kind::none;
    auto object = boost::json::parse(one(o, element + "}")).as_object();
    BOOST_TEST(object.size() == 20002u);
    BOOST_TEST(object.at("k7").as_int64() == 7);
}

BOOST_AUTO_TEST_CASE(json_with_many_components_under_a_wide_device_stays_quick)
{
    // Each component's device is compared with the one at the top: 50,000 looks through 100,000 members would
    // take some ten seconds.
    constexpr int members = 100000, components = 50000;
    std::string element = R"({"pbid":1,"device":{"did":3)";
    for (int i = 0; i < members; ++i)
        element += R"(,"":0)";
    element += R"(},"triggeredComponents":[{})";
    for (int i = 1; i < components; ++i)
        element += R"(,{"device":{"x":1}})";
    element += "]}";
    options o;
    o.header = header_kind::none;
    const auto started = std::clock();
    const auto message = one(o, element);
    const auto took = static_cast<double>(std::clock() - started) / CLOCKS_PER_SEC;
    const auto object = boost::json::parse(message).as_object();
    BOOST_TEST(object.at("triggeredComponents").as_array().size() == static_cast<std::size_t>(components));
    BOOST_TEST(took < 3.0);
}

BOOST_AUTO_TEST_CASE(json_names_that_only_repair_makes_equal_are_one)
{
    options o;
    o.header = header_kind::none;
    BOOST_TEST(one(o, "{\"pbid\":1,\"a\xff\":1,\"a\xfe\":2,\"b\\u0000\":3,\"b\\ufffd\":4}") ==
               "{\"pbid\":1,\"a\xef\xbf\xbd\":1,\"b\xef\xbf\xbd\":3,\"breachUrl\":\"https://dt.acme.example/"
               "#modelbreach/1\"}");
}

BOOST_AUTO_TEST_CASE(json_device_of_components_is_at_the_top_once)
{
    options o;
    o.header = header_kind::none;
    BOOST_TEST(
        one(o,
            R"({"pbid":1,"triggeredComponents":[{"a":1,"device":{"did":3,"ip":"192.0.2.1"}},)"
            R"({"device":{"did":3,"x":0}},{"device":{"did":4}}],"breachUrl":"https://d.example/#modelbreach/1"})") ==
        R"({"pbid":1,"triggeredComponents":[{"a":1},{},{"device":{"did":4}}],)"
        R"("breachUrl":"https://d.example/#modelbreach/1","device":{"did":3,"ip":"192.0.2.1"}})");
}

BOOST_AUTO_TEST_CASE(json_annotation)
{
    options o;
    o.header = header_kind::none;
    o.annotate = true;
    std::vector<std::pair<std::string, std::string>> labels = {{"playbook", "PB-12"},
                                                               {"tenant", "of the model"}};
    rules::decision d;
    d.reason = "no rules";
    d.labels = &labels;
    BOOST_TEST(
        one(o,
            R"({"pbid":1,"dtbridge":{"event":"forged"},"breachUrl":"https://d.example/#modelbreach/1"})",
            d) ==
        R"({"pbid":1,"breachUrl":"https://d.example/#modelbreach/1","dtbridge":{"master":"acme",)"
        R"("labels":{"playbook":"PB-12","tenant":"of the model"},"decision":"alert","reason":"no rules"}})");
    o.annotate = false;
    o.mark_held_back = true;
    BOOST_TEST(
        one(o, R"({"pbid":1,"breachUrl":"https://d.example/#modelbreach/1"})", held_back()) ==
        R"({"pbid":1,"breachUrl":"https://d.example/#modelbreach/1","dtbridge":{"decision":"context"}})");
}

BOOST_AUTO_TEST_CASE(breach_urls)
{
    auto b = read_breach(R"({"pbid":3,"breachUrl":"https://dt.example/#modelbreach/3"})");
    auto m = acme();
    BOOST_TEST(breach_url(*b, m) == "https://dt.example/#modelbreach/3");
    m.public_url = "https://soc.example/";
    BOOST_TEST(breach_url(*b, m) == "https://soc.example/#modelbreach/3");
    m.public_url.clear();
    for (auto element : {R"({"pbid":3,"breachUrl":""})",
                         R"({"pbid":3,"breachUrl":"http://dt.example/x"})",
                         R"({"pbid":3,"breachUrl":"javascript:x"})",
                         R"({"pbid":3,"breachUrl":17})"})
        BOOST_TEST(breach_url(*read_breach(element), m) == "https://dt.acme.example/#modelbreach/3");
}

BOOST_AUTO_TEST_CASE(bridge_events)
{
    formatter::event e{
        "heartbeat", "Bridge is alive", "12 sent|a=b\nnext", 1704100006000, 3, "acme", "qradar", 12};
    auto of = [&](options o) {
        auto f = formatter_of(o);
        std::string out;
        BOOST_TEST((f.bridge_event(e, "1.2.3", out) == verdict::whole));
        return out;
    };
    BOOST_TEST(of(cef_options()) ==
               "<165>Jan  1 09:06:46 acme CEF:0|dtbridge|dtbridge|1.2.3|heartbeat|Bridge is alive|3|"
               "rt=1704100006000 dvchost=acme cnt=12 msg=12 sent|a\\=b\\nnext");
    BOOST_TEST(of(leef_options()) ==
               "<165>Jan  1 09:06:46 acme LEEF:2.0|dtbridge|dtbridge|1.2.3|heartbeat|^|cat=BridgeEvent^"
               "devTime=Jan 01 2024 09:06:46.000 GMT^devTimeFormat=MMM dd yyyy HH:mm:ss.SSS "
               "z^sev=3^name=Bridge is alive^"
               "master=acme^hostname=acme^destination=qradar^cnt=12^msg=12 sent a=b next");
    BOOST_TEST(
        of(options{}) ==
        R"(<165>1 2024-01-01T09:06:46.000Z acme dtbridge - - - {"dtbridge":{"event":"heartbeat","time":1704100006000,)"
        R"("master":"acme","destination":"qradar","count":12,"message":"12 sent|a=b\nnext"}})");
    e.master.clear();
    options o;
    o.header = header_kind::rfc3164;
    BOOST_TEST(of(o).starts_with("<165>Jan  1 09:06:46 bridge.example dtbridge: {\"dtbridge\":"));
}

BOOST_AUTO_TEST_CASE(a_bridge_event_is_cut_to_its_limit)
{
    formatter::event e{"health", "n", std::string(5000, 'm') + "\"", 1704100006000, 3, "", "", {}};
    for (auto k : {kind::json, kind::cef, kind::leef})
    {
        options o;
        o.format = k;
        o.max_message = 600;
        auto f = formatter_of(o);
        std::string out;
        BOOST_TEST((f.bridge_event(e, "1", out) == verdict::shortened));
        BOOST_TEST(out.size() == 600u);
        o.max_message = 40;
        auto small = formatter_of(o);
        out = "before";
        BOOST_TEST((small.bridge_event(e, "1", out) == verdict::undeliverable));
        BOOST_TEST(out == "before");
    }
}

BOOST_AUTO_TEST_SUITE_END()
