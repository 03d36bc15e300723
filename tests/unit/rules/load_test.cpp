#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <ostream>

#include <unistd.h>

#include "support.hpp"

using namespace dtbridge;
using namespace rules_test;

namespace
{

struct wrong_file
{
    std::string text;
    unsigned line;
    std::string key;
    std::string says;  ///< a part of the message
};
std::ostream& operator<<(std::ostream& o, const wrong_file& w)
{
    return o << w.text;
}

const wrong_file wrong_files[] = {
    {"[forwards]\n", 1, "forwards", "expected [forward], [models], [devices] or [[throttle]]"},
    {"forward = 1", 1, "forward", "found 1; expected a table"},
    {"[forward]\nmin_scoer = 0.4", 2, "forward.min_scoer", "unknown key; expected min_score"},
    {"[forward]\nmin_score = 40", 2, "forward.min_score", "for 40 percent write \"40%\""},
    {"[forward]\nmin_score = 1.01", 2, "forward.min_score", "found 1.01; expected at most 1"},
    {"[forward]\nmin_score = -0.1", 2, "forward.min_score", "found -0.1; expected a number from 0 to 1"},
    {"[forward]\nmin_score = \"101%\"", 2, "forward.min_score", "found 101%"},
    {"[forward]\nmin_score = \"%\"", 2, "forward.min_score", "found %"},
    {"[forward]\nmin_score = \"0,4\"", 2, "forward.min_score", "found 0,4"},
    {"[forward]\nmin_score = nan", 2, "forward.min_score", "found nan"},
    {"[forward]\nmin_score = inf", 2, "forward.min_score", "found inf"},
    {"[forward]\nmin_score = true", 2, "forward.min_score", "found true"},
    {"[forward]\nmin_score = 0.4\nabove_score = 0.4", 3, "forward.above_score", "expected one of the two"},
    {"[forward]\nmin_priority = 6", 2, "forward.min_priority", "found 6; expected an integer from 0 to 5"},
    {"[forward]\nmin_priority = \"high\"", 2, "forward.min_priority", "found \"high\""},
    {"[forward]\ncategories = \"Critical\"", 2, "forward.categories", "expected a list"},
    {"[forward]\ncategories = [\"Critical\",\n\"Critcal\"]", 3, "forward.categories", "found \"Critcal\""},
    {"[forward]\nalways_tags = \"X\"", 2, "forward.always_tags", "expected a list of tags"},
    {"[forward]\nnever_tags = [\"\"]", 2, "forward.never_tags", "expected a tag in quotes"},
    {"[forward]\nnever_tags = [7]", 2, "forward.never_tags", "found 7"},
    {"[forward]\ntags_from = \"later\"", 2, "forward.tags_from", "expected \"then\", \"now\" or \"both\""},
    {"[forward]\nacknowledged = \"no\"", 2, "forward.acknowledged", "expected true or false"},
    {"[models]\n\"A\" = \"sometimes\"", 2, "models.\"A\"", "\"always\" or \"never\""},
    {"[models]\n\"A\" = [0.4]", 2, "models.\"A\"", "found a list"},
    {"[models]\n\"A\" = 2024-01-01", 2, "models.\"A\"", "found a date or time"},
    {"[models]\n\"A\" = {}", 2, "models.\"A\"", "an empty table"},
    {"[models]\n\"A\" = { min_score = 0.4, above_score = 0.4 }", 2, "models.\"A\"", "expected one of them"},
    {"[models]\n\"A\" = { action = \"always\", min_score = 0.4 }", 2, "models.\"A\"", "expected one of them"},
    {"[models]\n\"A\" = { action = \"maybe\" }",
     2,
     "models.\"A\".action",
     "expected \"always\" or \"never\""},
    {"[models]\n\"A\" = { severity = 11 }", 2, "models.\"A\".severity", "expected an integer from 0 to 10"},
    {"[models]\n\"A\" = { severity = 8, labels = \"x\" }", 2, "models.\"A\".labels", "expected a table"},
    {"[models]\n\"A\" = { labels = { \"a b\" = \"x\" } }", 2, "models.\"A\".labels.a b", "letters, digits"},
    {"[models]\n\"A\" = { labels = { a = 1 } }", 2, "models.\"A\".labels.a", "found 1"},
    {"[models]\n\"A\" = { severity = 8, note = 1 }", 2, "models.\"A\".note", "expected a text"},
    {"[models]\n\"A\" = { min = 0.4 }", 2, "models.\"A\".min", "unknown key"},
    {"[models]\nDevice.Scan = 0.4", 2, "models.\"Device\".Scan", "stands in quotes"},
    {"[models]\n\"\" = 0.4", 2, "models.\"\"", "an empty key"},
    {"[models]\n\"pid:x\" = 0.4", 2, "models.\"pid:x\"", "expected the digits of a pid"},
    {"[models]\n99999999999999999999 = 0.4", 2, "models.\"99999999999999999999\"", "inside 64 bits"},
    {"[models]\n\"uuid:\" = 0.4", 2, "models.\"uuid:\"", "expected a whole uuid"},
    {"[models]\n\"name: \" = 0.4", 2, "models.\"name: \"", "expected a model's name"},
    {"[models]\n\"tag:x\" = 0.4", 2, "models.\"tag:x\"", "is a key of [devices]"},
    {"[models]\n\"A / B\" = 0.4\n\n\"a::b\" = 0.5", 4, "models.\"a::b\"", "the same as \"A / B\" in line 2"},
    {"[models]\n\"A/*\" = 0.4\n\"name: A :: *\" = 0.5",
     3,
     "models.\"name: A :: *\"",
     "the same as \"A/*\" in line 2"},
    {"[models]\n7 = 0.4\n\"pid:7\" = 0.5", 3, "models.\"pid:7\"", "the same as \"7\" in line 2"},
    {"[devices]\n\"10.0.0.1\" = 0.4",
     2,
     "devices.\"10.0.0.1\"",
     "did:, mac:, ip:, host:, type:, tag: or label:"},
    {"[devices]\n\"ip:10.0.0.0/33\" = 0.4",
     2,
     "devices.\"ip:10.0.0.0/33\"",
     "expected an address or a network"},
    {"[devices]\n\"did:x\" = 0.4", 2, "devices.\"did:x\"", "a device's number"},
    {"[devices]\n\"mac:zz:*\" = 0.4", 2, "devices.\"mac:zz:*\"", "expected a MAC address"},
    {"[devices]\n\"mac:00:11\" = 0.4", 2, "devices.\"mac:00:11\"", "expected a MAC address"},
    {"[devices]\n\"host:\" = 0.4", 2, "devices.\"host:\"", "expected a name or a glob"},
    {"[devices]\n\"ip:10.1.2.3/8\" = 0.4\n\"ip:10.0.0.0/8\" = 0.5",
     3,
     "devices.\"ip:10.0.0.0/8\"",
     "in line 2"},
    {"[throttle]\nlimit = 5", 1, "throttle", "[[throttle]]"},
    {"[[throttle]]\nlimit = 5\nper = \"1h\"", 1, "throttle.by", "missing"},
    {"[[throttle]]\nby = [\"model\"]\nlimit = 0\nper = \"1h\"", 3, "throttle.limit", "found 0"},
    {"[[throttle]]\nby = [\"model\", \"model\"]\nlimit = 1\nper = \"1h\"",
     2,
     "throttle.by",
     "each at most once"},
    {"[[throttle]]\nby = [\"host\"]\nlimit = 1\nper = \"1h\"", 2, "throttle.by", "found \"host\""},
    {"[[throttle]]\nby = [\"model\"]\nlimit = 1\nper = \"1 h\"", 4, "throttle.per", "a duration such as"},
    {"[[throttle]]\nby = [\"model\"]\nlimit = 1\nper = \"1h\"\nsumary = true",
     5,
     "throttle.sumary",
     "unknown key"},
    {"[forward\n", 1, "", "not TOML"},
    {"[\nforward]\n", 1, "", "not TOML"},
    {"\xC2\xA5", 1, "", "not TOML"},
    {"[models]\nGr\xC3\xB6\xC3\x9F"
     "e = 0.4",
     2,
     "",
     "not TOML"},
    {"[models]\n\"A\" = 0.4\n\"A\" = 0.5", 3, "", "not TOML"},
    {"[models]\n# \xFF\n", 2, "", "not UTF-8"},
};

struct csv_file
{
    std::string text;
    unsigned line;
    std::string says;
};
std::ostream& operator<<(std::ostream& o, const csv_file& w)
{
    return o << w.text;
}
const std::string header = "model,min_score,action,note\n";
const csv_file wrong_csv[] = {
    {"", 1, "expected the header"},
    {"name,score\nA,0.4\n", 1, "the column is missing"},
    {"model,score\nA,0.4\n", 1, "unknown or repeated column"},
    {"min_score,action\n0.4,\n", 1, "the column is missing"},
    {header + "A,0.4,always,\n", 2, "expected one of the two"},
    {header + "A,4,,\n", 2, "for 4 percent write"},
    {header + "A,,maybe,\n", 2, "expected always, never or nothing"},
    {header + "A,0.4,,x,y\n", 2, "found 5 fields"},
    {header + "\nA,0.4,,\n\"a\",0.5,,\n", 4, "the same as \"A\" in line 3"},
    {header + "A,0.4,,\n\"open,0.4,,\n", 3, "never closed"},
    {header + ",0.4,,\n", 2, "an empty key"},
    {header + "A,\"0,4\",,\n", 2, "found 0,4"},
};

}  // namespace

