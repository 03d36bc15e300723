#include "format/json_text.hpp"

#include <dtbridge/core/decimal.hpp>
#include <dtbridge/core/text.hpp>

#include <algorithm>
#include <array>

namespace dtbridge::format
{
namespace
{

constexpr std::array<bool, 256> special_bytes()
{
    std::array<bool, 256> t{};
    for (std::size_t i = 0; i < t.size(); ++i)
        t[i] = i < 0x20 || i >= 0x7f || i == '"' || i == '\\';
    return t;
}
constexpr auto special = special_bytes();

struct escape
{
    char bytes[7];
    std::size_t size;
};

escape u_escape(char32_t c)
{
    constexpr char digits[] = "0123456789abcdef";
    return {
        {'\\', 'u', digits[(c >> 12) & 15], digits[(c >> 8) & 15], digits[(c >> 4) & 15], digits[c & 15], 0},
        6};
}

escape short_escape(char c)
{
    return {{'\\', c, 0, 0, 0, 0, 0}, 2};
}

escape ascii_escape(char c)
{
    switch (c)
    {
        case '"':
        case '\\':
            return short_escape(c);
        case '\b':
            return short_escape('b');
        case '\f':
            return short_escape('f');
        case '\n':
            return short_escape('n');
        case '\r':
            return short_escape('r');
        case '\t':
            return short_escape('t');
        default:
            return u_escape(static_cast<unsigned char>(c));
    }
}

}  // namespace

bool append_json_string(sink& out, std::string_view s, nul n, std::size_t room)
{
    if (s.size() <= room && is_plain(s))
    {
        char* to = out.room(s.size() + 2);
        to[0] = '"';
        if (!s.empty())
            std::memcpy(to + 1, s.data(), s.size());
        to[s.size() + 1] = '"';
        out.advance(s.size() + 2);
        return false;
    }
    out += '"';
    const std::size_t start = out.size();
    bool cut = false;
    for (std::size_t i = 0; i < s.size();)
    {
        std::size_t end = i;
        while (end + 8 <= s.size() && !detail::has_special(detail::eight(s.data() + end)))
            end += 8;
        while (end < s.size() && !special[static_cast<unsigned char>(s[end])])
            ++end;
        const std::size_t left = room - std::min(room, out.size() - start);
        if (end > i)
        {
            out += s.substr(i, std::min(end - i, left));
            cut = end - i > left;
            if (cut)
                break;
            i = end;
            continue;
        }
        std::string_view bytes;
        escape e{};
        std::size_t consumed = 1;
        if (static_cast<unsigned char>(s[i]) >= 0x80)
        {
            auto cp = text::decode(s.substr(i));
            consumed = cp.size;
            if (!cp.well_formed)
                bytes = "\xef\xbf\xbd";
            else if (cp.value < 0xa0 || cp.value == 0x2028 || cp.value == 0x2029)
                e = u_escape(cp.value);
            else
                bytes = s.substr(i, cp.size);
        }
        else if (s[i] == '\0' && n == nul::replaced)
            bytes = "\xef\xbf\xbd";
        else
            e = ascii_escape(s[i]);
        if (bytes.empty())
            bytes = std::string_view(e.bytes, e.size);
        if (bytes.size() > left)
        {
            cut = true;
            break;
        }
        out += bytes;
        i += consumed;
    }
    out += '"';
    return cut;
}

void append_json_number(sink& out, std::string_view text)
{
    auto d = text.find_first_of(".eE") == text.npos ? std::nullopt : decimal::parse(text);
    if (d)
        out += std::string_view(d->text());
    else
        out += text;
}

}  // namespace dtbridge::format
