#include "readers.hpp"

#include <boost/test/unit_test.hpp>

#include <fstream>
#include <iterator>
#include <stdexcept>

#include "fuzz/decoders.hpp"

namespace dtbridge::format_test
{
namespace
{

bool is_key_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

[[noreturn]] void refuse(const std::string& why, std::string_view text)
{
    throw std::runtime_error(why + " in: " + std::string(text.substr(0, 300)));
}

/// Decoded code points of well-formed UTF-8; throws otherwise.
std::vector<char32_t> code_points(std::string_view s)
{
    std::vector<char32_t> out;
    for (std::size_t i = 0; i < s.size();)
    {
        const auto lead = static_cast<unsigned char>(s[i]);
        std::size_t n = lead < 0x80                   ? 1
                        : lead >= 0xc2 && lead < 0xe0 ? 2
                        : (lead & 0xf0) == 0xe0       ? 3
                        : (lead & 0xf8) == 0xf0       ? 4
                                                      : 0;
        if (n == 0 || i + n > s.size())
            refuse("ill-formed UTF-8", s);
        char32_t c = n == 1 ? lead : static_cast<char32_t>(lead & (0x7f >> n));
        for (std::size_t k = 1; k < n; ++k)
        {
            const auto b = static_cast<unsigned char>(s[i + k]);
            if ((b & 0xc0) != 0x80)
                refuse("ill-formed UTF-8", s);
            c = (c << 6) | (b & 0x3fu);
        }
        if ((n == 3 && c < 0x800) || (n == 4 && (c < 0x10000 || c > 0x10ffff)) || (c >= 0xd800 && c < 0xe000))
            refuse("ill-formed UTF-8", s);
        out.push_back(c);
        i += n;
    }
    return out;
}

void append(std::string& out, char32_t c)
{
    auto tail = [&](int shift) { out += static_cast<char>(0x80 | ((c >> shift) & 0x3f)); };
    if (c < 0x80)
        out += static_cast<char>(c);
    else if (c < 0x800)
        out += static_cast<char>(0xc0 | (c >> 6)), tail(0);
    else if (c < 0x10000)
        out += static_cast<char>(0xe0 | (c >> 12)), tail(6), tail(0);
    else
        out += static_cast<char>(0xf0 | (c >> 18)), tail(12), tail(6), tail(0);
}

}  // namespace

bool read_event::has(std::string_view key) const
{
    for (const auto& [k, v] : pairs)
    {
        if (k == key)
            return true;
    }
    return false;
}

const std::string& read_event::at(std::string_view key) const
{
    for (const auto& [k, v] : pairs)
    {
        if (k == key)
            return v;
    }
    throw std::runtime_error("no key " + std::string(key));
}

read_event read_cef(std::string_view text)
{
    read_event e;
    std::size_t i = 0;
    std::string field;
    while (e.header.size() < 7)
    {
        if (i >= text.size())
            refuse("fewer than seven pipes", text);
        const char c = text[i++];
        if (c == '\\')
        {
            if (i >= text.size() || (text[i] != '\\' && text[i] != '|'))
                refuse("bad escape in the header", text);
            field += text[i++];
        }
        else if (c == '|')
        {
            e.header.push_back(field);
            field.clear();
        }
        else
            field += c;
    }
    // The extension: a key is the word before an equals sign that is not escaped.
    std::string_view rest = text.substr(i);
    if (rest.empty())
        return e;
    std::vector<std::pair<std::size_t, std::size_t>> keys;  // where it starts, where its '=' is
    for (std::size_t k = 0; k < rest.size(); ++k)
    {
        if (rest[k] == '\\')
        {
            if (k + 1 >= rest.size() || std::string_view("\\=nr").find(rest[k + 1]) == std::string_view::npos)
                refuse("bad escape in the extension", text);
            ++k;
        }
        else if (rest[k] == '=')
        {
            std::size_t start = k;
            while (start > 0 && is_key_char(rest[start - 1]))
                --start;
            if (start == k || (start > 0 && rest[start - 1] != ' '))
                refuse("an equals sign without a key", text);
            keys.emplace_back(start, k);
        }
    }
    if (keys.empty() || keys.front().first != 0)
        refuse("the extension does not start with a key", text);
    for (std::size_t k = 0; k < keys.size(); ++k)
    {
        const std::size_t from = keys[k].second + 1;
        const std::size_t to = k + 1 < keys.size() ? keys[k + 1].first - 1 : rest.size();
        if (to <= from)
            refuse("an empty value", text);
        std::string value;
        for (std::size_t at = from; at < to; ++at)
        {
            if (rest[at] != '\\')
                value += rest[at];
            else
            {
                ++at;
                value += rest[at] == 'n' ? '\n' : rest[at] == 'r' ? '\r' : rest[at];
            }
        }
        if (value.front() == ' ' || value.back() == ' ')
            refuse("outer spaces in a value", text);
        std::string key(rest.substr(keys[k].first, keys[k].second - keys[k].first));
        if (e.has(key))
            refuse("the key " + key + " twice", text);
        e.pairs.emplace_back(std::move(key), std::move(value));
    }
    return e;
}

read_event read_leef(std::string_view text)
{
    read_event e;
    const std::size_t fields = text.starts_with("LEEF:1.0|") ? 5 : 6;
    while (e.header.size() < fields)
    {
        auto pipe = text.find('|');
        if (pipe == text.npos)
            refuse("too few pipes", text);
        e.header.emplace_back(text.substr(0, pipe));
        text.remove_prefix(pipe + 1);
    }
    if (text.find('|') != text.npos)
        refuse("a pipe in the attributes", text);
    char delimiter = '\t';
    if (fields == 6)
    {
        const auto& d = e.header.back();
        if (d == "x09")
            delimiter = '\t';
        else if (d.size() == 1)
            delimiter = d.front();
        else
            refuse("bad delimiter field", text);
    }
    while (!text.empty())
    {
        auto end = text.find(delimiter);
        auto attribute = text.substr(0, end);
        auto equals = attribute.find('=');
        if (equals == attribute.npos || equals == 0 || equals + 1 == attribute.size())
            refuse("an attribute without key or value", text);
        std::string key(attribute.substr(0, equals));
        for (char c : key)
        {
            if (!is_key_char(c))
                refuse("a bad key", text);
        }
        if (e.has(key))
            refuse("the key " + key + " twice", text);
        e.pairs.emplace_back(std::move(key), attribute.substr(equals + 1));
        if (end == text.npos)
            break;
        text.remove_prefix(end + 1);
        if (text.empty())
            refuse("a delimiter at the end", text);
    }
    return e;
}

void require_one_line(std::string_view message, bool tab)
{
    if (!fuzz::is_one_line(message, tab))
        refuse("ill-formed UTF-8 or a control character", message);
}

std::string cleaned(std::string_view utf8, std::string_view line_break)
{
    std::string out;
    auto all = code_points(utf8);
    for (std::size_t i = 0; i < all.size(); ++i)
    {
        const char32_t c = all[i];
        if (c == '\r' && i + 1 < all.size() && all[i + 1] == '\n')
            continue;
        if (c == '\r' || c == '\n' || c == 0x85 || c == 0x2028 || c == 0x2029)
            out += line_break;
        else if (c < 0x20 || (c >= 0x7f && c < 0xa0))
            out += ' ';
        else
            append(out, c);
    }
    auto first = out.find_first_not_of(' ');
    if (first == out.npos)
        return {};
    return out.substr(first, out.find_last_not_of(' ') - first + 1);
}

std::string cut_to(std::string_view utf8, std::size_t bytes)
{
    std::string out;
    for (char32_t c : code_points(utf8))
    {
        std::string one;
        append(one, c);
        if (out.size() + one.size() > bytes)
            break;
        out += one;
    }
    while (!out.empty() && out.back() == ' ')
        out.pop_back();
    return out;
}

std::string file_text(const std::string& path)
{
    std::ifstream file(path, std::ios::binary);
    BOOST_TEST_REQUIRE(file.good(), "cannot read " << path);
    return std::string(std::istreambuf_iterator<char>(file), {});
}

std::vector<std::string> elements_of(const std::string& file_name)
{
    std::vector<std::string> elements;
    std::string text = file_text(std::string(DTBRIDGE_TEST_DATA) + '/' + file_name);
    for (std::size_t at = 0; at < text.size();)
    {
        auto end = std::min(text.find('\n', at), text.size());
        std::string line = text.substr(at, end - at);
        at = end + 1;
        auto first = line.find_first_not_of(" \r");
        if (first == line.npos || line == "[" || line == "]")
            continue;
        line = line.substr(first, line.find_last_not_of(" ,\r") - first + 1);
        elements.push_back(std::move(line));
    }
    return elements;
}

std::unique_ptr<breach> read_breach(std::string_view element)
{
    auto b = std::make_unique<breach>();
    auto read = b->read(element);
    BOOST_TEST_REQUIRE(read.has_value(), "not read: " << element);
    return b;
}

format::master_info acme()
{
    return {"acme", "https://dt.acme.example", "", {{"tenant", "acme"}}};
}

format::formatter formatter_of(const format::options& o)
{
    return format::formatter(o, format::field_map(), "bridge.example");
}

std::string message_of(format::formatter& f, const breach& b, const rules::decision& said)
{
    std::string out;
    BOOST_TEST_REQUIRE((f.message(b, acme(), said, out) != format::verdict::undeliverable));
    return out;
}

}  // namespace dtbridge::format_test
