#include <dtbridge/core/breach.hpp>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <ostream>
#include <sstream>

#include "support/skipped.hpp"

using namespace dtbridge;
using json::kind;

namespace
{

std::string read_file(const std::filesystem::path& path)
{
    std::ifstream in(path, std::ios::binary);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
}

/// The elements of our data files: an array with one element per line.
std::vector<std::string> elements(const std::string& name)
{
    std::istringstream in(read_file(std::filesystem::path(DTBRIDGE_TEST_DATA) / name));
    std::vector<std::string> out;
    for (std::string line; std::getline(in, line);)
    {
        while (!line.empty() && (line.back() == ',' || line.back() == '\r'))
            line.pop_back();
        if (!line.empty() && line != "[" && line != "]")
            out.push_back(line);
    }
    return out;
}

const std::map<std::int64_t, std::string>& edge_cases()
{
    static const auto all = [] {
        std::map<std::int64_t, std::string> out;
        for (const auto& e : elements("api_edge_cases_derived.json"))
        {
            breach b;
            const auto key = b.read(e);
            BOOST_REQUIRE_MESSAGE(key.has_value(), e.substr(0, 100));
            out[key->pbid] = e;
        }
        return out;
    }();
    return all;
}

void read(breach& b, std::int64_t pbid)
{
    const auto found = edge_cases().find(pbid);
    BOOST_REQUIRE(found != edge_cases().end());
    BOOST_REQUIRE(b.read(found->second).has_value());
    BOOST_REQUIRE(b.key.pbid == pbid);
}

std::string joined(const std::vector<std::string_view>& parts)
{
    std::string out;
    for (const auto p : parts)
        out.append(p).append("|");
    return out;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(breaches)

BOOST_AUTO_TEST_CASE(all_edge_cases_are_read_and_kept_apart)
{
    BOOST_TEST(elements("api_edge_cases_derived.json").size() == 36u);
    BOOST_TEST(edge_cases().size() == 36u);
    BOOST_TEST(edge_cases().count(9007199254740993) == 1u);
    BOOST_TEST(edge_cases().count(9007199254740992) == 1u);
    BOOST_TEST(edge_cases().count(-1000000000000123) == 1u);
    for (const auto& [pbid, text] : edge_cases())
    {
        breach b;
        BOOST_REQUIRE(b.read(text).has_value());
        BOOST_TEST(b.score.has_value());
        BOOST_TEST((b.then.is(kind::object)));
        BOOST_TEST((b.now.is(kind::object)));
        BOOST_TEST((b.device.is(kind::object)));
        BOOST_TEST(!string_member(b.then, "name").empty());
    }
}

BOOST_AUTO_TEST_CASE(model_shapes)
{
    breach b;
    read(b, 900009);  // flat
    BOOST_TEST(string_member(b.then, "name") == "System::System");
    BOOST_TEST(string_member(b.now, "name") == "System::System");
    BOOST_TEST((b.key == breach_key{900009, 1704100000000}));
    BOOST_TEST(b.time.value() == 1704100060000);
    read(b, 900010);  // then only
    BOOST_TEST(string_member(b.then, "name") == "Compromise::Beaconing Activity");
    BOOST_TEST(string_member(b.now, "name") == "Compromise::Beaconing Activity");
    BOOST_TEST(joined(model_tags(b.then)).find("Enhanced Monitoring|") != std::string::npos);
    BOOST_TEST(b.score->text() == "1");
    read(b, 900011);  // both, and they differ
    BOOST_TEST(string_member(b.then, "name") != string_member(b.now, "name"));
    BOOST_TEST(joined(model_tags(b.then)) == "AP: Tooling|");
    BOOST_TEST(b.score->text() == "0.499");
    BOOST_TEST(b.score->compare(*decimal::parse("0.5")) == -1);

    BOOST_REQUIRE(b.read(R"({"pbid":1,"model":{"now":{"name":"N"}}})").has_value());
    BOOST_TEST(string_member(b.then, "name") == "N");
    BOOST_REQUIRE(b.read(R"({"pbid":1,"model":{"then":null,"now":{"name":"N"}}})").has_value());
    BOOST_TEST(string_member(b.then, "name") == "N");
    BOOST_REQUIRE(b.read(R"({"pbid":1,"model":{"name":"F","now":{"name":"N"}}})").has_value());
    BOOST_TEST(string_member(b.then, "name") == "F");
    BOOST_TEST(string_member(b.now, "name") == "N");
    BOOST_REQUIRE(b.read(R"({"pbid":1,"model":"text"})").has_value());
    BOOST_TEST(!b.then);
    BOOST_TEST(!b.now);
}

BOOST_AUTO_TEST_CASE(devices)
{
    breach b;
    read(b, 900028);  // inside the components, two of them
    BOOST_TEST(!b.root.find("device"));
    BOOST_TEST(b.devices.size() == 2u);
    BOOST_TEST(b.components.size() == 2u);
    BOOST_TEST(b.device.find("did").text() == b.components[0].find("device").find("did").text());
    BOOST_TEST(b.devices[0].find("did").text() != b.devices[1].find("did").text());
    read(b, 900009);
    BOOST_TEST(b.device.find("did").text() == "-1");
    BOOST_REQUIRE(
        b.read(
             R"({"pbid":1,"device":{"did":1},"triggeredComponents":[{"device":{"did":2}},7,{"device":[]}]})")
            .has_value());
    BOOST_TEST(b.devices.size() == 2u);
    BOOST_TEST(b.device.find("did").text() == "1");
    BOOST_TEST(b.components.size() == 2u);
    BOOST_REQUIRE(
        b.read(R"({"pbid":1,"device":{},"triggeredComponents":[{"device":{"did":2}}]})").has_value());
    BOOST_TEST(b.device.find("did").text() == "2");
}

BOOST_AUTO_TEST_CASE(times_and_ids)
{
    breach b;
    read(b, 900027);  // minimal: no creationTime
    BOOST_TEST(!b.creation_time);
    BOOST_TEST(b.key.created == 1704100000000);
    read(b, 900026);
    BOOST_TEST(b.key.created == 1704100008000);
    BOOST_TEST(b.time.value() == 1703840800000);
    BOOST_REQUIRE(b.read(R"({"pbid":5})").has_value());
    BOOST_TEST(b.key.created == 0);
    BOOST_TEST(!b.score);
    BOOST_TEST(!b.device);
    BOOST_REQUIRE(b.read(R"({"pbid":5,"creationTime":"soon","time":7})").has_value());
    BOOST_TEST(b.key.created == 7);
}

BOOST_AUTO_TEST_CASE(category_and_flags)
{
    breach b;
    read(b, 900004);
    BOOST_TEST(is_compliance(b.then));
    BOOST_TEST(model_category(b.then) == "Compliance");
    read(b, 900016);
    BOOST_TEST(is_acknowledged(b));
    read(b, 900017);
    BOOST_TEST(is_acknowledged(b));
    read(b, 900018);
    BOOST_TEST(!is_acknowledged(b));
    BOOST_TEST(is_suppressed(b));
    read(b, 900001);
    BOOST_TEST(!is_acknowledged(b));
    BOOST_TEST(!is_suppressed(b));
    read(b, 900020);
    BOOST_TEST(model_tags(b.then).empty());
    read(b, 900019);
    BOOST_TEST(model_tags(b.then).empty());
    for (const auto& [text, compliance] : std::map<std::string, bool>{{"true", true},
                                                                      {"\"true\"", true},
                                                                      {"1", true},
                                                                      {"false", false},
                                                                      {"null", false},
                                                                      {"0", false},
                                                                      {"{}", false}})
    {
        BOOST_REQUIRE(
            b.read("{\"pbid\":1,\"model\":{\"compliance\":" + text + ",\"category\":\"suspicious\"}}")
                .has_value());
        BOOST_TEST(model_category(b.then) == (compliance ? "Compliance" : "Suspicious"));
    }
    BOOST_REQUIRE(b.read(R"({"pbid":1,"acknowledged":{},"suppressed":"true"})").has_value());
    BOOST_TEST(!is_acknowledged(b));
    BOOST_REQUIRE(b.read(R"({"pbid":1,"acknowledged":true})").has_value());
    BOOST_TEST(is_acknowledged(b));
}

BOOST_AUTO_TEST_CASE(tags_lose_outer_blanks_and_empty_ones)
{
    breach b;
    read(b, 900032);
    for (const auto tag : model_tags(b.then))
    {
        BOOST_TEST(!tag.empty());
        BOOST_TEST(tag.front() != ' ');
        BOOST_TEST(tag.back() != ' ');
    }
    BOOST_REQUIRE(b.read(R"({"pbid":1,"model":{"tags":["", " a ", 7, null, "b"]}})").has_value());
    BOOST_TEST(joined(model_tags(b.then)) == "a|b|");
}

BOOST_AUTO_TEST_CASE(peers_and_accounts)
{
    breach b;
    read(b, 900001);  // "2001:db8::.../128"
    BOOST_TEST(breach_peer(b).ip.find("2001:db8") == 0u);
    BOOST_TEST(breach_peer(b).ip.find('/') == std::string_view::npos);
    read(b, 900003);
    BOOST_TEST(saas_user(b.device).find('@') != std::string_view::npos);
    BOOST_TEST(saas_user(b.device).find(' ') == std::string_view::npos);
    BOOST_TEST(breach_peer(b).ip == "");
    read(b, 900001);
    BOOST_TEST(saas_user(b.device) == "");
    BOOST_REQUIRE(
        b.read(R"({"pbid":1,"device":{"hostname":"SaaS::Office365: user@example.com"},"triggeredComponents":
        [{"ip":" ","port":1},{"ip":"192.168.1.#18408","port":2},{"ip":"203.0.113.5/32","port":443}]})")
            .has_value());
    BOOST_TEST(saas_user(b.device) == "user@example.com");
    BOOST_TEST(breach_peer(b).ip == "203.0.113.5");
    BOOST_TEST(breach_peer(b).port.value() == 443);
    BOOST_REQUIRE(
        b.read(R"({"pbid":1,"triggeredComponents":[{"ip":"203.0.113.5","port":70000}]})").has_value());
    BOOST_TEST(!breach_peer(b).port);
}

BOOST_AUTO_TEST_CASE(model_paths)
{
    BOOST_TEST(model_path("A::B::C") == "A/B/C");
    BOOST_TEST(model_path("A:B") == "A:B");
    BOOST_TEST(model_path("A:::B") == "A/:B");
    BOOST_TEST(model_path("") == "");
}

BOOST_AUTO_TEST_CASE(hostile_elements)
{
    const auto all = elements("api_edge_cases_hostile.json");
    BOOST_REQUIRE(all.size() == 13u);
    std::string taken, refused;
    for (std::size_t i = 0; i < all.size(); ++i)
    {
        breach b;
        const auto key = b.read(all[i]);
        if (key)
            taken += std::to_string(key->pbid) + ",";
        else
        {
            refused += std::to_string(i) + ",";
            BOOST_TEST((key.error().code == errc::malformed));
            BOOST_TEST(!key.error().detail.empty());
            BOOST_TEST(!b.root);
        }
    }
    // Beyond 64 bits, no pbid, and the three that are no objects.
    BOOST_TEST(taken == "910001,910002,910003,910006,910007,910009,910010,910011,");
    BOOST_TEST(refused == "3,4,10,11,12,");

    breach b;
    BOOST_REQUIRE(b.read(all[0]).has_value());
    BOOST_TEST(string_member(b.then, "name") == "Lone \xEF\xBF\xBD Surrogate");
    BOOST_REQUIRE(b.read(all[1]).has_value());
    BOOST_TEST((b.key == breach_key{910002, 1704100001000}));
    BOOST_TEST(b.time.value() == 1704100000000);
    BOOST_TEST(b.score->text() == "0.5");
    BOOST_REQUIRE(b.read(all[5]).has_value());
    BOOST_TEST(b.key.created == 253402300800000);
    BOOST_TEST(b.score->text() == "-0.1");
    BOOST_REQUIRE(b.read(all[7]).has_value());
    BOOST_TEST(!b.score);
    BOOST_TEST(!b.device);
    BOOST_REQUIRE(b.read(all[8]).has_value());
    BOOST_TEST(!b.then);
    BOOST_TEST(b.components.empty());
}

BOOST_AUTO_TEST_CASE(bounds_of_an_element)
{
    breach b;
    const auto deep = b.read("{\"pbid\":1,\"x\":" + std::string(300, '[') + std::string(300, ']') + "}");
    BOOST_TEST((deep.has_error() && deep.error().code == errc::over_limit));
    const auto big = b.read("{\"pbid\":1,\"x\":\"" + std::string(4u << 20, 'a') + "\"}");
    BOOST_TEST((big.has_error() && big.error().code == errc::over_limit));
}

BOOST_AUTO_TEST_CASE(captured_samples_are_read)
{
    const char* shared = std::getenv("DTBRIDGE_SHARED");
    const auto folder =
        (shared ? std::filesystem::path(shared) : std::filesystem::path(DTBRIDGE_SOURCE_DIR) / "../shared") /
        "samples/darktrace";
    if (!std::filesystem::exists(folder))
    {
        test::say_skipped("no captured samples in " + folder.string());
        return;
    }
    json::document doc;
    json::limits wide;
    const auto text = read_file(folder / "api_then_now_mixed_sekoia.json");
    const auto page = doc.parse(text, wide);
    BOOST_REQUIRE(page.has_value());
    BOOST_TEST(page->size() == 7u);
    for (const auto element : *page)
    {
        std::int64_t pbid = 0;
        BOOST_TEST(element.find("pbid").integer(pbid));
    }
    breach b;
    BOOST_REQUIRE(b.read(read_file(folder / "api_single_object_tags_then_vs_now_xsoar.json")).has_value());
    BOOST_TEST(model_tags(b.then).empty());
    BOOST_TEST(!model_tags(b.now).empty());
}

BOOST_AUTO_TEST_SUITE_END()
