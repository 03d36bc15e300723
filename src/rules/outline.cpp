#include <dtbridge/rules/outline.hpp>

#include <rules/keys.hpp>
#include <rules/policy_impl.hpp>

namespace dtbridge::rules
{

namespace
{

void note_rule(outlined_line& line, outlined_line::kind what, const rule& r)
{
    line.what = what;
    line.decides = r.what != rule::action::none;
    if (r.what != rule::action::score)
        return;
    line.threshold = r.limit.value;
    line.strict = r.limit.strict;
}

}  // namespace

outline::outline(const policy& of) : policy_(&of)
{
    using is = outlined_line::kind;
    const auto& m = loader::inside(of).file_rules;
    for (const auto& line : of.lines())
        static_cast<policy_line&>(lines_.emplace_back()) = line;
    const auto note = [this](bool there, std::size_t line, is what) {
        if (there)
            lines_[line].what = what;
    };
    note(!m.acknowledged.value, m.acknowledged.spoken, is::acknowledged);
    note(!m.suppressed.value, m.suppressed.spoken, is::suppressed);
    note(m.only_alerting_models.value, m.only_alerting_models.spoken, is::only_alerting_models);
    note(static_cast<bool>(m.categories), m.categories.spoken, is::categories);
    note(static_cast<bool>(m.min_priority), m.min_priority.spoken, is::min_priority);
    for (const auto& tag : m.never_tags)
        note(true, tag.spoken, is::never_tags);
    for (const auto& tag : m.always_tags)
        note(true, tag.spoken, is::always_tags);
    for (const auto& r : m.devices)
        note_rule(lines_[r.spoken], is::device, r);
    for (const auto& r : m.models)
    {
        auto& line = lines_[r.spoken];
        note_rule(line, is::model, r);
        model_key key;
        line.by_id = parse_model_key(r.key, key).empty() &&
                     (key.type == model_key::kind::uuid || key.type == model_key::kind::pid);
    }
    if (m.score)
    {
        auto& line = lines_[m.score.spoken];
        line.what = is::score;
        line.threshold = m.score.value.value;
        line.strict = m.score.value.strict;
    }
}

std::optional<std::size_t> outline::model_line(const breach& b) const
{
    const auto& p = loader::inside(*policy_);
    const auto at = p.models.find(b.then);
    return at ? std::optional(p.file_rules.models[*at].spoken) : std::nullopt;
}

}  // namespace dtbridge::rules
