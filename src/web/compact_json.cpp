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

void append_string(std::string& out, std::string_view s)
{
    out += '"';
    const auto start = out.size();
    text::append_valid_utf8(out, s);
    bool plain = true;
    for (std::size_t i = start; i < out.size() && plain; ++i)
        plain = out[i] != '"' && out[i] != '\\' && static_cast<unsigned char>(out[i]) >= 0x20;
    if (!plain)
    {
        const std::string raw = out.substr(start);
        out.resize(start);
        for (const char c : raw)
        {
            if (static_cast<unsigned char>(c) < 0x20)
            {
                append_control(out, c);
                continue;
            }
            if (c == '"' || c == '\\')
                out += '\\';
            out += c;
        }
    }
    out += '"';
}

}  // namespace dtbridge::web
