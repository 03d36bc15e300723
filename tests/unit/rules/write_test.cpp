#include <dtbridge/rules/write.hpp>

#include <algorithm>
#include <vector>

#include <dtbridge/core/text.hpp>
#include <dtbridge/rules/outline.hpp>

#include "support.hpp"

using namespace dtbridge;
using namespace dtbridge::rules;

namespace
{

std::string with_model(const std::string& name, const std::string& score)
{
    std::string escaped = text::quoted(name);  // for what the tests use, JSON and TOML escape alike
    return R"({"pbid":1,"time":1,"score":)" + score + R"(,"model":{"then":{"name":)" + escaped + "}}}";
}

constexpr const char* every_kind = R"(
[forward]
above_score = "40%"
min_priority = 2
categories = ["critical", "Compliance"]
always_tags = ["Enhanced Monitoring", "AP: \"*"]
never_tags = ["lower priority"]
tags_from = "both"
acknowledged = false
suppressed = false
only_alerting_models = true
[models]
"Compliance / *" = 0.8
"A / B" = { above_score = 0.5, severity = 8, labels = { playbook = "PB \"12\"", x-1 = "" } }
"C" = { severity = 1 }
"D" = { action = "never", labels = { why = "old" } }
"E" = "always"
"uuid:ABC" = "20 %"
"pid:17" = 0.123456789012345678901234567890
[devices]
"ip:10.20.0.0/16" = "never"
"host:*.lab" = { above_score = 1 }
[[throttle]]
by = ["model", "device"]
limit = 5
per = "90m"
summary = false
[[throttle]]
by = ["master"]
limit = 1000
per = "1d"
)";

/// What a policy says of itself, without the place of its lines.
std::string spoken(const policy& p)
{
    std::vector<std::string> all;
    const outline lines(p);
    for (const auto& l : lines.lines())
        all.push_back(l.text + (l.threshold ? (l.strict ? " > " : " >= ") + l.threshold->text() : "") +
                      (l.decides ? "" : " silent") + (l.by_id ? " id" : ""));
    std::sort(all.begin(), all.end());
    std::string out;
    for (const auto& line : all)
        out += line + '\n';
    for (const auto& t : p.throttles())
    {
        for (const auto& by : t.by)
            out += by + ' ';
        out += std::to_string(t.limit) + ' ' + std::to_string(t.per_ms) + (t.summary ? " summary\n" : "\n");
    }
    return out;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(writing)

/// Written without a change, a policy says the same.
BOOST_AUTO_TEST_CASE(the_same_again)
{
    for (const auto& text : {std::string(every_kind),
                             std::string(),
                             std::string(builtin_mapping("mappings/stage-2.toml")),
                             std::string("model,min_score,action,note\nA,0.5,,x\nB,,never,\n"),
                             // Lines that say nothing, which is all that these have.
                             std::string("model,min_score,action,note\nA,,,\n"),
                             std::string("[models]\n\"A\" = { note = \"x\" }\n"),
                             std::string("[devices]\n\"host:a\" = { note = \"x\" }\n")})
    {
        const auto before = rules_test::policy_of(text);
        const auto after = rules_test::policy_of(write_mapping(before, {}));
        BOOST_TEST(spoken(after) == spoken(before));
    }
}

/// A new line takes the place of the one that named the model alone, and carries severity and labels.
BOOST_AUTO_TEST_CASE(other_thresholds)
{
    const auto before = rules_test::policy_of(every_kind);
    const auto line = [&](std::string_view text) {
        for (std::size_t i = 0; i < before.lines().size(); ++i)
            if (before.lines()[i].text == text)
                return std::optional(i);
        BOOST_FAIL("no such line");
        return std::optional<std::size_t>();
    };
    rewrite changed;
    changed.heading = {"two\nlines", ""};
    changed.closing = {"the end"};
    changed.models.push_back({"a/b", "0.77", "why\n[x]", line("model \"A / B\"")});
    changed.models.push_back({"Compliance/Q", "0.10", "", line("model \"Compliance / *\"")});
    changed.models.push_back({"", "0.33", "", line("model \"uuid:ABC\"")});
    const auto text = write_mapping(before, changed);
    const auto after = rules_test::policy_of(text);
    BOOST_TEST(after.lines().size() == before.lines().size() + 1);
    const auto limit_of = [&](const std::string& model) {
        breach b;
        BOOST_REQUIRE(b.read(model));
        const outline lines(after);
        const auto named = lines.model_line(b);
        BOOST_REQUIRE(named);
        return lines.lines()[*named].threshold ? lines.lines()[*named].threshold->text() : "none";
    };
    BOOST_TEST(limit_of(with_model("A::B", "0.7")) == "0.77");
    BOOST_TEST(limit_of(with_model("Compliance::Q", "0.7")) == "0.1");
    BOOST_TEST(limit_of(with_model("Compliance::R", "0.7")) == "0.8");
    BOOST_TEST(limit_of(R"({"pbid":1,"model":{"name":"Z","uuid":"abc"}})") == "0.33");
    const auto d = rules_test::decide(after, with_model("A::B", "0.7"));
    BOOST_TEST(d.severity.value_or(-1) == 8);
    BOOST_REQUIRE(d.labels != nullptr);
    BOOST_TEST(d.labels->front().second == "PB \"12\"");
    BOOST_TEST(text.starts_with("# two\\x0alines\n#\n"));
    BOOST_TEST(text.ends_with("\n# the end\n"));
}

/// A key names this model and no other, or there is none.
BOOST_AUTO_TEST_CASE(keys_of_hostile_names)
{
    for (const auto& name : std::vector<std::string>{"A::B",
                                                     "A / B",
                                                     "12345",
                                                     "uuid:x",
                                                     "host:a",
                                                     "name:x",
                                                     "pid:9",
                                                     "tag: \"q\" \\ \x01\n\t # = [models]",
                                                     "80010119-6d7f-0000-0305-5e0000000420",
                                                     "\u65e5\u672c"})
    {
        const auto key = exact_model_key(name);
        BOOST_REQUIRE_MESSAGE(key, name);
        const auto p = rules_test::policy_of("[models]\n" + text::quoted(*key) + " = \"never\"\n");
        BOOST_TEST(!outline(p).lines().front().by_id);
        breach b;
        std::string json = "{\"pbid\":1,\"model\":{\"name\":\"";
        for (const char c : name)
            if (static_cast<unsigned char>(c) < 0x20)
                json += "\\u00" + text::hex(std::string_view(&c, 1));
            else
                json.append(c == '"' || c == '\\' ? 1 : 0, '\\').append(1, c);
        BOOST_REQUIRE(b.read(json + "\"}}"));
        BOOST_TEST(!p.decide(b).forward, name);
    }
    for (const auto& name : std::vector<std::string>{"", "  ", "with *", "what?", "\xff\xfe"})
        BOOST_TEST(!exact_model_key(name), name);
    BOOST_TEST(model_identity("A :: b") == model_identity("a/B"));
    BOOST_TEST(model_identity("A::b") != model_identity("Ab"));
}

BOOST_AUTO_TEST_SUITE_END()
