#pragma once

/// The figures of an analysis for people and programs: a table for a terminal, JSON, one HTML page. Names out
/// of breaches are hostile: nothing of them reaches a terminal as a control or a page as markup. Pure. Tested
/// in tests/unit/tune.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <dtbridge/tune/analysis.hpp>

namespace dtbridge::tune
{

struct report
{
    const analysis* figures = nullptr;
    std::vector<std::string> masters;
    std::optional<std::int64_t> from, to;  ///< as asked for, ms
    std::vector<std::string> notes;        ///< what a reader has to know besides
    std::int64_t made = 0;                 ///< ms
    std::string version;                   ///< of the program
};

/// Takes the text in pieces.
using output = std::function<void(std::string_view)>;

/// No line is wider than columns, which is at least 60. utf8: bars and marks beyond ASCII may be used.
void write_text(const report& r, std::size_t columns, bool utf8, const output& out);
/// One object; every model and every day.
void write_json(const report& r, const output& out);
/// One page without any outside resource or script.
void write_html(const report& r, const output& out);

}  // namespace dtbridge::tune
