#include "app/compact_json.hpp"

#include <algorithm>

namespace dtbridge::app
{

void append_compact(std::string& out, std::string_view json)
{
    std::size_t i = 0;
    while (i < json.size())
    {
        // Outside a string: up to the next quote or blank at once.
        const auto end = std::min(json.find_first_of("\" \t\r\n", i), json.size());
        out.append(json, i, end - i);
        i = end;
        if (i == json.size())
            return;
        if (json[i] != '"')
        {
            ++i;
            continue;
        }
        auto close = i + 1;
        while (close < json.size() && json[close] != '"')
            close += json[close] == '\\' ? 2 : 1;
        close = std::min(close + 1, json.size());
        out.append(json, i, close - i);
        i = close;
    }
}

}  // namespace dtbridge::app
