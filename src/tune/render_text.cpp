#include <dtbridge/tune/report.hpp>

#include <algorithm>
#include <array>
#include <cmath>

#include <dtbridge/core/text.hpp>

#include "tune/numbers.hpp"

namespace dtbridge::tune
{

namespace
{

constexpr std::size_t most_models = 40;
constexpr std::size_t most_unnamed = 20;
constexpr std::size_t most_lines = 40;
constexpr std::size_t most_days = 31;

class text_page
{
public:
    text_page(const report& r, std::size_t columns, bool utf8, const output& out)
        : r_(r), a_(*r.figures), columns_(std::max<std::size_t>(columns, 60)), utf8_(utf8), out_(out)
    {}

    void write()
    {
        heading();
        days();
        decided();
        models();
        unnamed();
        silent();
        notes();
    }

private:
    bool compares() const { return a_.against() != nullptr; }

    void line(std::string_view s = {})
    {
        const auto end = s.find_last_not_of(' ');
        s = s.substr(0, end == s.npos ? 0 : end + 1);
        out_(display_width(s) > columns_ ? fitted(s, columns_) : std::string(s));
        out_("\n");
    }
    void title(std::string_view s)
    {
        line();
        line(s);
    }
    /// What does not end in an ellipsis: a sentence, broken at blanks.
    void paragraph(std::string_view s)
    {
        while (!s.empty())
        {
            std::size_t end = s.size();
            while (display_width(s.substr(0, end)) > columns_)
            {
                const auto blank = s.substr(0, end).find_last_of(' ');
                if (blank == s.npos || blank == 0)
                    break;
                end = blank;
            }
            line(s.substr(0, end));
            s.remove_prefix(end);
            while (s.starts_with(' '))
                s.remove_prefix(1);
        }
    }
    static std::string right(std::string_view s, std::size_t columns) { return fitted(s, columns, true); }

    std::string bar(double part, std::size_t columns) const
    {
        constexpr std::array<const char*, 8> eighths = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
        const auto n = static_cast<std::size_t>(
            std::lround(std::clamp(part, 0.0, 1.0) * 8 * static_cast<double>(columns)));
        if (!utf8_)
            return std::string((n + 4) / 8, '#');
        std::string s;
        for (std::size_t i = 0; i < n / 8; ++i)
            s += "█";
        return s + eighths[n % 8];
    }

    /// Scores from 0 to 1, the threshold as a mark between the columns.
    std::string plot(const model_figures& m, std::size_t bins) const
    {
        constexpr std::array<const char*, 9> heights = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
        constexpr std::array<const char*, 9> plain = {" ", ".", ".", ":", ":", "+", "+", "#", "#"};
        std::vector<std::int64_t> sums(bins);
        for (const auto& c : m.scores.cells())
        {
            const auto h = static_cast<std::size_t>(std::clamp<int>(c.hundredth, 0, 99));
            sums[h * bins / 100] += c.all;
        }
        const auto most = *std::max_element(sums.begin(), sums.end());
        std::size_t mark = bins + 1;
        if (m.limited_by)
            mark = static_cast<std::size_t>(std::lround(
                position(*a_.policy().lines()[*m.limited_by].threshold) * static_cast<double>(bins)));
        std::string s;
        for (std::size_t i = 0; i <= bins; ++i)
        {
            if (i == mark)
                s += utf8_ ? "│" : "|";
            if (i == bins)
                break;
            const auto height = most == 0 || sums[i] == 0 ? 0 : 1 + (sums[i] * 7 + most - 1) / most;
            s += (utf8_ ? heights : plain)[static_cast<std::size_t>(std::min<std::int64_t>(height, 8))];
        }
        return s;
    }

