// The 36 derived breaches and the hostile file in every format: one line, nothing raw, and the same values
// back.

#include <boost/json.hpp>
#include <boost/test/unit_test.hpp>

#include <set>

#include "readers.hpp"

using namespace dtbridge;
using namespace dtbridge::format;
using namespace dtbridge::format_test;

namespace
{

options options_of(kind k)
{
    options o;
    o.format = k;
    o.header = header_kind::none;
    return o;
}

/// A member as text, "" where it is missing or null.
std::string text_at(const boost::json::value& object, std::string_view name)
{
    if (!object.is_object())
        return {};
    const auto* v = object.as_object().if_contains(name);
    if (v == nullptr || v->is_null())
        return {};
    return v->is_string() ? std::string(v->as_string()) : boost::json::serialize(*v);
}

const boost::json::value& at(const boost::json::value& object, std::string_view name)
{
    static const boost::json::value nothing;
    const auto* v = object.is_object() ? object.as_object().if_contains(name) : nullptr;
    return v == nullptr ? nothing : *v;
}

const boost::json::value& model_of(const boost::json::value& breach)
{
    const auto& model = at(breach, "model");
    return at(model, "then").is_object() ? at(model, "then") : model;
}

const boost::json::value& device_of(const boost::json::value& breach)
{
    if (at(breach, "device").is_object())
        return at(breach, "device");
    const auto& components = at(breach, "triggeredComponents");
    return components.is_array() && !components.as_array().empty()
               ? at(components.as_array().front(), "device")
               : at(breach, "device");
}

std::string slashes(std::string name)
{
    for (auto i = name.find("::"); i != name.npos; i = name.find("::", i + 1))
        name.replace(i, 2, "/");
    return name;
}

std::string value_or_none(const read_event& e, std::string_view key)
{
    return e.has(key) ? e.at(key) : std::string();
}

std::string spaced(std::string s, std::string_view chars)
{
    for (char& c : s)
    {
        if (chars.find(c) != chars.npos)
            c = ' ';
    }
    return s;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(edge_cases)

BOOST_AUTO_TEST_CASE(derived_in_cef)
{
    auto f = formatter_of(options_of(kind::cef));
    auto elements = elements_of("api_edge_cases_derived.json");
    BOOST_TEST_REQUIRE(elements.size() == 36u);
    for (const auto& element : elements)
    {
        auto text = message_of(f, *read_breach(element));
        BOOST_TEST_CONTEXT(text)
        {
            require_one_line(text);
            auto e = read_cef(text);
            auto in = boost::json::parse(element);
            const auto &model = model_of(in), &device = device_of(in);
            BOOST_TEST(e.header[0] == "CEF:0");
            BOOST_TEST(e.header[4] == text_at(model, "pid"));
            BOOST_TEST(e.header[5] == cut_to(cleaned(slashes(text_at(model, "name")), " "), 512));
            BOOST_TEST(e.pairs.front().first == "externalId");
            BOOST_TEST(e.at("externalId") == text_at(in, "pbid"));
            BOOST_TEST(e.at("rt") == text_at(in, "time"));
            BOOST_TEST(value_or_none(e, "dvchost") ==
                       cut_to(cleaned(text_at(device, "hostname"), "\n"), 100));
            BOOST_TEST(value_or_none(e, "message") ==
                       cut_to(cleaned(text_at(model, "description"), "\n"), 1023));
            BOOST_TEST(value_or_none(e, "cs3") == text_at(model, "uuid"));
            BOOST_TEST(value_or_none(e, "cn1") == text_at(model, "priority"));
            auto tags = std::string();
            if (at(model, "tags").is_array())
            {
                for (const auto& tag : at(model, "tags").as_array())
                {
                    auto t = cleaned(tag.as_string(), "\n");
                    if (!t.empty())
                        tags += (tags.empty() ? "" : ",") + t;
                }
            }
            BOOST_TEST(value_or_none(e, "cs2") == tags);
            BOOST_TEST(!e.has("c6a1"));
            BOOST_TEST(e.has("dvc"));
            BOOST_TEST(e.pairs.back().first != "darktraceUrl");
            BOOST_TEST(e.at("darktraceUrl").ends_with("/#modelbreach/" + text_at(in, "pbid")));
        }
    }
}

BOOST_AUTO_TEST_CASE(derived_addresses_in_cef)
{
    auto f = formatter_of(options_of(kind::cef));
    std::set<std::string> seen;
    for (const auto& element : elements_of("api_edge_cases_derived.json"))
    {
        auto e = read_cef(message_of(f, *read_breach(element)));
        const auto& id = e.at("externalId");
        seen.insert(id);
        auto expect = [&](const char* pbid, std::vector<std::pair<const char*, const char*>> pairs) {
            if (id != pbid)
                return;
            for (auto [key, value] : pairs)
                BOOST_TEST(value_or_none(e, key) == value,
                           pbid << ' ' << key << ": " << value_or_none(e, key));
        };
        expect("900001",
               {{"dvc", "0.0.0.0"},
                {"src", ""},
                {"c6a2", "2001:db8:0:1::c9"},
                {"c6a3", "2001:db8:ffff::5"},
                {"dst", ""},
                {"dpt", "853"}});
        expect("900002", {{"dvc", "0.0.0.0"}, {"c6a2", "2001:db8:0:1::ca"}, {"dst", "203.0.113.5"}});
        expect("900003", {{"suser", "user1@example.com"}, {"dvc", "0.0.0.0"}, {"dst", ""}, {"src", ""}});
        expect("900004", {{"suser", "zo\xc3\xab.m\xc3\xbcller@example.com"}, {"cs1", "Compliance"}});
        expect(
            "900006",
            {{"dvchost", "host|name=x\\y"}, {"message", "line one\nline two|a=b\\c\n indented\nnext bell"}});
        expect("900010",
               {{"cs5", "T1071.001,T1573"},
                {"darktraceUrl", "https://darktrace.example.com/#modelbreach/900010"}});
        expect("900019", {{"dvchost", ""}, {"smac", ""}, {"dvc", "0.0.0.0"}});
        expect("900028", {{"dst", "203.0.113.5"}, {"src", "192.0.2.101"}, {"smac", "00:00:5E:00:53:48"}});
        expect("900030", {{"dvc", "0.0.0.0"}, {"src", ""}, {"smac", ""}, {"dvchost", "#10443.example.com"}});
        expect("900034", {{"dst", "203.0.113.77"}, {"dpt", "445"}});
    }
    BOOST_TEST(seen.size() == 36u);
}

BOOST_AUTO_TEST_CASE(derived_in_leef)
{
    for (std::string version : {"2.0", "1.0"})
    {
        auto o = options_of(kind::leef);
        o.leef_version = version;
        auto f = formatter_of(o);
        const std::string delimiter = version == "1.0" ? "\t" : "^";
        for (const auto& element : elements_of("api_edge_cases_derived.json"))
        {
            auto text = message_of(f, *read_breach(element));
            BOOST_TEST_CONTEXT(text)
            {
                require_one_line(text, version == "1.0");
                auto e = read_leef(text);
                auto in = boost::json::parse(element);
                const auto &model = model_of(in), &device = device_of(in);
                BOOST_TEST(e.header[4] ==
                           cut_to(cleaned(spaced(slashes(text_at(model, "name")), "|"), " "), 255));
                BOOST_TEST(e.at("cat") == "ModelBreach");
                BOOST_TEST(e.at("externalId") == text_at(in, "pbid"));
                BOOST_TEST(e.at("devTimeFormat") == "MMM dd yyyy HH:mm:ss.SSS z");
                BOOST_TEST(value_or_none(e, "hostname") ==
                           cleaned(spaced(text_at(device, "hostname"), "|^"), " "));
                BOOST_TEST(value_or_none(e, "description") ==
                           cleaned(spaced(text_at(model, "description"), "|^"), " "));
                BOOST_TEST(e.has("identSrc") == (e.has("src") && e.has("hostname")));
                BOOST_TEST(e.has("identSrc") == e.has("identHostName"));
                BOOST_TEST(std::stoi(e.at("sev")) >= 1);
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(derived_in_native_json)
{
    auto f = formatter_of(options_of(kind::json));
    for (const auto& element : elements_of("api_edge_cases_derived.json"))
    {
        auto text = message_of(f, *read_breach(element));
        BOOST_TEST_CONTEXT(text.substr(0, 300))
        {
            require_one_line(text);
            auto in = boost::json::parse(element).as_object();
            auto out = boost::json::parse(text).as_object();
            // The native shape, made here from what was received.
            if (in["model"].is_object() && in["model"].as_object().contains("then"))
                in["model"] = boost::json::value(in["model"].as_object()["then"]);
            if (!in.contains("device"))
            {
                boost::json::value first = in["triggeredComponents"].as_array()[0].as_object()["device"];
                in["triggeredComponents"].as_array()[0].as_object().erase("device");
                in["device"] = first;
            }
            auto url = text_at(in, "breachUrl");
            if (url.empty())
                url = "https://dt.acme.example/#modelbreach/" + text_at(in, "pbid");
            in["breachUrl"] = url;
            BOOST_TEST(out == in);
        }
    }
}

BOOST_AUTO_TEST_CASE(derived_in_api_json)
{
    auto o = options_of(kind::json);
    o.shape = json_shape::api;
    auto f = formatter_of(o);
    for (const auto& element : elements_of("api_edge_cases_derived.json"))
    {
        auto in = boost::json::parse(element).as_object();
        auto out = boost::json::parse(message_of(f, *read_breach(element))).as_object();
        if (text_at(in, "breachUrl").empty())
            in["breachUrl"] = "https://dt.acme.example/#modelbreach/" + text_at(in, "pbid");
        BOOST_TEST(out == in);
    }
}

BOOST_AUTO_TEST_CASE(hostile_elements)
{
    auto elements = elements_of("api_edge_cases_hostile.json");
    BOOST_TEST_REQUIRE(elements.size() == 13u);
    std::vector<std::int64_t> ids;
    for (const auto& element : elements)
    {
        breach b;
        if (!b.read(element))
            continue;
        ids.push_back(b.key.pbid);
        const auto pbid = std::to_string(b.key.pbid);
        for (auto header : {header_kind::none, header_kind::rfc3164, header_kind::rfc5424})
        {
            for (auto k : {kind::json, kind::cef, kind::leef})
            {
                auto o = options_of(k);
                o.header = header;
                o.annotate = true;
                o.structured_data = true;
                auto f = formatter_of(o);
                auto text = message_of(f, b);
                BOOST_TEST_CONTEXT(text)
                {
                    require_one_line(text);
                    if (k == kind::cef)
                    {
                        auto e = read_cef(std::string_view(text).substr(text.find("CEF:0|Darktrace|DCIP|")));
                        BOOST_TEST(e.pairs.front().first == "externalId");
                        BOOST_TEST(e.at("externalId") == pbid);
                        BOOST_TEST(e.at("darktraceUrl") == "https://dt.acme.example/#modelbreach/" + pbid);
                        BOOST_TEST(e.at("dvc") == "0.0.0.0");
                        BOOST_TEST(!e.has("dst"));  // the forged one stays text
                    }
                    else if (k == kind::leef)
                    {
                        auto e =
                            read_leef(std::string_view(text).substr(text.find("LEEF:2.0|Darktrace|DCIP|")));
                        BOOST_TEST(e.at("externalId") == pbid);
                        BOOST_TEST(!e.has("dst"));
                    }
                    else
                    {
                        auto out = boost::json::parse(text.substr(text.find("{\"pbid\"")));
                        BOOST_TEST(at(out, "breachUrl").as_string() ==
                                   "https://dt.acme.example/#modelbreach/" + pbid);
                        BOOST_TEST(text.find("\\u0000") == text.npos);
                    }
                }
            }
        }
    }
    const std::vector<std::int64_t> expected = {
        910001, 910002, 910003, 910006, 910007, 910009, 910010, 910011};
    BOOST_TEST(ids == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(an_injection_reads_back_as_text)
{
    auto elements = elements_of("api_edge_cases_hostile.json");
    for (const auto& element : elements)
    {
        if (element.find("910011") == element.npos)
            continue;
        auto b = read_breach(element);
        auto cef = formatter_of(options_of(kind::cef));
        auto e = read_cef(message_of(cef, *b));
        BOOST_TEST(e.header[5] == "CEF:0|Evil|Inject|1|1|x|10| CEF:0|Evil|Inject|1|1|x|10|dst=203.0.113.99");
        BOOST_TEST(e.at("dvchost") == "x dvchost=evil darktraceUrl=https://evil.example/");
        BOOST_TEST(e.at("message") ==
                   "a=b dst=203.0.113.99 externalId=1\n<165>1 2024-01-01T00:00:00Z evil darktrace - - - {}");
        auto json = formatter_of(options_of(kind::json));
        auto out = boost::json::parse(message_of(json, *b));
        BOOST_TEST(
            text_at(at(out, "model"), "description") ==
            "a=b dst=203.0.113.99 externalId=1\r\n<165>1 2024-01-01T00:00:00Z evil darktrace - - - {}");
        return;
    }
    BOOST_ERROR("910011 is not in the file");
}

BOOST_AUTO_TEST_SUITE_END()