BOOST_AUTO_TEST_SUITE(mapping_files)

BOOST_DATA_TEST_CASE(what_is_wrong_is_named, boost::unit_test::data::make(wrong_files))
{
    const auto l = rules::load_text(sample.text, "m.toml");
    BOOST_TEST(!l.ok);
    BOOST_REQUIRE_MESSAGE(l.problems.size() == 1u, problems_of(l));
    const auto& p = l.problems[0];
    BOOST_TEST(p.file == "m.toml");
    BOOST_TEST(p.line == sample.line);
    BOOST_TEST(p.key == sample.key);
    BOOST_TEST(p.message.find(sample.says) != std::string::npos, p.message);
    BOOST_TEST(!p.warning);
    BOOST_TEST(l.value.lines().size() == 1u);  // the default policy
}

BOOST_DATA_TEST_CASE(what_is_wrong_in_csv_is_named, boost::unit_test::data::make(wrong_csv))
{
    const auto l = rules::load_text(sample.text, "m.csv");
    BOOST_TEST(!l.ok);
    BOOST_REQUIRE(!l.problems.empty());
    const auto& p = l.problems.back();
    BOOST_TEST(p.message.find(sample.says) != std::string::npos, problems_of(l));
    BOOST_TEST(p.line == sample.line);
}