    void heading()
    {
        paragraph(text::printable(a_.policy().file(), 400) +
                  (compares() ? " against " + text::printable(a_.against()->file(), 400) : ""));
        paragraph((r_.masters.size() == 1 ? "master " : "masters ") + joined(r_.masters) + "; " +
                  span_text(a_));
        line();
        const auto& sum = a_.sum();
        const auto figure = [this](std::string_view what, std::int64_t n, const std::string& more) {
            paragraph(fitted(what, 10) + right(with_commas(n), 14) + "   " + more);
        };
        figure("breaches", sum.breaches, rate(a_.per_day(sum.breaches)) + " a day");
        std::string more =
            percent(sum.forwarded, sum.breaches) + ", " + rate(a_.per_day(sum.forwarded)) + " a day";
        if (const auto most = busiest_day(a_))
            more += ", most on " + day_text(most->day) + ": " + with_commas(most->forwarded);
        figure("alerts", sum.forwarded, more);
        figure("held back", sum.held_back(), percent(sum.held_back(), sum.breaches));
        if (sum.throttled > 0)
            figure("throttled", sum.throttled, "of those held back, by throttles");
        if (compares())
        {
            figure("against",
                   sum.against,
                   rate(a_.per_day(sum.against)) + " alerts a day" +
                       (sum.throttled_against > 0
                            ? "; its throttles hold back " + with_commas(sum.throttled_against)
                            : ""));
            figure("added", sum.added, "alerts that the other policy does not give");
            figure("removed", sum.removed, "alerts that only the other policy gives");
        }
        if (a_.undated() > 0)
            figure("undated", a_.undated(), "without a time, or beyond the days that are kept");
    }

    void days()
    {
        const auto bars = day_bars(a_, most_days);
        if (bars.empty())
            return;
        const auto length = bars.front().last - bars.front().first + 1;
        title(length == 1 ? "Alerts per day" : "Alerts per day, " + std::to_string(length) + " days a line");
        std::vector<double> values;
        double most = 0;
        for (const auto& b : bars)
        {
            values.push_back(static_cast<double>(b.sum.forwarded) / (b.last - b.first + 1));
            most = std::max(most, values.back());
        }
        const std::size_t extra = compares() ? 20 : 0;
        const auto room = std::min<std::size_t>(columns_ - 24 - extra, 80);
        for (std::size_t i = 0; i < bars.size(); ++i)
        {
            std::string s = "  " + day_text(bars[i].first) + right(rate(values[i]), 10) + "  ";
            if (compares())
                s += fitted("+" + with_commas(bars[i].sum.added) + " -" + with_commas(bars[i].sum.removed),
                            18) +
                     "  ";
            line(s + (most > 0 ? bar(values[i] / most, room) : ""));
        }
    }

    void decided()
    {
        title("What decided");
        const auto& lines = a_.policy().lines();
        std::vector<std::size_t> order;
        for (std::size_t i = 0; i < lines.size(); ++i)
            if (a_.lines()[i].spoken() > 0)
                order.push_back(i);
        std::stable_sort(order.begin(), order.end(), [this](std::size_t x, std::size_t y) {
            return a_.lines()[x].spoken() > a_.lines()[y].spoken();
        });
        const bool throttled = a_.sum().throttled > 0;
        line("  " + right("alerts", 11) + right("held back", 12) + (throttled ? right("throttled", 12) : "") +
             "  line");
        for (std::size_t i = 0; i < order.size() && i < most_lines; ++i)
        {
            const auto& figures = a_.lines()[order[i]];
            line("  " + right(with_commas(figures.forwarded), 11) +
                 right(with_commas(figures.held_back), 12) +
                 (throttled ? right(with_commas(figures.throttled), 12) : "") + "  " +
                 text::printable(place_text(lines[order[i]]), 600));
        }
        rest(order.size(), most_lines, "lines");
        throttles();
    }

    void throttles()
    {
        if (a_.throttles().empty())
            return;
        title("What throttles held back");
        for (std::size_t i = 0; i < a_.throttles().size() && i < most_lines; ++i)
            line("  " + right(with_commas(a_.throttles()[i]), 11) + "  " +
                 text::printable(place_text(a_.policy().throttles()[i], a_.policy().file()), 600));
        rest(a_.throttles().size(), most_lines, "throttles");
    }

    void rest(std::size_t all, std::size_t shown, std::string_view what)
    {
        if (all > shown)
            line("  and " + with_commas(static_cast<std::int64_t>(all - shown)) + " more " +
                 std::string(what) + "; --json has them all");
    }

    struct column
    {
        std::string head;
        std::size_t width;
        std::function<std::string(const model_figures&)> cell;
        bool to_the_right = true;
    };

