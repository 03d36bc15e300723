#include <rules/mapping.hpp>

#include <algorithm>
#include <array>

#include <dtbridge/core/text.hpp>

namespace dtbridge::rules
{

namespace
{

constexpr std::array<std::string_view, 4> columns = {"model", "min_score", "action", "note"};
constexpr std::string_view expected_header = "model,min_score,action,note";

std::string_view without_bom(std::string_view s)
{
    return s.substr(0, 3) == "\xEF\xBB\xBF" ? s.substr(3) : s;
}

struct record
{
    unsigned line = 0;
    std::vector<std::string> fields;
    bool unclosed = false;  ///< a quoted field without its end
};

/// RFC 4180 2, one record after the other; LF alone ends a record too.
class csv_records
{
public:
    csv_records(std::string_view text, char separator) : rest_(text), separator_(separator) {}

    bool next(record& out)
    {
        if (rest_.empty())
            return false;
        out = {};
        out.line = line_;
        do
            out.fields.push_back(field(out.unclosed));
        while (take(separator_));
        take('\r');
        if (take('\n'))
            ++line_;
        return true;
    }

private:
    bool take(char c)
    {
        if (rest_.empty() || rest_[0] != c)
            return false;
        rest_.remove_prefix(1);
        return true;
    }

    std::string field(bool& unclosed)
    {
        std::string out;
        if (take('"'))
        {
            for (;;)
            {
                const auto end = std::min(rest_.find('"'), rest_.size());
                line_ += static_cast<unsigned>(
                    std::count(rest_.begin(), rest_.begin() + static_cast<std::ptrdiff_t>(end), '\n'));
                out += rest_.substr(0, end);
                rest_.remove_prefix(end);
                if (!take('"'))
                {
                    unclosed = true;
                    return out;
                }
                if (!take('"'))
                    break;
                out += '"';
            }
        }
        const char ends[] = {separator_, '\n'};
        auto end = std::min(rest_.find_first_of(std::string_view(ends, 2)), rest_.size());
        auto plain = rest_.substr(0, end);
        rest_.remove_prefix(end);
        if (!plain.empty() && plain.back() == '\r')
            plain.remove_suffix(1);
        return out += plain;
    }

    std::string_view rest_;
    char separator_;
    unsigned line_ = 1;
};

std::string_view first_line(std::string_view text)
{
    return without_bom(text).substr(0, without_bom(text).find('\n'));
}

/// Spreadsheets of many countries save CSV with semicolons.
char separator_of(std::string_view header)
{
    return header.find(';') != header.npos && header.find(',') == header.npos ? ';' : ',';
}

void read_row(const record& row,
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
    std::string line = text::lower(first_line(text));
    std::erase_if(line, [](char c) { return c == ' ' || c == '"' || c == '\r' || c == '\t'; });
    std::replace(line.begin(), line.end(), ';', ',');
    return line == expected_header;
}

void read_csv(std::string_view text, mapping& out, reporter& report)
{
    csv_records records(without_bom(text), separator_of(first_line(text)));
    record row;
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
        const bool blank = std::all_of(row.fields.begin(), row.fields.end(), [](const std::string& f) {
            return text::trim_blank(f).empty();
        });
        if (blank)
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