BOOST_AUTO_TEST_CASE(all_problems_at_once_in_the_order_of_the_file)
{
    const auto l = rules::load_text(
        "[models]\n\"A\" = 5\n\"pid:x\" = \"often\"\n[forward]\nmin_priority = 9\ntypo = 1\n[devices]\nx = "
        "1\n",
        "m.toml");
    BOOST_TEST(!l.ok);
    std::string lines;
    for (const auto& p : l.problems)
        lines += std::to_string(p.line) + ",";
    BOOST_TEST(lines == "2,3,3,5,6,8,");
}

BOOST_AUTO_TEST_CASE(a_warning_does_not_stop_the_policy)
{
    const auto l = rules::load_text("[forward]\nalways_tags = [\"X\", \"x \"]", "m.toml");
    BOOST_TEST(l.ok);
    BOOST_REQUIRE(l.problems.size() == 1u);
    BOOST_TEST(l.problems[0].warning);
    BOOST_TEST(l.value.reads_tags());
}

BOOST_AUTO_TEST_CASE(csv_is_taken_as_a_mapping)
{
    const std::string text =
        "\xEF\xBB\xBFmodel,min_score,action,note\r\n"
        "Compliance::File Storage::*,20%,,\"a note, with a comma\r\nand a line\"\r\n"
        "\"Say \"\"hello\"\"\",0.40,,\r\n"
        "\r\n"
        "7,,always,\r\n"
        "A / B,,NEVER\r\n"
        "A / C,,,only listed\r\n";
    for (const char* name : {"m.csv", "m.CSV", "rules.txt"})
    {
        const auto p = policy_of(text, name);
        const std::string file = name;
        const auto say = [&](const std::string& model) {
            return decide(p, R"({"pbid":1,"score":0.39,"model":{)" + model + "}}").reason;
        };
        BOOST_TEST(say(R"("name":"Compliance / File Storage / X")") ==
                   "score 0.39 is at least 20% of model \"Compliance::File Storage::*\" (" + file + ":2)");
        BOOST_TEST(say(R"("name":"say \"hello\"")") ==
                   "score 0.39 is under 0.40 of model \"Say \"hello\"\" (" + file + ":4)");
        BOOST_TEST(say(R"("name":"x","pid":7)") == "always by model \"7\" (" + file + ":6)");
        BOOST_TEST(say(R"("name":"A::B")") == "never by model \"A / B\" (" + file + ":7)");
        BOOST_TEST(say(R"("name":"A::C")") == "no line of " + file + " holds it back");
        BOOST_TEST(p.has_pid_keys());
        BOOST_TEST(p.text() == text);
    }
    const auto semicolons = policy_of("model;min_score;action;note\nA;0.9;;\n", "m.csv");
    BOOST_TEST(!decide(semicolons, R"({"pbid":1,"score":0.5,"model":{"name":"a"}})").forward);
    const auto other_order = policy_of("note,model,min_score\nx,A,0.9\n", "m.csv");
    BOOST_TEST(!decide(other_order, R"({"pbid":1,"score":0.5,"model":{"name":"a"}})").forward);
}

