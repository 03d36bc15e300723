#include <dtbridge/rules/write.hpp>

#include <algorithm>

#include <dtbridge/core/text.hpp>
#include <dtbridge/core/time.hpp>

#include <rules/keys.hpp>
#include <rules/policy_impl.hpp>

namespace dtbridge::rules
{

namespace
{

constexpr std::size_t comment_bytes = 400;

void put_comments(std::string& out, const std::vector<std::string>& lines)
{
    for (const auto& line : lines)
        out += line.empty() ? "#\n" : "# " + text::printable(line, comment_bytes) + '\n';
}

std::string list(const std::vector<std::string>& items)
{
    std::string out = "[";
    for (const auto& item : items)
        out += (out.size() > 1 ? ", " : "") + text::quoted(item);
    return out + ']';
}

std::vector<std::string> values(const std::vector<setting<std::string>>& tags)
{
    std::vector<std::string> out;
    for (const auto& tag : tags)
        out.push_back(tag.value);
    return out;
}

/// Plain digits, as a reader of the file would write them; in quotes where TOML's numbers might not hold
/// them.
std::string number(const decimal& d)
{
    constexpr std::size_t surely_exact = 15;
    auto s = d.text();
    return s.size() <= surely_exact && s.find('e') == s.npos ? s : text::quoted(s);
}

/// `min_score = 0.4`.
std::string limit_member(const threshold& limit)
{
    return std::string(limit.strict ? "above_score" : "min_score") + " = " + number(limit.value);
}

std::string extras(const rule& r)
{
    std::string out;
    if (r.severity)
        out += ", severity = " + std::to_string(*r.severity);
    if (r.labels.empty())
        return out;
    out += ", labels = { ";
    for (std::size_t i = 0; i < r.labels.size(); ++i)
        out += (i == 0 ? "" : ", ") + r.labels[i].first + " = " + text::quoted(r.labels[i].second);
    return out + " }";
}

/// The value of a line as it was.
std::string value_of(const rule& r)
{
    const auto more = extras(r);
    std::string what;
    switch (r.what)
    {
        case rule::action::always:
        case rule::action::never:
            what = r.what == rule::action::always ? "\"always\"" : "\"never\"";
            if (more.empty())
                return what;
            what = "action = " + what;
            break;
        case rule::action::score:
            if (more.empty() && !r.limit.strict)
                return number(r.limit.value);
            what = limit_member(r.limit);
            break;
        case rule::action::none:
            // A line with a note alone; notes are not kept, and an empty table is no line.
            return more.empty() ? "{ note = \"\" }" : "{ " + more.substr(2) + " }";
    }
    return "{ " + what + more + " }";
}

void put_forward(std::string& out, const mapping& m, const std::vector<std::string>& more_tags)
{
    out += "\n[forward]\n";
    if (m.score)
        out += limit_member(m.score.value) + '\n';
    if (m.min_priority)
        out += "min_priority = " + std::to_string(m.min_priority.value) + '\n';
    if (m.categories)
        out += "categories = " + list(m.categories.value) + '\n';
    auto tags = values(m.always_tags);
    tags.insert(tags.end(), more_tags.begin(), more_tags.end());
    if (!tags.empty())
        out += "always_tags = " + list(tags) + '\n';
    if (!m.never_tags.empty())
        out += "never_tags = " + list(values(m.never_tags)) + '\n';
    if (m.tags_from != tag_source::as_of_breach)
        out += m.tags_from == tag_source::as_read ? "tags_from = \"now\"\n" : "tags_from = \"both\"\n";
    if (!m.acknowledged.value)
        out += "acknowledged = false\n";
    if (!m.suppressed.value)
        out += "suppressed = false\n";
    if (m.only_alerting_models.value)
        out += "only_alerting_models = true\n";
}

void put_throttles(std::string& out, const mapping& m)
{
    for (const auto& t : m.throttles)
    {
        out += "\n[[throttle]]\nby = " + list(t.by) + "\nlimit = " + std::to_string(t.limit) +
               "\nper = " + text::quoted(format_duration(milliseconds(t.per_ms))) + '\n';
        if (!t.summary)
            out += "summary = false\n";
    }
}

bool is_glob(const rule& r)
{
    model_key key;
    return !parse_model_key(r.key, key).empty() || key.type == model_key::kind::glob;
}

}  // namespace

std::string model_identity(std::string_view name)
{
    std::string out;
    normal_name(out, name);
    return out;
}

std::optional<std::string> exact_model_key(std::string_view name)
{
    if (!text::is_valid_utf8(name))
        return {};
    const auto wanted = model_identity(name);
    for (const auto& written : {std::string(name), "name:" + std::string(name)})
    {
        model_key key;
        if (parse_model_key(written, key).empty() && key.type == model_key::kind::name && key.text == wanted)
            return written;
    }
    return {};
}

std::string write_mapping(const policy& base, const rewrite& changed)
{
    const mapping& m = loader::inside(base).file_rules;
    // A policy may have 100,000 lines, and as many may change.
    std::vector<std::pair<std::size_t, const rule*>> by_line;
    for (const auto& r : m.models)
        by_line.emplace_back(r.spoken, &r);
    std::sort(by_line.begin(), by_line.end());
    const auto find_rule = [&by_line](std::optional<std::size_t> line) -> const rule* {
        if (!line)
            return nullptr;
        const auto at = std::lower_bound(
            by_line.begin(), by_line.end(), std::pair<std::size_t, const rule*>(*line, nullptr));
        return at != by_line.end() && at->first == *line ? at->second : nullptr;
    };

    std::string out;
    put_comments(out, changed.heading);
    put_forward(out, m, changed.always_tags);
    std::vector<const rule*> replaced;
    if (!changed.models.empty() || !m.models.empty())
        out += "\n[models]\n";
    for (const auto& each : changed.models)
    {
        const rule* before = find_rule(each.named_by);
        if (before != nullptr && !is_glob(*before))
            replaced.push_back(before);
        const auto more = before != nullptr ? extras(*before) : std::string();
        out += text::quoted(each.key.empty() && before != nullptr ? before->key : each.key) + " = " +
               (more.empty() ? each.min_score : "{ min_score = " + each.min_score + more + " }");
        if (!each.comment.empty())
            out += "  # " + text::printable(each.comment, comment_bytes);
        out += '\n';
    }
    std::sort(replaced.begin(), replaced.end());
    for (const auto& r : m.models)
        if (!std::binary_search(replaced.begin(), replaced.end(), &r))
            out += text::quoted(r.key) + " = " + value_of(r) + '\n';
    if (!m.devices.empty())
        out += "\n[devices]\n";
    for (const auto& r : m.devices)
        out += text::quoted(r.key) + " = " + value_of(r) + '\n';
    put_throttles(out, m);
    if (!changed.closing.empty())
        out += '\n';
    put_comments(out, changed.closing);
    return out;
}

}  // namespace dtbridge::rules
