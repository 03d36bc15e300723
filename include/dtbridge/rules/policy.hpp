#pragma once

/// Which breaches matter to a destination: the mapping files of product.md 5. Pure: a breach in, a decision
/// with its reason out; no clock, no file access but in load(), no logging. Tested by tables in
/// tests/unit/rules.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <dtbridge/core/breach.hpp>

namespace dtbridge::rules
{

/// What is wrong in a mapping file. All problems of a file are reported at once.
struct problem
{
    std::string file;
    unsigned line = 0;     ///< from 1; 0 where no line applies
    std::string key;       ///< the key or section it is about
    std::string message;   ///< what was found and what would be right
    bool warning = false;  ///< reported, but the policy is used
};

using labels = std::vector<std::pair<std::string, std::string>>;

/// What is known of a breach beside itself: columns of an inventory ([enrich]) and its master's labels. Null
/// where there are none.
struct known_labels
{
    const labels* inventory = nullptr;
    const labels* master = nullptr;
};
/// The value of that name, the inventory's before the master's; null where there is none.
const std::string* find_label_value(const known_labels& known, std::string_view name);

/// What the policy says of one breach.
struct decision
{
    bool forward = true;
    std::string reason;    ///< a sentence a person understands, with file and line
    std::size_t line = 0;  ///< index into policy::lines() of the line that spoke
    /// Of the model's table, else of the device's, 0 to 10: wins over every severity map. Set whichever line
    /// decided.
    std::optional<int> severity;
    /// Labels of the model's table, else of the device's, in the file's order; points into the policy.
    const rules::labels* labels = nullptr;
    /// As given to decide(): the inventory's labels, which come after those of the policy and before the
    /// master's.
    const rules::labels* inventory = nullptr;
    bool always = false;  ///< decided by an "always": throttles count it but let it pass
};

/// One line of a policy that can speak, for counters and "0 of 1,204".
struct policy_line
{
    std::string text;  ///< as in the file: `model "Compliance / *"`, `always_tags "AP: *"`, `score`; or
                       ///< `everything else`
    std::string file;
    unsigned line = 0;  ///< 0 of `everything else`, which speaks where no score is set
};

/// A throttle of the file. Decisions ignore them; deliver::throttles applies them.
struct throttle
{
    std::vector<std::string> by;
    unsigned limit = 0;
    std::int64_t per_ms = 0;
    bool summary = true;
    unsigned line = 0;
};
/// `throttle by model, device: 5 per 1h (stage-2.toml:31)`.
std::string describe(const throttle& t, const std::string& file);
/// The reason of what a throttle holds back, from what describe() says of it.
std::string throttled_reason(const std::string& description);

class policy
{
public:
    policy();  ///< forwards everything: "no rules" (so does an empty file, with a reason that names it)
    ~policy();
    policy(policy&&) noexcept;
    policy& operator=(policy&&) noexcept;

    /// Never fails and never throws on odd data. `name` is the model path with " / " or "/" or "::" alike.
    decision decide(const breach& b, const known_labels& known = {}) const;

    const std::vector<policy_line>& lines() const;
    const std::vector<throttle>& throttles() const;
    const std::string& file() const;  ///< name for reasons: the path as configured
    const std::string& text() const;  ///< the file as read, for the archive's "policies by hash"
    bool reads_tags() const;    ///< always_tags, never_tags or a tag: device rule is set: needs minimal=false
    bool reads_labels() const;  ///< a label: device rule is set
    bool has_pid_keys() const;  ///< a pid key: warned with several masters

private:
    struct impl;
    std::unique_ptr<impl> impl_;
    friend struct loader;
};

struct loaded
{
    policy value;                   ///< the default policy where a problem is an error
    std::vector<problem> problems;  ///< errors and warnings, in the order of the file
    bool ok = true;                 ///< no error among them
};

/// Reads TOML, or CSV (`model,min_score,action,note`) where the name ends in .csv or the first line is that
/// header. display_name stands in reasons and problems. Bounded: 16 MiB, 200,000 lines.
loaded load_file(const std::string& path, const std::string& display_name);
loaded load_text(std::string_view text, const std::string& display_name);

/// Whether a model's name fits a glob as [models] has them: "::", "/" and " / " alike, case aside.
bool model_matches(std::string_view glob, std::string_view name);

/// The shipped stages compiled in ("mappings/stage-1.toml", ...), for use without files; empty where there is
/// none.
std::string_view builtin_mapping(std::string_view name);

}  // namespace dtbridge::rules
