#include <dtbridge/tune/report.hpp>

#include <algorithm>
#include <cmath>

#include <dtbridge/core/text.hpp>
#include <dtbridge/core/time.hpp>

#include "tune/html_style.hpp"
#include "tune/numbers.hpp"
#include "tune/svg.hpp"

namespace dtbridge::tune
{

namespace
{

constexpr std::size_t most_models_on_page = 200;
constexpr std::size_t most_lines_on_page = 100;
constexpr std::size_t most_bars = 92;

/// Text out of a breach or a file: one visible line, no markup, no change of direction.
std::string safe(std::string_view s)
{
    std::string out;
    for (const char c : text::printable(s, 600))
    {
        switch (c)
        {
            case '&':
                out += "&amp;";
                break;
            case '<':
                out += "&lt;";
                break;
            case '>':
                out += "&gt;";
                break;
            case '"':
                out += "&quot;";
                break;
            case '\'':
                out += "&#39;";
                break;
            default:
                out += c;
        }
    }
    return out;
}

std::string tagged(std::string_view tag, std::string_view css, std::string_view inner)
{
    std::string out = "<" + std::string(tag);
    if (!css.empty())
        out += " class=\"" + std::string(css) + '"';
    return out.append(">").append(inner).append("</").append(tag).append(">");
}

class html_page
{
public:
    html_page(const report& r, const output& out) : r_(r), a_(*r.figures), out_(out) {}

    void write()
    {
        head();
        figures();
        days();
        models();
        decided();
        throttles();
        unnamed();
        silent();
        foot();
    }

private:
    bool compares() const { return a_.against() != nullptr; }

    void head()
    {
        const auto file = safe(a_.policy().file());
        // Nothing may be loaded and no script runs, whatever a name in here might have smuggled in.
        out_(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
            "'unsafe-inline'; "
            "base-uri 'none'; form-action 'none'\">\n"
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
            "<meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" "
            "content=\"no-referrer\">\n<title>Alerts of ");
        out_(file + "</title>\n<style>" + std::string(html_style) +
             "</style>\n</head>\n<body>\n<main>\n<header>\n<h1>Alerts of <code>" + file +
             "</code></h1>\n<p>");
        if (compares())
            out_("compared with <code>" + safe(a_.against()->file()) + "</code>, ");
        out_("on what the archive holds of " + std::string(r_.masters.size() == 1 ? "master " : "masters ") +
             "<b>" + safe(joined(r_.masters)) + "</b>: " + span_text(a_) + ".</p>\n</header>\n");
    }

    void figure(std::string_view name,
                const std::string& value,
                const std::string& more,
                std::string_view css = {})
    {
        out_("<div class=\"card " + std::string(css) + "\"><h2>" + std::string(name) +
             "</h2><p class=\"big\">" + value + "</p><p>" + more + "</p></div>\n");
    }

    void figures()
    {
        const auto& sum = a_.sum();
        out_("<section class=\"cards\">\n");
        figure(
            "Alerts a day", rate(a_.per_day(sum.forwarded)), with_commas(sum.forwarded) + " in all", "lead");
        if (const auto most = busiest_day(a_))
            figure("Busiest day", with_commas(most->forwarded), day_text(most->day));
        figure(
            "Breaches", with_commas(sum.breaches), percent(sum.forwarded, sum.breaches) + " become alerts");
        figure("Held back", with_commas(sum.held_back()), "kept in the archive");
        if (sum.throttled > 0)
            figure("Throttled", with_commas(sum.throttled), "of those held back");
        if (compares())
        {
            figure("Other policy",
                   rate(a_.per_day(sum.against)),
                   sum.throttled_against > 0
                       ? "alerts a day; its throttles hold back " + with_commas(sum.throttled_against)
                       : "alerts a day");
            figure("Added", "+" + with_commas(sum.added), "alerts that the other policy does not give");
            figure(
                "Removed", "&minus;" + with_commas(sum.removed), "alerts that only the other policy gives");
        }
        out_("</section>\n");
        for (const auto& note : r_.notes)
            out_(tagged("p", "note", safe(note)) + "\n");
        if (a_.undated() > 0)
            out_(tagged("p",
                        "note",
                        with_commas(a_.undated()) + " breaches have no time, or lie beyond the days that are "
                                                    "kept: they are in all figures but those by day.") +
                 "\n");
    }

