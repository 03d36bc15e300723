#include <rules/mapping.hpp>

#include <algorithm>
#include <initializer_list>

#include <dtbridge/core/text.hpp>
#include <dtbridge/core/time.hpp>
#include <dtbridge/toml/document.hpp>

#include <rules/keys.hpp>

namespace dtbridge::rules
{

namespace
{

using toml::entry;
using toml::node;

/// What was found, for errors: `40`, `"yes"`, `a list`.
std::string describe(const node& n)
{
    switch (n.type)
    {
        case node::kind::boolean:
            return n.text;
        case node::kind::integer:
        case node::kind::number:
            return text::printable(n.text, 60);
        case node::kind::string:
            return '"' + text::printable(n.text, 60) + '"';
        default:
            return std::string(toml::kind_name(n.type));
    }
}

class toml_reader
{
public:
    toml_reader(mapping& out, reporter& report) : out_(out), report_(report) {}

    void read(const node& root)
    {
        for (const entry& section : root.members)
        {
            if (section.key == "forward")
                read_forward(section);
            else if (section.key == "models")
                read_rules(section, out_.models, "\"Compliance / *\" = 0.8");
            else if (section.key == "devices")
                read_rules(section, out_.devices, "\"ip:10.20.0.0/16\" = \"never\"");
            else if (section.key == "throttle")
                read_throttles(section);
            else
                report_.error(section.line,
                              text::printable(section.key, 100),
                              "unknown; expected [forward], [models], [devices] or [[throttle]]");
        }
    }

private:
    void wrong(const entry& m, const std::string& where, const std::string& expected)
    {
        report_.error(m.line, where, "found " + describe(m.value) + "; expected " + expected);
    }

    void read_forward(const entry& section)
    {
        if (section.value.type != node::kind::table)
            return wrong(section, "forward", "a table: [forward] and its keys below it");
        for (const entry& m : section.value.members)
        {
            const std::string where = "forward." + text::printable(m.key, 100);
            if (m.key == "min_score" || m.key == "above_score")
                read_score(m, where);
            else if (m.key == "min_priority")
            {
                if (m.value.type != node::kind::integer || m.value.integer < 0 || m.value.integer > 5)
                    wrong(m, where, "an integer from 0 to 5");
                else
                    out_.min_priority = {static_cast<int>(m.value.integer), m.line};
            }
            else if (m.key == "categories")
                read_categories(m, where);
            else if (m.key == "always_tags")
                read_tags(m, where, out_.always_tags);
            else if (m.key == "never_tags")
                read_tags(m, where, out_.never_tags);
            else if (m.key == "tags_from")
                read_tags_from(m, where);
            else if (m.key == "acknowledged")
                read_flag(m, where, out_.acknowledged);
            else if (m.key == "suppressed")
                read_flag(m, where, out_.suppressed);
            else if (m.key == "only_alerting_models")
                read_flag(m, where, out_.only_alerting_models);
            else
                report_.error(
                    m.line,
                    where,
                    "unknown key; expected min_score, above_score, min_priority, categories, always_tags, "
                    "never_tags, tags_from, acknowledged, suppressed or only_alerting_models");
        }
    }

    /// min_score or above_score into limit; answers whether it is one.
    bool read_limit(const entry& m, const std::string& where, threshold& limit)
    {
        const auto type = m.value.type;
        if (type != node::kind::integer && type != node::kind::number && type != node::kind::string)
        {
            wrong(m, where, "a number from 0 to 1, or a percentage such as \"40%\"");
            return false;
        }
        const auto problem = read_threshold(m.value.text, limit);
        if (!problem.empty())
            report_.error(m.line, where, problem);
        limit.strict = m.key == "above_score";
        return problem.empty();
    }

    void read_score(const entry& m, const std::string& where)
    {
        if (score_seen_)
            report_.error(m.line, where, "min_score and above_score are both given; expected one of the two");
        score_seen_ = true;
        setting<threshold> score;
        score.line = m.line;
        if (read_limit(m, where, score.value))
            out_.score = score;
    }

    void read_flag(const entry& m, const std::string& where, setting<bool>& flag)
    {
        if (m.value.type != node::kind::boolean)
            return wrong(m, where, "true or false");
        flag = {m.value.truth, m.line};
    }

