#include <web/compact_json.hpp>

#include <cstdio>

#include <dtbridge/core/text.hpp>

namespace dtbridge::web
{

namespace
{

void append_control(std::string& out, char c)
{
    char escape[8];
    std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(static_cast<unsigned char>(c)));
    out += escape;
}

}  // namespace

void append_compact(std::string& out, std::string_view json)
{
    std::string clean;
    if (!text::is_valid_utf8(json))
    {
        clean = text::to_valid_utf8(json);
        json = clean;
    }
    bool in_string = false;
    for (std::size_t i = 0; i < json.size(); ++i)
    {
        const char c = json[i];
        if (!in_string)
        {
            if (c == ' ' || c == '\t' || c == '\n' || c == '\r')
                continue;
            in_string = c == '"';
        }
        else if (static_cast<unsigned char>(c) < 0x20)
        {
            append_control(out, c);
            continue;
        }
        else if (c == '\\' && i + 1 < json.size() && static_cast<unsigned char>(json[i + 1]) >= 0x20)
        {
            out += c;
            out += json[++i];
            continue;
        }
        else if (c == '"')
        {
            in_string = false;
        }
        out += c;
    }
}

}  // namespace dtbridge::web
