#include "json_text.hpp"

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <cmath>

#include "dates.hpp"

namespace simulator::json_text
{

namespace
{

constexpr std::size_t npos = std::string_view::npos;

std::size_t string_end(std::string_view text, std::size_t pos)
{
    pos = text.find_first_of("\"\\", pos + 1);
    while (pos != npos && text[pos] == '\\')
        pos = text.find_first_of("\"\\", pos + 2);
    return pos == npos ? npos : pos + 1;
}

bool ends_scalar(char c)
{
    return c == ',' || c == '}' || c == ']' || c == ':' || c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

std::string_view unquoted(std::string_view value)
{
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"')
        return value.substr(1, value.size() - 2);
    return value;
}

bool is_time_key(std::string_view key)
{
    return key == "time" || key == "creationTime" || key == "timems" || key == "firstSeen" ||
           key == "lastSeen";
}

}  // namespace

std::size_t skip_blanks(std::string_view text, std::size_t pos)
{
    auto found = text.find_first_not_of(" \t\r\n", pos);
    return found == npos ? text.size() : found;
}

std::size_t value_end(std::string_view text, std::size_t pos)
{
    pos = skip_blanks(text, pos);
    if (pos >= text.size())
        return npos;
    if (text[pos] == '"')
        return string_end(text, pos);
    if (text[pos] != '{' && text[pos] != '[')
    {
        auto end = pos;
        while (end < text.size() && !ends_scalar(text[end]))
            ++end;
        return end == pos ? npos : end;
    }
    std::size_t depth = 0;
    while (pos < text.size())
    {
        char c = text[pos];
        if (c == '"')
        {
            pos = string_end(text, pos);
            if (pos == npos)
                return npos;
            continue;
        }
        if (c == '{' || c == '[')
            ++depth;
        else if (c == '}' || c == ']')
            if (--depth == 0)
                return pos + 1;
        ++pos;
    }
    return npos;
}

std::optional<std::vector<member>> members(std::string_view object)
{
    auto pos = skip_blanks(object, 0);
    if (pos >= object.size() || object[pos] != '{')
        return std::nullopt;
    std::vector<member> all;
    ++pos;
    while (true)
    {
        pos = skip_blanks(object, pos);
        if (pos >= object.size())
            return std::nullopt;
        if (object[pos] == '}')
            return all;
        if (object[pos] == ',')
        {
            ++pos;
            continue;
        }
        if (object[pos] != '"')
            return std::nullopt;
        auto key_end = string_end(object, pos);
        if (key_end == npos)
            return std::nullopt;
        auto key = object.substr(pos + 1, key_end - pos - 2);
        pos = skip_blanks(object, key_end);
        if (pos >= object.size() || object[pos] != ':')
            return std::nullopt;
        pos = skip_blanks(object, pos + 1);
        auto end = value_end(object, pos);
        if (end == npos)
            return std::nullopt;
        all.push_back({key, object.substr(pos, end - pos)});
        pos = end;
    }
}

std::optional<std::vector<std::string_view>> elements(std::string_view array)
{
    auto pos = skip_blanks(array, 0);
    if (pos >= array.size() || array[pos] != '[')
        return std::nullopt;
    std::vector<std::string_view> all;
    ++pos;
    while (true)
    {
        pos = skip_blanks(array, pos);
        if (pos >= array.size())
            return std::nullopt;
        if (array[pos] == ']')
            return all;
        if (array[pos] == ',')
        {
            ++pos;
            continue;
        }
        auto end = value_end(array, pos);
        if (end == npos)
            return std::nullopt;
        all.push_back(array.substr(pos, end - pos));
        pos = end;
    }
}

std::vector<std::string_view> values(std::string_view text)
{
    std::vector<std::string_view> all;
    if (text.starts_with("\xEF\xBB\xBF"))
        text.remove_prefix(3);
    std::size_t pos = 0;
    while (true)
    {
        pos = skip_blanks(text, pos);
        if (pos < text.size() && text[pos] == ',')
        {
            ++pos;
            continue;
        }
        auto end = value_end(text, pos);
        if (end == npos)
            return all;
        auto value = text.substr(pos, end - pos);
        if (auto inner = elements(value))
            all.insert(all.end(), inner->begin(), inner->end());
        else
            all.push_back(value);
        pos = end;
    }
}

std::string_view find(std::string_view object, std::string_view key)
{
    if (auto all = members(object))
        for (const auto& m : *all)
            if (m.key == key)
                return m.value;
    return {};
}

std::optional<double> number(std::string_view value)
{
    value = unquoted(value);
    double d = 0;
    auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), d);
    if (error != std::errc{} || end != value.data() + value.size() || !std::isfinite(d))
        return std::nullopt;
    return d;
}

