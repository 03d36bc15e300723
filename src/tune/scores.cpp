#include <dtbridge/tune/scores.hpp>

#include <algorithm>
#include <cmath>
#include <string>

namespace dtbridge::tune
{

int hundredth(const decimal& score)
{
    // The shortest plain notation: "-1", "0", "0.439", "12"; with an exponent outside 1e-40..1e40 only.
    const auto s = score.text();
    if (s[0] == '-')
        return under_zero;
    if (const auto e = s.find('e'); e != s.npos)
        return s[e + 1] == '-' ? 0 : top_hundredth;
    if (s[0] != '0')
        return top_hundredth;
    const auto digit = [&s](std::size_t at) { return at < s.size() ? s[at] - '0' : 0; };
    return digit(2) * 10 + digit(3);
}

void score_counts::add(int hundredth, bool forwarded)
{
    const auto wanted = static_cast<std::int16_t>(hundredth);
    auto at = std::lower_bound(
        cells_.begin(), cells_.end(), wanted, [](const cell& c, std::int16_t h) { return c.hundredth < h; });
    if (at == cells_.end() || at->hundredth != wanted)
        at = cells_.insert(at, cell{wanted, 0, 0});
    ++at->all;
    at->forwarded += forwarded ? 1 : 0;
}

std::int64_t score_counts::all() const
{
    std::int64_t sum = 0;
    for (const auto& c : cells_)
        sum += c.all;
    return sum;
}

std::int64_t score_counts::at_least(int hundredth) const
{
    std::int64_t sum = 0;
    for (auto c = cells_.rbegin(); c != cells_.rend() && c->hundredth >= hundredth; ++c)
        sum += c->all;
    return sum;
}

std::optional<int> score_counts::quantile(double part) const
{
    const auto n = all();
    if (n == 0)
        return {};
    const auto rank =
        std::clamp<std::int64_t>(static_cast<std::int64_t>(std::ceil(part * static_cast<double>(n))), 1, n);
    std::int64_t seen = 0;
    for (const auto& c : cells_)
        if ((seen += c.all) >= rank)
            return c.hundredth;
    return cells_.back().hundredth;
}

namespace
{

// Five sizes to a doubling, of seconds: 2^(1/5) is 1.149.
constexpr double sizes_per_doubling = 5;

std::int64_t top_of(int size)
{
    return static_cast<std::int64_t>(1000 * std::exp2(size / sizes_per_doubling));
}

}  // namespace

void delay_counts::add(std::int64_t ms)
{
    const double seconds = static_cast<double>(std::max<std::int64_t>(ms, 1000)) / 1000;
    const auto size = static_cast<std::uint16_t>(std::ceil(std::log2(seconds) * sizes_per_doubling));
    auto at = std::lower_bound(
        cells_.begin(), cells_.end(), size, [](const cell& c, std::uint16_t s) { return c.size < s; });
    if (at == cells_.end() || at->size != size)
        at = cells_.insert(at, cell{size, 0});
    ++at->count;
    ++all_;
}

std::optional<std::int64_t> delay_counts::median() const
{
    std::int64_t seen = 0;
    for (const auto& c : cells_)
        if ((seen += c.count) * 2 >= all_)
            return top_of(c.size);
    return {};
}

}  // namespace dtbridge::tune
