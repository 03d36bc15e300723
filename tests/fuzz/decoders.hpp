#pragma once

/// Readers of the three formats and of the syslog header for the fuzz targets, and what the text rules make
/// of a string: written from the formats' own definitions, sharing nothing with the encoders. Each reader
/// answers nothing for what is not valid.

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dtbridge::fuzz
{

using pairs = std::vector<std::pair<std::string, std::string>>;

struct decoded
{
    std::vector<std::string> header;
    pairs values;  ///< in order

    const std::string* find(std::string_view key) const
    {
        for (const auto& [k, v] : values)
        {
            if (k == key)
                return &v;
        }
        return nullptr;
    }
};

inline bool is_alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/// n fields, each ended by an unescaped pipe; `\\` and `\|` are the only escapes (CEF standard, "Character
/// Encoding").
inline std::optional<std::vector<std::string>> cef_header(std::string_view& text, std::size_t n)
{
    std::vector<std::string> out(1);
    std::size_t at = 0;
    for (; at < text.size() && out.size() <= n; ++at)
    {
        if (text[at] == '\\')
        {
            if (++at == text.size() || (text[at] != '\\' && text[at] != '|'))
                return std::nullopt;
            out.back() += text[at];
        }
        else if (text[at] == '|')
            out.emplace_back();
        else
            out.back() += text[at];
    }
    if (out.size() != n + 1)
        return std::nullopt;
    out.pop_back();
    text.remove_prefix(at);
    return out;
}

/// key=value pairs, one space between; in a value `\\`, `\=` and `\n` are the only escapes and every other
/// "=" would begin a pair.
inline std::optional<pairs> cef_extension(std::string_view text)
{
    pairs out;
    std::string raw;  // of the pair being read, escapes kept as two characters
    std::vector<std::size_t> equals;
    for (std::size_t i = 0; i < text.size(); ++i)
    {
        if (text[i] == '\\')
        {
            ++i;
            if (i == text.size() || (text[i] != '\\' && text[i] != '=' && text[i] != 'n'))
                return std::nullopt;
        }
        else if (text[i] == '=')
            equals.push_back(i);
    }
    if (equals.empty())
        return text.empty() ? std::optional(out) : std::nullopt;
    std::size_t end = text.size();
    for (std::size_t n = equals.size(); n-- > 0;)
    {
        std::size_t begin = equals[n];
        while (begin > 0 && is_alphanumeric(text[begin - 1]))
            --begin;
        if (begin == equals[n] || (begin == 0) != (n == 0) || (begin > 0 && text[begin - 1] != ' '))
            return std::nullopt;
        std::string value;
        for (std::size_t i = equals[n] + 1; i < end; ++i)
        {
            if (text[i] == '\\')
                value += text[++i] == 'n' ? '\n' : text[i];
            else
                value += text[i];
        }
        out.emplace(out.begin(), std::string(text.substr(begin, equals[n] - begin)), std::move(value));
        end = begin == 0 ? 0 : begin - 1;
    }
    return out;
}

/// CEF:0|vendor|product|version|class|name|severity|extension, or CEF:1; then a space may follow the header.
inline std::optional<decoded> decode_cef(std::string_view text, int version = 0, bool space = false)
{
    if (!text.starts_with(version == 0 ? "CEF:0|" : "CEF:1|"))
        return std::nullopt;
    decoded out;
    auto header = cef_header(text, 7);
    if (!header || (space && !text.starts_with(' ')))
        return std::nullopt;
    auto values = cef_extension(text.substr(space ? 1 : 0));
    if (!values)
        return std::nullopt;
    out.header = std::move(*header);
    out.values = std::move(*values);
    return out;
}

/// How a destination has LEEF (formats.md 3).
struct leef_style
{
    bool first = false;     ///< LEEF 1.0: TAB, which the header does not name
    char delimiter = '^';   ///< of 2.0
    bool no_words = false;  ///< L11: no ` word=` inside a value

    char between() const { return first ? '\t' : delimiter; }
    std::string named() const { return delimiter == '\t' ? "x09" : std::string(1, delimiter); }
};

/// LEEF:2.0|vendor|product|version|event|^|key=value^key=value; nothing is escaped.
inline std::optional<decoded> decode_leef(std::string_view text, const leef_style& style = {})
{
    if (!text.starts_with(style.first ? "LEEF:1.0|" : "LEEF:2.0|"))
        return std::nullopt;
    decoded out;
    for (int i = 0; i < (style.first ? 5 : 6); ++i)
    {
        const auto pipe = text.find('|');
        if (pipe == std::string_view::npos || text.substr(0, pipe).find('\t') != std::string_view::npos)
            return std::nullopt;
        out.header.emplace_back(text.substr(0, pipe));
        text.remove_prefix(pipe + 1);
    }
    if ((!style.first && out.header[5] != style.named()) || text.find('|') != std::string_view::npos)
        return std::nullopt;
    while (!text.empty())
    {
        const auto end = text.find(style.between());
        const auto pair = text.substr(0, end);
        const auto equals = pair.find('=');
        if (equals == std::string_view::npos || equals == 0)
            return std::nullopt;
        for (const char c : pair.substr(0, equals))
        {
            if (!is_alphanumeric(c))
                return std::nullopt;
        }
        out.values.emplace_back(pair.substr(0, equals), pair.substr(equals + 1));
        if (end == std::string_view::npos)
            break;
        text.remove_prefix(end + 1);
        if (text.empty())
            return std::nullopt;  // nothing behind the last delimiter
    }
    return out;
}

struct syslog_message
{
    std::string host, body;
};

inline std::optional<std::string> word(std::string_view& text)
{
    const auto blank = text.find(' ');
    if (blank == std::string_view::npos || blank == 0)
        return std::nullopt;
    std::string out(text.substr(0, blank));
    for (const char c : out)
    {
        if (c < '!' || c > '~')
            return std::nullopt;
    }
    text.remove_prefix(blank + 1);
    return out;
}

inline bool priority(std::string_view& text)
{
    const auto end = text.find('>');
    unsigned number = 0;
    if (!text.starts_with('<') || end == std::string_view::npos || end < 2 || end > 4)
        return false;
    const auto digits = text.substr(1, end - 1);
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    text.remove_prefix(end + 1);
    return read.ec == std::errc() && read.ptr == digits.data() + digits.size() && number <= 191;
}

/// RFC 5424 6: nil or elements [id name="value" ..] with the escapes of 6.3.3.
inline bool structured_data(std::string_view& text)
{
    if (text.starts_with("- "))
    {
        text.remove_prefix(2);
        return true;
    }
    std::size_t at = 0;
    while (at < text.size() && text[at] == '[')
    {
        bool quoted = false;
        for (++at; at < text.size() && (quoted || text[at] != ']'); ++at)
        {
            if (text[at] == '"')
                quoted = !quoted;
            else if (quoted && text[at] == '\\')
                ++at;
            else if (quoted && text[at] == ']')
                return false;
        }
        if (at >= text.size())
            return false;
        ++at;
    }
    if (at == 0 || at >= text.size() || text[at] != ' ')
        return false;
    text.remove_prefix(at + 1);
    return true;
}

/// <PRI>1 TIME HOST APP PROCID MSGID SD BODY
inline std::optional<syslog_message> decode_rfc5424(std::string_view text)
{
    syslog_message out;
    if (!priority(text) || !text.starts_with("1 "))
        return std::nullopt;
    text.remove_prefix(2);
    const auto time = word(text);
    const auto host = word(text);
    const auto app = word(text);
    const auto process = word(text);
    const auto id = word(text);
    if (!time || !host || !app || !process || !id || !structured_data(text))
        return std::nullopt;
    out.host = *host;
    out.body = text;
    return out;
}

/// <PRI>Mmm dd hh:mm:ss HOST BODY
inline std::optional<syslog_message> decode_rfc3164(std::string_view text)
{
    syslog_message out;
    if (!priority(text) || text.size() < 17 || text[3] != ' ' || text[6] != ' ' || text[9] != ':' ||
        text[12] != ':' || text[15] != ' ')
        return std::nullopt;
    text.remove_prefix(16);
    const auto host = word(text);
    if (!host)
        return std::nullopt;
    out.host = *host;
    out.body = text;
    return out;
}

/// One character at the start of s (not empty), by table 3-7 of the Unicode standard; the maximal subpart of
/// an ill-formed sequence is one U+FFFD.
struct character
{
    char32_t value;
    std::size_t size;
};

inline character first_character(std::string_view s)
{
    struct row
    {
        unsigned lead_from, lead_to, second_from, second_to;
        std::size_t size;
    };
    static constexpr row table[] = {
        {0x00, 0x7F, 0, 0, 1},
        {0xC2, 0xDF, 0x80, 0xBF, 2},
        {0xE0, 0xE0, 0xA0, 0xBF, 3},
        {0xE1, 0xEC, 0x80, 0xBF, 3},
        {0xED, 0xED, 0x80, 0x9F, 3},
        {0xEE, 0xEF, 0x80, 0xBF, 3},
        {0xF0, 0xF0, 0x90, 0xBF, 4},
        {0xF1, 0xF3, 0x80, 0xBF, 4},
        {0xF4, 0xF4, 0x80, 0x8F, 4},
    };
    const auto byte = [&](std::size_t i) { return static_cast<unsigned>(static_cast<unsigned char>(s[i])); };
    for (const row& r : table)
    {
        if (byte(0) < r.lead_from || byte(0) > r.lead_to)
            continue;
        char32_t value = r.size == 1 ? byte(0) : byte(0) & (0xFFu >> (r.size + 1));
        for (std::size_t i = 1; i < r.size; ++i)
        {
            const unsigned from = i == 1 ? r.second_from : 0x80, to = i == 1 ? r.second_to : 0xBF;
            if (i == s.size() || byte(i) < from || byte(i) > to)
                return {0xFFFD, i};
            value = value * 64 + (byte(i) - 0x80);
        }
        return {value, r.size};
    }
    return {0xFFFD, 1};
}

inline std::string utf8_of(char32_t c)
{
    const auto tail = [c](int shift) { return static_cast<char>(0x80 + ((c >> shift) & 63)); };
    if (c < 0x80)
        return {static_cast<char>(c)};
    if (c < 0x800)
        return {static_cast<char>(0xC0 + (c >> 6)), tail(0)};
    if (c < 0x10000)
        return {static_cast<char>(0xE0 + (c >> 12)), tail(6), tail(0)};
    return {static_cast<char>(0xF0 + (c >> 18)), tail(12), tail(6), tail(0)};
}

/// T1: ill-formed sequences become U+FFFD; with nul U+0000 too, as JSON has it (product.md 6).
inline std::string repaired(std::string_view s, bool nul)
{
    std::string out;
    while (!s.empty())
    {
        const auto c = first_character(s);
        out += utf8_of(nul && c.value == 0 ? char32_t{0xFFFD} : c.value);
        s.remove_prefix(c.size);
    }
    return out;
}

/// What may stand on the wire (formats.md 1, J2): UTF-8 without line breaks of any kind, C0, DEL and C1. tab:
/// LEEF that is delimited by it.
inline bool is_one_line(std::string_view s, bool tab = false)
{
    if (repaired(s, false) != s)
        return false;
    while (!s.empty())
    {
        const auto c = first_character(s);
        const bool control = c.value < 0x20 || (c.value >= 0x7F && c.value <= 0x9F);
        if ((control && !(tab && c.value == '\t')) || c.value == 0x2028 || c.value == 0x2029)
            return false;
        s.remove_prefix(c.size);
    }
    return true;
}

/// L11: "=" behind SPACE and a word becomes ":".
inline std::string without_words(std::string s)
{
    const auto of_word = [](char c) { return is_alphanumeric(c) || c == '_' || c == '.' || c == '-'; };
    for (std::size_t i = 0, word = 0; i < s.size(); ++i)
    {
        if (s[i] == '=' && word > 0 && word < i && s[i - word - 1] == ' ')
            s[i] = ':';
        word = of_word(s[i]) ? word + 1 : 0;
    }
    return s;
}

enum class place { cef_header, cef_value, leef_header, leef_value };

/// What a reader gets of a string of event data, by T1 to T6, L2, L3 and L11; "" is not sent at all. at_most:
/// bytes before escaping, 0 for no limit.
inline std::string sent_text(std::string_view raw,
                             place where,
                             std::size_t at_most,
                             const leef_style& style = {})
{
    const bool leef = where == place::leef_header || where == place::leef_value;
    std::vector<std::string> characters;
    while (!raw.empty())
    {
        const auto c = first_character(raw);
        const bool crlf = raw.substr(0, 2) == "\r\n";
        raw.remove_prefix(crlf ? 2 : c.size);
        const bool breaks =
            c.value == '\n' || c.value == '\r' || c.value == 0x85 || c.value == 0x2028 || c.value == 0x2029;
        const bool control = c.value < 0x20 || (c.value >= 0x7F && c.value <= 0x9F);
        if (breaks && where == place::cef_value)
            characters.emplace_back("\n");
        else if (breaks || control || (leef && c.value == '|') ||
                 (where == place::leef_value && c.value == static_cast<unsigned char>(style.between())))
            characters.emplace_back(" ");
        else
            characters.push_back(utf8_of(c.value));
    }
    std::size_t begin = 0, size = 0;
    while (begin < characters.size() && characters[begin] == " ")
        ++begin;
    std::string out;
    for (std::size_t i = begin; i < characters.size(); ++i)
    {
        size += characters[i].size();
        if (at_most != 0 && size > at_most)
            break;
        out += characters[i];
    }
    if (where == place::leef_value && style.no_words)
        out = without_words(std::move(out));
    const std::string_view unwanted = where == place::leef_header ? " \\" : " ";
    while (!out.empty() && unwanted.find(out.back()) != std::string_view::npos)
        out.pop_back();
    if (where == place::leef_value && !out.empty() && out.back() == '\\')
        out += ' ';
    return out;
}

}  // namespace dtbridge::fuzz
