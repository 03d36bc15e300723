#include <rules/keys.hpp>

#include <algorithm>
#include <array>
#include <charconv>

#include <dtbridge/core/text.hpp>

namespace dtbridge::rules
{

namespace
{

constexpr std::string_view device_prefixes = "did:, mac:, ip:, host:, type:, tag: or label:";

char lower_char(char c)
{
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

bool is_glob(std::string_view s)
{
    return s.find_first_of("*?") != s.npos;
}

std::size_t literal_count(std::string_view glob)
{
    std::size_t count = 0;
    for (std::size_t i = 0; i < glob.size();)
    {
        count += glob[i] == '*' || glob[i] == '?' ? 0 : 1;
        i += text::decode(glob.substr(i)).size;
    }
    return count;
}

/// Takes the prefix and the blanks behind it off s.
bool take_prefix(std::string_view& s, std::string_view prefix)
{
    if (!text::iequals(s.substr(0, prefix.size()), prefix))
        return false;
    s = text::trim_blank(s.substr(prefix.size()));
    return true;
}

bool whole_integer(std::string_view s, std::int64_t& out)
{
    const auto end = std::from_chars(s.data(), s.data() + s.size(), out);
    return end.ec == std::errc() && end.ptr == s.data() + s.size();
}

bool looks_like_integer(std::string_view s)
{
    if (!s.empty() && s[0] == '-')
        s.remove_prefix(1);
    return !s.empty() && s.find_first_not_of("0123456789") == s.npos;
}

/// 8-4-4-4-12 hex digits.
bool is_uuid(std::string_view s)
{
    if (s.size() != 36)
        return false;
    for (std::size_t i = 0; i < s.size(); ++i)
    {
        const char c = lower_char(s[i]);
        if (i == 8 || i == 13 || i == 18 || i == 23 ? c != '-'
                                                    : !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
    }
    return true;
}

}  // namespace

std::string quoted(std::string_view s)
{
    return '"' + text::printable(s, 100) + '"';
}

void normal_name(std::string& out, std::string_view name)
{
    out.clear();
    name = text::trim_blank(name);
    for (std::size_t i = 0; i < name.size(); ++i)
    {
        const bool colons = name.substr(i, 2) == "::";
        if (!colons && name[i] != '/')
        {
            out += lower_char(name[i]);
            continue;
        }
        i += colons ? 1 : 0;
        while (!out.empty() && (out.back() == ' ' || out.back() == '\t'))
            out.pop_back();
        out += '/';
        while (i + 1 < name.size() && (name[i + 1] == ' ' || name[i + 1] == '\t'))
            ++i;
    }
}

bool is_label_name(std::string_view s)
{
    return !s.empty() && s.size() <= 63 &&
           s.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == s.npos;
}

std::string parse_model_key(std::string_view written, model_key& out)
{
    auto s = text::trim_blank(written);
    if (s.empty())
        return "an empty key; expected a model's name, a glob such as \"Compliance / *\", a uuid or a pid";
    if (take_prefix(s, "uuid:"))
    {
        if (s.empty() || is_glob(s))
            return "found " + quoted(written) + "; expected a whole uuid after \"uuid:\"";
        out.type = model_key::kind::uuid;
        out.text = text::lower(s);  // any spelling: a Unified View master has uuids of its own form
        return {};
    }
    const bool as_pid = take_prefix(s, "pid:");
    if (as_pid || looks_like_integer(s))
    {
        out.type = model_key::kind::pid;
        if (!whole_integer(s, out.pid))
            return "found " + quoted(written) + "; expected the digits of a pid, inside 64 bits";
        return {};
    }
    if (is_uuid(s))
    {
        out.type = model_key::kind::uuid;
        out.text = text::lower(s);
        return {};
    }
    if (!take_prefix(s, "name:"))
        for (const std::string_view prefix : {"did:", "mac:", "ip:", "host:", "type:", "tag:", "label:"})
            if (text::iequals(s.substr(0, prefix.size()), prefix))
                return "found " + quoted(written) +
                       ", which is a key of [devices]; a model of that name is written \"name:" +
                       text::printable(s, 100) + '"';
    if (s.empty())
        return "found " + quoted(written) + "; expected a model's name after \"name:\"";
    normal_name(out.text, s);
    out.type = is_glob(out.text) ? model_key::kind::glob : model_key::kind::name;
    out.literals = literal_count(out.text);
    return {};
}

std::string parse_device_key(std::string_view written, device_key& out)
{
    auto s = text::trim_blank(written);
    const std::string found = "found " + quoted(written) + "; ";
    const auto wants = [&](std::string_view prefix, device_key::kind kind) {
        if (!take_prefix(s, prefix))
            return false;
        out.type = kind;
        return true;
    };
    if (wants("did:", device_key::kind::did))
        return whole_integer(s, out.did) ? "" : found + "expected a device's number after \"did:\"";
    if (wants("ip:", device_key::kind::ip))
    {
        const auto network = ip_network::parse(s);
        if (!network)
            return found +
                   "expected an address or a network such as 10.20.0.0/16 or 2001:db8::/32 after \"ip:\"";
        out.network = *network;
        return {};
    }
    if (wants("mac:", device_key::kind::mac))
    {
        const auto whole = normal_mac(s);
        out.text = whole ? *whole : std::string(s);
        std::replace(out.text.begin(), out.text.end(), '-', ':');
        if (s.empty() || (!whole && !is_glob(s)) ||
            out.text.find_first_not_of("0123456789abcdefABCDEF:*?") != out.text.npos)
            return found + "expected a MAC address or a glob of one such as \"mac:00:1a:2b:*\"";
    }
    else if (wants("host:", device_key::kind::host) || wants("type:", device_key::kind::type) ||
             wants("tag:", device_key::kind::tag))
    {
        if (s.empty())
            return found + "expected a name or a glob after the colon";
        out.text = std::string(s);
    }
    else if (wants("label:", device_key::kind::label))
    {
        const auto equals = s.find('=');
        out.name = std::string(text::trim_blank(s.substr(0, equals)));
        out.text = equals == s.npos ? "" : std::string(text::trim_blank(s.substr(equals + 1)));
        if (!is_label_name(out.name) || out.text.empty())
            return found + "expected a label and its value or a glob of it, such as \"label:site=plant-*\"";
    }
    else
        return found + "expected a key that starts with " + std::string(device_prefixes);
    out.text = text::lower(out.text);
    out.literals = literal_count(out.text);
    return {};
}

}  // namespace dtbridge::rules
