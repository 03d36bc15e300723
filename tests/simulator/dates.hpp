#pragma once

/// Times of the API: ms since 1970 in UTC, and every spelling of DTAPI-Date that the vendor's guides name.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace simulator
{

std::int64_t wall_ms();  ///< this host's clock

/// Between 2001 and 2100: what is worth moving. 0, seconds and year 10000 are left alone.
constexpr bool plausible(std::int64_t ms)
{
    return ms >= 1'000'000'000'000 && ms < 4'102'444'800'000;
}

std::string http_date(std::int64_t ms);  ///< "Mon, 01 Jan 2024 01:00:00 GMT"
std::string sql_time(std::int64_t ms);   ///< "2024-01-01 01:00:00"

/// "2024-01-01 01:00:00" or with a T; a fraction and Z or +00:00 may follow (two vendors' own clients send
/// these).
std::optional<std::int64_t> parse_text_time(std::string_view text);

/// DTAPI-Date: sql and ISO as above, "20240101T010000", "20240101T01:00:00", RFC 1123 with GMT, UTC or
/// nothing, asctime.
std::optional<std::int64_t> parse_api_date(std::string_view text);

/// "90s", "30m", "24h", "7d", "250ms" in ms.
std::optional<std::int64_t> parse_span(std::string_view text);

}  // namespace simulator
