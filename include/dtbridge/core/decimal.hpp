#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace dtbridge
{

/// A decimal number as it was written, so that 0.499 never becomes 0.5 on its way to a threshold (product.md
/// 3, 5). Accepts JSON's number grammar. At most 64 significant digits are kept; the exponent is clamped to
/// +-1,000,000.
class decimal
{
public:
    decimal() = default;
    /// Nothing when the text is not one JSON number (blanks around it are not taken either).
    static std::optional<decimal> parse(std::string_view text);
    /// Negative, zero or positive as this is less than, equal to or greater than other. 0.50 equals 0.5 and
    /// 5e-1.
    int compare(const decimal& other) const;
    bool operator==(const decimal& other) const { return compare(other) == 0; }
    bool operator<(const decimal& other) const { return compare(other) < 0; }
    /// round-half-up of value x 10^shift, clamped to [low, high]. Half rounds away from zero for positive
    /// values.
    int scaled_half_up(int shift, int low, int high) const;
    /// Shortest plain notation: no exponent, no trailing zeros, no ".0" (C15). Falls back to the exponent
    /// form only outside 1e-40..1e40.
    std::string text() const;

private:
    bool negative_ = false;
    std::string digits_;  // significant digits without leading or trailing zeros; empty is zero
    int point_ = 0;       // value is 0.digits_ x 10^point_
};

}  // namespace dtbridge