    void days()
    {
        const auto groups = day_bars(a_, most_bars);
        if (groups.empty())
            return;
        std::vector<svg_bar> bars;
        double most = 0;
        for (const auto& g : groups)
        {
            const double length = g.last - g.first + 1;
            svg_bar b;
            b.solid = static_cast<double>(g.sum.forwarded) / length;
            b.title = day_text(g.first) + (length > 1 ? " to " + day_text(g.last) : "") + ": " +
                      rate(b.solid) + (length > 1 ? " alerts a day" : " alerts");
            if (compares())
            {
                b.tick = static_cast<double>(g.sum.against) / length;
                b.title += ", other policy " + rate(*b.tick);
            }
            most = std::max({most, b.solid, b.tick.value_or(0)});
            bars.push_back(std::move(b));
        }
        out_("<section>\n<h2>Alerts per day</h2>\n<div class=\"chart\"><div class=\"scale\"><span>" +
             on_scale(most) + "</span><span>" + on_scale(most / 2) +
             "</span><span>0</span></div>\n<div class=\"area\">" +
             svg_bars(bars, most, 160, "alerts per day, at most " + rate(most)) +
             "<div class=\"dates\"><span>" + day_text(groups.front().first) + "</span>");
        if (groups.size() > 2)
            out_("<span class=\"middle\">" + day_text(groups[groups.size() / 2].first) + "</span>");
        out_("<span>" + day_text(groups.back().last) + "</span></div></div></div>\n");
        if (compares())
            out_("<p class=\"key\">" + key("solid", "this policy") + key("tick", "the other policy") +
                 "</p>\n");
        out_("</section>\n");
    }

    static std::string key(std::string_view css, std::string_view words)
    {
        return "<span><i class=\"k-" + std::string(css) + "\"></i> " + std::string(words) + "</span> ";
    }
    static std::string on_scale(double value)
    {
        auto s = rate(value);
        if (s.ends_with(".0"))
            s.resize(s.size() - 2);
        return s;
    }

    std::string bar(double part) const
    {
        const auto n = std::lround(std::clamp(part, 0.0, 1.0) * 1000);
        return "<span class=\"bar\"><span style=\"width:" + std::to_string(n / 10) + '.' +
               std::to_string(n % 10) + "%\"></span></span>";
    }

    static std::string cell(std::string_view label, std::string_view css, const std::string& inner)
    {
        return "<td class=\"" + std::string(css) + "\" data-l=\"" + std::string(label) + "\">" + inner +
               "</td>";
    }

    std::string limit_of(const model_figures& m) const
    {
        const auto& lines = a_.policy().lines();
        if (m.limited_by)
            return safe((lines[*m.limited_by].strict ? "> " : "\u2265 ") +
                        lines[*m.limited_by].threshold->text().substr(0, 6));
        if (m.named_by && lines[*m.named_by].decides)
            return a_.lines()[*m.named_by].forwarded > 0 ? "always" : "never";
        return "none";
    }

    void models()
    {
        const auto order = a_.by_alerts();
        if (order.empty())
            return;
        const bool delays = std::any_of(a_.models().begin(), a_.models().end(), [](const model_figures& m) {
            return m.acknowledged.all() > 0;
        });
        out_("<section>\n<h2>Models</h2>\n<p class=\"key\">Scores from 0 to 1: " + key("solid", "alerts") +
             key("faint", "held back") + key("limit", "the threshold in force") +
             "</p>\n<table "
             "class=\"models\">\n<thead><tr><th>Model</th>"
             "<th class=\"n\">Breaches</th><th class=\"n\">Alerts</th><th class=\"n\">A day</th>");
        if (a_.has_model_days())
            out_("<th class=\"n\">Most in a day</th>");
        if (compares())
            out_("<th class=\"n\">Added</th><th class=\"n\">Removed</th>");
        if (delays)
            out_("<th class=\"n\">Acknowledged in</th>");
        out_("<th class=\"n\">Threshold</th><th>Scores</th></tr></thead>\n<tbody>\n");
        for (std::size_t i = 0; i < order.size() && i < most_models_on_page; ++i)
            model(order[i], delays);
        out_("</tbody>\n</table>\n");
        rest(order.size(), most_models_on_page, "models");
        out_("</section>\n");
    }

    void model(std::size_t index, bool delays)
    {
        const auto& m = a_.models()[index];
        const bool folded = a_.folded_models() && index + 1 == a_.models().size();
        std::string about = folded ? "" : safe(m.category);
        if (m.priority && !folded)
            about += (about.empty() ? "priority " : ", priority ") + std::to_string(*m.priority);
        std::string s = "<tr><th scope=\"row\"><bdi>" +
                        (folded ? std::string("all further models") : safe(shown_name(m))) + "</bdi>";
        if (!about.empty())
            s += tagged("small", "", about);
        s += "</th>" + cell("Breaches", "n", with_commas(m.sum.breaches)) +
             cell("Alerts", "n", with_commas(m.sum.forwarded)) +
             cell("A day", "n", rate(a_.per_day(m.sum.forwarded)));
        if (a_.has_model_days())
            s += cell("Most in a day", "n", with_commas(m.busiest_day()));
        if (compares())
            s += cell("Added",
                      m.sum.added == 0 ? "n zero" : "n plus",
                      m.sum.added == 0 ? "0" : "+" + with_commas(m.sum.added)) +
                 cell("Removed",
                      m.sum.removed == 0 ? "n zero" : "n minus",
                      m.sum.removed == 0 ? "0" : "&minus;" + with_commas(m.sum.removed));
        if (delays)
        {
            const auto median = m.acknowledged.median();
            s += cell("Acknowledged in", "n", median ? safe(delay_text(*median)) : "&ndash;");
        }
        std::optional<double> limit;
        if (m.limited_by)
            limit = position(*a_.policy().lines()[*m.limited_by].threshold);
        s +=
            cell("Threshold", "n", limit_of(m)) +
            cell("Scores",
                 "s",
                 m.scores.cells().empty() ? "no scores" : svg_scores(m.scores, limit, "scores from 0 to 1")) +
            "</tr>\n";
        out_(s);
    }

