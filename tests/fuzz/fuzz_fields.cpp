/// Any text as a field map: problems, or a map with which a message is one valid line that readers of our own
/// (decoders.hpp) read back: the keys of the map, and in them what the breach has there, of every type.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <dtbridge/core/breach.hpp>
#include <dtbridge/core/text.hpp>
#include <dtbridge/format/formatter.hpp>

#include "format/field_map.hpp"
#include "fuzz/decoders.hpp"
#include "fuzz/expected.hpp"

namespace
{

using namespace dtbridge;
using format::derived;

/// A breach and what it is sent with.
struct sample
{
    std::string_view element;
    fuzz::setting how;
    rules::labels of_the_rules, of_the_inventory, of_the_master;
};

/// One with IPv4 and no labels, and one with IPv6 at both ends that the rules held back.
const sample samples[] = {
    {R"({"pbid":1,"time":1704100000000,"score":0.5,"acknowledged":true,"model":{"name":"A::B","pid":7,)"
     R"("uuid":"u-1","category":"critical","priority":3,"description":"d^e|f=g\\","tags":["x\ny","z"]},)"
     R"("device":{"did":3,"ip":"10.0.0.1","macaddress":"00:00:5e:00:53:0a","hostname":"h|x=\\\n"}})",
     {.master = "m", .url = "https://m.example"},
     {},
     {},
     {}},
    {R"({"pbid":2,"time":1704100000123,"creationTime":1704100005000,"score":"0.9550","acknowledged":{},)"
     R"("breachUrl":"https://own.example/x=1","model":{"then":{"name":"C","pid":"8","uuid":"","priority":"5",)"
     R"("compliance":true,"tags":[],"mitre":{"techniques":["T1","T2"]}},"now":{"name":"C","tags":["n"]}},)"
     R"("device":{"did":4,"ip":"2001:db8::a","hostname":"saas::S: u^ser","vlan":-7},"triggeredComponents":)"
     R"([{"ip":"2001:db8::b/128","port":65535,"metric":{"label":"c|m"},"triggeredFilters":[{"filterType":)"
     R"("Connection hostname","trigger":{"value":"p.example"}}]}]})",
     {.master = "m",
      .url = "https://m.example",
      .cef_version = 1,
      .leef = {.delimiter = '#', .no_words = true},
      .marks = true,
      .forward = false,
      .severity = 2},
     {{"tenant", "of rules=1"}},
     {{"tenant", "lost"}, {"site", "2001:db8::c"}},
     {{"tenant", "lost"}, {"number", "-12"}, {"mac", "00:00:5E:00:53:0b"}}},
};

[[noreturn]] void broken(const std::string& what, const std::string& message)
{
    std::cerr << text::printable(what, 2000) << ": " << text::printable(message, 20'000) << '\n';
    std::abort();
}

bool is_acknowledged(const json::value& v)
{
    return v.boolean() || (v.is(json::kind::object) && v.begin() != v.end());
}

std::string text_of(const fuzz::integer& n)
{
    return n.value ? std::to_string(*n.value) : "";
}

std::string label_of(std::string_view name, const sample& with)
{
    for (const auto* from : {&with.of_the_rules, &with.of_the_inventory, &with.of_the_master})
    {
        for (const auto& [key, value] : *from)
        {
            if (key == name)
                return value;
        }
    }
    return "";
}

/// What the breach has for a source; nothing for the sources that are not looked at here.
std::optional<std::string> known_text(const format::value_source& s, const breach& b, const sample& with)
{
    using origin = format::value_source::origin;
    const auto time = fuzz::integer_of(b.root.find("time"));
    const auto created = fuzz::integer_of(b.root.find("creationTime"));
    const auto device = fuzz::device_address(b, false), v4 = fuzz::device_address(b, true);
    const auto peer = fuzz::peer_of(b);
    const auto shown = [](const std::string& ip) { return ip.empty() ? ip : fuzz::shown_address(ip); };
    if (s.base == origin::constant)
        return s.rest;
    if (s.base == origin::derived)
    {
        switch (s.id)
        {
            case derived::acknowledged:
                return is_acknowledged(b.root.find("acknowledged")) ? "true" : "false";
            case derived::category:
                return fuzz::category_of(b.then);
            case derived::component:
                return fuzz::component_of(b);
            case derived::created:
                return text_of(fuzz::either(created, time));
            case derived::decision:
                return with.how.marks ? fuzz::decision_of(with.how) : "";
            case derived::device_ip:
                return shown(device);
            case derived::device_ipv4:
                return shown(v4);
            case derived::device_ipv6:
                return device == v4 ? "" : shown(device);
            case derived::label:
                return label_of(s.rest, with);
            case derived::master:
                return with.how.master;
            case derived::mitre:
                return fuzz::mitre_of(b);
            case derived::model:
                return fuzz::path_of(fuzz::word_of(b.then, "name"));
            case derived::pbid:
                return std::to_string(b.key.pbid);
            case derived::peer_hostname:
                return fuzz::peer_name_of(peer.component);
            case derived::peer_ip:
                return shown(peer.address);
            case derived::peer_port:
                return text_of(fuzz::integer_of(peer.component.find("port")));
            case derived::reason:
                return "said";
            case derived::score:
                return fuzz::shortest(*fuzz::score_of(b));
            case derived::severity:
                return fuzz::severity_of(b, with.how);
            case derived::tags:
                return fuzz::tags_of(b.then);
            case derived::tags_now:
                return fuzz::tags_of(b.now);
            case derived::time:
                return text_of(fuzz::either(time, created));
            case derived::url:
                return fuzz::url_of(b, with.how);
            case derived::user:
                return fuzz::user_of(b);
        }
    }
    if (!s.single)
        return std::nullopt;
    const auto& from = s.base == origin::model ? b.then : s.base == origin::device ? b.device : b.root;
    const auto found = fuzz::found_text(from.find(s.rest));
    // The URL of native shape is filled in where the breach has none of its own.
    if (s.base == origin::root && s.rest == "breachUrl" && found != fuzz::url_of(b, with.how))
        return std::nullopt;
    return found;
}

/// What a reader gets of the text of a source; "" where it is not sent, nothing for spellings that are not
/// looked at here (1e2, blanks around a number, other MAC addresses).
std::optional<std::string> expected_value(const format::map_field& f,
                                          const std::string& raw,
                                          bool cef,
                                          const fuzz::setting& how)
{
    using kind = format::value_kind;
    const bool digits = raw.find_first_not_of("-0123456789") == raw.npos && raw.size() <= 18;
    const auto number = digits ? std::atoll(raw.c_str()) : 0;
    const bool is_whole = digits && std::to_string(number) == raw;
    switch (f.kind)
    {
        case kind::string:
            return fuzz::sent_text(raw,
                                   cef ? fuzz::place::cef_value : fuzz::place::leef_value,
                                   f.info.max_bytes != 0 ? f.info.max_bytes
                                   : cef                 ? 1023
                                                         : 0,
                                   how.leef);
        case kind::integer:
            if (!is_whole)
                return raw.empty() ? std::optional("") : std::nullopt;
            if (f.info.is_port && (number < 0 || number > 65535))
                return "";
            return std::to_string(!cef && f.key == "sev" ? std::clamp(number, 1ll, 10ll) : number);
        case kind::number:
            if (const auto d = fuzz::decimal_of(raw))
                return fuzz::shortest(*d);
            return raw.empty() ? std::optional("") : std::nullopt;
        case kind::time:
            if (!is_whole)
                return raw.empty() ? std::optional("") : std::nullopt;
            return !cef && f.key == "devTime" ? fuzz::leef_time_of(number) : raw;
        case kind::ip: {
            const auto address = fuzz::address_of(fuzz::without(raw, " ")).value_or("");
            const bool v6 = address.size() == 16;
            const bool refused = f.info.only_ipv6 ? !v6 : v6 && how.cef_version == 0;
            return address.empty() || (cef && refused) ? "" : fuzz::shown_address(address);
        }
        case kind::mac:
            if (raw.size() != 17)
                return raw.empty() ? std::optional("") : std::nullopt;
            return fuzz::mac_of(raw);
    }
    return std::nullopt;
}

/// IPv6 has many spellings.
bool is_same(const format::map_field& f, const std::string& sent, const std::string& expected)
{
    return f.kind == format::value_kind::ip ? fuzz::address_of(sent) == fuzz::address_of(expected)
                                            : sent == expected;
}

/// C12: in CEF:0 the IPv6 addresses of src, dst and dvc have keys of their own. Nothing is said where the map
/// has such a key itself.
bool check_moved(const format::map_field& f,
                 const std::string& raw,
                 const std::set<std::string, std::less<>>& known,
                 const fuzz::decoded& d,
                 const std::string& message)
{
    if (f.kind != format::value_kind::ip || f.info.only_ipv6 || f.info.ipv6_key.empty())
        return false;
    const auto address = fuzz::address_of(fuzz::without(raw, " ")).value_or("");
    if (address.size() != 16)
        return false;
    if (!known.contains(f.info.ipv6_key) && !fuzz::same_v6(d, f.info.ipv6_key, address))
        broken(std::string(f.info.ipv6_key) + ", not the address of " + f.key, message);
    return true;
}

struct field_check
{
    const breach& b;
    const sample& with;
    bool cef;
    const std::set<std::string, std::less<>>& known;  ///< keys of the map
    const fuzz::decoded& d;
    const std::string& message;

    void check(const format::map_field& f, bool alone) const;
};

void field_check::check(const format::map_field& f, bool alone) const
{
    const auto* sent = d.find(f.key);
    if (sent && f.info.needs_label)
    {
        const auto* label = d.find(f.key + "Label");
        const auto where = cef ? fuzz::place::cef_value : fuzz::place::leef_value;
        if (!label || *label != fuzz::sent_text(f.label, where, 1023))
            broken(f.key + "Label", message);
    }
    for (const auto& s : f.sources)
    {
        const auto raw = known_text(s, b, with);
        if (!raw)
            return;
        if (cef && with.how.cef_version == 0 && alone && check_moved(f, *raw, known, d, message))
            return;
        const auto expected = expected_value(f, *raw, cef, with.how);
        if (!expected)
            return;
        if (expected->empty())
            continue;
        if (sent ? !is_same(f, *sent, *expected) : alone)
            broken(f.key + ", not " + *expected, message);
        return;
    }
    if (sent)
        broken(f.key + ", which the breach does not have", message);
}

void check(bool cef,
           const std::vector<format::map_field>& fields,
           const breach& b,
           const sample& with,
           const std::string& message)
{
    if (!fuzz::is_one_line(message))
        broken("not one line of UTF-8", message);
    const auto syslog = fuzz::decode_rfc3164(message);
    if (!syslog)
        broken("no syslog header", message);
    const auto d = cef ? fuzz::decode_cef(syslog->body, with.how.cef_version)
                       : fuzz::decode_leef(syslog->body, with.how.leef);
    if (!d)
        broken(cef ? "no CEF" : "no LEEF", message);
    if (d->header != (cef ? fuzz::expected_cef_header(b, with.how) : fuzz::expected_leef_header(b, with.how)))
        broken("another header", message);
    if (cef && (d->values.empty() || d->values.front() != std::pair<std::string, std::string>(
                                                              "externalId", std::to_string(b.key.pbid))))
        broken("externalId is not first, or not the pbid", message);

    std::set<std::string, std::less<>> known, seen;
    for (const auto& f : fields)
    {
        known.insert(f.key);
        if (f.info.needs_label)
            known.insert(f.key + "Label");
        if (!cef && f.key == "devTime")
            known.insert("devTimeFormat");
    }
    const field_check checker{b, with, cef, known, *d, message};
    for (std::size_t i = 0; i < fields.size(); ++i)
    {
        const auto& f = fields[i];
        checker.check(f, !f.joins_previous && (i + 1 == fields.size() || !fields[i + 1].joins_previous));
    }
    for (const auto& [key, value] : d->values)
    {
        const bool moved = cef && with.how.cef_version == 0 && key.starts_with("c6a");
        if (!known.contains(key) && !moved)
            broken("a key that the map does not have: " + key, message);
        if (!seen.insert(key).second)
            broken("a key twice: " + key, message);
        if (value.empty())
            broken("an empty value: " + key, message);
    }
}

void check_map(format::kind kind, std::string_view text, const sample& with)
{
    auto loaded = format::load_field_map_text(kind, text, "fuzz.toml", with.how.cef_version);
    for (const auto& p : loaded.problems)
    {
        if (p.message.empty())
            std::abort();
    }
    if (!loaded.ok)
        return;
    const auto fields = loaded.value.impl_->fields;
    format::options o;
    o.format = kind;
    o.header = format::header_kind::rfc3164;
    o.mark_held_back = with.how.marks;
    o.cef_version = with.how.cef_version;
    o.leef_delimiter = with.how.leef.delimiter;
    o.mask_equals = with.how.leef.no_words;
    format::formatter f(o, std::move(loaded.value), "bridge");
    breach b;
    if (!b.read(with.element))
        std::abort();
    rules::decision said;
    said.reason = "said";
    said.forward = with.how.forward;
    said.severity = with.how.severity;
    said.labels = &with.of_the_rules;
    said.inventory = &with.of_the_inventory;
    std::string message;
    if (f.message(b, {with.how.master, with.how.url, "", with.of_the_master}, said, message) !=
        format::verdict::whole)
        broken("not whole", message);
    check(kind == format::kind::cef, fields, b, with, message);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    for (const auto kind : {format::kind::cef, format::kind::leef})
    {
        for (const auto& with : samples)
            check_map(kind, text, with);
    }
    // IPv6 in CEF:0 has keys of its own.
    static const sample v6_in_cef_0 = [] {
        auto s = samples[1];
        s.how.cef_version = 0;
        return s;
    }();
    check_map(format::kind::cef, text, v6_in_cef_0);
    return 0;
}
