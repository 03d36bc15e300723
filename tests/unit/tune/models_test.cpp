#include <dtbridge/tune/models.hpp>

#include "support.hpp"

using namespace dtbridge;
using namespace dtbridge::tune;
using tune_test::day_ms;
using tune_test::first_day;

namespace
{

std::string written(const survey& s, void (*write)(const survey&, const output&))
{
    std::string out;
    write(s, [&](std::string_view text) { out += text; });
    return out;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(model_survey)

BOOST_AUTO_TEST_CASE(csv_by_hand)
{
    survey s;
    breach b;
    for (int i = 0; i < 14; ++i)
    {
        tune_test::read(b,
                        {.model = "=A::B, \\\"x\\\"",
                         .score = i < 7 ? "0.25" : "0.759",
                         .created = first_day + i * day_ms,
                         .tags = "\"t1\",\"-t2\""});
        s.take(b);
    }
    tune_test::read(b, {.model = "\\u0009@x", .score = "", .created = first_day, .category = ""});
    s.take(b);
    BOOST_TEST(s.day_count() == 14);
    BOOST_TEST(s.per_week(14) == 7.0);
    BOOST_TEST(
        written(s, write_model_csv) ==
        "model,uuid,pid,category,priority,tags,breaches,breaches_per_week,score_min,score_q1,score_median,"
        "score_q3,score_max\r\n"
        "\"'=A/B, \"\"x\"\"\",\"\",,\"Suspicious\",\"3\",\"t1; -t2\",14,7.0,0.25,0.25,0.25,0.75,0.75\r\n"
        "\"'@x\",\"\",,\"\",\"3\",\"\",1,0.5,,,,,\r\n");
}

/// Whatever models are called, the file to fill in loads, forwards everything and names each model once.
BOOST_AUTO_TEST_CASE(mapping_loads)
{
    survey s({.models = 30});
    breach b;
    for (const char* name : {"A::B",
                             "a / b",
                             "x\\\" = 1 #",
                             "line\\nbreak",
                             "with *",
                             "",
                             "uuid:1",
                             "42",
                             "back\\\\slash",
                             "[models]"})
        for (const char* uuid : {",\"uuid\":\"u1\"", ""})
        {
            const std::string model =
                std::string("{\"pbid\":1,\"creationTime\":1000,\"score\":0,\"model\":{\"name\":\"") + name +
                "\"" + uuid + (uuid[0] == '\0' ? "" : "") + "}}";
            BOOST_REQUIRE(b.read(model));
            s.take(b);
        }
    std::string text;
    write_model_mapping(s, "acme", [&](std::string_view t) { text += t; });
    const auto p = tune_test::policy_of(text);
    BOOST_TEST(p.lines().size() > 5u);
    const rules::outline lines(p);
    for (const auto& line : lines.lines())
        if (line.what == rules::outlined_line::kind::model)
            BOOST_TEST(line.threshold->text() == "0");
}

BOOST_AUTO_TEST_CASE(bounds)
{
    survey s({.models = 2});
    breach b;
    for (int i = 0; i < 9; ++i)
    {
        tune_test::read(b, {.model = "M" + std::to_string(i)});
        s.take(b);
    }
    BOOST_TEST(s.models().size() == 2u);
    BOOST_TEST(s.left_out() == 7);
}

BOOST_AUTO_TEST_SUITE_END()