    /// A name says more than a further column: those come by their worth while there is room for both.
    std::vector<column> columns() const
    {
        constexpr std::size_t short_name = 30, long_name = 40;
        std::size_t room = columns_ - (compares() ? 49 : 29);  // less what is always there
        const auto take = [&room](bool wanted, std::size_t width, std::size_t name) {
            if (!wanted || room < width + name)
                return false;
            room -= width;
            return true;
        };
        const bool delays = std::any_of(a_.models().begin(), a_.models().end(), [](const model_figures& m) {
            return m.acknowledged.all() > 0;
        });
        const bool with_rate = take(true, 8, short_name);
        const bool with_plot = take(true, 13, short_name);
        const bool fine_plot = take(with_plot, 10, long_name);
        const bool with_delay = take(delays, 9, long_name);
        const bool with_most = take(a_.has_model_days(), 8, long_name);

        std::vector<column> all;
        const auto number = [&all](std::string head, std::int64_t counts::*member) {
            all.push_back({std::move(head), 10, [member](const model_figures& m) {
                               return with_commas(m.sum.*member);
                           }});
        };
        number("breaches", &counts::breaches);
        number("alerts", &counts::forwarded);
        if (compares())
        {
            number("added", &counts::added);
            number("removed", &counts::removed);
        }
        if (with_rate)
            all.push_back(
                {"a day", 8, [this](const model_figures& m) { return rate(a_.per_day(m.sum.forwarded)); }});
        if (with_most)
            all.push_back({"most", 8, [](const model_figures& m) { return with_commas(m.busiest_day()); }});
        if (with_delay)
            all.push_back({"acked in", 9, [](const model_figures& m) {
                               const auto median = m.acknowledged.median();
                               return median ? delay_text(*median) : std::string();
                           }});
        all.push_back({"limit", 7, [this](const model_figures& m) {
                           return m.limited_by ? threshold_text(a_.policy().lines()[*m.limited_by])
                                  : m.named_by ? action_of(m)
                                               : std::string("-");
                       }});
        if (with_plot)
        {
            const std::size_t bins = fine_plot ? 20 : 10;
            all.push_back({"  0 score 1",
                           bins + 3,
                           [this, bins](const model_figures& m) { return "  " + plot(m, bins); },
                           false});
        }
        return all;
    }

    std::string action_of(const model_figures& m) const
    {
        const auto& line = a_.policy().lines()[*m.named_by];
        if (!line.decides)
            return "-";
        return a_.lines()[*m.named_by].forwarded > 0 ? "always" : "never";
    }

    void models()
    {
        if (a_.models().empty())
            return;
        title("Models, most alerts first");
        const auto all = columns();
        std::size_t used = 2;
        for (const auto& c : all)
            used += c.width;
        const auto room = std::min<std::size_t>(columns_ - used, 60);
        std::string s = "  " + fitted("model", room);
        for (const auto& c : all)
            s += fitted(c.head, c.width, c.to_the_right);
        line(s);
        const auto order = a_.by_alerts();
        for (std::size_t i = 0; i < order.size() && i < most_models; ++i)
        {
            const auto& m = a_.models()[order[i]];
            s = "  " + fitted(is_folded(order[i]) ? "(all further models)" : shown_name(m), room);
            for (const auto& c : all)
                s += fitted(c.cell(m), c.width, c.to_the_right);
            line(s);
        }
        rest(order.size(), most_models, "models");
    }

    bool is_folded(std::size_t i) const { return a_.folded_models() && i + 1 == a_.models().size(); }

    void unnamed()
    {
        const auto order = a_.unnamed();
        if (order.empty())
            return;
        title("Models that no line of [models] names, most breaches first");
        for (std::size_t i = 0; i < order.size() && i < most_unnamed; ++i)
        {
            const auto& m = a_.models()[order[i]];
            line("  " + right(with_commas(m.sum.breaches), 11) + "  " + shown_name(m));
        }
        rest(order.size(), most_unnamed, "models");
    }

    void silent()
    {
        const auto lines = a_.silent_lines();
        if (lines.empty())
            return;
        title("Lines that never spoke");
        for (std::size_t i = 0; i < lines.size() && i < most_lines; ++i)
            line("  " + text::printable(place_text(a_.policy().lines()[lines[i]]), 600));
        rest(lines.size(), most_lines, "lines");
    }

    void notes()
    {
        for (const auto& note : r_.notes)
        {
            line();
            paragraph("Note: " + text::printable(note, 1000));
        }
    }

    const report& r_;
    const analysis& a_;
    const std::size_t columns_;
    const bool utf8_;
    const output& out_;
};

}  // namespace

void write_text(const report& r, std::size_t columns, bool utf8, const output& out)
{
    text_page(r, columns, utf8, out).write();
}

}  // namespace dtbridge::tune
