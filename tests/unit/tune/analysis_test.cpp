#include <dtbridge/tune/analysis.hpp>

#include "support.hpp"

using namespace dtbridge;
using namespace dtbridge::tune;
using tune_test::day_ms;
using tune_test::first_day;
using tune_test::made;

BOOST_AUTO_TEST_SUITE(analysis_of_breaches)

BOOST_AUTO_TEST_CASE(hundredths_are_rounded_down)
{
    const std::pair<const char*, int> cases[] = {{"0", 0},
                                                 {"0.439", 43},
                                                 {"0.43", 43},
                                                 {"0.4299999999999999999999", 42},
                                                 {"5e-1", 50},
                                                 {"1", 100},
                                                 {"1.0", 100},
                                                 {"0.999", 99},
                                                 {"17", 100},
                                                 {"-0.1", -1},
                                                 {"1e-50", 0},
                                                 {"1e50", 100},
                                                 {"0.009", 0},
                                                 {"0.09", 9},
                                                 {"-0.0", 0},
                                                 {"0.5", 50}};
    for (const auto& [text, expected] : cases)
        BOOST_TEST(hundredth(*decimal::parse(text)) == expected, text);
}

BOOST_AUTO_TEST_CASE(scores_and_quartiles)
{
    score_counts s;
    BOOST_TEST(!s.quantile(0.5));
    for (const int h : {10, 40, 40, 90, -1})
        s.add(h, h > 40);
    BOOST_TEST(s.all() == 5);
    BOOST_TEST(s.at_least(40) == 3);
    BOOST_TEST(s.at_least(41) == 1);
    BOOST_TEST(s.at_least(0) == 4);
    // Nearest rank of -1 10 40 40 90: the second, the third, the fourth.
    BOOST_TEST(*s.quantile(0.25) == 10);
    BOOST_TEST(*s.quantile(0.5) == 40);
    BOOST_TEST(*s.quantile(0.75) == 40);
    BOOST_TEST(*s.quantile(0) == -1);
    BOOST_TEST(*s.quantile(1) == 90);
    delay_counts d;
    BOOST_TEST(!d.median());
    for (const std::int64_t minutes : {5, 60, 6000})
        d.add(minutes * 60000);
    d.add(-5);
    d.add(70 * 60000);
    BOOST_TEST(*d.median() >= 60 * 60000);
    BOOST_TEST(*d.median() <= 70 * 60000);
}

/// Every count of a small set, by hand.
BOOST_AUTO_TEST_CASE(counts_by_hand)
{
    const auto a = tune_test::policy_of(
        "[forward]\nmin_score = 0.5\nalways_tags = [\"hot\"]\n[models]\n\"Quiet / *\" = 0.9\n\"Gone\" = 0.1\n"
        "\"Carries\" = { severity = 3 }\n");
    const auto b = tune_test::policy_of("[forward]\nmin_score = 0.7\n");
    analysis figures(a, &b);
    breach one;
    const made all[] = {
        {.score = "0.6"},                                         // a only
        {.score = "0.7", .created = first_day + day_ms},          // both
        {.model = "Quiet :: X", .score = "0.8"},                  // b only
        {.model = "quiet/x", .score = "0.1", .tags = "\"HOT\""},  // a only
        {.score = "", .created = first_day + 3 * day_ms},         // both: no score
        {.score = "0.1", .created = 0},                           // neither, without a time
        {.score = "0.2", .more = ",\"acknowledged\":{\"time\":" + std::to_string(first_day + 600000) + "}"},
    };
    for (const auto& m : all)
    {
        tune_test::read(one, m);
        figures.take(one);
    }
    tune_test::read(one, {.model = "Carries", .score = "0.3", .created = first_day + 3 * day_ms});
    origin later;
    later.acknowledged_at = first_day + 3 * day_ms + 600000;
    figures.take(one, later);

    BOOST_TEST(figures.sum().breaches == 8);
    BOOST_TEST(figures.sum().forwarded == 4);
    BOOST_TEST(figures.sum().against == 3);
    BOOST_TEST(figures.sum().added == 2);
    BOOST_TEST(figures.sum().removed == 1);
    BOOST_TEST(figures.undated() == 1);
    BOOST_TEST(figures.day_count() == 4);
    BOOST_TEST(figures.days().size() == 3u);
    BOOST_TEST(figures.per_day(4) == 1.0);
    BOOST_TEST(figures.days().begin()->second.breaches == 4);
    BOOST_TEST(day_text(figures.days().begin()->first) == "2024-10-04");

    BOOST_REQUIRE(figures.models().size() == 3u);
    const auto& quiet = figures.models()[1];
    BOOST_TEST(quiet.name == "quiet/x");
    BOOST_TEST(quiet.sum.breaches == 2);
    BOOST_TEST(quiet.sum.removed == 1);
    BOOST_TEST(quiet.busiest_day() == 1u);
    BOOST_REQUIRE(quiet.limited_by);
    BOOST_TEST(rules::outline(a).lines()[*quiet.limited_by].threshold->text() == "0.9");
    BOOST_REQUIRE(figures.models()[0].limited_by);
    BOOST_TEST(a.lines()[*figures.models()[0].limited_by].text == "score");
    BOOST_TEST(figures.models()[0].without_score == 1);
    BOOST_TEST(figures.models()[0].acknowledged.all() == 1);
    BOOST_TEST(figures.models()[2].acknowledged.all() == 1);
    BOOST_TEST(figures.unnamed() == std::vector<std::size_t>{0});
    BOOST_REQUIRE(figures.silent_lines().size() == 1u);  // "Carries" cannot speak, so it is not silent
    BOOST_TEST(a.lines()[figures.silent_lines().front()].text == "model \"Gone\"");
    std::int64_t spoken = 0;
    for (const auto& line : figures.lines())
        spoken += line.spoken();
    BOOST_TEST(spoken == 8);
    BOOST_TEST(figures.by_alerts().front() == 0u);
}

