#pragma once

#include <boost/test/unit_test.hpp>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include <dtbridge/rules/policy.hpp>

namespace rules_test
{

inline std::string problems_of(const dtbridge::rules::loaded& l)
{
    std::string out;
    for (const auto& p : l.problems)
        out += p.file + ":" + std::to_string(p.line) + ": " + p.key + ": " + p.message +
               (p.warning ? " (warning)" : "") + "\n";
    return out;
}

/// A policy that must be right. Called r.toml in reasons.
inline dtbridge::rules::policy policy_of(const std::string& text, const std::string& name = "r.toml")
{
    auto l = dtbridge::rules::load_text(text, name);
    BOOST_REQUIRE_MESSAGE(l.ok, problems_of(l));
    return std::move(l.value);
}

inline dtbridge::rules::decision decide(const dtbridge::rules::policy& p, const std::string& element)
{
    dtbridge::breach b;
    const auto key = b.read(element);
    BOOST_REQUIRE_MESSAGE(key.has_value(), element);
    return p.decide(b);
}

/// One element of tests/data/api_edge_cases_derived.json.
inline std::string edge_case(std::int64_t pbid)
{
    std::ifstream in(std::filesystem::path(DTBRIDGE_TEST_DATA) / "api_edge_cases_derived.json",
                     std::ios::binary);
    const auto wanted = "\"pbid\":" + std::to_string(pbid) + ",";
    for (std::string line; std::getline(in, line);)
        if (line.find(wanted) != line.npos)
        {
            if (line.back() == ',')
                line.pop_back();
            return line;
        }
    BOOST_FAIL("no such edge case");
    return {};
}

}  // namespace rules_test
