#include <dtbridge/core/decimal.hpp>

#include <algorithm>

namespace dtbridge
{

namespace
{

constexpr std::size_t max_digits = 64;
constexpr int max_exponent = 1000000;

bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

}  // namespace

std::optional<decimal> decimal::parse(std::string_view text)
{
    decimal d;
    std::size_t i = 0;
    auto more_digits = [&] { return i < text.size() && is_digit(text[i]); };
    if (i < text.size() && text[i] == '-')
    {
        d.negative_ = true;
        ++i;
    }
    if (!more_digits() || (text[i] == '0' && i + 1 < text.size() && is_digit(text[i + 1])))
        return {};  // RFC 8259 6: no empty integer part, no leading zero

    long long point = 0;
    auto take = [&](char c, bool in_fraction) {
        if (d.digits_.empty() && c == '0')
        {
            point -= in_fraction ? 1 : 0;
            return;
        }
        if (d.digits_.size() < max_digits)
            d.digits_ += c;
        point += in_fraction ? 0 : 1;
    };
    for (; more_digits(); ++i)
        take(text[i], false);
    if (i < text.size() && text[i] == '.')
    {
        ++i;
        if (!more_digits())
            return {};
        for (; more_digits(); ++i)
            take(text[i], true);
    }
    long long exponent = 0;
    if (i < text.size() && (text[i] == 'e' || text[i] == 'E'))
    {
        ++i;
        bool minus = false;
        if (i < text.size() && (text[i] == '+' || text[i] == '-'))
            minus = text[i++] == '-';
        if (!more_digits())
            return {};
        for (; more_digits(); ++i)
            exponent = std::min<long long>(exponent * 10 + (text[i] - '0'), max_exponent);
        if (minus)
            exponent = -exponent;
    }
    if (i != text.size())
        return {};
    while (!d.digits_.empty() && d.digits_.back() == '0')
        d.digits_.pop_back();
    if (d.digits_.empty())
        return decimal();
    d.point_ = static_cast<int>(std::clamp<long long>(point + exponent, -max_exponent, max_exponent));
    return d;
}

int decimal::compare(const decimal& other) const
{
    const int sign = digits_.empty() ? 0 : negative_ ? -1 : 1;
    const int other_sign = other.digits_.empty() ? 0 : other.negative_ ? -1 : 1;
    if (sign != other_sign)
        return sign < other_sign ? -1 : 1;
    if (sign == 0)
        return 0;
    if (point_ != other.point_)
        return (point_ < other.point_ ? -1 : 1) * sign;
    // Digits carry no trailing zeros, so the shorter of two with a common start is the smaller magnitude.
    const int order = digits_.compare(other.digits_);
    return (order < 0 ? -1 : order > 0 ? 1 : 0) * sign;
}

int decimal::scaled_half_up(int shift, int low, int high) const
{
    if (digits_.empty())
        return std::clamp(0, low, high);
    const long long at = static_cast<long long>(point_) + shift;  // digits before the point after scaling
    if (at > 10)
        return negative_ ? low : high;
    if (at < 0)
        return std::clamp(0, low, high);  // less than 0.1 in magnitude
    const auto whole = static_cast<std::size_t>(at);
    long long value = 0;
    for (std::size_t i = 0; i < whole; ++i)
        value = value * 10 + (i < digits_.size() ? digits_[i] - '0' : 0);
    if (whole < digits_.size())
    {
        const char first = digits_[whole];
        const bool over_half = first > '5' || (first == '5' && digits_.size() > whole + 1);
        if (over_half || (first == '5' && !negative_))
            ++value;
    }
    return static_cast<int>(std::clamp<long long>(negative_ ? -value : value, low, high));
}

std::string decimal::text() const
{
    if (digits_.empty())
        return "0";
    std::string out = negative_ ? "-" : "";
    const auto size = static_cast<int>(digits_.size());
    if (point_ > 41 || point_ < -39)
    {
        out += digits_[0];
        if (size > 1)
            out.append(".").append(digits_, 1);
        return out.append("e").append(std::to_string(point_ - 1));
    }
    if (point_ <= 0)
        return out.append("0.").append(static_cast<std::size_t>(-point_), '0').append(digits_);
    if (point_ >= size)
        return out.append(digits_).append(static_cast<std::size_t>(point_ - size), '0');
    const auto whole = static_cast<std::size_t>(point_);
    return out.append(digits_, 0, whole).append(".").append(digits_, whole);
}

}  // namespace dtbridge
