#include "format/severity.hpp"

#include <boost/test/unit_test.hpp>

#include "readers.hpp"

using namespace dtbridge;
using namespace dtbridge::format;
using namespace dtbridge::format_test;

namespace
{

int of(severity_map::mode by,
       const std::string& element,
       const rules::decision& said = {},
       std::vector<std::pair<std::string, int>> table = {})
{
    severity_map m;
    m.by = by;
    m.table = std::move(table);
    return severity_of(m, *read_breach(element), said);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(severities)

BOOST_AUTO_TEST_CASE(by_score)
{
    // max(1, half-up(10 x score)) in decimal; unknown is 5.
    const std::pair<const char*, int> cases[] = {{"0", 1},
                                                 {"0.04", 1},
                                                 {"0.149", 1},
                                                 {"0.15", 2},
                                                 {"0.449", 4},
                                                 {"0.45", 5},
                                                 {"0.850", 9},
                                                 {"0.95", 10},
                                                 {"1", 10},
                                                 {"1.0", 10},
                                                 {"\"0.5\"", 5},
                                                 {"1.7", 10},
                                                 {"-0.1", 1},
                                                 {"1e-7", 1},
                                                 {"null", 5}};
    for (const auto& [score, expected] : cases)
        BOOST_TEST(
            of(severity_map::mode::score, std::string(R"({"pbid":1,"score":)") + score + "}") == expected,
            score);
    BOOST_TEST(of(severity_map::mode::score, R"({"pbid":1})") == 5);
}

BOOST_AUTO_TEST_CASE(by_category)
{
    const std::pair<const char*, int> cases[] = {
        {"Informational", 3}, {"Suspicious", 6}, {"Critical", 10}, {"Odd", 5}};
    for (const auto& [category, expected] : cases)
        BOOST_TEST(of(severity_map::mode::category,
                      std::string(R"({"pbid":1,"model":{"category":")") + category + R"("}})") == expected);
    BOOST_TEST(of(severity_map::mode::category,
                  R"({"pbid":1,"model":{"category":"Critical","compliance":true}})") == 4);
    BOOST_TEST(of(severity_map::mode::category, R"({"pbid":1})") == 5);
}

BOOST_AUTO_TEST_CASE(by_priority)
{
    const int expected[] = {1, 2, 3, 4, 7, 10, 5};
    for (int p = 0; p <= 6; ++p)
        BOOST_TEST(of(severity_map::mode::priority,
                      R"({"pbid":1,"model":{"priority":)" + std::to_string(p) + "}}") == expected[p]);
    BOOST_TEST(of(severity_map::mode::priority, R"({"pbid":1,"model":{"priority":-1}})") == 5);
}

BOOST_AUTO_TEST_CASE(by_table)
{
    std::vector<std::pair<std::string, int>> table = {{"critical", 8}, {"3", 2}};
    auto mode = severity_map::mode::table;
    BOOST_TEST(of(mode, R"({"pbid":1,"model":{"category":"Critical","priority":3}})", {}, table) == 8);
    BOOST_TEST(of(mode, R"({"pbid":1,"model":{"category":"Suspicious","priority":3}})", {}, table) == 2);
    BOOST_TEST(of(mode, R"({"pbid":1,"model":{"category":"Suspicious","priority":4}})", {}, table) == 5);
}

BOOST_AUTO_TEST_CASE(the_model_wins_and_context_is_low)
{
    rules::decision d;
    d.severity = 8;
    BOOST_TEST(of(severity_map::mode::score, R"({"pbid":1,"score":0.2})", d) == 8);
    d.forward = false;
    BOOST_TEST(of(severity_map::mode::score, R"({"pbid":1,"score":0.2})", d) == 3);
    d.forward = true;
    d.severity = 0;
    BOOST_TEST(of(severity_map::mode::score, R"({"pbid":1,"score":0.2})", d) == 1);  // product.md 6: 1 to 10
    d.forward = false;
    d.severity.reset();
    BOOST_TEST(of(severity_map::mode::score, R"({"pbid":1,"score":0.2})", d) == 2);
}

BOOST_AUTO_TEST_SUITE_END()
