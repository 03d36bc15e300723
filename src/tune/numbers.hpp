#pragma once

/// Figures and names as the three renderers write them.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <dtbridge/tune/report.hpp>

namespace dtbridge::tune
{

std::string with_commas(std::int64_t n);                 ///< "1,204"
std::string rate(double per_day);                        ///< "1,204", "41.2", "0.07"
std::string percent(std::int64_t of, std::int64_t all);  ///< "21.2 %"
std::string score_text(int hundredth);                   ///< "0.43"
/// Of a threshold that hundredths may not hold: where in 0 to 1 it stands.
double position(const decimal& threshold);
/// "0.4", or "> 0.4" of above_score.
std::string threshold_text(const rules::outlined_line& line);
/// `model "Compliance / *" (stage-2.toml:14)`.
std::string place_text(const rules::outlined_line& line);
/// `throttle by model, device: 5 per 1h (stage-2.toml:31)`.
std::string place_text(const rules::throttle& t, const std::string& file);
std::string delay_text(std::int64_t ms);  ///< "35 m", "4.2 h", "3 d"
/// The name of a model for people; what stands for those without one.
std::string shown_name(const model_figures& m);
/// "2026-10-26 to 2026-11-24, 30 days".
std::string span_text(const analysis& a);
std::string joined(const std::vector<std::string>& items);

/// The day on which most was forwarded, the first of them.
struct busiest
{
    day_number day = 0;
    std::int64_t forwarded = 0;
};
std::optional<busiest> busiest_day(const analysis& a);

/// Days in groups of equal length, so that a plot has at most that many bars.
struct day_bar
{
    day_number first = 0, last = 0;
    counts sum;
};
std::vector<day_bar> day_bars(const analysis& a, std::size_t most);

/// Columns a terminal needs for it.
std::size_t display_width(std::string_view utf8);
/// Cut or filled to exactly that many columns.
std::string fitted(std::string_view utf8, std::size_t columns, bool to_the_right = false);

}  // namespace dtbridge::tune