/// What stands behind the rules holds back what they forward, and nothing else is asked of it.
BOOST_AUTO_TEST_CASE(throttles_stand_behind)
{
    const auto p = tune_test::policy_of(
        "[forward]\nmin_score = 0.5\n[[throttle]]\nby = [\"model\"]\nlimit = 1\nper = \"1h\"\n"
        "[[throttle]]\nby = [\"category\", \"device\"]\nlimit = 2\nper = \"90m\"\n");
    analysis figures(p, &p);
    int asked = 0;
    figures.stand_behind(
        [&asked](const breach&, const rules::decision& d, const origin& from) {
            BOOST_TEST(d.forward);
            BOOST_TEST(from.master == "acme");
            return ++asked <= 2 ? std::optional<std::size_t>() : std::size_t{1};
        },
        {});
    breach b;
    verdict last;
    for (const char* score : {"0.5", "0.1", "0.6", "0.7", "0.2", "0.8"})
    {
        tune_test::read(b, {.score = score});
        origin from;
        from.master = "acme";
        last = figures.take(b, from);
    }
    BOOST_TEST(figures.reason(last) == "throttle by category, device: 2 per 90m (r.toml:7) holds it back");
    BOOST_TEST(figures.reason_against(last) == "score 0.8 is at least 0.5 of [forward] (r.toml:2)");
    BOOST_TEST(figures.throttles() == (std::vector<std::int64_t>{0, 2}));
    BOOST_TEST(figures.against_throttles() == (std::vector<std::int64_t>{0, 0}));
    BOOST_TEST(asked == 4);
    BOOST_TEST(figures.sum().forwarded == 2);
    BOOST_TEST(figures.sum().throttled == 2);
    BOOST_TEST(figures.sum().removed == 2);
    BOOST_TEST(figures.sum().against == 4);
    BOOST_TEST(figures.sum().throttled_against == 0);
    BOOST_TEST(figures.lines()[0].forwarded == 2);
    BOOST_TEST(figures.lines()[0].held_back == 4);
    BOOST_TEST(figures.lines()[0].throttled == 2);
    BOOST_TEST(figures.against_lines()[0].forwarded == 4);
}

/// What comes from outside grows nothing beyond its bound, and stays in the sums.
BOOST_AUTO_TEST_CASE(bounds)
{
    const auto p = tune_test::policy_of("");
    analysis figures(p, nullptr, {.models = 3, .days = 5, .model_days = 4});
    breach b;
    for (int i = 0; i < 50; ++i)
    {
        tune_test::read(
            b,
            {.model = "M" + std::to_string(i) + std::string(2000, 'x'), .created = first_day + i * day_ms});
        figures.take(b);
    }
    BOOST_TEST(figures.models().size() == 4u);
    BOOST_TEST(figures.folded_models());
    BOOST_TEST(figures.models().back().sum.breaches == 47);
    BOOST_TEST(figures.models().front().name.size() == 512u);
    BOOST_TEST(figures.unnamed().size() == 3u);
    BOOST_TEST(figures.days().size() == 5u);
    BOOST_TEST(figures.undated() == 45);
    BOOST_TEST(!figures.has_model_days());
    BOOST_TEST(figures.sum().breaches == 50);
}

BOOST_AUTO_TEST_SUITE_END()
