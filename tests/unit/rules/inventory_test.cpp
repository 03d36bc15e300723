#include <dtbridge/rules/inventory.hpp>

#include <boost/test/unit_test.hpp>

using namespace dtbridge;
using rules::inventory_key;
using rules::load_inventory_text;

namespace
{

std::string label_of(const rules::inventory& i, const std::string& device, const std::string& name)
{
    breach b;
    BOOST_REQUIRE(b.read("{\"pbid\":1,\"device\":" + device + "}").has_value());
    const auto* found = i.find(b);
    const auto* value = rules::find_label_value({found, nullptr}, name);
    return value == nullptr ? "-" : *value;
}

struct wrong_row
{
    const char* text;
    inventory_key key;
    unsigned line;
    const char* what;
    bool is_error;
};

const wrong_row wrong_rows[] = {
    {"", inventory_key::ip, 1, "an empty file", true},
    {"host,owner\n", inventory_key::ip, 1, "a column \"ip\"", true},
    {"ip,own er,own er\n", inventory_key::ip, 1, "twice", true},
    {"ip,b\xC3\xA4r\n", inventory_key::ip, 1, "letters, digits", true},
    {"ip,\n", inventory_key::ip, 1, "letters, digits", true},
    {"ip,owner\n10.0.0.1,\"ann\n", inventory_key::ip, 2, "never closed", true},
    {"ip,owner\n\xFF\n", inventory_key::ip, 0, "not UTF-8", true},
    {"ip,owner\n10.0.0.0/8,ann\n", inventory_key::ip, 2, "expected an IPv4 or IPv6 address", false},
    {"mac,owner\nzz,ann\n", inventory_key::mac, 2, "expected a MAC address", false},
    {"hostname,owner\n\"\",ann\n", inventory_key::hostname, 2, "expected a host's name", false},
    {"ip,owner\n10.0.0.1,ann\n\n10.0.0.1,bob\n", inventory_key::ip, 4, "stands in line 2 already", false},
    {"ip,owner\n10.0.0.1,ann,x\n", inventory_key::ip, 2, "found 3 fields; expected at most 2", false},
};

}  // namespace

BOOST_AUTO_TEST_SUITE(inventories)

BOOST_AUTO_TEST_CASE(columns_become_labels_of_the_device)
{
    const auto by_ip = load_inventory_text(
        "\xEF\xBB\xBFowner;IP;Business Unit\r\nann;10.1.2.3;\"Sales; EMEA\"\r\nbob;2001:DB8::1;\r\n",
        "a.csv",
        inventory_key::ip);
    BOOST_TEST(by_ip.problems.empty());
    BOOST_REQUIRE(by_ip.value != nullptr);
    BOOST_TEST(by_ip.value->size() == 2u);
    BOOST_TEST(label_of(*by_ip.value, "{\"ip\":\"10.1.2.3\"}", "owner") == "ann");
    BOOST_TEST(label_of(*by_ip.value, "{\"ip\":\"10.1.2.3\"}", "Business_Unit") == "Sales; EMEA");
    BOOST_TEST(label_of(*by_ip.value, "{\"ip\":\"::ffff:10.1.2.3\"}", "owner") == "ann");
    BOOST_TEST(label_of(*by_ip.value, "{\"ip6\":\"2001:0db8::0001\"}", "owner") == "bob");
    BOOST_TEST(label_of(*by_ip.value, "{\"ip6\":\"2001:db8::1\"}", "Business_Unit") == "-");
    BOOST_TEST(label_of(*by_ip.value, "{\"ip\":\"10.1.2.4\"}", "owner") == "-");
    BOOST_TEST(label_of(*by_ip.value, "{\"hostname\":\"10.1.2.3\"}", "owner") == "-");

    const auto by_mac =
        load_inventory_text("mac,owner\n00-1a-2b-3c-4d-5e,ann\n", "a.csv", inventory_key::mac);
    BOOST_TEST(label_of(*by_mac.value, "{\"macaddress\":\"001A.2B3C.4D5E\"}", "owner") == "ann");

    const auto by_host =
        load_inventory_text("hostname,owner\nPC-1.lab.example,ann\n", "a.csv", inventory_key::hostname);
    BOOST_TEST(label_of(*by_host.value, "{\"hostname\":\" pc-1.LAB.example \"}", "owner") == "ann");
}

