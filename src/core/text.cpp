#include <dtbridge/core/text.hpp>

namespace dtbridge::text
{

namespace
{

constexpr char32_t replacement = 0xFFFD;

unsigned byte_at(std::string_view s, std::size_t i)
{
    return static_cast<unsigned char>(s[i]);
}

char lower_char(char c)
{
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

/// Bytes at the start of s[from..] that are plain ASCII.
std::size_t ascii_run(std::string_view s, std::size_t from)
{
    std::size_t i = from;
    while (i < s.size() && byte_at(s, i) < 0x80)
        ++i;
    return i - from;
}

/// Line breaks, controls and what turns the direction of a terminal's text around.
bool is_unprintable(char32_t c)
{
    return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x2028 || c == 0x2029 ||
           (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

}  // namespace

code_point decode(std::string_view s)
{
    const unsigned lead = byte_at(s, 0);
    if (lead < 0x80)
        return {lead, 1, true};
    // Unicode 15, table 3-7: the second byte is what overlong forms, surrogates and values above U+10FFFF
    // differ in.
    std::size_t size = 0;
    unsigned low = 0x80, high = 0xBF;
    char32_t value = 0;
    if (lead >= 0xC2 && lead <= 0xDF)
    {
        size = 2;
        value = lead & 0x1F;
    }
    else if (lead >= 0xE0 && lead <= 0xEF)
    {
        size = 3;
        value = lead & 0x0F;
        low = lead == 0xE0 ? 0xA0 : 0x80;
        high = lead == 0xED ? 0x9F : 0xBF;
    }
    else if (lead >= 0xF0 && lead <= 0xF4)
    {
        size = 4;
        value = lead & 0x07;
        low = lead == 0xF0 ? 0x90 : 0x80;
        high = lead == 0xF4 ? 0x8F : 0xBF;
    }
    else
        return {replacement, 1, false};
    for (std::size_t i = 1; i < size; ++i)
    {
        if (i >= s.size() || byte_at(s, i) < low || byte_at(s, i) > high)
            return {
                replacement, i, false};  // Unicode 3.9: the maximal subpart ends before the offending byte
        value = (value << 6) | (byte_at(s, i) & 0x3F);
        low = 0x80;
        high = 0xBF;
    }
    return {value, size, true};
}

void append_utf8(std::string& out, char32_t c)
{
    auto put = [&out](char32_t byte) { out += static_cast<char>(static_cast<unsigned char>(byte)); };
    if (c < 0x80)
        put(c);
    else if (c < 0x800)
    {
        put(0xC0 | (c >> 6));
        put(0x80 | (c & 0x3F));
    }
    else if (c < 0x10000)
    {
        put(0xE0 | (c >> 12));
        put(0x80 | ((c >> 6) & 0x3F));
        put(0x80 | (c & 0x3F));
    }
    else
    {
        put(0xF0 | (c >> 18));
        put(0x80 | ((c >> 12) & 0x3F));
        put(0x80 | ((c >> 6) & 0x3F));
        put(0x80 | (c & 0x3F));
    }
}

void append_valid_utf8(std::string& out, std::string_view bytes)
{
    std::size_t i = 0;
    while (i < bytes.size())
    {
        const std::size_t run = ascii_run(bytes, i);
        out.append(bytes, i, run);
        i += run;
        if (i == bytes.size())
            break;
        const code_point c = decode(bytes.substr(i));
        if (c.well_formed)
            out.append(bytes, i, c.size);
        else
            append_utf8(out, replacement);
        i += c.size;
    }
}

std::string to_valid_utf8(std::string_view bytes)
{
    std::string out;
    out.reserve(bytes.size());
    append_valid_utf8(out, bytes);
    return out;
}

bool is_valid_utf8(std::string_view bytes)
{
    std::size_t i = 0;
    while (i < bytes.size())
    {
        i += ascii_run(bytes, i);
        if (i == bytes.size())
            break;
        const code_point c = decode(bytes.substr(i));
        if (!c.well_formed)
            return false;
        i += c.size;
    }
    return true;
}

unsigned first_ill_formed_line(std::string_view text)
{
    unsigned line = 1;
    while (!text.empty())
    {
        const auto c = decode(text);
        if (!c.well_formed)
            break;
        line += c.value == U'\n' ? 1 : 0;
        text.remove_prefix(c.size);
    }
    return line;
}

std::string_view cut(std::string_view s, std::size_t max_bytes)
{
    if (s.size() <= max_bytes)
        return s;
    std::size_t end = max_bytes;
    while (end > 0 && (byte_at(s, end) & 0xC0) == 0x80)
        --end;
    return s.substr(0, end);
}

std::string_view trim(std::string_view s)
{
    const auto first = s.find_first_not_of(' ');
    if (first == s.npos)
        return {};
    return s.substr(first, s.find_last_not_of(' ') - first + 1);
}

std::string_view trim_blank(std::string_view s)
{
    constexpr std::string_view blanks = " \t\r\n";
    const auto first = s.find_first_not_of(blanks);
    if (first == s.npos)
        return {};
    return s.substr(first, s.find_last_not_of(blanks) - first + 1);
}

std::string lower(std::string_view s)
{
    std::string out(s);
    for (char& c : out)
        c = lower_char(c);
    return out;
}

bool iequals(std::string_view a, std::string_view b)
{
    if (a.size() != b.size())
        return false;
    for (std::size_t i = 0; i < a.size(); ++i)
        if (lower_char(a[i]) != lower_char(b[i]))
            return false;
    return true;
}

bool glob_match(std::string_view pattern, std::string_view s)
{
    // Only the last '*' is ever tried again: an earlier one could not reach further than it already did.
    std::size_t p = 0, at = 0;
    std::size_t star = pattern.npos, star_at = 0;
    while (at < s.size())
    {
        if (p < pattern.size() && pattern[p] == '*')
        {
            star = p++;
            star_at = at;
        }
        else if (p < pattern.size() && pattern[p] == '?')
        {
            ++p;
            at += decode(s.substr(at)).size;
        }
        else if (p < pattern.size() && lower_char(pattern[p]) == lower_char(s[at]))
        {
            ++p;
            ++at;
        }
        else if (star != pattern.npos)
        {
            // By code points, so that a '?' behind the star never takes half a character.
            star_at += decode(s.substr(star_at)).size;
            at = star_at;
            p = star + 1;
        }
        else
            return false;
    }
    while (p < pattern.size() && pattern[p] == '*')
        ++p;
    return p == pattern.size();
}

int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

std::optional<std::string> percent_decoded(std::string_view s)
{
    std::string out;
    for (std::size_t i = 0; i < s.size(); ++i)
    {
        if (s[i] != '%')
        {
            out += s[i];
            continue;
        }
        const int high = i + 2 < s.size() ? hex_digit(s[i + 1]) : -1;
        const int low = i + 2 < s.size() ? hex_digit(s[i + 2]) : -1;
        if (high < 0 || low < 0)
            return std::nullopt;
        out += static_cast<char>(high * 16 + low);
        i += 2;
    }
    return out;
}

std::string hex(std::string_view bytes)
{
    constexpr char digits[] = "0123456789abcdef";
    std::string out;
    out.reserve(bytes.size() * 2);
    for (const char c : bytes)
    {
        const auto b = static_cast<unsigned char>(c);
        out += digits[b >> 4];
        out += digits[b & 15];
    }
    return out;
}

void append_quoted(std::string& out, std::string_view s)
{
    static constexpr char digits[] = "0123456789abcdef";
    const auto stays = [](unsigned char b) { return b >= 0x20 && b < 0x7f && b != '"' && b != '\\'; };
    out += '"';
    for (std::size_t i = 0; i < s.size();)
    {
        std::size_t run = i;
        while (run < s.size() && stays(static_cast<unsigned char>(s[run])))
            ++run;
        out.append(s, i, run - i);
        i = run;
        if (i == s.size())
            break;
        const auto b = static_cast<unsigned char>(s[i]);
        if (b == '"' || b == '\\')
        {
            out += '\\';
            out += s[i++];
        }
        else if (b < 0x80)
        {
            out.append("\\u00").append(1, digits[b >> 4]).append(1, digits[b & 15]);
            ++i;
        }
        else
        {
            const code_point c = decode(s.substr(i));
            append_utf8(out, c.well_formed ? c.value : replacement);
            i += c.size;
        }
    }
    out += '"';
}

std::string quoted(std::string_view s)
{
    std::string out;
    out.reserve(s.size() + 2);
    append_quoted(out, s);
    return out;
}

std::string printable(std::string_view s, std::size_t max)
{
    constexpr std::string_view mark = "...";
    std::string out;
    std::size_t safe = 0;  // where out can end so that the mark still fits
    for (std::size_t i = 0; i < s.size();)
    {
        const code_point c = decode(s.substr(i));
        if (c.well_formed && !is_unprintable(c.value))
            out.append(s, i, c.size);
        else
            for (std::size_t k = 0; k < c.size; ++k)
                out.append("\\x").append(hex(s.substr(i + k, 1)));
        i += c.size;
        if (out.size() > max)
        {
            out.resize(safe);
            return max < mark.size() ? std::string() : out.append(mark);
        }
        if (out.size() + mark.size() <= max)
            safe = out.size();
    }
    return out;
}

}  // namespace dtbridge::text
