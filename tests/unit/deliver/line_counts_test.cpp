#include <dtbridge/deliver/line_counts.hpp>

#include <boost/test/unit_test.hpp>

using namespace dtbridge;
using deliver::line_counts;

namespace
{

constexpr std::int64_t hour = 3'600'000;
constexpr std::int64_t t0 = 472'222 * hour;

std::shared_ptr<const rules::policy> policy_of(const std::string& text)
{
    auto loaded = rules::load_text(text, "r.toml");
    BOOST_REQUIRE(loaded.ok);
    return std::make_shared<const rules::policy>(std::move(loaded.value));
}

const char* const two = "[forward]\nmin_score = 0.4\nalways_tags = [\"AP: *\"]\n";

/// Of the line with this text.
deliver::line_status of(const line_counts& c, const std::string& text, std::int64_t now)
{
    for (const auto& l : c.list(now))
        if (l.text == text)
            return l;
    BOOST_FAIL("no line " << text);
    return {};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(lines)

BOOST_AUTO_TEST_CASE(since_the_start_and_over_24_hours)
{
    line_counts c;
    c.follow(policy_of(two), t0);
    c.spoke(0);
    c.spoke(0);
    c.spoke(99);                                   // of no policy: ignored
    BOOST_TEST(of(c, "score", t0).last_24h == 2);  // before any sample
    c.sample(t0 + hour / 2);
    c.spoke(0);
    c.sample(t0 + 23 * hour);
    BOOST_TEST(of(c, "score", t0 + 23 * hour).last_24h == 3);
    BOOST_TEST(of(c, "score", t0 + 24 * hour).last_24h == 1);
    BOOST_TEST(of(c, "score", t0 + 46 * hour).last_24h == 1);
    BOOST_TEST(of(c, "score", t0 + 47 * hour).last_24h == 0);
    BOOST_TEST(of(c, "score", t0 + 47 * hour).since_start == 3);
    BOOST_TEST(of(c, "score", t0).line == 2u);
    BOOST_TEST(of(c, "score", t0).file == "r.toml");
    BOOST_TEST(of(c, "always_tags \"AP: *\"", t0).since_start == 0);
}

BOOST_AUTO_TEST_CASE(a_line_that_is_silent_for_a_week_is_pointed_out)
{
    const auto week = 7 * 24 * hour;
    line_counts c;
    c.follow(policy_of(two), t0);
    BOOST_TEST(!of(c, "score", t0 + week - 1).never_in_a_week);
    BOOST_TEST(of(c, "score", t0 + week).never_in_a_week);
    c.spoke(0);
    BOOST_TEST(!of(c, "score", t0 + week).never_in_a_week);
    c.sample(t0 + week);
    BOOST_TEST(!of(c, "score", t0 + week + 6 * 24 * hour).never_in_a_week);
    BOOST_TEST(of(c, "score", t0 + 2 * week).never_in_a_week);
    // A line that is new has its week before it; one that only moved has not.
    c.follow(policy_of("[forward]\nnever_tags = [\"old\"]\nalways_tags = [\"AP: *\"]\nmin_score = 0.4\n"),
             t0 + 2 * week);
    BOOST_TEST(of(c, "always_tags \"AP: *\"", t0 + 2 * week).never_in_a_week);
    BOOST_TEST(!of(c, "never_tags \"old\"", t0 + 2 * week).never_in_a_week);
    BOOST_TEST(of(c, "score", t0 + 2 * week).since_start == 1);
    BOOST_TEST(of(c, "score", t0 + 2 * week).line == 4u);
}

BOOST_AUTO_TEST_CASE(what_was_saved_is_gone_on_with)
{
    line_counts c;
    c.follow(policy_of(two), t0);
    c.spoke(0);
    auto saved = c.take_changes(t0);
    BOOST_TEST(saved.all);
    BOOST_TEST(saved.lines.size() == 2u);
    BOOST_TEST(saved.oldest_hour == t0 / hour - 23);
    BOOST_TEST(c.take_changes(t0).lines.empty());  // nothing to write where nothing spoke
    c.spoke(0);
    c.spoke(0);
    auto more = c.take_changes(t0 + hour);
    BOOST_TEST(!more.all);
    BOOST_REQUIRE(more.lines.size() == 1u);
    BOOST_TEST(more.lines[0].line == "r.toml\nscore");
    // The hour of the last save is written again, as it may have grown since.
    BOOST_REQUIRE(more.lines[0].hours.size() == 2u);
    BOOST_TEST(more.lines[0].hours[0].second == 1);
    BOOST_TEST(more.lines[0].hours[1].second == 2);

    line_counts next;
    next.follow(policy_of(two), t0 + 2 * hour);
    next.restore({more.lines[0], saved.lines[1], {"gone\nscore", t0, t0, {}}}, t0 + 2 * hour);
    BOOST_TEST(of(next, "score", t0 + 2 * hour).since_start == 0);
    BOOST_TEST(of(next, "score", t0 + 2 * hour).last_24h == 3);
    BOOST_TEST(of(next, "always_tags \"AP: *\"", t0 + 7 * 24 * hour).never_in_a_week);
    BOOST_TEST(!of(next, "score", t0 + 7 * 24 * hour).never_in_a_week);
    next.spoke(0);
    next.take_changes(t0 + 2 * hour);
    next.not_saved();
    BOOST_TEST(next.take_changes(t0 + 2 * hour).lines.size() == 2u);
}

BOOST_AUTO_TEST_SUITE_END()
