#include <rules/mapping.hpp>

#include <algorithm>
#include <array>

#include <dtbridge/core/csv.hpp>
#include <dtbridge/core/text.hpp>

namespace dtbridge::rules
{

namespace
{

constexpr std::array<std::string_view, 4> columns = {"model", "min_score", "action", "note"};
constexpr std::string_view expected_header = "model,min_score,action,note";

void read_row(const csv::record& row,
              const std::array<std::size_t, columns.size()>& places,
              mapping& out,
              reporter& report)
{
    const auto cell = [&](std::size_t column) {
        const std::size_t at = places[column];
        return at < row.fields.size() ? text::trim_blank(row.fields[at]) : std::string_view();
    };
    rule r;
    r.key = std::string(cell(0));
    r.line = row.line;
    const std::string where = "model \"" + text::printable(r.key, 100) + '"';
    const auto score = cell(1), action = cell(2);
    if (!action.empty() && !score.empty())
        report.error(row.line, where, "both a min_score and an action; expected one of the two");
    else if (text::iequals(action, "always"))
        r.what = rule::action::always;
    else if (text::iequals(action, "never"))
        r.what = rule::action::never;
    else if (!action.empty())
        report.error(
            row.line,
            where,
            "found the action \"" + text::printable(action, 60) + "\"; expected always, never or nothing");
    else if (!score.empty())
    {
        const auto problem = read_threshold(score, r.limit);
        if (!problem.empty())
            report.error(row.line, where, "min_score: " + problem);
        else
            r.what = rule::action::score;
    }
    out.models.push_back(std::move(r));
}

}  // namespace

bool has_csv_header(std::string_view text)
{
    std::string line = text::lower(csv::first_line(text));
    std::erase_if(line, [](char c) { return c == ' ' || c == '"' || c == '\r' || c == '\t'; });
    std::replace(line.begin(), line.end(), ';', ',');
    return line == expected_header;
}

void read_csv(std::string_view text, mapping& out, reporter& report)
{
    csv::reader records(text);
    csv::record row;
    if (!records.next(row))
        return report.error(1, "", "an empty file; expected the header " + std::string(expected_header));
    constexpr std::size_t missing = static_cast<std::size_t>(-1);
    std::array<std::size_t, columns.size()> places;
    places.fill(missing);
    for (std::size_t i = 0; i < row.fields.size(); ++i)
    {
        const auto name = text::trim_blank(row.fields[i]);
        std::size_t column = 0;
        while (column < columns.size() && !text::iequals(name, columns[column]))
            ++column;
        if (column == columns.size() || places[column] != missing)
            report.error(row.line,
                         text::printable(name, 60),
                         "unknown or repeated column; expected the header " + std::string(expected_header));
        else
            places[column] = i;
    }
    if (places[0] == missing)
        return report.error(
            row.line, "model", "the column is missing; expected the header " + std::string(expected_header));
    const std::size_t width = row.fields.size();
    while (records.next(row))
    {
        if (row.unclosed)
            report.error(row.line, "", "a field whose quotation mark is never closed");
        if (row.is_blank())
            continue;
        if (row.fields.size() > width)
            report.error(row.line,
                         text::printable(row.fields[0], 100),
                         "found " + std::to_string(row.fields.size()) + " fields; expected at most " +
                             std::to_string(width) + " (a text with a comma stands in quotation marks)");
        else
            read_row(row, places, out, report);
    }
}

}  // namespace dtbridge::rules
