/// Any element to every format: one line within max_message that readers of our own (decoders.hpp) read back,
/// with no key that the map does not have, whatever is in it. What was not shortened has every value of the
/// input: each key of CEF and LEEF what expected.hpp says, JSON the very members that Boost.JSON reads in the
/// input.

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/parse.hpp>

#include <dtbridge/core/breach.hpp>
#include <dtbridge/core/text.hpp>
#include <dtbridge/format/formatter.hpp>

#include "fuzz/decoders.hpp"
#include "fuzz/expected.hpp"

namespace
{

using namespace dtbridge;

constexpr const char* master_url = "https://acme.example";

[[noreturn]] void broken(const std::string& what, const std::string& message)
{
    std::cerr << text::printable(what, 2000) << ": " << text::printable(message, 20'000) << '\n';
    std::abort();
}

format::formatter make(format::kind kind,
                       format::header_kind header,
                       std::size_t max_message,
                       bool api = false)
{
    format::options o;
    o.format = kind;
    o.header = header;
    o.max_message = max_message;
    o.annotate = true;
    o.shape = api ? format::json_shape::api : format::json_shape::native;
    o.structured_data = header == format::header_kind::rfc5424;
    auto map = format::load_field_map(kind, "", "built-in");
    return {o, std::move(map.value), "bridge"};
}

std::string header_taken_off(const std::string& message, format::header_kind kind)
{
    if (kind == format::header_kind::none)
        return message;
    const auto read =
        kind == format::header_kind::rfc5424 ? fuzz::decode_rfc5424(message) : fuzz::decode_rfc3164(message);
    if (!read)
        broken("no syslog header", message);
    if (read->host != "acme")
        broken("another host", message);
    return read->body;
}

void check_keys(const fuzz::decoded& d,
                const std::set<std::string, std::less<>>& known,
                const std::string& message)
{
    std::set<std::string> seen;
    for (const auto& [key, value] : d.values)
    {
        if (!known.contains(key))
            broken("a key that the map does not have", message);
        if (!seen.insert(key).second)
            broken("a key twice", message);
        if (value.empty())
            broken("an empty value", message);
    }
}

void check_header(const fuzz::decoded& d,
                  const std::vector<std::string>& expected,
                  const std::string& message)
{
    for (std::size_t i = 0; i < expected.size(); ++i)
    {
        if (!expected[i].empty() && d.header.at(i) != expected[i])
            broken("field " + std::to_string(i) + " of the header, not " + expected[i], message);
    }
}

void check_values(const fuzz::decoded& d, const fuzz::values& expected, const std::string& message)
{
    for (const auto& [key, value] : expected)
    {
        const auto* sent = d.find(key);
        if (value.empty() ? sent != nullptr : sent == nullptr || *sent != value)
            broken(key + ", not " + value, message);
    }
}

void check_v6(const fuzz::decoded& d, const char* key, const std::string& address, const std::string& message)
{
    if (!fuzz::same_v6(d, key, address))
        broken(key, message);
}

void check_cef(const std::string& body, const breach& b, bool whole, const std::string& message)
{
    static const std::set<std::string, std::less<>> known = {"externalId",
                                                             "rt",
                                                             "dst",
                                                             "dpt",
                                                             "dhost",
                                                             "dvchost",
                                                             "dvc",
                                                             "src",
                                                             "shost",
                                                             "smac",
                                                             "suser",
                                                             "act",
                                                             "darktraceUrl",
                                                             "cs1",
                                                             "cs2",
                                                             "cs3",
                                                             "cs4",
                                                             "cs5",
                                                             "cs6",
                                                             "cs1Label",
                                                             "cs2Label",
                                                             "cs3Label",
                                                             "cs4Label",
                                                             "cs5Label",
                                                             "cs6Label",
                                                             "cn1",
                                                             "cn1Label",
                                                             "cfp1",
                                                             "cfp1Label",
                                                             "deviceCustomDate1",
                                                             "deviceCustomDate1Label",
                                                             "c6a2",
                                                             "c6a2Label",
                                                             "c6a3",
                                                             "c6a3Label",
                                                             "message"};
    const auto d = fuzz::decode_cef(body);
    if (!d)
        broken("no CEF", message);
    check_keys(*d, known, message);
    if (d->values.empty() || d->values.front().first != "externalId" ||
        d->values.front().second != std::to_string(b.key.pbid))
        broken("externalId is not first, or not the pbid", message);
    int severity = -1;
    const auto& said = d->header[6];
    if (std::from_chars(said.data(), said.data() + said.size(), severity).ptr != said.data() + said.size() ||
        severity < 0 || severity > 10)
        broken("severity", message);
    for (const auto& [key, value] : d->values)
    {
        if (key.starts_with("cs") && !key.ends_with("Label") && !d->find(key + "Label"))
            broken("a custom string without its label", message);
    }
    if (!whole)
        return;
    check_header(*d, fuzz::expected_cef_header(b), message);
    check_values(*d, fuzz::expected_cef(b, "acme", master_url), message);
    check_v6(*d, "c6a2", fuzz::device_address(b, false), message);
    check_v6(*d, "c6a3", fuzz::peer_of(b).address, message);
}

void check_leef(const std::string& body, const breach& b, bool whole, const std::string& message)
{
    static const std::set<std::string, std::less<>> known = {
        "cat",        "devTime",      "devTimeFormat", "sev",      "src",           "dst",
        "dstPort",    "srcMAC",       "usrName",       "identSrc", "identHostName", "category",
        "externalId", "darktraceUrl", "score",         "tags",     "modelId",       "modelUuid",
        "priority",   "mitre",        "master",        "hostname", "decision",      "description"};
    const auto d = fuzz::decode_leef(body);
    if (!d)
        broken("no LEEF", message);
    check_keys(*d, known, message);
    if (!whole)
        return;
    check_header(*d, fuzz::expected_leef_header(b), message);
    check_values(*d, fuzz::expected_leef(b, "acme", master_url), message);
    const auto device = fuzz::device_address(b, false);
    check_v6(*d, "src", device, message);
    if (d->find("identHostName"))
        check_v6(*d, "identSrc", device, message);
    check_v6(*d, "dst", fuzz::peer_of(b).address, message);
}

/// Whether a name stands twice in an object once it is repaired: Boost keeps the last, the bridge the first.
bool repeats_a_name(const json::value& v)
{
    std::set<std::string> names;
    for (const auto child : v)
    {
        if (v.is(json::kind::object) && !names.insert(fuzz::repaired(child.key(), true)).second)
            return true;
        if (repeats_a_name(child))
            return true;
    }
    return false;
}

/// Every number as a string that begins with a mark, so that no digit is lost on the way through a double;
/// the escape of a surrogate without its other half becomes that of U+FFFD.
std::string made_comparable(std::string_view text)
{
    const auto escaped = [text](std::size_t at) {
        unsigned unit = 0;
        const auto* from = text.data() + at + 2;
        if (at + 6 > text.size() || text[at] != '\\' || text[at + 1] != 'u' ||
            std::from_chars(from, from + 4, unit, 16).ptr != from + 4)
            return 0u;
        return unit;
    };
    std::string out;
    bool quoted = false;
    for (std::size_t i = 0; i < text.size();)
    {
        const char c = text[i];
        const bool number = !quoted && (c == '-' || (c >= '0' && c <= '9'));
        std::size_t size = 1;
        if (number)
            size = std::min(text.find_first_not_of("+-.eE0123456789", i), text.size()) - i;
        else if (c == '"')
            quoted = !quoted;
        else if (c == '\\')
            size = 2;
        const unsigned unit = quoted ? escaped(i) : 0;
        const bool high = unit >= 0xD800 && unit < 0xDC00, low = unit >= 0xDC00 && unit < 0xE000;
        const unsigned next = high ? escaped(i + 6) : 0;
        if (high && next >= 0xDC00 && next < 0xE000)
            size = 12;
        if ((high || low) && size != 12)
        {
            out += "\\ufffd";
            i += 6;
            continue;
        }
        out += number ? "\"number " : "";
        out += text.substr(i, size);
        out += number ? "\"" : "";
        i += size;
    }
    return out;
}

namespace bj = boost::json;

std::string_view view(bj::string_view s)
{
    return {s.data(), s.size()};
}

bj::value parsed(const std::string& text, boost::system::error_code& ec)
{
    bj::parse_options options;
    options.max_depth = 300;
    options.allow_invalid_utf8 = true;
    return bj::parse(text, ec, {}, options);
}

bool is_object(const bj::value* v)
{
    return v && v->is_object();
}

/// What the number or the string of digits says; ok is false for other spellings (1e2) of which nothing is
/// said.
std::optional<std::int64_t> whole_number(const bj::value* v, bool& ok)
{
    if (!v || !v->is_string())
        return std::nullopt;
    auto s = view(v->as_string());
    const bool number = s.starts_with("number ");
    if (number)
        s.remove_prefix(7);
    ok = ok && (!number || s.find_first_of(".eE") == s.npos);
    std::int64_t n = 0;
    const auto read = std::from_chars(s.data(), s.data() + s.size(), n);
    if (read.ec != std::errc() || read.ptr != s.data() + s.size())
        return std::nullopt;
    return n;
}

/// The element as one message has it (product.md 6), from a reading of its own. Nothing where a did is
/// spelled so that which device is which cannot be said.
std::optional<bj::object> wanted(const bj::object& in, const breach& b, bool api)
{
    const auto* components = in.if_contains("triggeredComponents");
    components = components && components->is_array() ? components : nullptr;
    const bj::value* device = in.if_contains("device");
    device = is_object(device) ? device : nullptr;
    bool ok = true;
    const auto is_better = [&](const bj::value* candidate) {
        return is_object(candidate) && (!device || device->as_object().empty());
    };
    if (components)
    {
        for (const auto& c : components->as_array())
        {
            const auto* own = c.is_object() ? c.as_object().if_contains("device") : nullptr;
            if (is_better(own))
                device = own;
        }
    }
    bj::object out;
    for (const auto& member : in)
    {
        const auto name = member.key();
        if (name == "dtbridge")
            continue;
        auto& to = out[name] = member.value();
        if (name == "breachUrl")
            to = bj::string(fuzz::url_of(b, master_url));
        else if (api)
            continue;
        else if (name == "device" && device)
            to = *device;
        else if (name == "model" && member.value().is_object())
        {
            const auto& model = member.value().as_object();
            const auto *then = model.if_contains("then"), *now = model.if_contains("now");
            if (is_object(then))
                to = *then;
            else if (is_object(now) && !model.if_contains("name"))
                to = *now;
        }
        else if (&member.value() == components && device)
        {
            const auto top = whole_number(device->as_object().if_contains("did"), ok);
            for (std::size_t i = 0; i < components->as_array().size(); ++i)
            {
                const auto& from = components->as_array()[i];
                const auto* own = from.is_object() ? from.as_object().if_contains("device") : nullptr;
                if (!is_object(own))
                    continue;
                const auto did = whole_number(own->as_object().if_contains("did"), ok);
                if (own != device && (!did || did != top))
                    continue;
                bj::object rest;
                for (const auto& m : from.as_object())
                {
                    if (m.key() != "device")
                        rest[m.key()] = m.value();
                }
                to.as_array()[i] = rest;
            }
        }
    }
    if (!out.contains("breachUrl"))
        out["breachUrl"] = bj::string(fuzz::url_of(b, master_url));
    if (!api && device && !out.contains("device"))
        out["device"] = *device;
    out["dtbridge"] = bj::object{{"master", "acme"},
                                 {"labels", bj::object{{"tenant", "acme"}}},
                                 {"decision", "alert"},
                                 {"reason", "fuzz"}};
    return ok ? std::optional(out) : std::nullopt;
}

/// Whether out is in, its strings repaired, members in the same order.
bool same(const bj::value& in, const bj::value& out)
{
    if (in.kind() != out.kind())
        return false;
    if (in.is_string())
        return fuzz::repaired(view(in.as_string()), true) == view(out.as_string());
    if (in.is_array())
    {
        const auto &a = in.as_array(), &z = out.as_array();
        return std::equal(a.begin(), a.end(), z.begin(), z.end(), same);
    }
    if (!in.is_object())
        return in == out;
    const auto &a = in.as_object(), &z = out.as_object();
    return std::equal(a.begin(), a.end(), z.begin(), z.end(), [](const auto& l, const auto& r) {
        return fuzz::repaired(view(l.key()), true) == view(r.key()) && same(l.value(), r.value());
    });
}

struct json_case
{
    bool tagged, api, whole;
};

void check_json(std::string body,
                std::string_view element,
                const breach& b,
                const json_case& how,
                const std::string& message)
{
    constexpr std::string_view tag = "darktrace: ";
    if (how.tagged)
    {
        if (!body.starts_with(tag))
            broken("no tag", message);
        body.erase(0, tag.size());
    }
    if (!body.starts_with('{'))
        broken("JSON does not begin where it should", message);
    boost::system::error_code ec;
    bj::parse_options strict;
    strict.max_depth = 300;
    const auto read = bj::parse(body, ec, {}, strict);
    if (ec || !read.is_object())
        broken("no JSON", message);
    if (!read.as_object().contains("pbid"))
        broken("no pbid", message);
    if (body.find_first_not_of(' ') != 0 || !body.ends_with('}'))
        broken("something around the object", message);
    if (!how.whole || repeats_a_name(b.root))
        return;
    const auto in = parsed(made_comparable(element), ec);
    if (ec || !in.is_object())
        broken("the bridge read what is no JSON object", std::string(element));
    const auto out = parsed(made_comparable(body), ec);
    const auto expected = wanted(in.as_object(), b, how.api);
    if (expected && (ec || !same(*expected, out)))
        broken(how.api ? "api shape: another object" : "native shape: another object", message);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    static format::formatter formatters[] = {
        make(format::kind::json, format::header_kind::rfc5424, 0),
        make(format::kind::json, format::header_kind::rfc3164, 0, true),
        make(format::kind::json, format::header_kind::rfc3164, 900, true),
        make(format::kind::json, format::header_kind::none, 600),
        make(format::kind::cef, format::header_kind::rfc3164, 0),
        make(format::kind::cef, format::header_kind::rfc5424, 400),
        make(format::kind::leef, format::header_kind::rfc3164, 0),
        make(format::kind::leef, format::header_kind::none, 300),
    };
    static const format::master_info master{"acme", master_url, "", {{"tenant", "acme"}}};
    const std::string_view element(reinterpret_cast<const char*>(data), size);
    breach b;
    if (!b.read(element))
        return 0;
    rules::decision said;
    said.reason = "fuzz";
    for (auto& f : formatters)
    {
        std::string message;
        const auto verdict = f.message(b, master, said, message);
        const auto& o = f.settings();
        if (verdict == format::verdict::undeliverable)
        {
            if (!message.empty())
                broken("undeliverable, yet something came out", message);
            continue;
        }
        if (o.max_message != 0 && message.size() > o.max_message)
            broken("over max_message", message);
        if (message.find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos)
            broken("a raw line break or NUL", message);
        if (!text::is_valid_utf8(message))
            broken("ill-formed UTF-8", message);
        const bool whole = verdict == format::verdict::whole;
        if (!whole && o.max_message == 0)
            broken("shortened without a limit", message);
        const auto body = header_taken_off(message, o.header);
        switch (o.format)
        {
            case format::kind::json:
                check_json(
                    body,
                    element,
                    b,
                    {o.header == format::header_kind::rfc3164, o.shape == format::json_shape::api, whole},
                    message);
                break;
            case format::kind::cef:
                check_cef(body, b, whole, message);
                break;
            case format::kind::leef:
                check_leef(body, b, whole, message);
                break;
        }
    }
    return 0;
}