    void read_tags_from(const entry& m, const std::string& where)
    {
        if (m.value.text == "then" && m.value.type == node::kind::string)
            out_.tags_from = tag_source::as_of_breach;
        else if (m.value.text == "now" && m.value.type == node::kind::string)
            out_.tags_from = tag_source::as_read;
        else if (m.value.text == "both" && m.value.type == node::kind::string)
            out_.tags_from = tag_source::both;
        else
            wrong(m, where, "\"then\", \"now\" or \"both\"");
    }

    void read_categories(const entry& m, const std::string& where)
    {
        const std::string expected =
            "a list of \"Critical\", \"Suspicious\", \"Informational\" and \"Compliance\"";
        if (m.value.type != node::kind::array)
            return wrong(m, where, expected);
        std::vector<std::string> categories;
        for (const node& element : m.value.elements)
        {
            const auto name = text::trim_blank(element.text);
            std::string_view known;
            for (const std::string_view each : {"Critical", "Suspicious", "Informational", "Compliance"})
                if (element.type == node::kind::string && text::iequals(name, each))
                    known = each;
            if (known.empty())
                report_.error(element.line, where, "found " + describe(element) + "; expected " + expected);
            else
                categories.emplace_back(known);
        }
        if (!categories.empty())  // an empty list is all of them
            out_.categories = {std::move(categories), m.line};
    }

    void read_tags(const entry& m, const std::string& where, std::vector<setting<std::string>>& tags)
    {
        if (m.value.type != node::kind::array)
            return wrong(m, where, "a list of tags such as [\"Enhanced Monitoring\", \"AP: *\"]");
        for (const node& element : m.value.elements)
        {
            const std::string tag(text::trim_blank(element.text));
            if (element.type != node::kind::string || tag.empty())
            {
                report_.error(element.line,
                              where,
                              "found " + describe(element) + "; expected a tag in quotes, or a glob of one");
                continue;
            }
            bool twice = false;
            for (const auto& other : tags)
                twice = twice || text::iequals(other.value, tag);
            if (twice)
                report_.warning(
                    element.line, where, "the tag " + quoted(tag) + " stands there twice; one is enough");
            else
                tags.push_back({tag, element.line});
        }
    }

    void read_rules(const entry& section, std::vector<rule>& rules, const std::string& example)
    {
        if (section.value.type != node::kind::table)
            return wrong(section,
                         section.key,
                         "a table: [" + section.key + "] and lines such as " + example + " below it");
        for (const entry& m : section.value.members)
        {
            rule r;
            r.key = m.key;
            r.line = m.line;
            const std::string where = section.key + "." + quoted(m.key);
            if (m.value.type == node::kind::table)
                read_rule_table(m, where, r);
            else
                read_rule_value(m, where, r);
            rules.push_back(std::move(r));
        }
    }

    void read_rule_value(const entry& m, const std::string& where, rule& r)
    {
        if (m.value.type == node::kind::string && read_action(m.value.text, r))
            return;
        if (m.value.type != node::kind::string && m.value.type != node::kind::integer &&
            m.value.type != node::kind::number)
            return wrong(
                m,
                where,
                "\"always\", \"never\", a number from 0 to 1, a percentage such as \"40%\", or a table");
        const auto problem = read_threshold(m.value.text, r.limit);
        if (problem.empty())
            r.what = rule::action::score;
        else
            report_.error(m.line, where, problem + "; or \"always\" or \"never\"");
    }

    static bool read_action(std::string_view text, rule& r)
    {
        text = text::trim_blank(text);
        if (text::iequals(text, "always"))
            r.what = rule::action::always;
        else if (text::iequals(text, "never"))
            r.what = rule::action::never;
        else
            return false;
        return true;
    }

    void read_rule_table(const entry& m, const std::string& where, rule& r)
    {
        unsigned ways = 0;
        for (const entry& part : m.value.members)
        {
            const std::string here = where + "." + text::printable(part.key, 100);
            if (part.key == "min_score" || part.key == "above_score")
            {
                ++ways;
                if (read_limit(part, here, r.limit))
                    r.what = rule::action::score;
            }
            else if (part.key == "action")
            {
                ++ways;
                if (part.value.type != node::kind::string || !read_action(part.value.text, r))
                    wrong(part, here, "\"always\" or \"never\"");
            }
            else if (part.key == "severity")
            {
                if (part.value.type != node::kind::integer || part.value.integer < 0 ||
                    part.value.integer > 10)
                    wrong(part, here, "an integer from 0 to 10");
                else
                    r.severity = static_cast<int>(part.value.integer);
            }
            else if (part.key == "labels")
                read_labels(part, here, r);
            else if (part.key == "note")
            {
                if (part.value.type != node::kind::string)
                    wrong(part, here, "a text in quotes");
            }
            else
                report_.error(part.line,
                              here,
                              "unknown key; expected min_score, above_score, action, severity, labels or "
                              "note (a name with "
                              "a dot or a slash stands in quotes)");
        }
        if (ways > 1)
            report_.error(
                m.line, where, "more than one of min_score, above_score and action; expected one of them");
        if (m.value.members.empty())
            report_.error(
                m.line,
                where,
                "an empty table; expected min_score, above_score, action, severity or labels in it");
    }

