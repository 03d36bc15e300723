#pragma once

/// A mapping file after reading and before it is indexed: what TOML and CSV have in common.

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dtbridge/core/decimal.hpp>
#include <dtbridge/rules/policy.hpp>

namespace dtbridge::rules
{

/// Collects what is wrong in one file.
struct reporter
{
    std::string file;
    std::vector<problem> problems;

    void error(unsigned line, std::string key, std::string message)
    {
        problems.push_back({file, line, std::move(key), std::move(message), false});
    }
    void warning(unsigned line, std::string key, std::string message)
    {
        problems.push_back({file, line, std::move(key), std::move(message), true});
    }
    bool has_error() const
    {
        for (const auto& p : problems)
            if (!p.warning)
                return true;
        return false;
    }
};

struct threshold
{
    decimal value;
    bool strict = false;  ///< above_score: the value itself does not pass
    std::string shown;    ///< as the file writes it
};

/// One line of [models] or [devices].
struct rule
{
    enum class action { none, always, never, score };  ///< none: only a severity or labels

    std::string key;  ///< as written
    unsigned line = 0;
    action what = action::none;
    threshold limit;  ///< of action::score
    std::optional<int> severity;
    std::vector<std::pair<std::string, std::string>> labels;
    std::size_t spoken = 0;  ///< index into policy::lines()
};

/// A setting of [forward] with the line it stands in. line 0: not in the file.
template <class T>
struct setting
{
    T value{};
    unsigned line = 0;
    std::size_t spoken = 0;

    explicit operator bool() const { return line != 0; }
};

enum class tag_source { as_of_breach, as_read, both };

struct mapping
{
    setting<threshold> score;
    setting<int> min_priority;
    setting<std::vector<std::string>> categories;
    std::vector<setting<std::string>> always_tags, never_tags;
    tag_source tags_from = tag_source::as_of_breach;
    setting<bool> acknowledged{true}, suppressed{true}, only_alerting_models{false};
    std::vector<rule> models, devices;
    std::vector<throttle> throttles;
};

/// Reads "0.40", "40%" or "40 %" exactly. Fills limit.value and limit.shown, or answers what is wrong.
std::string read_threshold(std::string_view text, threshold& limit);

void read_toml(std::string_view text, mapping& out, reporter& report);
void read_csv(std::string_view text, mapping& out, reporter& report);
/// Whether the first line is the header of a mapping in CSV.
bool has_csv_header(std::string_view text);

}  // namespace dtbridge::rules
