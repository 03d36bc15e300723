#include <dtbridge/core/time.hpp>

#include <algorithm>
#include <array>
#include <limits>

#include <dtbridge/core/text.hpp>

namespace dtbridge
{

namespace
{

constexpr std::array<std::string_view, 12> months = {
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
constexpr std::array<std::string_view, 7> weekdays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
constexpr std::array<std::string_view, 7> long_weekdays = {
    "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};

constexpr std::int64_t day_ms = 86400000;

void put(std::string& out, int value, std::size_t width, char fill = '0')
{
    const std::string digits = std::to_string(value);
    out.append(width > digits.size() ? width - digits.size() : 0, fill).append(digits);
}

void put_clock(std::string& out, const calendar& c)
{
    put(out, c.hour, 2);
    out += ':';
    put(out, c.minute, 2);
    out += ':';
    put(out, c.second, 2);
}

/// Reads a text from left to right; ok turns false at the first thing that is not as expected and stays so.
struct scanner
{
    std::string_view rest;
    bool ok = true;

    void literal(std::string_view expected)
    {
        if (rest.substr(0, expected.size()) == expected)
            rest.remove_prefix(expected.size());
        else
            ok = false;
    }
    int digits(std::size_t count)
    {
        int value = 0;
        for (std::size_t i = 0; i < count; ++i)
        {
            if (i >= rest.size() || rest[i] < '0' || rest[i] > '9')
            {
                ok = false;
                return 0;
            }
            value = value * 10 + (rest[i] - '0');
        }
        rest.remove_prefix(count);
        return value;
    }
    template <std::size_t N>
    int word(const std::array<std::string_view, N>& words)
    {
        for (std::size_t i = 0; i < N; ++i)
            if (rest.substr(0, words[i].size()) == words[i])
            {
                rest.remove_prefix(words[i].size());
                return static_cast<int>(i);
            }
        ok = false;
        return 0;
    }
    bool at_end() const { return ok && rest.empty(); }
};

std::optional<std::int64_t> checked(int year, int month, int day, int hour, int minute, int second, int ms)
{
    const std::chrono::year_month_day date{std::chrono::year(year),
                                           std::chrono::month(static_cast<unsigned>(month)),
                                           std::chrono::day(static_cast<unsigned>(day))};
    if (!date.ok() || hour > 23 || minute > 59 || second > 60)  // 60: a leap second
        return {};
    const std::int64_t t = from_calendar(year, month, day, hour, minute, second, ms);
    if (t < min_calendar_ms || t > max_calendar_ms)
        return {};
    return t;
}

/// ASCII digits only, at most 19 of them so that the value fits; nothing otherwise.
std::optional<std::uint64_t> all_digits(std::string_view text)
{
    if (text.empty() || text.size() > 19)
        return {};
    std::uint64_t value = 0;
    for (const char c : text)
    {
        if (c < '0' || c > '9')
            return {};
        value = value * 10 + static_cast<std::uint64_t>(c - '0');
    }
    return value;
}

/// "10s" as 10 and "s".
std::string_view unit_of(std::string_view text)
{
    const auto end = text.find_first_not_of("0123456789");
    return end == text.npos ? std::string_view() : text.substr(end);
}

}  // namespace

std::int64_t now_ms()
{
    const auto since = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::duration_cast<milliseconds>(since).count();
}

calendar to_calendar(std::int64_t ms)
{
    ms = std::clamp(ms, min_calendar_ms, max_calendar_ms);
    const std::chrono::sys_days days{std::chrono::days(ms / day_ms)};
    const std::chrono::year_month_day date{days};
    const auto rest = static_cast<int>(ms % day_ms);
    calendar c{};
    c.year = static_cast<int>(date.year());
    c.month = static_cast<int>(static_cast<unsigned>(date.month()));
    c.day = static_cast<int>(static_cast<unsigned>(date.day()));
    c.hour = rest / 3600000;
    c.minute = rest / 60000 % 60;
    c.second = rest / 1000 % 60;
    c.millisecond = rest % 1000;
    c.weekday = static_cast<int>(std::chrono::weekday(days).c_encoding());
    return c;
}

std::int64_t from_calendar(int year, int month, int day, int hour, int minute, int second, int ms)
{
    const std::chrono::sys_days days{std::chrono::year(year) / month / day};
    const std::int64_t seconds = ((hour * 60LL) + minute) * 60 + second;
    return days.time_since_epoch().count() * day_ms + seconds * 1000 + ms;
}

std::string rfc3339_ms(std::int64_t ms)
{
    const calendar c = to_calendar(ms);
    std::string out;
    put(out, c.year, 4);
    out += '-';
    put(out, c.month, 2);
    out += '-';
    put(out, c.day, 2);
    out += 'T';
    put_clock(out, c);
    out += '.';
    put(out, c.millisecond, 3);
    return out += 'Z';
}

std::string rfc3164_time(std::int64_t ms, int offset_minutes)
{
    const calendar c =
        to_calendar(std::clamp(ms, min_calendar_ms, max_calendar_ms) + offset_minutes * 60000LL);
    std::string out(months[static_cast<std::size_t>(c.month - 1)]);
    out += ' ';
    put(out, c.day, 2, ' ');  // RFC 3164 4.1.2: a single digit is preceded by a space
    out += ' ';
    put_clock(out, c);
    return out;
}

std::string leef_time(std::int64_t ms)
{
    const calendar c = to_calendar(ms);
    std::string out(months[static_cast<std::size_t>(c.month - 1)]);
    out += ' ';
    put(out, c.day, 2);
    out += ' ';
    put(out, c.year, 4);
    out += ' ';
    put_clock(out, c);
    out += '.';
    put(out, c.millisecond, 3);
    return out += " GMT";
}

std::string rfc1123_time(std::int64_t ms)
{
    const calendar c = to_calendar(ms);
    std::string out(weekdays[static_cast<std::size_t>(c.weekday)]);
    out += ", ";
    put(out, c.day, 2);
    out.append(" ").append(months[static_cast<std::size_t>(c.month - 1)]).append(" ");
    put(out, c.year, 4);
    out += ' ';
    put_clock(out, c);
    return out += " GMT";
}

std::optional<std::int64_t> parse_http_date(std::string_view text)
{
    // RFC 9110 5.6.7: three forms. The weekday is not compared with the date: the date is what counts.
    text = text::trim_blank(text);
    int hour = 0, minute = 0, second = 0;
    auto clock = [&](scanner& s) {
        hour = s.digits(2);
        s.literal(":");
        minute = s.digits(2);
        s.literal(":");
        second = s.digits(2);
    };
    {
        scanner s{text};
        s.word(weekdays);
        s.literal(", ");
        const int day = s.digits(2);
        s.literal(" ");
        const int month = s.word(months) + 1;
        s.literal(" ");
        const int year = s.digits(4);
        s.literal(" ");
        clock(s);
        s.literal(" GMT");
        if (s.at_end())
            return checked(year, month, day, hour, minute, second, 0);
    }
    {
        scanner s{text};
        s.word(long_weekdays);
        s.literal(", ");
        const int day = s.digits(2);
        s.literal("-");
        const int month = s.word(months) + 1;
        s.literal("-");
        const int year = s.digits(2);
        s.literal(" ");
        clock(s);
        s.literal(" GMT");
        if (s.at_end())
            return checked(year < 70 ? 2000 + year : 1900 + year, month, day, hour, minute, second, 0);
    }
    scanner s{text};
    s.word(weekdays);
    s.literal(" ");
    const int month = s.word(months) + 1;
    s.literal(" ");
    const bool one_digit = !s.rest.empty() && s.rest[0] == ' ';
    if (one_digit)
        s.literal(" ");
    const int day = s.digits(one_digit ? 1 : 2);
    s.literal(" ");
    clock(s);
    s.literal(" ");
    const int year = s.digits(4);
    if (!s.at_end())
        return {};
    return checked(year, month, day, hour, minute, second, 0);
}

std::optional<std::int64_t> parse_time_argument(std::string_view text, std::int64_t now)
{
    if (text == "now")
        return now;
    if (!text.empty() && text[0] == '-')
    {
        const auto back = parse_duration(text.substr(1));
        if (!back || back->count() > now)
            return {};
        return now - back->count();
    }
    if (const auto number = all_digits(text))
    {
        if (text.size() == 10)
            return static_cast<std::int64_t>(*number) * 1000;
        if (text.size() == 13)
            return static_cast<std::int64_t>(*number);
        return {};
    }
    scanner s{text};
    const int year = s.digits(4);
    s.literal("-");
    const int month = s.digits(2);
    s.literal("-");
    const int day = s.digits(2);
    if (s.at_end())
        return checked(year, month, day, 0, 0, 0, 0);
    if (!s.ok || (s.rest[0] != ' ' && s.rest[0] != 'T' && s.rest[0] != 't'))
        return {};
    const bool plain = s.rest[0] == ' ';
    s.rest.remove_prefix(1);
    const int hour = s.digits(2);
    s.literal(":");
    const int minute = s.digits(2);
    int second = 0, ms = 0;
    if (plain && s.at_end())
        return checked(year, month, day, hour, minute, 0, 0);
    s.literal(":");
    second = s.digits(2);
    if (!s.ok)
        return {};
    if (!s.rest.empty() && s.rest[0] == '.')
    {
        s.rest.remove_prefix(1);
        const auto size = std::min(s.rest.find_first_not_of("0123456789"), s.rest.size());
        if (size == 0)
            return {};
        for (std::size_t i = 0; i < 3; ++i)
            ms = ms * 10 + (i < size ? s.rest[i] - '0' : 0);  // finer than 1 ms is cut
        s.rest.remove_prefix(size);
    }
    std::int64_t offset_ms = 0;
    if (s.rest.empty())
    {
        if (!plain)
            return {};  // RFC 3339 5.6 has no time without an offset
    }
    else if (s.rest == "Z" || s.rest == "z")
        s.rest = {};
    else if (s.rest[0] == '+' || s.rest[0] == '-')
    {
        const int sign = s.rest[0] == '-' ? -1 : 1;
        s.rest.remove_prefix(1);
        const int offset_hours = s.digits(2);
        s.literal(":");
        const int offset_minutes = s.digits(2);
        if (!s.ok || offset_hours > 23 || offset_minutes > 59)
            return {};
        offset_ms = sign * (offset_hours * 60 + offset_minutes) * 60000LL;
    }
    if (!s.at_end())
        return {};
    const auto local = checked(year, month, day, hour, minute, second, ms);
    if (!local || *local - offset_ms < min_calendar_ms || *local - offset_ms > max_calendar_ms)
        return {};
    return *local - offset_ms;
}

std::optional<milliseconds> parse_duration(std::string_view text)
{
    const auto unit = unit_of(text);
    const auto number = all_digits(text.substr(0, text.size() - unit.size()));
    if (!number)
        return {};
    std::uint64_t factor = 0;
    if (unit == "ms")
        factor = 1;
    else if (unit == "s")
        factor = 1000;
    else if (unit == "m")
        factor = 60000;
    else if (unit == "h")
        factor = 3600000;
    else if (unit == "d")
        factor = 86400000;
    else
        return {};
    if (*number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) / factor)
        return {};
    return milliseconds(static_cast<std::int64_t>(*number * factor));
}

std::string format_duration(milliseconds d)
{
    struct unit
    {
        std::int64_t ms;
        const char* name;
    };
    constexpr std::array<unit, 4> units = {{{86400000, "d"}, {3600000, "h"}, {60000, "m"}, {1000, "s"}}};
    const std::int64_t ms = d.count();
    if (ms == 0)
        return "0s";
    for (const unit& u : units)
        if (ms % u.ms == 0)
            return std::to_string(ms / u.ms) + u.name;
    return std::to_string(ms) + "ms";
}

std::optional<std::uint64_t> parse_size(std::string_view text)
{
    const auto unit = unit_of(text);
    const auto number = all_digits(text.substr(0, text.size() - unit.size()));
    if (!number)
        return {};
    std::uint64_t factor = 0;
    if (unit.empty() || unit == "B")
        factor = 1;
    else if (unit == "KiB")
        factor = 1u << 10;
    else if (unit == "MiB")
        factor = 1u << 20;
    else if (unit == "GiB")
        factor = 1u << 30;
    else if (unit == "KB")
        factor = 1000;
    else if (unit == "MB")
        factor = 1000000;
    else if (unit == "GB")
        factor = 1000000000;
    else
        return {};
    if (*number > std::numeric_limits<std::uint64_t>::max() / factor)
        return {};
    return *number * factor;
}

}  // namespace dtbridge
