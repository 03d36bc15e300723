#pragma once

/// Proposes thresholds per model that give at most so many alerts a day, and keeps whatever a tag, an
/// "always" or a device forwards. The breaches are read twice: first each model's scores are learnt, then
/// every day is weighed at 256 steps from strict to open; the most open step that no day breaks is taken. A
/// step allows each model so many alerts a day, more where its priority is higher, so that the loud models
/// give way first. Where the policy has throttles, what leaves behind them is counted: it cannot be told from
/// the sums of a reading, so a few steps are tried in each of several readings. Pure, in bounded memory.
/// Tested in tests/unit/tune.

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include <dtbridge/core/breach.hpp>
#include <dtbridge/rules/outline.hpp>
#include <dtbridge/rules/policy.hpp>

#include <dtbridge/tune/analysis.hpp>
#include <dtbridge/tune/scores.hpp>

namespace dtbridge::tune
{

/// The policy that a proposal starts from: base itself, or where it has no always_tags, base with
/// "Enhanced Monitoring" for one, the tag of the shipped stages. Not ok only where base's text is.
rules::loaded proposal_base(const rules::policy& base);

struct proposal_order
{
    std::int64_t alerts_per_day = 0;
    bool average = false;  ///< over all days; else on each of them
    std::vector<std::string> masters;
    std::string file;            ///< of the policy as the user named it
    bool tag_was_added = false;  ///< by proposal_base
    /// Makes the policy's throttles anew; empty where it has none.
    std::function<gate()> throttles{};
    limits bounds{};
};

class suggestion
{
public:
    static constexpr std::size_t steps = 256;

    /// The policy lives longer than this.
    suggestion(const rules::policy& base, proposal_order order);

    void learn(const breach& b, const origin& from = {});
    /// After the first reading.
    void plan();
    /// The same breaches again; one that came in between is ignored where its model is new.
    void weigh(const breach& b, const origin& from = {});
    /// After each further reading: whether they have to be weighed once more.
    bool again();
    /// The mapping file, TOML. Loads without a problem.
    std::string mapping() const;

    /// Days on which the number could not be met by any threshold.
    std::vector<day_number> impossible_days() const;

private:
    struct model
    {
        std::string name;
        std::optional<std::string> key;  ///< "" where the policy's own line stands for it
        std::optional<std::size_t> named_by;
        std::optional<std::int64_t> priority;
        score_counts open;           ///< what a threshold decides; forwarded: by the policy as it is
        std::int64_t kept = 0;       ///< forwarded whatever the threshold
        std::int64_t forwarded = 0;  ///< of open, by the policy as it is
        std::optional<std::size_t> closed_by;  ///< line that leaves no room for a threshold
        bool closed = false;

        std::int64_t weight() const;
    };
    using alerts_by_day = std::map<day_number, std::uint32_t>;
    /// How many pass from each step on.
    using day_sums = std::array<std::uint32_t, steps>;
    /// A step that is looked at behind throttles.
    struct trial
    {
        std::size_t step = 0;
        gate throttles;
        alerts_by_day alerts;
    };
    struct day_figures
    {
        std::int64_t all = 0, most = 0;
        day_number on = 0;
    };
    struct choice
    {
        bool as_it_is = true;
        int hundredth = 0;
    };

    model* find_model(const breach& b, bool make);
    bool is_open(const breach& b, const rules::decision& d) const;
    choice at(const model& m, std::size_t step) const;
    std::int64_t allowance(const model& m, std::size_t step) const;
    bool passes(const choice& c, int hundredth, bool forwarded) const;
    bool fits(std::size_t step, bool average) const;
    std::size_t chosen_step(bool average) const;
    bool throttled() const { return static_cast<bool>(order_.throttles); }
    void try_between();
    /// Of all days; without a step: of the policy as it is.
    day_figures sums(std::optional<std::size_t> step) const;
    std::string words(const day_figures& f) const;
    std::int64_t alerts_on(day_number day, std::size_t step) const;
    std::vector<std::string> heading(std::size_t step) const;
    std::vector<std::string> closing() const;
    std::string reason(const model& m, const choice& c) const;
    double per_day(std::int64_t n) const;

    const rules::policy* base_;
    rules::outline outline_;
    proposal_order order_;
    std::unordered_map<std::string, std::size_t> index_;
    std::vector<model> models_;
    bool folded_ = false;
    alerts_by_day before_;                 ///< of the policy as it is, and every day there is
    std::map<day_number, day_sums> days_;  ///< without throttles
    gate as_it_is_;                        ///< the throttles behind the policy
    std::vector<trial> trials_;            ///< of this reading, in order
    std::map<std::size_t, alerts_by_day> tried_;
    std::size_t fitting_ = 0, too_open_ = steps;  ///< the search among steps, behind throttles
    std::int64_t breaches_ = 0;
    std::int64_t kept_ = 0;
    std::int64_t day_count_ = 0;
    bool lowers_ = false;  ///< the policy gives less than is asked for: thresholds may sink
    std::array<double, steps> rates_{};
};

}  // namespace dtbridge::tune
