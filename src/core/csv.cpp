#include <dtbridge/core/csv.hpp>

#include <algorithm>

#include <dtbridge/core/text.hpp>

namespace dtbridge::csv
{

namespace
{

std::string_view without_bom(std::string_view s)
{
    return s.substr(0, 3) == "\xEF\xBB\xBF" ? s.substr(3) : s;
}

/// Spreadsheets of many countries save CSV with semicolons.
char separator_of(std::string_view header)
{
    return header.find(';') != header.npos && header.find(',') == header.npos ? ';' : ',';
}

}  // namespace

bool record::is_blank() const
{
    return std::all_of(
        fields.begin(), fields.end(), [](const std::string& f) { return text::trim_blank(f).empty(); });
}

std::string_view first_line(std::string_view text)
{
    const auto plain = without_bom(text);
    return plain.substr(0, plain.find('\n'));
}

reader::reader(std::string_view text) : rest_(without_bom(text)), separator_(separator_of(first_line(text)))
{}

/// RFC 4180 2; LF alone ends a record too.
bool reader::next(record& out)
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

bool reader::take(char c)
{
    if (rest_.empty() || rest_[0] != c)
        return false;
    rest_.remove_prefix(1);
    return true;
}

std::string reader::field(bool& unclosed)
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

}  // namespace dtbridge::csv
