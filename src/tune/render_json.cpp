#include <dtbridge/tune/report.hpp>

#include <cstdio>

#include <dtbridge/core/text.hpp>
#include <dtbridge/core/time.hpp>

#include "tune/numbers.hpp"

namespace dtbridge::tune
{

namespace
{

std::string real(double d)
{
    char buffer[64];
    std::snprintf(buffer, sizeof buffer, "%.6g", d);
    return buffer;
}

std::string time_or_null(const std::optional<std::int64_t>& ms)
{
    return ms ? text::quoted(rfc3339_ms(*ms)) : "null";
}

class json_page
{
public:
    json_page(const report& r, const output& out) : r_(r), a_(*r.figures), out_(out) {}

    void write()
    {
        std::string s = "{\"rules\":" + text::quoted(a_.policy().file());
        if (compares())
            s += ",\"against\":" + text::quoted(a_.against()->file());
        s += ",\"masters\":[";
        for (std::size_t i = 0; i < r_.masters.size(); ++i)
            s += (i == 0 ? "" : ",") + text::quoted(r_.masters[i]);
        s += "],\"from\":" + time_or_null(r_.from) + ",\"to\":" + time_or_null(r_.to) +
             ",\"first\":" + time_or_null(a_.first()) + ",\"last\":" + time_or_null(a_.last()) +
             ",\"days\":" + std::to_string(a_.day_count()) + ',' + members(a_.sum()) +
             ",\"undated\":" + std::to_string(a_.undated());
        if (const auto most = busiest_day(a_))
            s += ",\"busiest_day\":{\"date\":\"" + day_text(most->day) +
                 "\",\"forwarded\":" + std::to_string(most->forwarded) + '}';
        out_(s);
        days();
        lines("lines", a_.policy(), a_.lines());
        if (compares())
            lines("against_lines", *a_.against(), a_.against_lines());
        throttles("throttles", a_.policy(), a_.throttles());
        if (compares())
            throttles("against_throttles", *a_.against(), a_.against_throttles());
        silent();
        models();
        s = ",\"unnamed_models\":[";
        const auto unnamed = a_.unnamed();
        for (std::size_t i = 0; i < unnamed.size(); ++i)
        {
            const auto& m = a_.models()[unnamed[i]];
            s += (i == 0 ? "" : ",") + ("{\"model\":" + text::quoted(m.name)) +
                 ",\"breaches\":" + std::to_string(m.sum.breaches) + '}';
            flush(s);
        }
        s += "],\"notes\":[";
        for (std::size_t i = 0; i < r_.notes.size(); ++i)
            s += (i == 0 ? "" : ",") + text::quoted(r_.notes[i]);
        out_(s + "]}\n");
    }

private:
    bool compares() const { return a_.against() != nullptr; }

    void flush(std::string& s)
    {
        if (s.size() < 65536)
            return;
        out_(s);
        s.clear();
    }

    std::string members(const counts& c) const
    {
        std::string s = "\"breaches\":" + std::to_string(c.breaches) +
                        ",\"forwarded\":" + std::to_string(c.forwarded) +
                        ",\"held_back\":" + std::to_string(c.held_back()) +
                        ",\"forwarded_per_day\":" + real(a_.per_day(c.forwarded)) +
                        ",\"throttled\":" + std::to_string(c.throttled);
        if (compares())
            s += ",\"forwarded_against\":" + std::to_string(c.against) +
                 ",\"throttled_against\":" + std::to_string(c.throttled_against) +
                 ",\"added\":" + std::to_string(c.added) + ",\"removed\":" + std::to_string(c.removed);
        return s;
    }

    void days()
    {
        std::string s = ",\"by_day\":[";
        bool first = true;
        for (const auto& [day, sum] : a_.days())
        {
            s += (first ? "{\"date\":\"" : ",{\"date\":\"") + day_text(day) +
                 "\",\"breaches\":" + std::to_string(sum.breaches) +
                 ",\"forwarded\":" + std::to_string(sum.forwarded);
            if (compares())
                s += ",\"forwarded_against\":" + std::to_string(sum.against) +
                     ",\"added\":" + std::to_string(sum.added) +
                     ",\"removed\":" + std::to_string(sum.removed);
            s += '}';
            first = false;
            flush(s);
        }
        out_(s + ']');
    }

    static std::string line_members(const rules::outlined_line& line)
    {
        auto s = "\"text\":" + text::quoted(line.text) + ",\"file\":" + text::quoted(line.file) +
                 ",\"line\":" + std::to_string(line.line);
        if (line.threshold)
            s += std::string(",\"") + (line.strict ? "above_score" : "min_score") +
                 "\":" + line.threshold->text();
        return s;
    }

