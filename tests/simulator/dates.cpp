#include "dates.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>

namespace simulator
{

namespace
{

using namespace std::chrono;

constexpr std::array<std::string_view, 12> months = {
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
constexpr std::array<std::string_view, 7> weekdays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};

struct fields
{
    int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, weekday = 0;
};

fields split(std::int64_t ms)
{
    sys_seconds at{floor<seconds>(milliseconds{ms})};
    auto day = floor<days>(at);
    year_month_day date{day};
    hh_mm_ss<seconds> clock{at - day};
    return {int(date.year()),
            int(unsigned(date.month())),
            int(unsigned(date.day())),
            int(clock.hours().count()),
            int(clock.minutes().count()),
            int(clock.seconds().count()),
            int(weekday{day}.c_encoding())};
}

std::optional<std::int64_t> join(const fields& f)
{
    year_month_day date{year{f.year}, month{unsigned(f.month)}, day{unsigned(f.day)}};
    if (!date.ok() || f.hour > 23 || f.minute > 59 || f.second > 60)
        return std::nullopt;
    auto at = sys_days{date} + hours{f.hour} + minutes{f.minute} + seconds{f.second};
    return duration_cast<milliseconds>(at.time_since_epoch()).count();
}

/// Reads a fixed pattern: Y M D h m s stand for digits, b for an English month's name, w for a day's name, _
/// for a digit or blank in front of a day. Answers the rest of the text.
std::optional<std::string_view> match(std::string_view text, std::string_view pattern, fields& f)
{
    std::size_t at = 0;
    for (char p : pattern)
    {
        if (p == 'b' || p == 'w')
        {
            auto name = text.substr(std::min(at, text.size()), 3);
            if (p == 'b')
            {
                auto found = std::find(months.begin(), months.end(), name);
                if (found == months.end())
                    return std::nullopt;
                f.month = int(found - months.begin()) + 1;
            }
            else if (std::find(weekdays.begin(), weekdays.end(), name) == weekdays.end())
                return std::nullopt;
            at += 3;
            continue;
        }
        if (at >= text.size())
            return std::nullopt;
        char c = text[at++];
        int* where = p == 'Y'               ? &f.year
                     : p == 'M'             ? &f.month
                     : p == 'D' || p == '_' ? &f.day
                     : p == 'h'             ? &f.hour
                     : p == 'm'             ? &f.minute
                     : p == 's'             ? &f.second
                                            : nullptr;
        if (!where)
        {
            if (c != p)
                return std::nullopt;
            continue;
        }
        if (p == '_' && c == ' ')
            continue;
        if (c < '0' || c > '9')
            return std::nullopt;
        *where = *where * 10 + (c - '0');
    }
    return text.substr(at);
}

}  // namespace

std::int64_t wall_ms()
{
    return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

std::string http_date(std::int64_t ms)
{
    auto f = split(ms);
    char text[64];
    std::snprintf(text,
                  sizeof text,
                  "%s, %02d %s %04d %02d:%02d:%02d GMT",
                  weekdays[std::size_t(f.weekday)].data(),
                  f.day,
                  months[std::size_t(f.month - 1)].data(),
                  f.year,
                  f.hour,
                  f.minute,
                  f.second);
    return text;
}

std::string sql_time(std::int64_t ms)
{
    auto f = split(ms);
    char text[64];
    std::snprintf(text,
                  sizeof text,
                  "%04d-%02d-%02d %02d:%02d:%02d",
                  f.year,
                  f.month,
                  f.day,
                  f.hour,
                  f.minute,
                  f.second);
    return text;
}

std::optional<std::int64_t> parse_text_time(std::string_view text)
{
    for (std::string_view pattern : {"YYYY-MM-DD hh:mm:ss", "YYYY-MM-DDThh:mm:ss"})
    {
        fields f;
        auto rest = match(text, pattern, f);
        if (!rest)
            continue;
        if (rest->starts_with('.'))
        {
            auto end = rest->find_first_not_of("0123456789", 1);
            if (end == 1)
                continue;
            rest = end == std::string_view::npos ? std::string_view{} : rest->substr(end);
        }
        if (rest->empty() || *rest == "Z" || *rest == "+00:00" || *rest == "+0000")
            return join(f);
    }
    return std::nullopt;
}

std::optional<std::int64_t> parse_api_date(std::string_view text)
{
    if (auto ms = parse_text_time(text))
        return ms;
    for (std::string_view pattern :
         {"YYYYMMDDThhmmss", "YYYYMMDDThh:mm:ss", "w, DD b YYYY hh:mm:ss", "w b _D hh:mm:ss YYYY"})
    {
        fields f;
        auto rest = match(text, pattern, f);
        if (!rest)
            continue;
        bool named = pattern.find(',') != std::string_view::npos && (*rest == " GMT" || *rest == " UTC");
        if (rest->empty() || named)
            return join(f);
    }
    return std::nullopt;
}

std::optional<std::int64_t> parse_span(std::string_view text)
{
    double n = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
    if (error != std::errc{} || n < 0)
        return std::nullopt;
    std::string_view unit(end, std::size_t(text.data() + text.size() - end));
    double factor = unit == "ms"  ? 1
                    : unit == "s" ? 1e3
                    : unit == "m" ? 6e4
                    : unit == "h" ? 3.6e6
                    : unit == "d" ? 8.64e7
                                  : 0;
    if (factor == 0 || n * factor > 4e15)
        return std::nullopt;
    return static_cast<std::int64_t>(n * factor);
}

}  // namespace simulator