BOOST_AUTO_TEST_CASE(the_example_of_the_contract_is_read)
{
    const std::string text =
        R"([forward]                              # for every breach that nothing below names
min_score = 0.4                        # at least; 0 to 1, or "40%"; or above_score = 0.4: more than (one of the two)
min_priority = 0                       # 0 to 5
categories = ["Critical", "Suspicious", "Compliance"]   # Compliance: where the model's compliance flag is set; empty: all
always_tags = ["Enhanced Monitoring"]  # forwarded whatever the score; globs as in "AP: *"
never_tags = ["lower priority"]
tags_from = "then"                     # then: as of the breach; now: as tagged when the bridge read it; both
acknowledged = true                    # false: leaves out what was already acknowledged when read
suppressed = true
only_alerting_models = false           # true: only models whose alert action is set

[models]                               # per-model overrides: "always", "never", or a min_score; a table where more is to be said
"Compliance / *" = 0.8                 # the most specific wins
"Compliance / File Storage / *" = "20%"            # "::", "/" and " / " separate alike; case does not matter; * crosses separators
"80010119-6d7f-0000-0305-5e0000000420" = "always"  # keys may be prefixed uuid:, pid:, name:; digits alone are a pid
"Device / New User Agent" = { above_score = 0.5, severity = 8, labels = { playbook = "PB-12" }, note = "reviewed in March" }

[devices]                              # the same values; asked before the models
"ip:10.20.0.0/16" = "never"            # most specific in that order; any device of the breach
"host:*.lab.example.com" = "never"

[[throttle]]                           # time-based frequency on a common factor
by = ["model", "device"]               # any of master, model, device, category
limit = 5
per = "1h"
summary = true                         # one bridge event says how many were held back; all stay in the archive
)";
    const auto p = policy_of(text);
    std::string lines;
    for (const auto& l : p.lines())
        lines += l.text + ":" + std::to_string(l.line) + "\n";
    BOOST_TEST(lines ==
               "score:2\nmin_priority:3\ncategories:4\nalways_tags \"Enhanced Monitoring\":5\nnever_tags "
               "\"lower priority\":6\n"
               "model \"Compliance / *\":13\nmodel \"Compliance / File Storage / *\":14\n"
               "model \"80010119-6d7f-0000-0305-5e0000000420\":15\nmodel \"Device / New User Agent\":16\n"
               "device \"ip:10.20.0.0/16\":19\ndevice \"host:*.lab.example.com\":20\n");
    BOOST_REQUIRE(p.throttles().size() == 1u);
    const auto& t = p.throttles()[0];
    BOOST_TEST(t.by.size() == 2u);
    BOOST_TEST(t.limit == 5u);
    BOOST_TEST(t.per_ms == 3600000);
    BOOST_TEST(t.summary);
    BOOST_TEST(t.line == 22u);
    BOOST_TEST(p.reads_tags());
    BOOST_TEST(!p.has_pid_keys());
    BOOST_TEST(p.file() == "r.toml");
    BOOST_TEST(policy_of("[devices]\n\"tag:x\" = 0.4").reads_tags());
    BOOST_TEST(!policy_of("[models]\n\"x\" = 0.4").reads_tags());
}