    void lines(std::string_view name, const rules::outline& p, const std::vector<line_figures>& figures)
    {
        std::string s = ",\"" + std::string(name) + "\":[";
        for (std::size_t i = 0; i < figures.size(); ++i)
        {
            s += (i == 0 ? "{" : ",{") + line_members(p.lines()[i]) +
                 ",\"forwarded\":" + std::to_string(figures[i].forwarded) +
                 ",\"held_back\":" + std::to_string(figures[i].held_back) +
                 ",\"throttled\":" + std::to_string(figures[i].throttled) + '}';
            flush(s);
        }
        out_(s + ']');
    }

    void throttles(std::string_view name, const rules::outline& p, const std::vector<std::int64_t>& held)
    {
        std::string s = ",\"" + std::string(name) + "\":[";
        for (std::size_t i = 0; i < held.size(); ++i)
        {
            s += (i == 0 ? "{\"by\":[" : ",{\"by\":[");
            const auto& t = p.throttles()[i];
            for (std::size_t k = 0; k < t.by.size(); ++k)
                s += (k == 0 ? "" : ",") + text::quoted(t.by[k]);
            s += "],\"limit\":" + std::to_string(t.limit) +
                 ",\"per_seconds\":" + real(static_cast<double>(t.per_ms) / 1000) +
                 ",\"file\":" + text::quoted(p.file()) + ",\"line\":" + std::to_string(t.line) +
                 ",\"held_back\":" + std::to_string(held[i]) + '}';
            flush(s);
        }
        out_(s + ']');
    }

    void silent()
    {
        std::string s = ",\"never_spoke\":[";
        const auto lines = a_.silent_lines();
        for (std::size_t i = 0; i < lines.size(); ++i)
        {
            s += (i == 0 ? "{" : ",{") + line_members(a_.policy().lines()[lines[i]]) + '}';
            flush(s);
        }
        out_(s + ']');
    }

    void models()
    {
        std::string s = ",\"models\":[";
        bool first = true;
        for (const auto i : a_.by_alerts())
        {
            const auto& m = a_.models()[i];
            s += first ? "{" : ",{";
            first = false;
            model(s, m);
            if (a_.folded_models() && i + 1 == a_.models().size())
                s += ",\"all_further_models\":true";
            s += '}';
            flush(s);
        }
        out_(s + ']');
    }

    void model(std::string& s, const model_figures& m) const
    {
        s += "\"model\":" + text::quoted(m.name) + ",\"uuid\":" + text::quoted(m.uuid) +
             ",\"category\":" + text::quoted(m.category) +
             ",\"priority\":" + (m.priority ? std::to_string(*m.priority) : "null") + ',' + members(m.sum) +
             ",\"without_score\":" + std::to_string(m.without_score) +
             ",\"named_by\":" + line_or_null(m.named_by) + ",\"limited_by\":" + line_or_null(m.limited_by);
        if (const auto median = m.acknowledged.median())
            s += ",\"acknowledged\":" + std::to_string(m.acknowledged.all()) +
                 ",\"acknowledged_median_seconds\":" + std::to_string(*median / 1000);
        s += ",\"scores\":[";
        bool first = true;
        for (const auto& c : m.scores.cells())
        {
            s += (first ? "{\"from\":" : ",{\"from\":") + (c.hundredth < 0 ? "-1" : score_text(c.hundredth)) +
                 ",\"breaches\":" + std::to_string(c.all) + ",\"forwarded\":" + std::to_string(c.forwarded) +
                 '}';
            first = false;
        }
        s += "],\"by_day\":[";
        first = true;
        for (const auto& d : m.days)
        {
            s += (first ? "{\"date\":\"" : ",{\"date\":\"") + day_text(d.number) +
                 "\",\"breaches\":" + std::to_string(d.breaches) +
                 ",\"forwarded\":" + std::to_string(d.forwarded);
            if (compares())
                s += ",\"forwarded_against\":" + std::to_string(d.against);
            s += '}';
            first = false;
        }
        s += ']';
    }

    std::string line_or_null(const std::optional<std::size_t>& line) const
    {
        return line ? '{' + line_members(a_.policy().lines()[*line]) + '}' : "null";
    }

    const report& r_;
    const analysis& a_;
    const output& out_;
};

}  // namespace

void write_json(const report& r, const output& out)
{
    json_page(r, out).write();
}

}  // namespace dtbridge::tune
