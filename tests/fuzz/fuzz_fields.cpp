/// Any text as a field map: problems, or a map with which a message is one valid line that readers of our own
/// (decoders.hpp) read back: the keys of the map in its order, and in them what the breach has there.

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <map>
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

constexpr std::string_view element =
    R"({"pbid":1,"time":1704100000000,"score":0.5,"acknowledged":true,"model":{"name":"A::B","pid":7,)"
    R"("uuid":"u-1","category":"critical","priority":3,"description":"d^e|f=g\\","tags":["x\ny","z"]},)"
    R"("device":{"did":3,"ip":"10.0.0.1","hostname":"h|x=\\\n"}})";

[[noreturn]] void broken(const std::string& what, const std::string& message)
{
    std::cerr << text::printable(what, 2000) << ": " << text::printable(message, 20'000) << '\n';
    std::abort();
}

/// What the breach has for a source; nothing for the sources that are not looked at here.
std::optional<std::string> known_text(const format::value_source& s, const breach& b)
{
    using origin = format::value_source::origin;
    static const std::map<derived, std::string> of_the_breach = {
        {derived::acknowledged, "true"},
        {derived::category, "Critical"},
        {derived::component, ""},
        {derived::decision, ""},
        {derived::device_ip, "10.0.0.1"},
        {derived::device_ipv4, "10.0.0.1"},
        {derived::device_ipv6, ""},
        {derived::master, "m"},
        {derived::mitre, ""},
        {derived::model, "A/B"},
        {derived::pbid, "1"},
        {derived::peer_hostname, ""},
        {derived::peer_ip, ""},
        {derived::peer_port, ""},
        {derived::reason, "said"},
        {derived::score, "0.5"},
        {derived::severity, "5"},
        {derived::tags, "x\ny,z"},
        {derived::tags_now, "x\ny,z"},
        {derived::time, "1704100000000"},
        {derived::created, "1704100000000"},
        {derived::url, "https://m.example/#modelbreach/1"},
        {derived::user, ""},
    };
    if (s.base == origin::constant)
        return s.rest;
    if (s.base == origin::derived)
    {
        const auto at = of_the_breach.find(s.id);
        return at == of_the_breach.end() ? std::nullopt : std::optional(at->second);
    }
    if (!s.single)
        return std::nullopt;
    const auto& from = s.base == origin::model ? b.then : s.base == origin::device ? b.device : b.root;
    return fuzz::found_text(from.find(s.rest));
}

void check_field(const format::map_field& f,
                 bool alone,
                 const fuzz::decoded& d,
                 const breach& b,
                 fuzz::place where,
                 const std::string& message)
{
    const auto* sent = d.find(f.key);
    if (sent && f.info.needs_label)
    {
        const auto* label = d.find(f.key + "Label");
        if (!label || *label != fuzz::sent_text(f.label, where, 1023))
            broken(f.key + "Label", message);
    }
    if (f.kind != format::value_kind::string)
        return;
    const std::size_t at_most = f.info.max_bytes != 0             ? f.info.max_bytes
                                : where == fuzz::place::cef_value ? 1023
                                                                  : 0;
    for (const auto& s : f.sources)
    {
        const auto raw = known_text(s, b);
        if (!raw)
            return;
        const auto expected = fuzz::sent_text(*raw, where, at_most);
        if (expected.empty())
            continue;
        if (sent ? *sent != expected : alone)
            broken(f.key + ", not " + expected, message);
        return;
    }
    if (sent)
        broken(f.key + ", which the breach does not have", message);
}

void check(format::kind kind,
           const std::vector<format::map_field>& fields,
           const breach& b,
           const std::string& message)
{
    if (message.find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos)
        broken("a raw line break or NUL", message);
    if (!text::is_valid_utf8(message))
        broken("ill-formed UTF-8", message);
    const bool cef = kind == format::kind::cef;
    const auto syslog = fuzz::decode_rfc3164(message);
    if (!syslog)
        broken("no syslog header", message);
    const auto d = cef ? fuzz::decode_cef(syslog->body) : fuzz::decode_leef(syslog->body);
    if (!d)
        broken(cef ? "no CEF" : "no LEEF", message);
    if (d->header != (cef ? fuzz::expected_cef_header(b, {}) : fuzz::expected_leef_header(b, {})))
        broken("another header", message);
    if (cef &&
        (d->values.empty() || d->values.front() != std::pair<std::string, std::string>("externalId", "1")))
        broken("externalId is not first, or not the pbid", message);

    std::set<std::string, std::less<>> known, seen;
    for (std::size_t i = 0; i < fields.size(); ++i)
    {
        const auto& f = fields[i];
        known.insert(f.key);
        if (f.info.needs_label)
            known.insert(f.key + "Label");
        if (!cef && f.key == "devTime")
            known.insert("devTimeFormat");
        const bool alone = !f.joins_previous && (i + 1 == fields.size() || !fields[i + 1].joins_previous);
        check_field(f, alone, *d, b, cef ? fuzz::place::cef_value : fuzz::place::leef_value, message);
    }
    for (const auto& [key, value] : d->values)
    {
        // The breach has IPv4 alone; a constant of the map may be IPv6, which has a key of its own in CEF:0.
        const bool moved = cef && key.starts_with("c6a");
        if (!known.contains(key) && !moved)
            broken("a key that the map does not have: " + key, message);
        if (!seen.insert(key).second)
            broken("a key twice: " + key, message);
        if (value.empty())
            broken("an empty value: " + key, message);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    for (const auto kind : {format::kind::cef, format::kind::leef})
    {
        auto loaded = format::load_field_map_text(kind, text, "fuzz.toml");
        for (const auto& p : loaded.problems)
        {
            if (p.message.empty())
                std::abort();
        }
        if (!loaded.ok)
            continue;
        const auto fields = loaded.value.impl_->fields;
        format::options o;
        o.format = kind;
        o.header = format::header_kind::rfc3164;
        format::formatter f(o, std::move(loaded.value), "bridge");
        breach b;
        if (!b.read(element))
            std::abort();
        rules::decision said;
        said.reason = "said";
        std::string message;
        if (f.message(b, {"m", "https://m.example", "", {}}, said, message) != format::verdict::whole)
            broken("not whole", message);
        check(kind, fields, b, message);
    }
    return 0;
}
