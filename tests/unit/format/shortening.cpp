#include <boost/json.hpp>
#include <boost/test/unit_test.hpp>

#include "readers.hpp"

using namespace dtbridge;
using namespace dtbridge::format;
using namespace dtbridge::format_test;

namespace
{

/// A breach of the vendor's full shape, long in every part that a step leaves out.
std::string long_breach(bool then_and_now)
{
    std::string filters;
    for (int i = 0; i < 12; ++i)
        filters += std::string(i == 0 ? "" : ",") + R"({"cfid":)" + std::to_string(i) +
                   R"(,"filterType":"Kind )" + std::to_string(i % 4) +
                   R"(","comparatorType":"is","trigger":{"value":"\"v)" + std::to_string(i) + R"("}})";
    const std::string component =
        R"({"cid":1,"logic":{"data":{"left":"A","operator":"AND","right":"B"}},"metric":{"label":"L"},)"
        R"("triggeredFilters":[)" +
        filters + R"(],"ip":"203.0.113.5/32","port":443})";
    std::string description;
    for (int i = 0; i < 60; ++i)
        description += R"(pr\u00fcfen \"\ud83d\ude00\"\n)";
    const std::string model =
        R"({"name":"A::B","pid":7,"uuid":"u-7","logic":{"data":[1,2,3]},"throttle":3600,"tags":["t"],)"
        R"("activeTimes":{"devices":{},"version":2},"description":")" +
        description + R"(","defeats":[{"defeatID":1}],"priority":5})";
    return R"({"commentCount":0,"pbid":11,"time":1704100000000,"creationTime":1704100006000,"model":)" +
           (then_and_now ? R"({"then":)" + model + R"(,"now":)" + model + "}" : model) +
           R"(,"triggeredComponents":[)" + component + "," + component +
           R"(],"score":0.5,"percentscore":50,"device":{"did":1,"vendor":"V","ips":[)" +
           R"({"ip":"192.0.2.1"},{"ip":"192.0.2.2"}],"ip":"192.0.2.1","hostname":"h"}})";
}

const boost::json::object& object_at(const boost::json::value& v, std::string_view name)
{
    return v.as_object().at(name).as_object();
}

void require_protected(const boost::json::value& v, bool then_and_now)
{
    const auto& o = v.as_object();
    BOOST_TEST(o.at("pbid").as_int64() == 11);
    BOOST_TEST(o.at("time").as_int64() == 1704100000000);
    BOOST_TEST(o.at("score").as_double() == 0.5);
    BOOST_TEST(o.at("breachUrl").as_string() == "https://dt.acme.example/#modelbreach/11");
    const auto& model = then_and_now ? object_at(o.at("model"), "then") : object_at(v, "model");
    BOOST_TEST(model.at("name").as_string() == "A::B");
    BOOST_TEST(model.at("pid").as_int64() == 7);
    BOOST_TEST(model.at("uuid").as_string() == "u-7");
    BOOST_TEST(object_at(v, "device").at("hostname").as_string() == "h");
    BOOST_TEST(object_at(v, "device").at("ip").as_string() == "192.0.2.1");
}

}  // namespace

BOOST_AUTO_TEST_SUITE(shortening)

BOOST_AUTO_TEST_CASE(json_at_every_limit)
{
    for (auto shape : {json_shape::native, json_shape::api})
    {
        for (bool then_and_now : {false, true})
        {
            options o;
            o.header = header_kind::none;
            o.shape = shape;
            auto b = read_breach(long_breach(then_and_now));
            auto unlimited = formatter_of(o);
            const std::size_t whole = message_of(unlimited, *b).size();
            const bool nested = then_and_now && shape == json_shape::api;
            std::size_t last = 0;
            for (std::size_t limit = 1; limit <= whole + 1; limit += limit < 400 ? 1 : 13)
            {
                o.max_message = limit;
                auto f = formatter_of(o);
                std::string out = "x";
                auto said = f.message(*b, acme(), {}, out);
                if (said == verdict::undeliverable)
                {
                    BOOST_TEST(out == "x");
                    BOOST_TEST(last == 0u);  // what fits a limit fits a higher one
                    BOOST_TEST(limit < 300u);
                    continue;
                }
                out.erase(0, 1);
                last = limit;
                BOOST_TEST_REQUIRE(out.size() <= limit);
                require_one_line(out);
                auto v = boost::json::parse(out);
                require_protected(v, nested);
                BOOST_TEST((said == verdict::shortened) == (limit < whole));
                BOOST_TEST(v.as_object().contains("truncated") == (limit < whole));
                if (limit < whole)
                    BOOST_TEST(out.ends_with(",\"truncated\":true}"));
            }
            BOOST_TEST(last > 0u);
        }
    }
}

BOOST_AUTO_TEST_CASE(json_of_the_api_keeps_the_device_of_a_component_that_is_left_out)
{
    for (const char* at_the_top : {"", R"(,"device":{})", R"(,"device":0)"})
    {
        std::string element =
            std::string(R"({"pbid":5)") + at_the_top +
            R"(,"triggeredComponents":[{"device":{"did":7,"ip":"10.0.0.7","hostname":"pc-7"}})";
        for (int i = 0; i < 6; ++i)
            element += R"(,{"metric":")" + std::string(300, 'm') + R"("})";
        options o;
        o.header = header_kind::none;
        o.shape = json_shape::api;
        o.max_message = 400;
        const auto b = read_breach(element + "]}");
        auto f = formatter_of(o);
        const auto message = message_of(f, *b);
        const auto v = boost::json::parse(message);
        BOOST_TEST(object_at(v, "device").at("hostname").as_string() == "pc-7");
        BOOST_TEST(object_at(v, "device").at("ip").as_string() == "10.0.0.7");
        BOOST_TEST(message.find("\"device\"") == message.rfind("\"device\""));
        BOOST_TEST(!v.as_object().contains("triggeredComponents"));
    }
}

