#pragma once

/// What a message has to say of a breach, by product.md 6 and formats.md, for the fuzz targets. The breach is
/// read with json::value (whose reading check_json of fuzz_breach.cpp holds against Boost.JSON); everything
/// behind that is written anew here and shares nothing with src/format.

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <ctime>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <arpa/inet.h>

#include <dtbridge/core/breach.hpp>

#include "fuzz/decoders.hpp"

namespace dtbridge::fuzz
{

/// What a message depends on beside the breach and its map.
struct setting
{
    std::string master = "acme";
    std::string url = "https://acme.example", public_url = {};
    int cef_version = 0;
    leef_style leef = {};
    bool marks = false;  ///< held_back = "mark"
    bool forward = true;
    std::optional<int> severity = {};  ///< of the rules
};

/// Key to value; "" where the key must not be there. Of a key that is missing nothing is said.
using values = std::map<std::string, std::string, std::less<>>;

inline std::string_view without(std::string_view s, std::string_view blanks)
{
    const auto first = s.find_first_not_of(blanks);
    return first == s.npos ? std::string_view() : s.substr(first, s.find_last_not_of(blanks) - first + 1);
}

inline std::string lower(std::string_view s)
{
    std::string out(s);
    for (char& c : out)
        c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    return out;
}

/// A string member without blanks around it; "" for anything else.
inline std::string_view word_of(const json::value& object, std::string_view name)
{
    const auto v = object.find(name);
    return v.is(json::kind::string) ? without(v.text(), " \t\r\n") : std::string_view();
}

inline void join(std::string& list, std::string_view element)
{
    element = without(element, " ");
    if (element.empty())
        return;
    list += list.empty() ? "" : ",";
    list += element;
}

/// What a pointer of a field map finds: lists with commas, objects and null nothing.
inline std::string found_text(const json::value& v)
{
    std::string out;
    if (v.is(json::kind::array))
    {
        for (const auto element : v)
            join(out, element.text());
    }
    else
        out = v.text();
    return out;
}

struct integer
{
    bool known = true;  ///< false: a spelling that is not looked at here, such as 1e2
    std::optional<std::int64_t> value = {};
};

inline integer integer_of(const json::value& v)
{
    integer out;
    const bool number = v.is(json::kind::number);
    if (!number && !v.is(json::kind::string))
        return out;
    const auto s = v.text();
    if (number && s.find_first_of(".eE") != s.npos)
    {
        out.known = false;
        return out;
    }
    std::int64_t n = 0;
    const auto read = std::from_chars(s.data(), s.data() + s.size(), n);
    if (read.ec == std::errc() && read.ptr == s.data() + s.size())
        out.value = n;
    return out;
}

/// 4 or 16 bytes; mapped IPv4 is IPv4, a zone is taken off.
inline std::optional<std::string> address_of(std::string_view text)
{
    std::string s(text);
    if (s.empty() || s.size() > 128 || s.find('\0') != s.npos)
        return std::nullopt;
    unsigned char bytes[16] = {};
    if (::inet_pton(AF_INET, s.c_str(), bytes) == 1)
        return std::string(bytes, bytes + 4);
    if (const auto zone = s.find('%'); zone != s.npos)
    {
        if (zone + 1 == s.size())
            return std::nullopt;
        s.resize(zone);
    }
    if (::inet_pton(AF_INET6, s.c_str(), bytes) != 1)
        return std::nullopt;
    std::string out(bytes, bytes + 16);
    if (out.starts_with(std::string(10, '\0') + "\xff\xff"))
        out.erase(0, 12);
    return out;
}

inline std::string shown_address(const std::string& bytes)
{
    char out[INET6_ADDRSTRLEN] = "";
    ::inet_ntop(bytes.size() == 4 ? AF_INET : AF_INET6, bytes.data(), out, sizeof out);
    return out;
}

struct endpoint
{
    std::string address;  ///< bytes, "" for none
    json::value component;
};

/// The first component with a valid address, a mask cut off.
inline endpoint peer_of(const breach& b)
{
    const auto valid = [](const json::value& v) {
        if (!v.is(json::kind::string))
            return std::string();
        auto s = without(v.text(), " \t\r\n");
        return address_of(s.substr(0, s.find('/'))).value_or("");
    };
    for (const auto component : b.root.find("triggeredComponents"))
    {
        if (!b.root.find("triggeredComponents").is(json::kind::array) || !component.is(json::kind::object))
            continue;
        const auto ip = component.find("ip");
        std::string found = valid(ip);
        if (ip.is(json::kind::array))
        {
            for (const auto each : ip)
            {
                if (found.empty())
                    found = valid(each);
            }
        }
        if (!found.empty())
            return {found, component};
    }
    return {};
}

inline std::string peer_name_of(const json::value& component)
{
    for (const std::string_view kind : {"connection hostname", "internal destination device name"})
    {
        for (const auto filter : component.find("triggeredFilters"))
        {
            if (lower(word_of(filter, "filterType")) != kind)
                continue;
            if (const auto name = word_of(filter.find("trigger"), "value"); !name.empty())
                return std::string(name);
        }
    }
    return {};
}

/// IPv4 before IPv6, ip before ip6; only_v4: never IPv6.
inline std::string device_address(const breach& b, bool only_v4)
{
    std::string v6;
    for (const std::string_view member : {"ip", "ip6"})
    {
        const auto found = address_of(word_of(b.device, member)).value_or("");
        if (found.size() == 4)
            return found;
        if (v6.empty())
            v6 = found;
    }
    return only_v4 ? std::string() : v6;
}

inline std::string category_of(const json::value& model)
{
    const auto flag = model.find("compliance");
    if (flag.boolean() || (flag.is(json::kind::string) && lower(without(flag.text(), " \t\r\n")) == "true") ||
        integer_of(flag).value == 1)
        return "Compliance";
    const auto said = word_of(model, "category");
    for (const std::string_view known : {"Critical", "Suspicious", "Informational", "Compliance"})
    {
        if (lower(said) == lower(known))
            return std::string(known);
    }
    return std::string(said);
}

inline std::string tags_of(const json::value& model)
{
    std::string out;
    const auto tags = model.find("tags");
    if (tags.is(json::kind::array))
    {
        for (const auto tag : tags)
        {
            if (tag.is(json::kind::string))
                join(out, without(tag.text(), " \t\r\n"));
        }
    }
    return out;
}

inline std::string mitre_of(const breach& b)
{
    std::string out;
    for (const auto technique : b.then.find("mitre").find("techniques"))
        join(out, technique.text());
    if (out.empty())
    {
        for (const auto technique : b.root.find("mitreTechniques"))
            join(out, word_of(technique, "techniqueID"));
    }
    return out;
}

inline std::string component_of(const breach& b)
{
    const auto components = b.root.find("triggeredComponents");
    if (!components.is(json::kind::array))
        return {};
    for (const auto component : components)
    {
        for (const std::string_view member : {"label", "name"})
        {
            if (const auto name = word_of(component.find("metric"), member); !name.empty())
                return std::string(name);
        }
    }
    return {};
}

/// "saas::Service: account"
inline std::string user_of(const breach& b)
{
    const auto host = word_of(b.device, "hostname");
    if (lower(host.substr(0, 6)) != "saas::")
        return {};
    const auto colon = host.find(':', 6);
    return colon == host.npos ? std::string() : std::string(without(host.substr(colon + 1), " \t\r\n"));
}

inline std::string url_of(const breach& b, const setting& how)
{
    const auto own = word_of(b.root, "breachUrl");
    if (how.public_url.empty() && own.size() > 8 && lower(own.substr(0, 8)) == "https://")
        return std::string(own);
    return (how.public_url.empty() ? how.url : how.public_url) + "/#modelbreach/" +
           std::to_string(b.key.pbid);
}

/// Folder::Model as Folder/Model.
inline std::string path_of(std::string_view name)
{
    std::string out;
    while (!name.empty())
    {
        const bool colons = name.starts_with("::");
        out += colons ? '/' : name.front();
        name.remove_prefix(colons ? 2 : 1);
    }
    return out;
}

/// Digits before and behind the point of a score in plain notation; nothing for other spellings.
struct plain_decimal
{
    std::string whole, fraction;
};

inline std::optional<plain_decimal> decimal_of(std::string_view s)
{
    plain_decimal out;
    const auto digits = [&s](std::string& to) {
        while (!s.empty() && s.front() >= '0' && s.front() <= '9')
        {
            to += s.front();
            s.remove_prefix(1);
        }
        return !to.empty() && to.size() <= 30;
    };
    if (!digits(out.whole) || (out.whole.size() > 1 && out.whole.front() == '0'))
        return std::nullopt;
    if (s.starts_with('.'))
    {
        s.remove_prefix(1);
        if (!digits(out.fraction))
            return std::nullopt;
    }
    return s.empty() ? std::optional(out) : std::nullopt;
}

inline std::optional<plain_decimal> score_of(const breach& b)
{
    const auto v = b.root.find("score");
    return decimal_of(v.is(json::kind::number) ? v.text() : word_of(b.root, "score"));
}

/// max(1, half-up(10 x score)), at most 10.
inline int severity_of(const plain_decimal& score)
{
    if (score.whole.size() > 1)
        return 10;
    const auto digit = [&](std::size_t i) { return i < score.fraction.size() ? score.fraction[i] - '0' : 0; };
    const int tenths = (score.whole[0] - '0') * 10 + digit(0) + (digit(1) >= 5 ? 1 : 0);
    return std::clamp(tenths, 1, 10);
}

/// As the message has it: the rules' severity wins, at least 1, and what they held back has at most 3. ""
/// where the score is not looked at here.
inline std::string severity_of(const breach& b, const setting& how)
{
    const auto score = score_of(b);
    if (!how.severity && !score && b.score)
        return "";
    const int said = how.severity ? std::max(*how.severity, 1) : score ? severity_of(*score) : 5;
    return std::to_string(how.forward ? said : std::min(said, 3));
}

inline std::string decision_of(const setting& how)
{
    return how.forward ? "alert" : "context";
}

inline std::string shortest(const plain_decimal& score)
{
    std::string fraction = score.fraction;
    while (fraction.ends_with('0'))
        fraction.pop_back();
    return fraction.empty() ? score.whole : score.whole + '.' + fraction;
}

/// "00:1A:.." of the one spelling with colons that is looked at here.
inline std::optional<std::string> mac_of(std::string_view text)
{
    std::string s(text);
    if (s.size() != 17)
        return std::nullopt;
    for (std::size_t i = 0; i < s.size(); ++i)
    {
        char& c = s[i];
        c = c >= 'a' && c <= 'f' ? static_cast<char>(c - 32) : c;
        const bool digit = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F');
        if (i % 3 == 2 ? c != ':' : !digit)
            return std::nullopt;
    }
    return s;
}

inline std::optional<std::string> mac_of(const json::value& v)
{
    return v ? mac_of(v.is(json::kind::string) ? v.text() : std::string_view()) : "";
}

/// `MMM dd yyyy HH:mm:ss.SSS z` of a time from 1970 to 2099.
inline std::optional<std::string> leef_time_of(std::int64_t ms)
{
    if (ms < 0 || ms >= 4'102'444'800'000)
        return std::nullopt;
    const std::time_t seconds = ms / 1000;
    std::tm t = {};
    ::gmtime_r(&seconds, &t);
    char text[64] = "";
    std::strftime(text, sizeof text, "%b %d %Y %H:%M:%S", &t);
    const std::string millis = std::to_string(1000 + ms % 1000).substr(1);
    return std::string(text) + '.' + millis + " GMT";
}

inline void set(values& out, const char* key, const integer& n, bool is_port = false)
{
    if (!n.known)
        return;
    const bool there = n.value && (!is_port || (*n.value >= 0 && *n.value <= 65535));
    out[key] = there ? std::to_string(*n.value) : "";
}

/// first, or second where first is no integer.
inline integer either(const integer& first, const integer& second)
{
    return !first.known || first.value ? first : second;
}

/// The seven fields of the header behind "CEF:0", "" where nothing is said.
inline std::vector<std::string> expected_cef_header(const breach& b, const setting& how)
{
    const auto pid = b.then.find("pid");
    const auto number = integer_of(pid);
    const auto raw = pid.is(json::kind::array) ? std::string() : std::string(pid.text());
    const auto said = number.value ? std::to_string(*number.value) : raw;
    std::string id = sent_text(said, place::cef_header, 1023);
    if (id.empty())
        id = "unknown";
    std::string name = sent_text(path_of(word_of(b.then, "name")), place::cef_header, 512);
    if (name.empty())
        name = number.known ? sent_text(id, place::cef_header, 512) : "";
    const std::string version = "CEF:" + std::to_string(how.cef_version);
    return {version, "Darktrace", "DCIP", "1", number.known ? id : "", name, severity_of(b, how)};
}

/// The built-in map of CEF (mappings/fields/cef.toml).
inline values expected_cef(const breach& b, const setting& how)
{
    values out;
    const auto text = [&](const char* key, std::string_view raw, std::size_t at_most) {
        out[key] = sent_text(raw, place::cef_value, at_most);
    };
    const auto labelled = [&](const char* key, const char* label, std::string_view raw) {
        text(key, raw, 4000);
        out[std::string(key) + "Label"] = out[key].empty() ? "" : label;
    };
    const auto address =
        [&](const char* key, const char* v6_key, const char* v6_label, const std::string& ip) {
            const bool moves = ip.size() == 16 && how.cef_version == 0;
            if (ip.size() != 16 || moves)  // same_v6 looks at the others
                out[key] = ip.size() == 4 ? shown_address(ip) : "";
            if (!moves)
                out[v6_key] = "";
            out[std::string(v6_key) + "Label"] = moves ? v6_label : "";
        };
    const auto time = integer_of(b.root.find("time")), created = integer_of(b.root.find("creationTime"));
    const auto host = found_text(b.device.find("hostname"));
    const auto peer = peer_of(b);
    out["externalId"] = std::to_string(b.key.pbid);
    set(out, "rt", either(time, created));
    address("dst", "c6a3", "Destination IPv6 Address", peer.address);
    set(out, "dpt", integer_of(peer.component.find("port")), true);
    text("dhost", peer_name_of(peer.component), 1023);
    text("dvchost", host, 100);
    const auto v4 = device_address(b, true);
    out["dvc"] = v4.empty() ? "0.0.0.0" : shown_address(v4);
    address("src", "c6a2", "Source IPv6 Address", device_address(b, false));
    text("shost", host, 1023);
    if (const auto mac = mac_of(b.device.find("macaddress")))
        out["smac"] = *mac;
    text("suser", user_of(b), 1023);
    out["act"] = how.marks ? decision_of(how) : "";
    text("darktraceUrl", url_of(b, how), 1023);
    labelled("cs1", "category", category_of(b.then));
    labelled("cs2", "tags", tags_of(b.then));
    labelled("cs3", "modelUuid", found_text(b.then.find("uuid")));
    labelled("cs4", "master", how.master);
    labelled("cs5", "mitreTechniques", mitre_of(b));
    labelled("cs6", "component", component_of(b));
    set(out, "cn1", integer_of(b.then.find("priority")));
    if (const auto score = score_of(b))
        out["cfp1"] = shortest(*score);
    else if (!b.score)
        out["cfp1"] = "";
    set(out, "deviceCustomDate1", either(created, time));
    for (const auto& [key, label] : {std::pair("cn1", "priority"),
                                     std::pair("cfp1", "score"),
                                     std::pair("deviceCustomDate1", "created")})
    {
        if (const auto at = out.find(key); at != out.end())
            out[std::string(key) + "Label"] = at->second.empty() ? "" : label;
    }
    text("message", found_text(b.then.find("description")), 1023);
    return out;
}

inline std::vector<std::string> expected_leef_header(const breach& b, const setting& how)
{
    std::string event = sent_text(path_of(word_of(b.then, "name")), place::leef_header, 255);
    if (event.empty())
        event = "unknown";
    if (how.leef.first)
        return {"LEEF:1.0", "Darktrace", "DCIP", "1", event};
    return {"LEEF:2.0", "Darktrace", "DCIP", "1", event, how.leef.named()};
}

/// The built-in map of LEEF (mappings/fields/leef.toml).
inline values expected_leef(const breach& b, const setting& how)
{
    values out;
    const auto text = [&](const char* key, std::string_view raw, std::size_t at_most = 0) {
        out[key] = sent_text(raw, place::leef_value, at_most, how.leef);
    };
    const auto address = [&](const char* key, const std::string& ip) {
        if (ip.size() != 16)  // same_v6 looks at those
            out[key] = ip.empty() ? "" : shown_address(ip);
    };
    const auto time = either(integer_of(b.root.find("time")), integer_of(b.root.find("creationTime")));
    const auto host = found_text(b.device.find("hostname"));
    const auto peer = peer_of(b);
    const auto device = device_address(b, false);
    out["cat"] = "ModelBreach";
    if (time.known && !time.value)
        out["devTime"] = out["devTimeFormat"] = "";
    else if (time.known && leef_time_of(*time.value))
    {
        out["devTime"] = *leef_time_of(*time.value);
        out["devTimeFormat"] = "MMM dd yyyy HH:mm:ss.SSS z";
    }
    const auto score = score_of(b);
    if (const auto severity = severity_of(b, how); !severity.empty())
        out["sev"] = severity == "0" ? "1" : severity;  // L7
    address("src", device);
    address("dst", peer.address);
    set(out, "dstPort", integer_of(peer.component.find("port")), true);
    if (const auto mac = mac_of(b.device.find("macaddress")))
        out["srcMAC"] = *mac;
    text("usrName", user_of(b), 255);
    text("identHostName", device.empty() ? std::string() : host, 255);
    address("identSrc", out["identHostName"].empty() ? std::string() : device);
    text("category", category_of(b.then));
    out["externalId"] = std::to_string(b.key.pbid);
    text("darktraceUrl", url_of(b, how));
    if (score)
        out["score"] = shortest(*score);
    else if (!b.score)
        out["score"] = "";
    text("tags", tags_of(b.then));
    text("modelId", found_text(b.then.find("pid")));
    text("modelUuid", found_text(b.then.find("uuid")));
    set(out, "priority", integer_of(b.then.find("priority")));
    text("mitre", mitre_of(b));
    text("master", how.master);
    text("hostname", host);
    out["decision"] = how.marks ? decision_of(how) : "";
    text("description", found_text(b.then.find("description")));
    return out;
}

/// IPv6 has many spellings: the bytes are compared. Nothing is said where bytes is no IPv6 address.
inline bool same_v6(const decoded& d, std::string_view key, const std::string& bytes)
{
    if (bytes.size() != 16)
        return true;
    const auto* value = d.find(key);
    return value && address_of(*value) == bytes;
}

}  // namespace dtbridge::fuzz
