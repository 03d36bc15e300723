#pragma once

/// Comma-separated values as spreadsheets save them (RFC 4180): quoted fields, CRLF or LF, a byte order mark,
/// semicolons where a country's decimal sign is the comma. Pure; views point into the text.

#include <string>
#include <string_view>
#include <vector>

namespace dtbridge::csv
{

struct record
{
    unsigned line = 0;  ///< from 1, where the record begins
    std::vector<std::string> fields;
    bool unclosed = false;  ///< a quoted field without its end
    bool is_blank() const;  ///< no field holds more than blanks
};

/// One record after the other. text must outlive it.
class reader
{
public:
    /// Finds out the separator by the first line.
    explicit reader(std::string_view text);
    bool next(record& out);

private:
    bool take(char c);
    std::string field(bool& unclosed);

    std::string_view rest_;
    char separator_;
    unsigned line_ = 1;
};

/// The first line, without a byte order mark and its end.
std::string_view first_line(std::string_view text);

}  // namespace dtbridge::csv
