#include <dtbridge/tune/suggestion.hpp>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "support.hpp"

using namespace dtbridge;
using namespace dtbridge::tune;
using tune_test::day_ms;
using tune_test::first_day;
using tune_test::made;

namespace
{

struct outcome_of
{
    std::string text;
    std::vector<std::int64_t> per_day;
    std::vector<bool> forwarded;
};

outcome_of propose(const std::string& policy,
                   const std::vector<made>& all,
                   std::int64_t number,
                   int days,
                   bool average = false)
{
    const auto named = tune_test::policy_of(policy);
    auto base = proposal_base(named);
    BOOST_REQUIRE(base.ok);
    tune::suggestion s(base.value,
                       {.alerts_per_day = number, .average = average, .masters = {"acme"}, .file = "r.toml"});
    breach b;
    for (const auto& m : all)
    {
        tune_test::read(b, m);
        s.learn(b);
    }
    s.plan();
    for (const auto& m : all)
    {
        tune_test::read(b, m);
        s.weigh(b);
    }
    outcome_of out;
    out.text = s.mapping();
    out.per_day.resize(static_cast<std::size_t>(days));
    const auto result = tune_test::policy_of(out.text);
    for (const auto& m : all)
    {
        tune_test::read(b, m);
        out.forwarded.push_back(result.decide(b).forward);
        out.per_day[static_cast<std::size_t>((m.created - first_day) / day_ms)] +=
            out.forwarded.back() ? 1 : 0;
    }
    return out;
}

/// A loud and a quiet model over ten days, the loud one with 40 breaches a day.
std::vector<made> loud_and_quiet()
{
    std::vector<made> all;
    for (int d = 0; d < 10; ++d)
    {
        for (int i = 0; i < 40; ++i)
            all.push_back(
                {.model = "Loud", .score = "0." + std::to_string(50 + i), .created = first_day + d * day_ms});
        for (int i = 0; i < 3; ++i)
            all.push_back(
                {.model = "Quiet", .score = "0.6", .created = first_day + d * day_ms, .priority = 5});
        all.push_back({.model = "Loud",
                       .score = "0.01",
                       .created = first_day + d * day_ms,
                       .tags = "\"Enhanced Monitoring\""});
    }
    return all;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(suggestions)

BOOST_AUTO_TEST_CASE(loud_models_give_way)
{
    const auto all = loud_and_quiet();
    const auto got =
        propose("[forward]\nmin_score = 0.4\nalways_tags = [\"enhanced monitoring\"]\n", all, 20, 10);
    for (const auto n : got.per_day)
    {
        BOOST_TEST(n <= 20);
        BOOST_TEST(n >= 17);
    }
    for (std::size_t i = 0; i < all.size(); ++i)
        if (all[i].model == "Quiet" || !all[i].tags.empty())
            BOOST_TEST(got.forwarded[i]);
    BOOST_TEST(got.text.find("\"Loud\" = 0.7") != std::string::npos, got.text);
    BOOST_TEST(got.text.find("\"Quiet\"") == std::string::npos, got.text);
    BOOST_TEST(got.text.find("NOT POSSIBLE") == std::string::npos);
}

/// A day that what is kept fills by itself is named and does not move the thresholds of the others.
BOOST_AUTO_TEST_CASE(a_day_that_cannot_be_helped)
{
    auto all = loud_and_quiet();
    for (int i = 0; i < 60; ++i)
        all.push_back({.model = "Burst",
                       .score = "0.1",
                       .created = first_day + 4 * day_ms,
                       .tags = "\"Enhanced Monitoring\""});
    const auto got =
        propose("[forward]\nmin_score = 0.4\nalways_tags = [\"Enhanced Monitoring\"]\n", all, 20, 10);
    for (std::size_t d = 0; d < 10; ++d)
        if (d != 4)
            BOOST_TEST((got.per_day[d] <= 20 && got.per_day[d] >= 17));
    BOOST_TEST(got.text.find("NOT POSSIBLE on 1 day of 10") != std::string::npos, got.text);
    BOOST_TEST(got.text.find("2024-10-08 61") != std::string::npos, got.text);
    // The average is another question.
    const auto mean =
        propose("[forward]\nmin_score = 0.4\nalways_tags = [\"Enhanced Monitoring\"]\n", all, 26, 10, true);
    std::int64_t sum = 0;
    for (const auto n : mean.per_day)
        sum += n;
    BOOST_TEST(sum <= 260);
    BOOST_TEST(sum >= 230);
}

BOOST_AUTO_TEST_CASE(room_lowers_thresholds)
{
    const auto all = loud_and_quiet();
    const auto got = propose(
        "[forward]\nmin_score = 0.95\nalways_tags = [\"Enhanced Monitoring\"]\n[models]\n\"Quiet\" = "
        "\"never\"\n",
        all,
        11,
        10);
    for (const auto n : got.per_day)
        BOOST_TEST((n <= 11 && n >= 9));
    BOOST_TEST(got.text.find("\"Quiet\" = \"never\"") != std::string::npos);
}

/// Scores of exactly 1 pass every threshold there is.
BOOST_AUTO_TEST_CASE(nothing_is_higher_than_one)
{
    std::vector<made> all;
    for (int i = 0; i < 30; ++i)
        all.push_back({.model = "Top", .score = i % 3 == 0 ? "0.99" : "1"});
    const auto got = propose("[forward]\nabove_score = 0.4\n", all, 5, 1);
    BOOST_TEST(got.per_day[0] == 20);
    BOOST_TEST(got.text.find("NOT POSSIBLE") != std::string::npos, got.text);
    // A policy that asks for more than 1.00 would stays as it is.
    const auto strict = propose("[forward]\nabove_score = 1\n", all, 1, 1);
    BOOST_TEST(strict.per_day[0] <= 1);
}

/// A threshold takes the place of categories and min_priority: what they hold back must not come through.
BOOST_AUTO_TEST_CASE(categories_keep_their_say)
{
    auto all = loud_and_quiet();
    for (int i = 0; i < 30; ++i)
        all.push_back({.model = "Informs",
                       .score = "0.9",
                       .created = first_day + i % 10 * day_ms,
                       .category = "Informational"});
    const auto got = propose("[forward]\nmin_score = 0.4\ncategories = [\"Suspicious\"]\n", all, 20, 10);
    for (std::size_t i = 0; i < all.size(); ++i)
        if (all[i].model == "Informs")
            BOOST_TEST(!got.forwarded[i]);
    BOOST_TEST(got.text.find("Left as it is: Informs, which `categories` decides") != std::string::npos,
               got.text);
}

BOOST_AUTO_TEST_CASE(nothing_to_learn_from)
{
    const auto got = propose("", {}, 5, 1);
    BOOST_TEST(got.text.find("Read: 0 breaches of acme.") != std::string::npos, got.text);
    std::vector<made> odd = {{.model = "what *?", .score = "0.9"},
                             {.model = "", .score = "0.9"},
                             {.model = "X", .score = "-1"},
                             {.score = ""}};
    propose("", odd, 1, 1);
}

/// Days that nothing helps do not decide while they are few; where they are most, what can be closed is.
BOOST_AUTO_TEST_CASE(days_that_nothing_helps)
{
    for (const int impossible : {2, 5})
    {
        std::vector<made> all;
        for (int d = 0; d < 10; ++d)
        {
            for (int i = 0; i < 4; ++i)
                all.push_back({.score = "0.9", .created = first_day + d * day_ms});
            for (int i = 0; i < (d < impossible ? 20 : 1); ++i)
                all.push_back(
                    {.score = "0.9", .created = first_day + d * day_ms, .tags = "\"Enhanced Monitoring\""});
        }
        const auto got = propose("[forward]\nmin_score = 0.5\n", all, 5, 10);
        BOOST_TEST(got.per_day[0] == (impossible == 2 ? 24 : 20), impossible);
        BOOST_TEST(got.per_day[9] == (impossible == 2 ? 5 : 1), impossible);
        BOOST_TEST((got.text.find("NOT POSSIBLE on " + std::to_string(impossible) + " days of 10") !=
                    std::string::npos));
        BOOST_TEST((got.text.find("as high as it can be") != std::string::npos) == (impossible == 5));
    }
}

/// Behind throttles: what they let pass meets the number, which without them is out of reach.
BOOST_AUTO_TEST_CASE(throttles_are_counted)
{
    // Forty a day pass the rules, three of each model leave.
    const std::string text =
        "[forward]\nmin_score = 0.1\nalways_tags = [\"x\"]\n[[throttle]]\nby = [\"model\"]\nlimit = 3\n"
        "per = \"1d\"\n";
    const auto policy = tune_test::policy_of(text);
    std::vector<made> all;
    for (int d = 0; d < 4; ++d)
        for (int i = 0; i < 40; ++i)
            all.push_back({.model = i % 2 == 0 ? "A" : "B",
                           .score = "0." + std::to_string(10 + 2 * i),
                           .created = first_day + d * day_ms + i * 60'000});
    const auto day_gate = [](unsigned limit) {
        struct state
        {
            std::map<std::pair<std::string, std::int64_t>, unsigned> passed;
        };
        const auto s = std::make_shared<state>();
        return [s, limit](const breach& b, const rules::decision&, const origin&) {
            auto& n = s->passed[{model_name(b), b.key.created / day_ms}];
            return n < limit ? (++n, std::optional<std::size_t>()) : std::optional<std::size_t>(0);
        };
    };
    proposal_order order{.alerts_per_day = 6, .masters = {"acme"}, .file = "r.toml"};
    order.throttles = [&] { return gate(day_gate(3)); };
    suggestion s(policy, order);
    breach b;
    int readings = 1;
    const auto read = [&](auto&& each) {
        for (const auto& m : all)
        {
            tune_test::read(b, m);
            each();
        }
    };
    read([&] { s.learn(b); });
    s.plan();
    do
    {
        ++readings;
        read([&] { s.weigh(b); });
    } while (s.again());
    BOOST_TEST(readings <= 5);
    const auto proposal = s.mapping();
    BOOST_TEST(
        (proposal.find("# Before:         6.0 alerts a day, at most 6 (2024-10-04).") != std::string::npos),
        proposal);
    BOOST_TEST(
        (proposal.find("# With this file: 6.0 alerts a day, at most 6 (2024-10-04).") != std::string::npos),
        proposal);
    BOOST_TEST(s.impossible_days().empty());
    BOOST_TEST((proposal.find("behind them") != std::string::npos));
    BOOST_TEST((proposal.find("limit = 3") != std::string::npos));
}

BOOST_AUTO_TEST_SUITE_END()
