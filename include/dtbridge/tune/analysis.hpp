#pragma once

/// What a policy would have forwarded: breaches in, figures out, in memory that is bounded whatever comes.
/// Pure: reading archives, printing and clocks are left to others. Tested in tests/unit/tune.

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <dtbridge/core/breach.hpp>
#include <dtbridge/rules/outline.hpp>
#include <dtbridge/rules/policy.hpp>

#include <dtbridge/tune/scores.hpp>

namespace dtbridge::tune
{

struct limits
{
    std::size_t models = 100000;       ///< more of them are counted together
    std::size_t days = 4000;           ///< more of them are left out of the figures by day
    std::size_t model_days = 2000000;  ///< figures by model and day; without them beyond
};

/// What is counted of any set of breaches.
struct counts
{
    std::int64_t breaches = 0;
    std::int64_t forwarded = 0;          ///< by the policy
    std::int64_t against = 0;            ///< forwarded by the other one; 0 where there is none
    std::int64_t added = 0;              ///< by the policy and not by the other one
    std::int64_t removed = 0;            ///< by the other one and not by the policy
    std::int64_t throttled = 0;          ///< of those held back: by a throttle of the policy alone
    std::int64_t throttled_against = 0;  ///< the same of the other one

    std::int64_t held_back() const { return breaches - forwarded; }
};

/// Days since 1970 in UTC.
using day_number = std::int32_t;
std::string day_text(day_number day);  ///< "2026-11-03"

struct model_figures
{
    struct day
    {
        day_number number = 0;
        std::uint32_t breaches = 0, forwarded = 0, against = 0;
    };

    std::string name;  ///< as the last breach shows it, with "/" for "::"; at most 512 bytes, any bytes
    std::string uuid, category;
    std::optional<std::int64_t> priority;
    counts sum;
    std::int64_t without_score = 0;
    score_counts scores;
    std::vector<day> days;                  ///< in order
    std::optional<std::size_t> named_by;    ///< line of [models] that names it
    std::optional<std::size_t> limited_by;  ///< line with the score threshold that is in force for it
    delay_counts acknowledged;

    std::uint32_t busiest_day() const;  ///< forwarded on it
};

struct line_figures
{
    std::int64_t forwarded = 0, held_back = 0;
    std::int64_t throttled = 0;  ///< of those held back: this line forwards them, and a throttle does not
    std::int64_t spoken() const { return forwarded + held_back; }
};

/// What both policies say of one breach.
struct verdict
{
    rules::decision decision;
    std::optional<rules::decision> against;
    /// Which throttle of rules::policy::throttles() holds back what the rules forward.
    std::optional<std::size_t> throttle, against_throttle;
    bool forward() const { return decision.forward && !throttle; }
    bool forward_against() const { return against && against->forward && !against_throttle; }
    bool added() const { return against && forward() && !forward_against(); }
    bool removed() const { return against && !forward() && forward_against(); }
};

/// Where a breach comes from, and what is known of it beside itself.
struct origin
{
    std::string_view master;
    std::int64_t archived = 0;  ///< ms; stands in where the breach has no time
    /// ms, when the breach was acknowledged, where that is known from elsewhere; what the breach itself says
    /// counts first.
    std::optional<std::int64_t> acknowledged_at;
    rules::known_labels known;
};

/// What comes after the rules: throttles, which another module counts. Asked in order for each breach that a
/// policy forwards; answers which of the policy's throttles holds it back.
using gate =
    std::function<std::optional<std::size_t>(const breach& b, const rules::decision& d, const origin& from)>;

class analysis
{
public:
    /// The policies live longer than this. against may be null.
    analysis(const rules::policy& policy, const rules::policy* against, limits bounds = {});

    /// From now on these stand behind the policies; an empty one lets everything pass.
    void stand_behind(gate of_policy, gate of_against);

    /// The verdict's labels point into the policies.
    verdict take(const breach& b, const origin& from = {});
    /// Why a policy forwards or holds back: the throttle's words where one holds it.
    std::string reason(const verdict& v) const;
    std::string reason_against(const verdict& v) const;

    const rules::outline& policy() const { return policy_; }
    const rules::outline* against() const { return against_ ? &*against_ : nullptr; }
    const counts& sum() const { return sum_; }
    const std::map<day_number, counts>& days() const { return days_; }
    /// From the first day with a breach to the last, empty ones too; 0 where no breach has a time.
    std::int64_t day_count() const;
    /// Forwarded a day of day_count.
    double per_day(std::int64_t count) const;
    std::int64_t undated() const { return undated_; }  ///< without a time, or on a day beyond the limit
    std::optional<std::int64_t> first() const { return first_; }  ///< created, ms
    std::optional<std::int64_t> last() const { return last_; }
    const std::vector<line_figures>& lines() const { return lines_; }
    const std::vector<line_figures>& against_lines() const { return against_lines_; }
    /// What each throttle held back, in the policy's order.
    const std::vector<std::int64_t>& throttles() const { return throttles_; }
    const std::vector<std::int64_t>& against_throttles() const { return against_throttles_; }
    /// In the order they were first seen. Those beyond the limit are one model without a name at the end.
    const std::vector<model_figures>& models() const { return models_; }
    bool folded_models() const { return folded_.has_value(); }
    bool has_model_days() const { return model_days_left_ > 0; }

    /// Indexes into models(): most forwarded first, then most breaches.
    std::vector<std::size_t> by_alerts() const;
    /// Those that no line of [models] names, most breaches first.
    std::vector<std::size_t> unnamed() const;
    /// Lines of the policy that could speak and never did.
    std::vector<std::size_t> silent_lines() const;

private:
    model_figures& model_of(const breach& b);
    void note_day(model_figures& m, day_number day, const verdict& v);

    rules::outline policy_;
    std::optional<rules::outline> against_;
    limits bounds_;
    counts sum_;
    std::map<day_number, counts> days_;
    std::int64_t undated_ = 0;
    std::optional<std::int64_t> first_, last_;
    std::vector<line_figures> lines_, against_lines_;
    std::vector<std::int64_t> throttles_, against_throttles_;
    std::vector<model_figures> models_;
    std::unordered_map<std::string, std::size_t> index_;
    std::optional<std::size_t> folded_;
    std::size_t model_days_left_;
    std::optional<std::size_t> score_line_;
    gate gate_, against_gate_;
};

/// When the breach was acknowledged, as it says itself: ms.
std::optional<std::int64_t> acknowledged_time(const breach& b);

/// Created as a day, where the breach has a time that a calendar can hold.
std::optional<day_number> day_of(const breach_key& key);

/// What makes two breaches of one model: the line of [models] that names it by uuid or pid, else the name.
std::string model_group(const rules::outline& policy, const breach& b, std::optional<std::size_t> model_line);
/// A name as figures keep it: at most 512 bytes.
std::string model_name(const breach& b);

}  // namespace dtbridge::tune