BOOST_AUTO_TEST_CASE(json_steps_in_order)
{
    options o;
    o.header = header_kind::none;
    auto b = read_breach(long_breach(false));
    auto unlimited = formatter_of(o);
    const std::size_t whole = message_of(unlimited, *b).size();
    // As the limit falls, what an earlier step leaves out is never back, and no later step comes before it.
    int reached = 0;
    for (std::size_t limit = whole; limit >= 300; limit -= limit > 1500 ? 5 : 1)
    {
        o.max_message = limit;
        auto f = formatter_of(o);
        std::string out;
        if (f.message(*b, acme(), {}, out) == verdict::undeliverable)
            break;
        auto v = boost::json::parse(out);
        const auto& model = object_at(v, "model");
        const auto* components = v.as_object().if_contains("triggeredComponents");
        const auto* first = components == nullptr ? nullptr : components->as_array().front().if_object();
        const std::size_t filters = first == nullptr ? 0 : first->at("triggeredFilters").as_array().size();
        const bool has_description = model.contains("description");
        const std::size_t description = has_description ? model.at("description").as_string().size() : 0;
        const bool gone[] = {
            filters < 12,
            first == nullptr || !first->contains("logic"),
            !model.contains("logic"),
            !model.contains("defeats"),
            !model.contains("activeTimes"),
            !object_at(v, "device").contains("ips"),
            description < 60 * 15u,
            filters < 4,
            !has_description,
        };
        int now = 0;
        while (now < 9 && gone[now])
            ++now;
        for (int later = now; later < 9; ++later)
            BOOST_TEST(!gone[later], "limit " << limit << ": step " << later << " before step " << now);
        BOOST_TEST(now >= reached);
        reached = now;
        if (filters >= 1)
            BOOST_TEST(model.contains("throttle"));  // Exabeam needs both (darktrace.md 4.2)
    }
    BOOST_TEST(reached == 9);
}

BOOST_AUTO_TEST_CASE(json_description_is_cut_to_the_byte)
{
    options o;
    o.header = header_kind::none;
    auto b =
        read_breach(R"({"pbid":1,"model":{"name":"n","description":")" + std::string(1000, 'd') + R"("}})");
    o.max_message = 300;
    auto f = formatter_of(o);
    BOOST_TEST(message_of(f, *b).size() == 300u);
}

BOOST_AUTO_TEST_CASE(pairs_at_every_limit)
{
    auto b = read_breach(long_breach(false));
    for (auto k : {kind::cef, kind::leef})
    {
        options o;
        o.format = k;
        o.header = header_kind::rfc3164;
        auto unlimited = formatter_of(o);
        const auto whole = message_of(unlimited, *b);
        const std::string start = k == kind::cef ? "CEF:" : "LEEF:";
        for (std::size_t limit = 1; limit <= whole.size(); limit += limit < 300                ? 1
                                                                    : limit + 7 < whole.size() ? 7
                                                                                               : 1)
        {
            o.max_message = limit;
            auto f = formatter_of(o);
            std::string out;
            auto said = f.message(*b, acme(), {}, out);
            if (said == verdict::undeliverable)
            {
                BOOST_TEST(out.empty());
                BOOST_TEST(limit < 100u);
                continue;
            }
            BOOST_TEST_REQUIRE(out.size() <= limit);
            BOOST_TEST((said == verdict::whole) == (limit == whole.size()));
            require_one_line(out);
            auto text = std::string_view(out).substr(out.find(start));
            auto e = k == kind::cef ? read_cef(text) : read_leef(text);
            if (k == kind::cef)
            {
                BOOST_TEST(e.pairs.front().first == "externalId");
                BOOST_TEST(e.pairs.back().first != "darktraceUrl");
            }
            // What is there is what the whole message has; only the free text may be shorter.
            auto full = k == kind::cef ? read_cef(std::string_view(whole).substr(whole.find(start)))
                                       : read_leef(std::string_view(whole).substr(whole.find(start)));
            for (const auto& [key, value] : e.pairs)
            {
                if (key == "message" || key == "description")
                    BOOST_TEST(full.at(key).starts_with(value));
                else
                    BOOST_TEST(full.at(key) == value);
            }
            BOOST_TEST(e.has("identSrc") == e.has("identHostName"));
            BOOST_TEST(e.has("cs4") == e.has("cs4Label"));
        }
    }
}

BOOST_AUTO_TEST_CASE(nothing_is_left_of_an_undeliverable_message)
{
    // A protected member that is longer than the limit cannot be made to fit.
    auto b = read_breach(R"({"pbid":1,"model":{"name":")" + std::string(5000, 'n') + R"("}})");
    options o;
    o.max_message = 2000;
    auto f = formatter_of(o);
    std::string out = "kept";
    BOOST_TEST((f.message(*b, acme(), {}, out) == verdict::undeliverable));
    BOOST_TEST(out == "kept");
}

BOOST_AUTO_TEST_SUITE_END()
