#include "format/syslog_header.hpp"

#include <dtbridge/core/text.hpp>
#include <dtbridge/core/time.hpp>

#include <algorithm>

#include "format/clean.hpp"

namespace dtbridge::format
{
namespace
{

/// Each code point that allowed refuses becomes '_' (S3, S4, R2); at most max characters; if_empty where none
/// are left.
template <class Allowed>
void append_masked(
    std::string& out, std::string_view raw, std::size_t max, std::string_view if_empty, Allowed allowed)
{
    const std::size_t start = out.size();
    for (std::size_t i = 0; i < raw.size() && out.size() - start < max;)
    {
        const char c = raw[i];
        if (static_cast<unsigned char>(c) >= 0x80)
        {
            i += text::decode(raw.substr(i)).size;
            out += '_';
            continue;
        }
        out += allowed(c) ? c : '_';
        ++i;
    }
    if (out.size() == start)
        out += if_empty;
}

bool printable(char c)
{
    return c > ' ' && c < 0x7f;
}

bool alphanumeric(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

bool in_sd_name(char c)
{
    return printable(c) && c != '=' && c != ']' && c != '"';
}

void append_priority(std::string& out, int facility, int severity)
{
    out += '<';
    out += std::to_string(std::clamp(facility, 0, 23) * 8 + std::clamp(severity, 0, 7));
    out += '>';
}

}  // namespace

void append_rfc5424(std::string& out, const rfc5424_fields& f)
{
    append_priority(out, f.facility, f.severity);
    out += "1 ";
    if (f.time && *f.time >= min_calendar_ms && *f.time <= max_calendar_ms)
        out += rfc3339_ms(*f.time);
    else
        out += '-';
    out += ' ';
    append_masked(out, f.hostname, 255, "-", printable);
    out += ' ';
    append_masked(out, f.app_name, 48, "-", printable);
    out += ' ';
    append_masked(out, f.procid, 128, "-", printable);
    out += ' ';
    append_masked(out, f.msgid, 32, "-", printable);
}

void append_rfc3164(std::string& out, const rfc3164_fields& f)
{
    append_priority(out, f.facility, f.severity);
    out += rfc3164_time(std::clamp(f.time, min_calendar_ms, max_calendar_ms), f.offset_minutes);
    out += ' ';
    append_masked(out, f.hostname, 255, "-", [](char c) {
        return alphanumeric(c) || c == '.' || c == '_' || c == ':' || c == '-';
    });
    out += ' ';
    if (f.tag.empty())
        return;
    append_masked(out, f.tag, 32, "-", [](char c) {
        return alphanumeric(c) || c == '.' || c == '_' || c == '/' || c == '-';
    });
    if (!f.pid.empty())
    {
        out += '[';
        append_masked(out, f.pid, 32, "-", alphanumeric);
        out += ']';
    }
    out += ": ";
}

void open_sd_element(std::string& out, std::string_view id)
{
    out += '[';
    append_masked(out, id, 32, "_", in_sd_name);
}

void append_sd_param(std::string& out, std::string_view name, std::string_view value)
{
    out += ' ';
    append_masked(out, name, 32, "_", in_sd_name);
    out += "=\"";
    append_clean(out, value, place::structured_data);
    out += '"';
}

void append_structured_data(std::string& out, const std::vector<sd_element>& elements)
{
    const std::size_t start = out.size();
    std::vector<std::string> ids;
    for (const auto& e : elements)
    {
        std::string id;
        append_masked(id, e.id, 32, "_", in_sd_name);
        if (std::find(ids.begin(), ids.end(), id) != ids.end())
            continue;
        open_sd_element(out, e.id);
        for (const auto& [name, value] : e.params)
            append_sd_param(out, name, value);
        out += ']';
        ids.push_back(std::move(id));
    }
    if (out.size() == start)
        out += '-';
}

}  // namespace dtbridge::format
