#include <dtbridge/rules/policy.hpp>

#include <algorithm>

#include <dtbridge/core/text.hpp>

#include <rules/keys.hpp>
#include <rules/policy_impl.hpp>

namespace dtbridge::rules
{

namespace
{

using json::kind;

/// The first tag of the models that tags_from names which one of the patterns matches.
struct tag_hit
{
    const setting<std::string>* pattern = nullptr;
    std::string_view tag;
};
tag_hit find_tag(const std::vector<setting<std::string>>& patterns, tag_source from, const breach& b)
{
    if (patterns.empty())
        return {};
    const json::value models[] = {b.then, b.now};
    for (const auto& pattern : patterns)
        for (std::size_t i = 0; i < 2; ++i)
        {
            if ((i == 0 && from == tag_source::as_read) || (i == 1 && from == tag_source::as_of_breach))
                continue;
            const auto tags = models[i].find("tags");
            if (!tags.is(kind::array))
                continue;
            std::size_t seen = 0;
            for (const auto tag : tags)
            {
                if (++seen > max_tags)
                    break;
                const auto s = tag.is(kind::string) ? text::trim_blank(tag.text()) : std::string_view();
                if (!s.empty() && text::glob_match(pattern.value, s))
                    return {&pattern, s};
            }
        }
    return {};
}

/// Whether the model's alert action is set; nothing where the answer had no actions at all (minimal=true).
std::optional<bool> alerts(const json::value& model)
{
    const auto actions = model.find("actions");
    if (!actions.is(kind::object))
        return {};
    const auto alert = actions.find("alert");
    std::int64_t n = 0;
    return alert.boolean() || (alert.integer(n) && n != 0) ||
           (alert.is(kind::string) && text::iequals(text::trim_blank(alert.text()), "true"));
}

std::string span_text(std::int64_t ms)
{
    struct unit
    {
        std::int64_t ms;
        const char* name;
    };
    for (const unit u : {unit{86'400'000, "d"}, {3'600'000, "h"}, {60'000, "m"}, {1000, "s"}})
        if (ms % u.ms == 0)
            return std::to_string(ms / u.ms) + u.name;
    return std::to_string(ms) + "ms";
}

}  // namespace

std::string describe(const throttle& t, const std::string& file)
{
    std::string out = "throttle by ";
    for (std::size_t i = 0; i < t.by.size(); ++i)
        out.append(i == 0 ? "" : ", ").append(t.by[i]);
    return out + ": " + std::to_string(t.limit) + " per " + span_text(t.per_ms) + " (" + file + ':' +
           std::to_string(t.line) + ')';
}

std::string throttled_reason(const std::string& description)
{
    return description + " holds it back";
}

policy::policy() : impl_(std::make_unique<impl>())
{
    impl_->is_default = true;
    impl_->number_lines();
}

policy::~policy() = default;
policy::policy(policy&&) noexcept = default;
policy& policy::operator=(policy&&) noexcept = default;

const std::vector<policy_line>& policy::lines() const
{
    return impl_->lines;
}

const std::vector<throttle>& policy::throttles() const
{
    return impl_->file_rules.throttles;
}

const std::string& policy::file() const
{
    return impl_->file;
}

const std::string& policy::text() const
{
    return impl_->text;
}

bool policy::reads_tags() const
{
    const auto& m = impl_->file_rules;
    return !m.always_tags.empty() || !m.never_tags.empty() || impl_->devices.has_tags();
}

bool policy::reads_labels() const
{
    return impl_->devices.has_labels();
}

bool policy::has_pid_keys() const
{
    return impl_->models.has_pids();
}

void policy::impl::number_lines()
{
    struct speaker
    {
        policy_line line;
        std::size_t* index;
    };
    std::vector<speaker> all;
    const auto add = [&](unsigned line, std::size_t* index, std::string what) {
        all.push_back({{std::move(what), file, line}, index});
    };
    auto& m = file_rules;
    if (!m.acknowledged.value)
        add(m.acknowledged.line, &m.acknowledged.spoken, "acknowledged");
    if (!m.suppressed.value)
        add(m.suppressed.line, &m.suppressed.spoken, "suppressed");
    if (m.only_alerting_models.value)
        add(m.only_alerting_models.line, &m.only_alerting_models.spoken, "only_alerting_models");
    if (m.categories)
        add(m.categories.line, &m.categories.spoken, "categories");
    if (m.min_priority)
        add(m.min_priority.line, &m.min_priority.spoken, "min_priority");
    for (auto& tag : m.never_tags)
        add(tag.line, &tag.spoken, "never_tags " + quoted(tag.value));
    for (auto& tag : m.always_tags)
        add(tag.line, &tag.spoken, "always_tags " + quoted(tag.value));
    for (auto& r : m.devices)
        add(r.line, &r.spoken, "device " + quoted(r.key));
    for (auto& r : m.models)
        add(r.line, &r.spoken, "model " + quoted(r.key));
    if (m.score)
        add(m.score.line, &m.score.spoken, "score");
    std::stable_sort(
        all.begin(), all.end(), [](const speaker& a, const speaker& b) { return a.line.line < b.line.line; });
    if (!m.score)
        all.push_back({{"everything else", file, 0}, &otherwise});
    for (auto& each : all)
    {
        *each.index = lines.size();
        places.push_back(" (" + file + ':' + std::to_string(each.line.line) + ')');
        lines.push_back(std::move(each.line));
    }
    if (m.score)
        otherwise = m.score.spoken;
}

const std::string* find_label_value(const known_labels& known, std::string_view name)
{
    for (const labels* from : {known.inventory, known.master})
        if (from != nullptr)
            for (const auto& [key, value] : *from)
                if (key == name)
                    return &value;
    return nullptr;
}

decision policy::decide(const breach& b, const known_labels& known) const
{
    const impl& p = *impl_;
    const mapping& m = p.file_rules;
    decision out;
    out.inventory = known.inventory;

    const auto model_at = p.models.find(b.then);
    const auto device_at = p.devices.find(b.devices, known);
    const rule* model = model_at ? &m.models[*model_at] : nullptr;
    const rule* device = device_at ? &m.devices[*device_at] : nullptr;
    // Whoever decides: what the file says about the model's severity and labels holds; a device's stands in
    // for it.
    for (const rule* r : {model, device})
    {
        if (r == nullptr)
            continue;
        if (r->severity && !out.severity)
            out.severity = r->severity;
        if (!r->labels.empty() && out.labels == nullptr)
            out.labels = &r->labels;
    }

    const auto say = [&](bool forward, std::size_t line, std::string reason) {
        out.forward = forward;
        out.line = line;
        out.reason = std::move(reason);
    };
    const auto by_score = [&](const threshold& limit, std::size_t line) {
        const std::string_view named =
            &limit == &m.score.value ? std::string_view("[forward]") : p.lines[line].text;
        std::string of = limit.shown;
        of.append(" of ").append(named).append(p.places[line]);
        if (!b.score)
            return say(true, line, "no score to compare with " + of + ", so it is forwarded");
        const int order = b.score->compare(limit.value);
        const bool forward = limit.strict ? order > 0 : order >= 0;
        const char* relation = limit.strict ? (forward ? " is above " : " is not above ")
                                            : (forward ? " is at least " : " is under ");
        say(forward, line, "score " + b.score->text() + relation + of);
    };

    if (!m.acknowledged.value && is_acknowledged(b))
    {
        const auto line = m.acknowledged.spoken;
        say(false, line, "acknowledged already when read, and acknowledged = false" + p.places[line]);
        return out;
    }
    if (!m.suppressed.value && is_suppressed(b))
    {
        const auto line = m.suppressed.spoken;
        say(false, line, "suppressed, and suppressed = false" + p.places[line]);
        return out;
    }
    if (m.only_alerting_models.value && alerts(b.then) == false)
    {
        const auto line = m.only_alerting_models.spoken;
        say(false,
            line,
            "the model's alert action is not set, and only_alerting_models = true" + p.places[line]);
        return out;
    }
    for (const rule* r : {device, model})
        if (r != nullptr && (r->what == rule::action::always || r->what == rule::action::never))
        {
            out.always = r->what == rule::action::always;
            say(out.always,
                r->spoken,
                (out.always ? "always by " : "never by ") + p.lines[r->spoken].text + p.places[r->spoken]);
            return out;
        }
    if (const auto hit = find_tag(m.never_tags, m.tags_from, b); hit.pattern != nullptr)
    {
        const auto line = hit.pattern->spoken;
        say(false, line, "tagged " + quoted(hit.tag) + ": " + p.lines[line].text + p.places[line]);
        return out;
    }
    if (const auto hit = find_tag(m.always_tags, m.tags_from, b); hit.pattern != nullptr)
    {
        const auto line = hit.pattern->spoken;
        say(true, line, "tagged " + quoted(hit.tag) + ": " + p.lines[line].text + p.places[line]);
        out.always = true;
        return out;
    }
    for (const rule* r : {device, model})
        if (r != nullptr && r->what == rule::action::score)
        {
            by_score(r->limit, r->spoken);
            return out;
        }
    if (m.categories)
    {
        const auto line = m.categories.spoken;
        const auto category = model_category(b.then);
        if (category.empty())
        {
            say(true,
                line,
                "no category to look for in categories" + p.places[line] + ", so it is forwarded");
            return out;
        }
        const auto& wanted = m.categories.value;
        if (std::find(wanted.begin(), wanted.end(), category) == wanted.end())
        {
            say(false,
                line,
                "category " + text::printable(category, 60) + " is not in categories" + p.places[line]);
            return out;
        }
    }
    std::int64_t priority = 0;
    if (m.min_priority && b.then.find("priority").integer(priority) && priority < m.min_priority.value)
    {
        const auto line = m.min_priority.spoken;
        say(false,
            line,
            "priority " + std::to_string(priority) + " is under min_priority " +
                std::to_string(m.min_priority.value) + p.places[line]);
        return out;
    }
    if (m.score)
        by_score(m.score.value, m.score.spoken);
    else
        say(true,
            p.otherwise,
            p.is_default ? "no rules: everything is forwarded" : "no line of " + p.file + " holds it back");
    return out;
}

}  // namespace dtbridge::rules