BOOST_AUTO_TEST_CASE(what_is_wrong_is_named_by_line)
{
    for (const auto& row : wrong_rows)
    {
        const auto l = load_inventory_text(row.text, "a.csv", row.key);
        BOOST_TEST_CONTEXT(row.text)
        {
            BOOST_REQUIRE(l.problems.size() == 1u);
            BOOST_TEST(l.problems[0].line == row.line);
            BOOST_TEST(l.problems[0].message.find(row.what) != std::string::npos, l.problems[0].message);
            BOOST_TEST(l.problems[0].warning == !row.is_error);
            BOOST_TEST(l.problems[0].file == "a.csv");
            BOOST_TEST((l.value == nullptr) == row.is_error);
        }
    }
}

BOOST_AUTO_TEST_CASE(a_header_of_too_many_columns_is_one_problem)
{
    const auto l = load_inventory_text("ip" + std::string(2'000'000, ',') + '\n', "a.csv", inventory_key::ip);
    BOOST_TEST(!l.value);
    BOOST_REQUIRE(l.problems.size() == 1u);
    BOOST_TEST(l.problems[0].message == "found 2000001 columns; expected at most 32 beside the key");
}

BOOST_AUTO_TEST_CASE(a_bad_row_takes_no_other_with_it_and_many_are_summed_up)
{
    std::string text = "ip,owner\n";
    for (int i = 0; i < 300; ++i)
        text += "nonsense,ann\n";
    text += "10.0.0.1,bob\n";
    const auto l = load_inventory_text(text, "a.csv", inventory_key::ip);
    BOOST_REQUIRE(l.value != nullptr);
    BOOST_TEST(l.value->size() == 1u);
    BOOST_TEST(l.problems.size() == 101u);
    BOOST_TEST(l.problems.back().message == "and 200 more rows like these");
    const auto longer = load_inventory_text(
        "ip,owner\n10.0.0.1," + std::string(3000, 'x') + "\n", "a.csv", inventory_key::ip);
    BOOST_TEST(label_of(*longer.value, "{\"ip\":\"10.0.0.1\"}", "owner").size() == 1024u);
}

BOOST_AUTO_TEST_CASE(labels_decide_after_every_other_key_of_a_device)
{
    const auto loaded = rules::load_text(
        "[devices]\n\"label:site=plant-*\" = \"never\"\n\"label:site=plant-7\" = \"always\"\n"
        "\"label:tenant=acme\" = 0.9\n\"host:vip\" = 0.1\n",
        "r.toml");
    BOOST_REQUIRE(loaded.ok);
    breach b;
    BOOST_REQUIRE(b.read("{\"pbid\":1,\"score\":0.5,\"device\":{\"hostname\":\"pc\"}}").has_value());
    const rules::labels plant{{"site", "PLANT-8"}}, seven{{"site", "plant-7"}}, tenant{{"tenant", "acme"}};
    const auto& p = loaded.value;
    BOOST_TEST(p.decide(b).forward);
    BOOST_TEST(!p.decide(b, {&plant, nullptr}).forward);
    BOOST_TEST(p.decide(b, {&plant, nullptr}).reason == "never by device \"label:site=plant-*\" (r.toml:2)");
    BOOST_TEST(p.decide(b, {&seven, nullptr}).always);
    BOOST_TEST(!p.decide(b, {nullptr, &tenant}).forward);
    // The inventory's value stands before the master's of the same name.
    BOOST_TEST(p.decide(b, {&seven, &plant}).always);
    // Without any device the labels of the master still hold.
    breach bare;
    BOOST_REQUIRE(bare.read("{\"pbid\":1,\"score\":0.5}").has_value());
    BOOST_TEST(!p.decide(bare, {nullptr, &tenant}).forward);
    BOOST_REQUIRE(b.read("{\"pbid\":1,\"score\":0.5,\"device\":{\"hostname\":\"vip\"}}").has_value());
    BOOST_TEST(p.decide(b, {&plant, nullptr}).forward);
    for (const char* wrong : {"label:site", "label:=x", "label:si te=x", "label:site="})
    {
        const auto l = rules::load_text("[devices]\n\"" + std::string(wrong) + "\" = \"never\"\n", "r.toml");
        BOOST_TEST(!l.ok);
        BOOST_TEST(l.problems[0].message.find("label:site=plant-*") != std::string::npos);
    }
}

BOOST_AUTO_TEST_SUITE_END()
