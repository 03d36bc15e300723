#pragma once

/// Writes mapping files: a policy again, with other thresholds for some models. What comes out is read back
/// by load_text without a problem, whatever bytes a model's name holds. Pure. Tested in tests/unit/rules.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <dtbridge/rules/policy.hpp>

namespace dtbridge::rules
{

/// What mapping files take for the same model name is the same here: "A::B", "a / b" and "A/B" are.
std::string model_identity(std::string_view name);

/// The key of [models] that names exactly this model. Nothing where no key can: a name that is empty, not
/// UTF-8, or has a '*' or '?', which would make it a glob.
std::optional<std::string> exact_model_key(std::string_view name);

/// One line of [models].
struct model_choice
{
    std::string key;        ///< as exact_model_key gives it; "": that of the line named_by
    std::string min_score;  ///< "0.43"
    std::string comment;    ///< made printable here
    /// The line of the policy that names the model so far: its severity and labels go along, and where it
    /// names this model alone it is left out.
    std::optional<std::size_t> named_by;
};

struct rewrite
{
    std::vector<std::string> heading;      ///< comment lines at the top
    std::vector<std::string> always_tags;  ///< more of them
    std::vector<model_choice> models;
    std::vector<std::string> closing;  ///< comment lines at the end
};

/// The mapping file, TOML, that says what base says but for the models of changed. Notes of base are left
/// out. Two choices with one key are the caller's mistake and would be a problem on reading.
std::string write_mapping(const policy& base, const rewrite& changed);

}  // namespace dtbridge::rules
