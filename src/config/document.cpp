#include "config/document.hpp"

#include <array>
#include <charconv>

namespace dtbridge::config
{

toml::document parse_toml(std::string_view text)
{
    auto parsed = toml::parse(text);
    if (parsed.error.what == toml::fault::dots)
        parsed.error.message += ": no key of dtbridge has more than two";
    return parsed;
}

std::string plain_text(const node& n)
{
    if (n.type == node::kind::integer)
        return std::to_string(n.integer);
    if (n.type != node::kind::number)
        return n.text;
    double value = 0;
    std::from_chars(n.text.data(), n.text.data() + n.text.size(), value);
    if (value != value)
        return "nan";
    std::array<char, 400> buffer;
    auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::fixed);
    return end.ec == std::errc{} ? std::string(buffer.data(), end.ptr) : "inf";
}

}  // namespace dtbridge::config
