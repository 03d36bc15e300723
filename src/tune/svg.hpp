#pragma once

/// Plots as inline SVG. Only numbers go in, so nothing has to be escaped. Colours are the page's classes.

#include <optional>
#include <string>
#include <vector>

#include <dtbridge/tune/scores.hpp>

namespace dtbridge::tune
{

/// One bar: what is drawn solid, what is drawn faint above it, and a tick across it where there is one.
struct svg_bar
{
    double solid = 0, faint = 0;
    std::optional<double> tick;
    std::string title;  ///< shown on hovering; digits, letters and blanks only
};

/// Stretches to the width of its place; labels stand outside. top: the value of the upper edge.
std::string svg_bars(const std::vector<svg_bar>& bars, double top, int height, const std::string& label);

/// Scores from 0 to 1, forwarded ones solid, with the threshold as a line.
std::string svg_scores(const score_counts& scores, std::optional<double> threshold, const std::string& label);

}  // namespace dtbridge::tune
