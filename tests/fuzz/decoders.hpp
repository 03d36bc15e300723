#pragma once

/// Readers of the three formats and of the syslog header for the fuzz targets: written from the formats' own
/// definitions, sharing nothing with the encoders. Each answers nothing for what is not valid.

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
            if (i == text.size() || (text[i] != '\\' && text[i] != '=' && text[i] != 'n' && text[i] != 'r'))
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
                value += text[++i] == 'n' ? '\n' : text[i] == 'r' ? '\r' : text[i];
            else
                value += text[i];
        }
        out.emplace(out.begin(), std::string(text.substr(begin, equals[n] - begin)), std::move(value));
        end = begin == 0 ? 0 : begin - 1;
    }
    return out;
}

/// CEF:0|vendor|product|version|class|name|severity|extension
inline std::optional<decoded> decode_cef(std::string_view text)
{
    if (!text.starts_with("CEF:0|"))
        return std::nullopt;
    decoded out;
    auto header = cef_header(text, 7);
    if (!header)
        return std::nullopt;
    auto values = cef_extension(text);
    if (!values)
        return std::nullopt;
    out.header = std::move(*header);
    out.values = std::move(*values);
    return out;
}

/// LEEF:2.0|vendor|product|version|event|^|key=value^key=value; nothing is escaped.
inline std::optional<decoded> decode_leef(std::string_view text)
{
    if (!text.starts_with("LEEF:2.0|"))
        return std::nullopt;
    decoded out;
    for (int i = 0; i < 6; ++i)
    {
        const auto pipe = text.find('|');
        if (pipe == std::string_view::npos)
            return std::nullopt;
        out.header.emplace_back(text.substr(0, pipe));
        text.remove_prefix(pipe + 1);
    }
    if (out.header[5] != "^")
        return std::nullopt;
    while (!text.empty())
    {
        const auto end = text.find('^');
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

}  // namespace dtbridge::fuzz