BOOST_AUTO_TEST_CASE(numbers_are_those_of_the_file)
{
    const auto shown = [](const std::string& line) {
        const auto reason = decide(policy_of(line), R"({"pbid":1,"score":2,"model":{"name":"a"}})").reason;
        return reason.substr(0, reason.find(" of "));
    };
    BOOST_TEST(shown("[forward]\nmin_score = 0.4_5") == "score 2 is at least 0.45");
    BOOST_TEST(shown("[forward]\nmin_score = +0.40") == "score 2 is at least 0.40");
    BOOST_TEST(shown("[forward]\nmin_score = 0x1") == "score 2 is at least 1");
    BOOST_TEST(shown("\xEF\xBB\xBF[forward]\nmin_score = 0.40") == "score 2 is at least 0.40");
    BOOST_TEST(shown("\xEF\xBB\xBF"
                     "forward.min_score = 0.40") == "score 2 is at least 0.40");
    BOOST_TEST(shown("models = {\"\xC3\xA4\xE2\x82\xAC\" = 0.1, \"a\" = 0.250}") ==
               "score 2 is at least 0.250");
    BOOST_TEST(shown("[forward]\r\n\tmin_score\t=\t0.30\r\n") == "score 2 is at least 0.30");
    // Exact where a double is not.
    BOOST_TEST(!decide(policy_of("[forward]\nabove_score = 0.1"), R"({"pbid":1,"score":0.10})").forward);
    BOOST_TEST(
        decide(policy_of("[forward]\nabove_score = 0.1"), R"({"pbid":1,"score":0.10000000000000000001})")
            .forward);
}

BOOST_AUTO_TEST_CASE(bounds)
{
    auto l = rules::load_text(std::string((16u << 20) + 1, '#'), "m.toml");
    BOOST_TEST(!l.ok);
    BOOST_TEST(l.problems.at(0).message.find("at most 16 MiB") != std::string::npos);
    l = rules::load_text(std::string(200001, '\n'), "m.toml");
    BOOST_TEST(!l.ok);
    BOOST_TEST(l.problems.at(0).message.find("200,000 lines") != std::string::npos);
    std::string dots = "a";
    for (int i = 0; i < 100000; ++i)
        dots += ".a";
    l = rules::load_text("# ......................................................\n[models]\n\"x" +
                             std::string(50, '.') + "\" = 0.4\n" + dots + " = 1\n",
                         "m.toml");
    BOOST_TEST(!l.ok);
    BOOST_TEST(l.problems.at(0).line == 4u);
    BOOST_TEST(
        rules::load_text(
            "[models]\n# " + std::string(50, '.') + "\n\"x" + std::string(50, '.') + "\" = 0.4\n", "m.toml")
            .ok);
    l = rules::load_text("a = " + std::string(100000, '['), "m.toml");
    BOOST_TEST(!l.ok);
}

BOOST_AUTO_TEST_CASE(files)
{
    const auto folder =
        std::filesystem::temp_directory_path() / ("dtbridge-rules-" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder);
    const auto path = folder / "a.toml";
    std::ofstream(path) << "[forward]\nmin_score = 0.4\n";
    const auto l = rules::load_file(path.string(), "mappings/a.toml");
    BOOST_TEST(l.ok);
    BOOST_TEST(l.value.file() == "mappings/a.toml");
    BOOST_TEST(l.value.lines().at(0).file == "mappings/a.toml");
    const auto none = rules::load_file((folder / "b.toml").string(), "b.toml");
    BOOST_TEST(!none.ok);
    BOOST_TEST(none.problems.at(0).message.starts_with("is missing; expected a mapping file"));
    BOOST_TEST(!rules::load_file(folder.string(), "folder").ok);
    std::filesystem::remove_all(folder);
}

BOOST_AUTO_TEST_SUITE_END()
