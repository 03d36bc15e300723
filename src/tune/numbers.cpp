#include "tune/numbers.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include <dtbridge/core/text.hpp>

namespace dtbridge::tune
{

namespace
{

std::string fixed(double value, int digits)
{
    char buffer[64];
    std::snprintf(buffer, sizeof buffer, "%.*f", digits, value);
    return buffer;
}

/// Of the terminals in use: 2 for East Asian wide and emoji, 0 for marks that join the one before.
std::size_t columns_of(char32_t c)
{
    if ((c >= 0x300 && c <= 0x36f) || (c >= 0x200b && c <= 0x200f) || (c >= 0xfe00 && c <= 0xfe0f))
        return 0;
    const bool wide =
        (c >= 0x1100 && c <= 0x115f) || (c >= 0x2e80 && c <= 0xa4cf) || (c >= 0xac00 && c <= 0xd7a3) ||
        (c >= 0xf900 && c <= 0xfaff) || (c >= 0xfe30 && c <= 0xfe6f) || (c >= 0xff00 && c <= 0xff60) ||
        (c >= 0xffe0 && c <= 0xffe6) || (c >= 0x1f300 && c <= 0x1faff) || (c >= 0x20000 && c <= 0x3fffd);
    return wide ? 2 : 1;
}

}  // namespace

std::string with_commas(std::int64_t n)
{
    auto s = std::to_string(n);
    const std::size_t start = n < 0 ? 1 : 0;
    for (std::size_t at = s.size(); at > start + 3;)
        s.insert(at -= 3, 1, ',');
    return s;
}

std::string rate(double per_day)
{
    if (per_day >= 100)
        return with_commas(std::llround(per_day));
    return fixed(per_day, per_day >= 1 || per_day == 0 ? 1 : 2);
}

std::string percent(std::int64_t of, std::int64_t all)
{
    return all == 0 ? "0 %" : fixed(100.0 * static_cast<double>(of) / static_cast<double>(all), 1) + " %";
}

std::string score_text(int hundredth)
{
    if (hundredth < 0)
        return "<0";
    return hundredth >= top_hundredth ? "1.00" : fixed(hundredth / 100.0, 2);
}

double position(const decimal& threshold)
{
    return std::clamp(std::strtod(threshold.text().c_str(), nullptr), 0.0, 1.0);
}

std::string threshold_text(const rules::outlined_line& line)
{
    return line.threshold ? (line.strict ? "> " : "") + line.threshold->text().substr(0, 6) : "";
}

std::string place_text(const rules::outlined_line& line)
{
    auto text = line.text;
    if (line.threshold)
        text += (line.strict ? " > " : " >= ") + line.threshold->text();
    // The heading has the whole path; here the name of the file tells enough.
    const auto file = line.file.substr(line.file.find_last_of('/') + 1);
    return line.line == 0 ? text : text + " (" + file + ':' + std::to_string(line.line) + ')';
}

std::string place_text(const rules::throttle& t, const std::string& file)
{
    return rules::describe(t, file.substr(file.find_last_of('/') + 1));
}

std::string delay_text(std::int64_t ms)
{
    const double minutes = static_cast<double>(ms) / 60000;
    if (minutes < 1)
        return "<1 m";
    if (minutes < 90)
        return fixed(minutes, 0) + " m";
    if (minutes < 48 * 60)
        return fixed(minutes / 60, 1) + " h";
    return fixed(minutes / 1440, 1) + " d";
}

std::string shown_name(const model_figures& m)
{
    if (!m.name.empty())
        return text::printable(m.name, 600);
    return m.sum.breaches > 0 && m.uuid.empty() ? "(no name)" : text::printable(m.uuid, 600);
}

std::string span_text(const analysis& a)
{
    const auto n = a.day_count();
    if (n == 0)
        return "no breach with a time";
    return day_text(a.days().begin()->first) + " to " + day_text(a.days().rbegin()->first) + ", " +
           with_commas(n) + (n == 1 ? " day" : " days") + " (UTC)";
}

std::string joined(const std::vector<std::string>& items)
{
    std::string out;
    for (const auto& item : items)
        out += (out.empty() ? "" : ", ") + item;
    return out;
}

std::optional<busiest> busiest_day(const analysis& a)
{
    std::optional<busiest> most;
    for (const auto& [day, sum] : a.days())
        if (!most || sum.forwarded > most->forwarded)
            most = busiest{day, sum.forwarded};
    return most;
}

std::vector<day_bar> day_bars(const analysis& a, std::size_t most)
{
    std::vector<day_bar> bars;
    const auto n = static_cast<std::size_t>(a.day_count());
    if (n == 0)
        return bars;
    const auto length = (n + most - 1) / most;
    const auto first = a.days().begin()->first;
    const auto last = a.days().rbegin()->first;
    bars.resize((n + length - 1) / length);
    for (std::size_t i = 0; i < bars.size(); ++i)
    {
        bars[i].first = first + static_cast<day_number>(i * length);
        bars[i].last = std::min(last, bars[i].first + static_cast<day_number>(length) - 1);
    }
    for (const auto& [day, sum] : a.days())
    {
        auto& into = bars[static_cast<std::size_t>(day - first) / length].sum;
        into.breaches += sum.breaches;
        into.forwarded += sum.forwarded;
        into.against += sum.against;
        into.added += sum.added;
        into.removed += sum.removed;
        into.throttled += sum.throttled;
        into.throttled_against += sum.throttled_against;
    }
    return bars;
}

std::size_t display_width(std::string_view utf8)
{
    std::size_t columns = 0;
    for (std::size_t i = 0; i < utf8.size();)
    {
        const auto c = text::decode(utf8.substr(i));
        columns += columns_of(c.value);
        i += c.size;
    }
    return columns;
}

std::string fitted(std::string_view utf8, std::size_t columns, bool to_the_right)
{
    std::string out(utf8);
    auto width = display_width(utf8);
    if (width > columns)
    {
        constexpr std::string_view mark = "..";
        const auto room = columns > mark.size() ? columns - mark.size() : columns;
        std::size_t end = 0;
        width = 0;
        while (end < utf8.size())
        {
            const auto c = text::decode(utf8.substr(end));
            if (width + columns_of(c.value) > room)
                break;
            width += columns_of(c.value);
            end += c.size;
        }
        out = utf8.substr(0, end);
        if (room < columns)
        {
            out += mark;
            width += mark.size();
        }
    }
    const std::string blanks(columns - std::min(width, columns), ' ');
    return to_the_right ? blanks + out : out + blanks;
}

}  // namespace dtbridge::tune
