#pragma once

/// Finds the most specific line of [models] and of [devices] for a breach. Exact keys through hash maps, so
/// that a policy of 10,000 rows decides in microseconds; globs sorted once, most specific first.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <dtbridge/core/breach.hpp>
#include <dtbridge/rules/policy.hpp>

#include <rules/keys.hpp>

namespace dtbridge::rules
{

/// Tags of one model that are looked at; a breach has a handful.
inline constexpr std::size_t max_tags = 4096;

/// Index of a rule in the order of the file; nothing where no line names the model or device.
using found_rule = std::optional<std::size_t>;

struct text_hash
{
    using is_transparent = void;
    std::size_t operator()(std::string_view s) const { return std::hash<std::string_view>()(s); }
};
using text_map = std::unordered_map<std::string, std::size_t, text_hash, std::equal_to<>>;

struct glob_rule
{
    std::string pattern;
    std::size_t literals = 0;
    std::size_t rule = 0;
};

class model_index
{
public:
    /// Answers the rule that has the same key already, or nothing and takes it.
    found_rule add(const model_key& key, std::size_t rule);
    /// Call once after the last add.
    void sort();
    found_rule find(const json::value& model) const;
    bool empty() const { return uuids_.empty() && pids_.empty() && names_.empty() && globs_.empty(); }
    bool has_pids() const { return !pids_.empty(); }

private:
    text_map uuids_, names_, seen_globs_;
    std::unordered_map<std::int64_t, std::size_t> pids_;
    std::vector<glob_rule> globs_;
};

class device_index
{
public:
    found_rule add(const device_key& key, std::size_t rule);
    void sort();
    /// Looks at every device of the breach; of two lines of one kind and specificity the earlier one wins.
    found_rule find(const std::vector<json::value>& devices, const known_labels& known) const;
    bool empty() const { return seen_.empty(); }
    bool has_tags() const { return !tags_.empty(); }
    bool has_labels() const { return !labels_.empty(); }

private:
    /// All networks of one family and prefix length.
    struct networks
    {
        bool v6 = false;
        unsigned prefix = 0;
        text_map bases;  ///< by the bytes of the base
        unsigned host_bits() const { return (v6 ? 128u : 32u) - prefix; }
    };

    found_rule find_address(const std::vector<json::value>& devices) const;

    std::unordered_map<std::int64_t, std::size_t> dids_;
    std::vector<networks> networks_;
    found_rule find_device(const std::vector<json::value>& all) const;
    found_rule find_label(const known_labels& known) const;

    std::vector<glob_rule> macs_, hosts_, types_, tags_;
    std::vector<std::pair<std::string, std::vector<glob_rule>>> labels_;  ///< by the label's name
    text_map seen_;
};

}  // namespace dtbridge::rules
