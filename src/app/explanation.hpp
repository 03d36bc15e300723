#pragma once

/// Why each destination got a breach or not (product.md 1, 5, 7 `explain`): what the archive noted, and the
/// decision worked out again from the policy text it kept. Pure: a breach's history in, words out. Tested in
/// tests/unit/app/explanation_test.cpp.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/object.hpp>

#include <dtbridge/archive/archive.hpp>
#include <dtbridge/config/configuration.hpp>

namespace dtbridge::app
{

/// One breach with all that is known of it.
struct explained_breach
{
    breach_history history;
    std::string_view body;  ///< "" where retention dropped it
    std::vector<state_change> changes;
};

/// What explanations look up.
struct explanation_sources
{
    const config::configuration* config = nullptr;
    std::string master;
    /// The text of a policy by its hash, nothing where it is not kept.
    std::function<std::optional<std::string>(const std::string& hash)> policy_text;
    /// When the service first ran with a destination (ms), for `start`.
    std::function<std::optional<std::int64_t>(const std::string& destination)> first_ran;
};

/// {"created","seq","archived","late",..,"destinations":[{"name","outcome","reason","at",..}]}. Outcomes:
/// forwarded, context (held back and sent so), held_back, throttled, undeliverable, lost, passed_over
/// (created before `start`), archive_only, waiting (not decided yet), not_served, unknown.
boost::json::object explain_breach(const explained_breach& b, const explanation_sources& from);

/// The same for people.
std::string explanation_text(const boost::json::object& explained);

}  // namespace dtbridge::app