std::optional<std::int64_t> integer(std::string_view value)
{
    value = unquoted(value);
    std::int64_t i = 0;
    auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), i);
    if (error == std::errc{} && end == value.data() + value.size())
        return i;
    // 12.0 and 9.1e5 are integral too; only where a double is exact.
    auto d = number(value);
    if (d && std::trunc(*d) == *d && std::abs(*d) < 9.0e15)
        return static_cast<std::int64_t>(*d);
    return std::nullopt;
}

std::string string(std::string_view value)
{
    if (value.size() < 2 || value.front() != '"')
        return {};
    boost::json::error_code ec;
    auto parsed = boost::json::parse(boost::json::string_view(value.data(), value.size()), ec);
    if (!ec && parsed.is_string())
        return std::string(parsed.as_string().data(), parsed.as_string().size());
    return std::string(unquoted(value));
}

std::string quoted(std::string_view text)
{
    return boost::json::serialize(boost::json::value(boost::json::string(text.data(), text.size())));
}

std::string shift_times(std::string_view text, std::int64_t delta)
{
    if (delta == 0)
        return std::string(text);
    std::string out;
    out.reserve(text.size() + 32);
    std::size_t pos = 0;
    std::size_t copied = 0;
    while ((pos = text.find('"', pos)) != npos)
    {
        auto end = string_end(text, pos);
        if (end == npos)
            break;
        auto key = text.substr(pos + 1, end - pos - 2);
        pos = end;
        auto colon = skip_blanks(text, end);
        if (colon >= text.size() || text[colon] != ':' || !is_time_key(key))
            continue;
        auto start = skip_blanks(text, colon + 1);
        if (start >= text.size() || text[start] == '{' || text[start] == '[')
            continue;
        auto stop = value_end(text, start);
        if (stop == npos)
            break;
        auto value = text.substr(start, stop - start);
        pos = stop;
        std::string changed;
        if (auto ms = integer(value); ms && plausible(*ms))
        {
            changed = std::to_string(*ms + delta);
            if (value.ends_with(".0"))
                changed += ".0";
            if (value.front() == '"')
                changed = '"' + changed + '"';
        }
        else if (value.size() == 21 && value.front() == '"')
        {
            if (auto at = parse_text_time(value.substr(1, 19)))
                changed = '"' + sql_time(*at + delta) + '"';
        }
        if (changed.empty())
            continue;
        out.append(text.substr(copied, start - copied));
        out.append(changed);
        copied = stop;
    }
    out.append(text.substr(copied));
    return out;
}

object::object(std::string_view text)
{
    if (auto all = members(text))
    {
        valid_ = true;
        for (const auto& m : *all)
            members_.emplace_back(m.key, m.value);
    }
}

std::size_t object::index(std::string_view key) const
{
    auto found =
        std::find_if(members_.begin(), members_.end(), [&](const auto& m) { return m.first == key; });
    return found == members_.end() ? npos : static_cast<std::size_t>(found - members_.begin());
}

std::string_view object::get(std::string_view key) const
{
    auto i = index(key);
    return i == npos ? std::string_view{} : std::string_view(members_[i].second);
}

void object::set(std::string_view key, std::string value)
{
    auto i = index(key);
    if (i == npos)
        members_.emplace_back(key, std::move(value));
    else
        members_[i].second = std::move(value);
}

void object::set_first(std::string_view key, std::string value)
{
    members_.emplace(members_.begin(), std::string(key), std::move(value));
}

void object::remove(std::string_view key)
{
    std::erase_if(members_, [&](const auto& m) { return m.first == key; });
}

std::string object::text() const
{
    std::string out = "{";
    for (const auto& [key, value] : members_)
    {
        if (out.size() > 1)
            out += ',';
        out += '"';
        out += key;
        out += "\":";
        out += value;
    }
    out += '}';
    return out;
}

}  // namespace simulator::json_text
