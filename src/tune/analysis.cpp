#include <dtbridge/tune/analysis.hpp>

#include <algorithm>
#include <numeric>

#include <dtbridge/core/text.hpp>
#include <dtbridge/core/time.hpp>
#include <dtbridge/rules/write.hpp>

namespace dtbridge::tune
{

namespace
{

constexpr std::int64_t day_ms = 86400000;
constexpr std::size_t name_bytes = 512;

void count(counts& into, const verdict& v)
{
    ++into.breaches;
    into.forwarded += v.forward() ? 1 : 0;
    into.against += v.forward_against() ? 1 : 0;
    into.throttled += v.throttle ? 1 : 0;
    into.throttled_against += v.against_throttle ? 1 : 0;
    into.added += v.added() ? 1 : 0;
    into.removed += v.removed() ? 1 : 0;
}

void count(line_figures& line, bool forward, bool throttled)
{
    ++(forward ? line.forwarded : line.held_back);
    line.throttled += throttled ? 1 : 0;
}

std::string reason_of(const rules::decision& d, std::optional<std::size_t> throttle, const rules::outline& p)
{
    return throttle ? rules::throttled_reason(rules::describe(p.throttles()[*throttle], p.file())) : d.reason;
}

std::string cut_member(const json::value& object, std::string_view name)
{
    return std::string(string_member(object, name).substr(0, name_bytes));
}

}  // namespace

std::string day_text(day_number day)
{
    return rfc3339_ms(std::int64_t{day} * day_ms).substr(0, 10);
}

std::optional<day_number> day_of(const breach_key& key)
{
    if (key.created <= 0 || key.created > max_calendar_ms)
        return {};
    return static_cast<day_number>(key.created / day_ms);
}

std::optional<std::int64_t> acknowledged_time(const breach& b)
{
    std::int64_t at = 0;
    if (b.root.find("acknowledged").find("time").integer(at) && at >= min_calendar_ms &&
        at <= max_calendar_ms)
        return at;
    return {};
}

std::string model_name(const breach& b)
{
    return model_path(string_member(b.then, "name")).substr(0, name_bytes);
}

std::string model_group(const rules::outline& policy, const breach& b, std::optional<std::size_t> model_line)
{
    if (model_line && policy.lines()[*model_line].by_id)
        return "\n" + std::to_string(*model_line);  // no name begins with it: names are trimmed
    return rules::model_identity(string_member(b.then, "name").substr(0, name_bytes));
}

std::uint32_t model_figures::busiest_day() const
{
    std::uint32_t most = 0;
    for (const auto& d : days)
        most = std::max(most, d.forwarded);
    return most;
}

analysis::analysis(const rules::policy& policy, const rules::policy* against, limits bounds)
    : policy_(policy),
      bounds_(bounds),
      lines_(policy.lines().size()),
      against_lines_(against == nullptr ? 0 : against->lines().size()),
      throttles_(policy.throttles().size()),
      against_throttles_(against == nullptr ? 0 : against->throttles().size()),
      model_days_left_(bounds.model_days)
{
    if (against != nullptr)
        against_.emplace(*against);
    for (std::size_t i = 0; i < policy_.lines().size(); ++i)
        if (policy_.lines()[i].what == rules::outlined_line::kind::score)
            score_line_ = i;
}

void analysis::stand_behind(gate of_policy, gate of_against)
{
    gate_ = std::move(of_policy);
    against_gate_ = std::move(of_against);
}

std::string analysis::reason(const verdict& v) const
{
    return reason_of(v.decision, v.throttle, policy_);
}

std::string analysis::reason_against(const verdict& v) const
{
    return against_ && v.against ? reason_of(*v.against, v.against_throttle, *against_) : std::string();
}

verdict analysis::take(const breach& b, const origin& from)
{
    verdict v;
    v.decision = policy_.decide(b, from.known);
    if (against_)
        v.against = against_->decide(b, from.known);
    if (v.decision.forward && gate_)
        v.throttle = gate_(b, v.decision, from);
    if (v.against && v.against->forward && against_gate_)
        v.against_throttle = against_gate_(b, *v.against, from);
    count(sum_, v);
    count(lines_[v.decision.line], v.forward(), v.throttle.has_value());
    if (v.against)
        count(against_lines_[v.against->line], v.forward_against(), v.against_throttle.has_value());
    if (v.throttle)
        ++throttles_[*v.throttle];
    if (v.against_throttle)
        ++against_throttles_[*v.against_throttle];

    auto& m = model_of(b);
    count(m.sum, v);
    if (b.score)
        m.scores.add(hundredth(*b.score), v.forward());
    else
        ++m.without_score;
    const auto said = acknowledged_time(b);
    const auto acknowledged_at = said ? said : from.acknowledged_at;
    if (acknowledged_at && b.key.created > 0)
        m.acknowledged.add(*acknowledged_at - b.key.created);

    if (const auto day = day_of(b.key))
        note_day(m, *day, v);
    else
        ++undated_;
    if (b.key.created > 0)
    {
        first_ = std::min(first_.value_or(b.key.created), b.key.created);
        last_ = std::max(last_.value_or(b.key.created), b.key.created);
    }
    return v;
}

void analysis::note_day(model_figures& m, day_number day, const verdict& v)
{
    if (days_.size() >= bounds_.days && !days_.contains(day))
    {
        ++undated_;
        return;
    }
    count(days_[day], v);
    if (model_days_left_ == 0)
        return;
    // Breaches come nearly in order: the day is the last one or near it.
    auto at = m.days.end();
    while (at != m.days.begin() && std::prev(at)->number >= day)
        --at;
    if (at == m.days.end() || at->number != day)
    {
        at = m.days.insert(at, model_figures::day{day, 0, 0, 0});
        if (--model_days_left_ == 0)
            return;
    }
    ++at->breaches;
    at->forwarded += v.forward() ? 1 : 0;
    at->against += v.forward_against() ? 1 : 0;
}

model_figures& analysis::model_of(const breach& b)
{
    const auto named_by = policy_.model_line(b);
    auto group = model_group(policy_, b, named_by);
    auto at = index_.find(group);
    if (at == index_.end() && models_.size() >= bounds_.models)
    {
        if (!folded_)
        {
            folded_ = models_.size();
            models_.emplace_back();
        }
        return models_[*folded_];
    }
    if (at == index_.end())
    {
        at = index_.emplace(std::move(group), models_.size()).first;
        models_.emplace_back();
    }
    auto& m = models_[at->second];
    m.name = model_name(b);
    m.uuid = cut_member(b.then, "uuid");
    m.category = std::string(model_category(b.then).substr(0, name_bytes));
    std::int64_t priority = 0;
    m.priority = b.then.find("priority").integer(priority) ? std::optional(priority) : std::nullopt;
    m.named_by = named_by;
    m.limited_by = score_line_;
    if (named_by && policy_.lines()[*named_by].decides)
        m.limited_by = policy_.lines()[*named_by].threshold ? named_by : std::nullopt;
    return m;
}

std::int64_t analysis::day_count() const
{
    return days_.empty() ? 0 : std::int64_t{days_.rbegin()->first} - days_.begin()->first + 1;
}

double analysis::per_day(std::int64_t count) const
{
    const auto days = day_count();
    return days == 0 ? 0 : static_cast<double>(count) / static_cast<double>(days);
}

std::vector<std::size_t> analysis::by_alerts() const
{
    std::vector<std::size_t> order(models_.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [this](std::size_t a, std::size_t b) {
        const auto& x = models_[a].sum;
        const auto& y = models_[b].sum;
        return x.forwarded != y.forwarded ? x.forwarded > y.forwarded : x.breaches > y.breaches;
    });
    return order;
}

std::vector<std::size_t> analysis::unnamed() const
{
    std::vector<std::size_t> out;
    for (std::size_t i = 0; i < models_.size(); ++i)
        if (!models_[i].named_by && folded_ != i)
            out.push_back(i);
    std::stable_sort(out.begin(), out.end(), [this](std::size_t a, std::size_t b) {
        return models_[a].sum.breaches > models_[b].sum.breaches;
    });
    return out;
}

std::vector<std::size_t> analysis::silent_lines() const
{
    std::vector<std::size_t> out;
    const auto& lines = policy_.lines();
    for (std::size_t i = 0; i < lines.size(); ++i)
        if (lines[i].decides && lines_[i].spoken() == 0 &&
            lines[i].what != rules::outlined_line::kind::everything_else)
            out.push_back(i);
    return out;
}

}  // namespace dtbridge::tune
