#pragma once

#include <boost/test/unit_test.hpp>

#include <cstdint>
#include <string>

#include <dtbridge/core/breach.hpp>
#include <dtbridge/rules/policy.hpp>

namespace tune_test
{

inline constexpr std::int64_t day_ms = 86400000;
inline constexpr std::int64_t first_day = 20000 * day_ms;  // 2024-10-04

struct made
{
    std::string model = "A::B";
    std::string score = "0.5";  ///< "" leaves it out
    std::int64_t created = first_day;
    std::string tags = "";  ///< members of the array
    std::string more = "";  ///< further members of the breach, with a comma before
    int priority = 3;
    std::string category = "Suspicious";
};

/// Reads the breach into b.
inline void read(dtbridge::breach& b, const made& m)
{
    static std::int64_t pbid = 0;
    const auto text =
        "{\"pbid\":" + std::to_string(++pbid) + ",\"creationTime\":" + std::to_string(m.created) +
        (m.score.empty() ? "" : ",\"score\":" + m.score) + ",\"model\":{\"then\":{\"name\":\"" + m.model +
        "\",\"category\":\"" + m.category + "\",\"priority\":" + std::to_string(m.priority) + ",\"tags\":[" +
        m.tags + "]}}" + m.more + "}";
    BOOST_REQUIRE_MESSAGE(b.read(text), text);
}

inline dtbridge::rules::policy policy_of(const std::string& text)
{
    auto l = dtbridge::rules::load_text(text, "r.toml");
    BOOST_REQUIRE_MESSAGE(l.ok, (l.problems.empty() ? text : l.problems.front().message));
    return std::move(l.value);
}

}  // namespace tune_test