    void read_labels(const entry& m, const std::string& where, rule& r)
    {
        if (m.value.type != node::kind::table)
            return wrong(m, where, "a table such as { playbook = \"PB-12\" }");
        for (const entry& label : m.value.members)
        {
            const std::string here = where + "." + text::printable(label.key, 100);
            if (label.value.type != node::kind::string)
                wrong(label, here, "a text in quotes");
            else if (!is_label_name(label.key))
                report_.error(label.line, here, "expected a name of at most 63 letters, digits, _ and -");
            else
                r.labels.emplace_back(label.key, label.value.text);
        }
    }

    void read_throttles(const entry& section)
    {
        const auto is_table = [](const node& n) { return n.type == node::kind::table; };
        const auto& all = section.value.elements;
        if (section.value.type != node::kind::array || !std::all_of(all.begin(), all.end(), is_table))
            return wrong(section, "throttle", "tables that start with [[throttle]]");
        for (const node& table : all)
            read_throttle(table, table.line != 0 ? table.line : section.line);
    }

    void read_throttle(const node& table, unsigned line)
    {
        throttle t;
        t.line = line;
        bool has_by = false, has_limit = false, has_per = false;
        for (const entry& m : table.members)
        {
            const std::string where = "throttle." + text::printable(m.key, 100);
            if (m.key == "by")
            {
                has_by = true;
                read_factors(m, where, t);
            }
            else if (m.key == "limit")
            {
                has_limit = true;
                if (m.value.type != node::kind::integer || m.value.integer < 1 || m.value.integer > 1000000)
                    wrong(m, where, "an integer from 1 to 1000000");
                else
                    t.limit = static_cast<unsigned>(m.value.integer);
            }
            else if (m.key == "per")
            {
                has_per = true;
                const auto per =
                    m.value.type == node::kind::string ? parse_duration(m.value.text) : std::nullopt;
                if (!per || per->count() <= 0)
                    wrong(m, where, "a duration such as \"1h\"");
                else
                    t.per_ms = per->count();
            }
            else if (m.key == "summary")
            {
                if (m.value.type != node::kind::boolean)
                    wrong(m, where, "true or false");
                else
                    t.summary = m.value.truth;
            }
            else
                report_.error(m.line, where, "unknown key; expected by, limit, per or summary");
        }
        if (!has_by)
            report_.error(line, "throttle.by", "missing; expected a list of master, model, device, category");
        if (!has_limit)
            report_.error(line, "throttle.limit", "missing; expected how many pass in one span, such as 5");
        if (!has_per)
            report_.error(line, "throttle.per", "missing; expected a duration such as \"1h\"");
        out_.throttles.push_back(std::move(t));
    }

    void read_factors(const entry& m, const std::string& where, throttle& t)
    {
        const std::string expected =
            "a list of \"master\", \"model\", \"device\" and \"category\", each at most once";
        if (m.value.type != node::kind::array || m.value.elements.empty())
            return wrong(m, where, expected);
        for (const node& element : m.value.elements)
        {
            const bool known = element.type == node::kind::string &&
                               (element.text == "master" || element.text == "model" ||
                                element.text == "device" || element.text == "category");
            if (!known || std::find(t.by.begin(), t.by.end(), element.text) != t.by.end())
                report_.error(element.line, where, "found " + describe(element) + "; expected " + expected);
            else
                t.by.push_back(element.text);
        }
    }

    mapping& out_;
    reporter& report_;
    bool score_seen_ = false;
};

}  // namespace

void read_toml(std::string_view text, mapping& out, reporter& report)
{
    const auto parsed = toml::parse(text);
    if (!parsed.ok)
        return report.error(parsed.error.line,
                            "",
                            "not TOML: " + parsed.error.message +
                                (parsed.error.what == toml::fault::dots ? "; expected names in quotes" : ""));
    toml_reader(out, report).read(parsed.root);
}

}  // namespace dtbridge::rules