    void decided()
    {
        const auto& lines = a_.policy().lines();
        std::vector<std::size_t> order;
        std::int64_t most = 0;
        for (std::size_t i = 0; i < lines.size(); ++i)
        {
            if (a_.lines()[i].spoken() > 0)
                order.push_back(i);
            most = std::max(most, a_.lines()[i].spoken());
        }
        std::stable_sort(order.begin(), order.end(), [this](std::size_t x, std::size_t y) {
            return a_.lines()[x].spoken() > a_.lines()[y].spoken();
        });
        out_(
            "<section>\n<h2>What decided</h2>\n<p>Every breach is decided by one line of the policy: the "
            "first that has something to say.</p>\n"
            "<table>\n<thead><tr><th>Line</th><th class=\"n\">Alerts</th><th class=\"n\">Held back</th>");
        const bool throttled = a_.sum().throttled > 0;
        if (throttled)
            out_("<th class=\"n\">Throttled</th>");
        out_("<th class=\"wide\"></th></tr></thead>\n<tbody>\n");
        for (std::size_t i = 0; i < order.size() && i < most_lines_on_page; ++i)
        {
            const auto& f = a_.lines()[order[i]];
            out_("<tr><th scope=\"row\"><bdi>" + safe(place_text(lines[order[i]])) + "</bdi></th>" +
                 cell("Alerts", "n", with_commas(f.forwarded)) +
                 cell("Held back", "n", with_commas(f.held_back)) +
                 (throttled ? cell("Throttled", "n", with_commas(f.throttled)) : std::string()) +
                 "<td class=\"wide\">" + bar(static_cast<double>(f.spoken()) / static_cast<double>(most)) +
                 "</td></tr>\n");
        }
        out_("</tbody>\n</table>\n");
        rest(order.size(), most_lines_on_page, "lines");
        out_("</section>\n");
    }

    void throttles()
    {
        const auto& held = a_.throttles();
        if (held.empty())
            return;
        out_(
            "<section>\n<h2>What throttles held back</h2>\n<p>Of what the lines forward, more of one kind "
            "than a throttle lets pass in its span. They stay in the archive.</p>\n<ul class=\"plain\">\n");
        for (std::size_t i = 0; i < held.size() && i < most_lines_on_page; ++i)
            out_("<li><span class=\"n\">" + with_commas(held[i]) + "</span> <bdi>" +
                 safe(place_text(a_.policy().throttles()[i], a_.policy().file())) + "</bdi></li>\n");
        out_("</ul>\n");
        rest(held.size(), most_lines_on_page, "throttles");
        out_("</section>\n");
    }

    void unnamed()
    {
        const auto order = a_.unnamed();
        if (order.empty())
            return;
        out_(
            "<section>\n<h2>Models that no line names</h2>\n<p>[forward] alone decides these. The loud ones "
            "are the first to be given a threshold.</p>\n<ul class=\"plain\">\n");
        for (std::size_t i = 0; i < order.size() && i < most_lines_on_page; ++i)
        {
            const auto& m = a_.models()[order[i]];
            out_("<li><span class=\"n\">" + with_commas(m.sum.breaches) + "</span> <bdi>" +
                 safe(shown_name(m)) + "</bdi></li>\n");
        }
        out_("</ul>\n");
        rest(order.size(), most_lines_on_page, "models");
        out_("</section>\n");
    }

    void silent()
    {
        const auto lines = a_.silent_lines();
        if (lines.empty())
            return;
        out_(
            "<section>\n<h2>Lines that never spoke</h2>\n<p>Nothing in this span was decided by them: a "
            "model that is gone, a tag that nobody sets, a word that is misspelt.</p>\n<ul "
            "class=\"plain\">\n");
        for (std::size_t i = 0; i < lines.size() && i < most_lines_on_page; ++i)
            out_("<li><bdi>" + safe(place_text(a_.policy().lines()[lines[i]])) + "</bdi></li>\n");
        out_("</ul>\n");
        rest(lines.size(), most_lines_on_page, "lines");
        out_("</section>\n");
    }

    void rest(std::size_t all, std::size_t shown, std::string_view what)
    {
        if (all > shown)
            out_(tagged("p",
                        "more",
                        "and " + with_commas(static_cast<std::int64_t>(all - shown)) + " more " +
                            std::string(what) + "; <code>dtbridge tune --json</code> has them all") +
                 "\n");
    }

    void foot()
    {
        out_("<footer>Made by dtbridge " + safe(r_.version) + " at " + rfc3339_ms(r_.made).substr(0, 16) +
             "Z. Days are those of UTC.</footer>\n</main>\n</body>\n</html>\n");
    }

    const report& r_;
    const analysis& a_;
    const output& out_;
};

}  // namespace

void write_html(const report& r, const output& out)
{
    html_page(r, out).write();
}

}  // namespace dtbridge::tune
