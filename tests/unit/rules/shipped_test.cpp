#include <boost/test/unit_test.hpp>

#include "support.hpp"

using namespace dtbridge;
using namespace rules_test;

BOOST_AUTO_TEST_SUITE(shipped_mappings)

namespace
{

rules::policy shipped(const std::string& stem)
{
    const auto name = "mappings/" + stem + ".toml";
    const auto text = rules::builtin_mapping(name);
    BOOST_REQUIRE(!text.empty());
    std::ifstream in(std::filesystem::path(DTBRIDGE_SOURCE_DIR) / name, std::ios::binary);
    std::ostringstream on_disk;
    on_disk << in.rdbuf();
    BOOST_TEST((on_disk.str() == text));
    auto l = rules::load_text(text, name);
    BOOST_REQUIRE_MESSAGE(l.ok && l.problems.empty(), problems_of(l));
    return std::move(l.value);
}

std::string scored(const std::string& score, const std::string& tags = "")
{
    return R"({"pbid":1,"score":)" + score + R"(,"model":{"then":{"name":"A::B","tags":[)" + tags + "]}}}";
}

/// "+" and "-" of the five scores around the stages' thresholds.
std::string verdicts(const rules::policy& p, const std::string& tags)
{
    std::string out;
    for (const char* score : {"0.4", "0.41", "0.499", "0.5", "0.501"})
        out += decide(p, scored(score, tags)).forward ? '+' : '-';
    return out;
}

}  // namespace

BOOST_AUTO_TEST_CASE(stages)
{
    const std::string enhanced = "\"Enhanced Monitoring\"", lower = "\"Lower Priority\"",
                      both = enhanced + "," + lower;
    const auto everything = shipped("everything"), first = shipped("stage-1"), second = shipped("stage-2"),
               third = shipped("stage-3");
    for (const auto& tags : {std::string(), enhanced, lower, both})
    {
        BOOST_TEST(verdicts(everything, tags) == "+++++");
        BOOST_TEST(verdicts(first, tags) == "----+");
    }
    BOOST_TEST(verdicts(second, "") == "----+");
    BOOST_TEST(verdicts(second, enhanced) == "+++++");
    BOOST_TEST(verdicts(second, lower) == "-----");
    BOOST_TEST(verdicts(second, both) == "-----");
    BOOST_TEST(verdicts(third, "") == "-++++");
    BOOST_TEST(verdicts(third, enhanced) == "+++++");
    BOOST_TEST(verdicts(third, lower) == "-----");
    BOOST_TEST(verdicts(third, both) == "-----");
    BOOST_TEST(rules::builtin_mapping("mappings/stage-4.toml").empty());
    BOOST_TEST(rules::builtin_mapping("").empty());
}

BOOST_AUTO_TEST_CASE(the_commented_lines_of_stage_3_are_right)
{
    // What a reader uncomments must load: every commented line that looks like a key and a value.
    std::istringstream in{std::string(rules::builtin_mapping("mappings/stage-3.toml"))};
    std::string text;
    std::size_t uncommented = 0;
    for (std::string line; std::getline(in, line);)
    {
        if (line.size() > 2 && line.substr(0, 2) == "# " && line.find(" = ") != line.npos &&
            (line[2] == '"' || line.substr(2, line.find(" = ") - 2).find(' ') == line.npos))
        {
            line = line.substr(2);
            ++uncommented;
        }
        text += line + "\n";
    }
    const auto l = rules::load_text(text, "stage-3.toml");
    BOOST_TEST(l.ok, problems_of(l));
    BOOST_TEST(uncommented == 20u);
}

BOOST_AUTO_TEST_SUITE_END()
