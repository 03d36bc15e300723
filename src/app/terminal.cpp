#include "app/terminal.hpp"

#include <charconv>
#include <cstdlib>
#include <string>

#include <sys/ioctl.h>
#include <unistd.h>

#include <dtbridge/core/text.hpp>

namespace dtbridge::app
{

std::size_t terminal_columns()
{
    constexpr std::size_t in_a_file = 100;
    constexpr std::size_t most = 400;
    winsize size = {};
    if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return std::min<std::size_t>(size.ws_col, most);
    const char* said = std::getenv("COLUMNS");
    const std::string_view text = said == nullptr ? "" : said;
    std::size_t columns = 0;
    const auto end = std::from_chars(text.data(), text.data() + text.size(), columns);
    return end.ec == std::errc() && columns > 0 ? std::min(columns, most) : in_a_file;
}

bool terminal_takes_utf8()
{
    for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"})
        if (const char* value = std::getenv(name); value != nullptr && *value != '\0')
        {
            const auto lower = text::lower(value);
            return lower.find("utf-8") != lower.npos || lower.find("utf8") != lower.npos;
        }
    return false;
}

}  // namespace dtbridge::app
