#pragma once

/// The text format of Prometheus (version 0.0.4), written so that it is always valid: HELP and TYPE once in
/// front of a metric's samples, label values escaped, every number finite or spelled as the format wants.
/// Pure.

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace dtbridge::web
{

class exposition
{
public:
    enum class type { counter, gauge, histogram };
    using labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

    /// Starts a metric; its samples follow, before the next one starts. A counter's name ends in _total.
    exposition& metric(std::string_view name, type t, std::string_view help);
    exposition& sample(labels l, double value);
    exposition& sample(labels l, std::int64_t value);
    exposition& sample(labels l, std::uint64_t value);
    /// Of a histogram: upper bounds and how many fell into each bucket (not cumulated; one more than bounds),
    /// sum.
    template <class Histogram>
    exposition& sample_histogram(std::string_view label, std::string_view value, const Histogram& h)
    {
        std::uint64_t count = 0;
        for (std::size_t i = 0; i < h.counts.size(); ++i)
        {
            count += h.counts[i];
            const auto bound = i < h.bounds.size() ? number(h.bounds[i]) : std::string("+Inf");
            line("_bucket", {{label, value}, {"le", bound}}, std::to_string(count));
        }
        line("_sum", {{label, value}}, number(h.sum));
        line("_count", {{label, value}}, std::to_string(count));
        return *this;
    }
    const std::string& text() const { return text_; }
    static constexpr std::string_view content_type = "text/plain; version=0.0.4; charset=utf-8";

private:
    static std::string number(double value);
    void line(std::string_view suffix, labels l, std::string_view value);

    std::string text_, name_;
};

}  // namespace dtbridge::web
