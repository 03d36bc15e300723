#include "format/clean.hpp"

#include <dtbridge/core/text.hpp>

#include <algorithm>
#include <array>
#include <cstdint>

namespace dtbridge::format
{
namespace
{

using byte_table = std::array<bool, 256>;

/// The bytes that cannot be copied as they are.
constexpr byte_table special_bytes(std::string_view escaped)
{
    byte_table t{};
    for (std::size_t i = 0; i < t.size(); ++i)
        t[i] = i < 0x20 || i >= 0x7f;
    for (char c : escaped)
        t[static_cast<unsigned char>(c)] = true;
    return t;
}

constexpr byte_table cef_header_bytes = special_bytes("\\|");
constexpr byte_table cef_value_bytes = special_bytes("\\=");
constexpr byte_table leef_header_bytes = special_bytes("|");
constexpr byte_table leef_value_bytes =
    special_bytes("|=^#~;!@$%&");  // = for L11, the rest may be the delimiter
constexpr byte_table structured_data_bytes = special_bytes("\\\"]");

const byte_table& bytes_of(place where)
{
    switch (where)
    {
        case place::cef_header:
            return cef_header_bytes;
        case place::cef_value:
            return cef_value_bytes;
        case place::leef_header:
            return leef_header_bytes;
        case place::leef_value:
            return leef_value_bytes;
        case place::structured_data:
            break;
    }
    return structured_data_bytes;
}

bool is_word(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' ||
           c == '.' || c == '-';
}

/// L11: whether what was written so far of a value ends in SPACE and a word, so that '=' would start an
/// attribute.
bool starts_attribute(const std::string& out, std::size_t start)
{
    std::size_t i = out.size();
    while (i > start && is_word(out[i - 1]))
        --i;
    return i < out.size() && i > start && out[i - 1] == ' ';
}

/// What one unit of the input becomes.
struct written
{
    std::string_view bytes;
    std::size_t consumed;
    std::size_t counted;  // towards max_bytes
};

written unit(std::string_view raw,
             std::size_t i,
             place where,
             const clean_options& o,
             const std::string& out,
             std::size_t start)
{
    const auto c = static_cast<unsigned char>(raw[i]);
    std::string_view line_break = where == place::cef_value ? std::string_view("\\n") : std::string_view(" ");
    if (c >= 0x80)
    {
        auto cp = text::decode(raw.substr(i));
        if (cp.value == 0x85 || cp.value == 0x2028 || cp.value == 0x2029)
            return {line_break, cp.size, 1};
        if (cp.value < 0xa0)
            return {" ", cp.size, 1};
        if (!cp.well_formed)
            return {"\xef\xbf\xbd", cp.size, 3};
        return {raw.substr(i, cp.size), cp.size, cp.size};
    }
    if (c == '\r')
        return {line_break, i + 1 < raw.size() && raw[i + 1] == '\n' ? 2u : 1u, 1};
    if (c == '\n')
        return {line_break, 1, 1};
    if (c < 0x20 || c == 0x7f)
        return {" ", 1, 1};
    switch (where)
    {
        case place::cef_header:
            return {c == '\\' ? "\\\\" : "\\|", 1, 1};
        case place::cef_value:
            return {c == '\\' ? "\\\\" : "\\=", 1, 1};
        case place::leef_header:
            return {" ", 1, 1};
        case place::leef_value:
            if (c == '|' || raw[i] == o.delimiter)
                return {" ", 1, 1};
            if (c == '=' && o.mask_equals && starts_attribute(out, start))
                return {":", 1, 1};
            return {raw.substr(i, 1), 1, 1};
        case place::structured_data:
            break;
    }
    return {c == '\\' ? "\\\\" : c == '"' ? "\\\"" : "\\]", 1, 1};
}

}  // namespace

bool append_clean(std::string& out, std::string_view raw, place where, const clean_options& o)
{
    const byte_table& special = bytes_of(where);
    const bool trims = where != place::structured_data;  // T4
    const std::size_t start = out.size();
    std::size_t keep = start;  // end of what was written up to the last character that is no space
    std::size_t counted = 0;
    bool no_room = false;

    for (std::size_t i = 0; i < raw.size();)
    {
        if (trims && out.size() == start && raw[i] == ' ')
        {
            ++i;
            continue;
        }
        std::size_t end = i;
        while (end < raw.size() && !special[static_cast<unsigned char>(raw[end])])
            ++end;
        if (end > i)
        {
            std::size_t length = end - i;
            const std::size_t room = o.room - std::min(o.room, out.size() - start);
            const std::size_t allowed = std::min(o.max_bytes - counted, room);
            const bool cut = length > allowed;
            length = std::min(length, allowed);
            auto run = raw.substr(i, length);
            if (auto last = run.find_last_not_of(' '); last != run.npos)
                keep = out.size() + last + 1;
            out.append(run);
            counted += length;
            i += length;
            if (cut)
            {
                no_room = room < o.max_bytes - (counted - length);
                break;
            }
            continue;
        }
        auto u = unit(raw, i, where, o, out, start);
        i += u.consumed;
        if (trims && out.size() == start && u.bytes == " ")
            continue;
        if (u.counted > o.max_bytes - counted)  // T6: a character that would cross the limit is dropped whole
            break;
        if (u.bytes.size() > o.room - std::min(o.room, out.size() - start))
        {
            no_room = true;
            break;
        }
        out.append(u.bytes);
        counted += u.counted;
        if (u.bytes != " ")
            keep = out.size();
    }
    if (trims)
        out.resize(keep);
    if (where == place::leef_header)
    {
        while (out.size() > start && (out.back() == '\\' || out.back() == ' '))  // L2
            out.pop_back();
    }
    else if (where == place::leef_value && out.size() > start && out.back() == '\\')
    {
        if (out.size() - start < o.room)
        {
            out += ' ';  // L3: keeps the delimiter from being read as escaped
        }
        else
        {
            no_room = true;
            while (out.size() > start && (out.back() == '\\' || out.back() == ' '))
                out.pop_back();
        }
    }
    return no_room;
}

}  // namespace dtbridge::format
