#pragma once

/// Calendar times without locale and without time zones: everything is ms since 1970 in UTC.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dtbridge
{

using std::chrono::milliseconds;

/// Milliseconds since 1970 by the system clock.
std::int64_t now_ms();

/// First and last time that four-digit years can write.
inline constexpr std::int64_t min_calendar_ms = 0;
inline constexpr std::int64_t max_calendar_ms = 253402300799999;

struct calendar
{
    int year, month, day, hour, minute, second, millisecond, weekday;  // month 1..12, weekday 0 = Sunday
};
/// ms is clamped to [min_calendar_ms, max_calendar_ms].
calendar to_calendar(std::int64_t ms);
std::int64_t from_calendar(
    int year, int month, int day, int hour = 0, int minute = 0, int second = 0, int ms = 0);

/// "2024-01-01T09:06:40.000Z" (S2).
std::string rfc3339_ms(std::int64_t ms);
/// "Jan  2 03:04:05" (R1), offset_minutes added first.
std::string rfc3164_time(std::int64_t ms, int offset_minutes = 0);
/// "Jan 02 2026 03:04:05.678 GMT" (L8).
std::string leef_time(std::int64_t ms);
/// "Mon, 01 Jan 2024 01:00:00 GMT".
std::string rfc1123_time(std::int64_t ms);

/// An HTTP Date: RFC 1123, RFC 850 or asctime. Nothing if it is none.
std::optional<std::int64_t> parse_http_date(std::string_view text);

/// T of the commands (product.md 7): RFC 3339, a date, "YYYY-MM-DD HH:MM[:SS]" (UTC), 10 or 13 digits of
/// epoch,
/// "-24h" before now, "now".
std::optional<std::int64_t> parse_time_argument(std::string_view text, std::int64_t now);

/// "10s", "5m", "24h", "90d", "250ms"; nothing else. Overflow is nothing.
std::optional<milliseconds> parse_duration(std::string_view text);
std::string format_duration(milliseconds d);  ///< the shortest exact spelling of the same grammar
/// "8KiB", "64MiB", "20GiB", "512B", plain digits are bytes; also KB, MB, GB (powers of 1000).
std::optional<std::uint64_t> parse_size(std::string_view text);

}  // namespace dtbridge
