#include "tune/svg.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace dtbridge::tune
{

namespace
{

std::string number(double d)
{
    char buffer[64];
    std::snprintf(buffer, sizeof buffer, "%.2f", d);
    std::string s = buffer;
    while (s.back() == '0')
        s.pop_back();
    if (s.back() == '.')
        s.pop_back();
    return s;
}

std::string open(double width, double height, const char* css, const std::string& label)
{
    return std::string("<svg class=\"") + css + "\" viewBox=\"0 0 " + number(width) + ' ' + number(height) +
           "\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"" + label + "\">";
}

void rectangle(std::string& s, const char* css, double x, double y, double w, double h)
{
    if (h > 0)
        s += std::string("<rect class=\"") + css + "\" x=\"" + number(x) + "\" y=\"" + number(y) +
             "\" width=\"" + number(w) + "\" height=\"" + number(h) + "\"/>";
}

void line(std::string& s, const char* css, double x1, double y1, double x2, double y2)
{
    s += std::string("<line class=\"") + css + "\" x1=\"" + number(x1) + "\" y1=\"" + number(y1) +
         "\" x2=\"" + number(x2) + "\" y2=\"" + number(y2) + "\"/>";
}

}  // namespace

std::string svg_bars(const std::vector<svg_bar>& bars, double top, int height, const std::string& label)
{
    constexpr double step = 10;
    constexpr double bar = 8;
    const auto width = step * static_cast<double>(std::max<std::size_t>(bars.size(), 1));
    auto s = open(width, height, "plot", label);
    for (const double part : {0.25, 0.5, 0.75})
        line(s, "grid", 0, height * part, width, height * part);
    const auto scale = top > 0 ? (height - 2) / top : 0;  // a mark at the top is seen whole
    for (std::size_t i = 0; i < bars.size(); ++i)
    {
        const auto& b = bars[i];
        const auto x = step * static_cast<double>(i) + (step - bar) / 2;
        s += "<g><title>" + b.title + "</title>";
        s += "<rect class=\"hit\" x=\"" + number(step * static_cast<double>(i)) + "\" y=\"0\" width=\"" +
             number(step) + "\" height=\"" + std::to_string(height) + "\"/>";
        rectangle(s, "solid", x, height - b.solid * scale, bar, b.solid * scale);
        rectangle(s, "faint", x, height - (b.solid + b.faint) * scale, bar, b.faint * scale);
        if (b.tick)
            line(s, "tick", x - 0.6, height - *b.tick * scale, x + bar + 0.6, height - *b.tick * scale);
        s += "</g>";
    }
    line(s, "axis", 0, height, width, height);
    return s + "</svg>";
}

std::string svg_scores(const score_counts& scores, std::optional<double> threshold, const std::string& label)
{
    constexpr std::size_t bins = 50;
    constexpr double width = 200, height = 40, floor = 38;
    std::vector<double> all(bins), forwarded(bins);
    for (const auto& c : scores.cells())
    {
        const auto bin = static_cast<std::size_t>(std::clamp<int>(c.hundredth, 0, 99)) * bins / 100;
        all[bin] += c.all;
        forwarded[bin] += c.forwarded;
    }
    const auto most = *std::max_element(all.begin(), all.end());
    auto s = open(width, height, "scores", label);
    line(s, "axis", 0, floor, width, floor);
    for (std::size_t i = 0; i < bins && most > 0; ++i)
    {
        const auto x = width / bins * static_cast<double>(i);
        // What is there is seen, however little.
        const auto full = all[i] > 0 ? std::max(1.5, all[i] / most * (floor - 3)) : 0;
        const auto solid = all[i] > 0 ? full * forwarded[i] / all[i] : 0;
        rectangle(s, "solid", x + 0.4, floor - solid, width / bins - 0.8, solid);
        rectangle(s, "faint", x + 0.4, floor - full, width / bins - 0.8, full - solid);
    }
    if (threshold)
        line(s, "limit", *threshold * width, 0, *threshold * width, height);
    return s + "</svg>";
}

}  // namespace dtbridge::tune
