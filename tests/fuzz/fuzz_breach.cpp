/// Any element to every format: one line within max_message that readers of our own (decoders.hpp) read back,
/// with no key that the map does not have, whatever is in it. What was not shortened has every value of the
/// input: each key of CEF and LEEF what expected.hpp says, JSON the very members that Boost.JSON reads in the
/// input. What was shortened is the same message with what may go left out or cut, and nothing else. Bytes
/// behind the element choose the destination's options and what the rules said; without them both have their
/// defaults.

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
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

[[noreturn]] void broken(const std::string& what, const std::string& message)
{
    std::cerr << text::printable(what, 2000) << ": " << text::printable(message, 20'000) << '\n';
    std::abort();
}

constexpr const char* cookie = "@cee:";

/// What one input is sent with.
struct circumstances
{
    fuzz::setting how;
    bool cookie = false, bom = false, space_after_header = false, labels = false;
    std::size_t room = 2;  ///< halves of a limit

    format::options options(format::kind kind, format::header_kind header, std::size_t limit) const;
};

/// Each byte chooses some things; 0 and a missing one leave the defaults.
circumstances chosen_by(std::string_view bytes)
{
    const auto byte = [bytes](std::size_t i) {
        return i < bytes.size() ? static_cast<unsigned>(static_cast<unsigned char>(bytes[i])) : 0u;
    };
    const auto is_set = [&](std::size_t i, unsigned bit) { return (byte(i) >> bit & 1) != 0; };
    circumstances c;
    c.how.marks = is_set(0, 0);
    c.how.cef_version = is_set(0, 1) ? 1 : 0;
    c.how.leef.first = is_set(0, 2);
    c.how.leef.no_words = is_set(0, 3);
    c.cookie = is_set(0, 4);
    c.bom = is_set(0, 5);
    c.how.public_url = is_set(0, 6) ? "https://public.example/dt" : "";
    c.space_after_header = is_set(0, 7);
    c.how.leef.delimiter = std::string_view("^\t#~;!@$%&")[byte(1) % 10];
    c.how.forward = !is_set(2, 0);
    c.labels = is_set(2, 1);
    c.room += byte(2) >> 2 & 3;
    if (const int severity = static_cast<int>(byte(3) % 12); severity != 0)
        c.how.severity = severity - 1;
    return c;
}

format::options circumstances::options(format::kind kind, format::header_kind header, std::size_t limit) const
{
    format::options o;
    o.format = kind;
    o.header = header;
    o.max_message = limit * room / 2;
    o.mark_held_back = how.marks;
    if (kind == format::kind::json)
    {
        o.annotate = true;
        o.cookie = cookie ? ::cookie : "";
        o.bom = bom;
    }
    else if (kind == format::kind::cef)
    {
        o.cef_version = how.cef_version;
        o.space_after_header = space_after_header;
    }
    else
    {
        o.leef_version = how.leef.first ? "1.0" : "2.0";
        o.leef_delimiter = how.leef.between();
        o.mask_equals = how.leef.no_words;
    }
    o.structured_data = header == format::header_kind::rfc5424;
    return o;
}

/// One formatter for each choice that is made: to read a map takes longer than a message.
format::formatter& formatter_of(const format::options& o)
{
    static std::map<std::string, format::formatter> all;
    std::string name;
    for (const std::size_t n : {static_cast<std::size_t>(o.format),
                                static_cast<std::size_t>(o.header),
                                static_cast<std::size_t>(o.shape),
                                static_cast<std::size_t>(o.cef_version),
                                static_cast<std::size_t>(o.leef_delimiter),
                                o.max_message})
        name += std::to_string(n) + ' ';
    for (const bool b : {o.mark_held_back, o.bom, o.space_after_header, o.mask_equals})
        name += b ? '1' : '0';
    name += o.leef_version + o.cookie;
    const auto at = all.find(name);
    if (at != all.end())
        return at->second;
    auto map = format::load_field_map(o.format, "", "built-in", o.cef_version);
    return all.try_emplace(name, o, std::move(map.value), "bridge").first->second;
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

/// U1, for CEF and LEEF: of the pairs of the whole message some are left out, none for which there was room,
/// and the free text alone may be cut.
struct shortening
{
    const fuzz::decoded& whole;
    bool cef;
    std::size_t left;  ///< bytes up to the limit
    const std::string& message;

    std::size_t room_for(std::string_view key, std::string_view value) const
    {
        std::size_t escapes = 0;
        for (const char c : value)
            escapes += cef && (c == '\\' || c == '=' || c == '\n') ? 1 : 0;
        return 1 + key.size() + 1 + value.size() + escapes;
    }

    /// What goes or stays together with the key.
    std::vector<std::string> unit_of(const std::string& key) const
    {
        if (cef)
            return whole.find(key + "Label") ? std::vector{key, key + "Label"} : std::vector{key};
        if (key == "devTime")
            return {key, "devTimeFormat"};
        if (key == "identHostName")
            return {"identSrc", key};
        return {key};
    }

    void check(const fuzz::decoded& d) const;
    void check_left_out(const std::string& key) const;
    void check_cut(const std::string& key, std::string sent, const std::string& full) const;
};

bool may_be_cut(std::string_view key)
{
    return key == "msg" || key == "message" || key == "description";
}

void shortening::check_left_out(const std::string& key) const
{
    std::size_t needed = 0;
    for (const auto& each : unit_of(key))
    {
        const std::string_view value = *whole.find(each);
        const auto first = may_be_cut(each) ? value.substr(0, fuzz::first_character(value).size) : value;
        needed += room_for(each, first);
    }
    if (needed <= left)
        broken(key + " is left out and had room", message);
}

void shortening::check_cut(const std::string& key, std::string sent, const std::string& full) const
{
    if (!may_be_cut(key))
        broken(key + ", not " + full, message);
    if (sent.ends_with("\\ ") && !cef)
        sent.pop_back();  // L3
    if (!full.starts_with(sent) || sent.ends_with(' ') ||
        (full.size() > sent.size() && (static_cast<unsigned char>(full[sent.size()]) & 0xC0) == 0x80))
        broken(key + " is no cut of " + full, message);
}

void shortening::check(const fuzz::decoded& d) const
{
    if (d.header != whole.header)
        broken("another header than the whole message", message);
    auto at = whole.values.begin();
    for (const auto& [key, value] : d.values)
    {
        const auto* full = whole.find(key);
        if (!full)
            broken(key + ", which the whole message does not have", message);
        if (value != *full)
            check_cut(key, value, *full);
        for (const auto& each : unit_of(key))
        {
            if (!d.find(each) && whole.find(each))
                broken(key + " without " + each, message);
        }
        if (cef && key == "darktraceUrl")
            continue;  // it changes places with the pair before it where it would be last
        at = std::find_if(at, whole.values.end(), [&k = key](const auto& pair) { return pair.first == k; });
        if (at == whole.values.end())
            broken(key + " in another place", message);
    }
    if (cef && d.values.back().first == "darktraceUrl")
        broken("darktraceUrl is last", message);
    for (const auto& [key, value] : whole.values)
    {
        const bool of_another = key.ends_with("Label") || key == "devTimeFormat" || key == "identSrc";
        // The URL goes where only the first pair is before it, as it is never last.
        const bool alone = cef && key == "darktraceUrl" && d.values.size() == 1;
        if (!d.find(key) && !of_another && !alone)
            check_left_out(key);
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

/// What a check of a message needs beside it.
struct sent
{
    const breach& b;
    const circumstances& with;
    const format::options& o;
    bool whole;
    const std::optional<fuzz::decoded>& uncut;  ///< the same message without a limit; CEF and LEEF

    void check_shortening(const fuzz::decoded& d, const std::string& message) const
    {
        if (!whole && uncut)
            shortening{*uncut, o.format == format::kind::cef, o.max_message - message.size(), message}.check(
                d);
    }
};

fuzz::decoded check_cef(const std::string& body, const sent& how, const std::string& message)
{
    const auto& b = how.b;
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
    const auto d = fuzz::decode_cef(body, how.o.cef_version, how.o.space_after_header);
    if (!d)
        broken("no CEF", message);
    check_keys(*d, known, message);
    if (d->values.empty() || d->values.front().first != "externalId" ||
        d->values.front().second != std::to_string(b.key.pbid))
        broken("externalId is not first, or not the pbid", message);
    int severity = -1;
    const auto& said = d->header[6];
    if (std::from_chars(said.data(), said.data() + said.size(), severity).ptr != said.data() + said.size() ||
        severity < 1 || severity > 10)
        broken("severity", message);
    for (const auto& [key, value] : d->values)
    {
        if (key.starts_with("cs") && !key.ends_with("Label") && !d->find(key + "Label"))
            broken("a custom string without its label", message);
    }
    check_header(*d, fuzz::expected_cef_header(b, how.with.how), message);
    how.check_shortening(*d, message);
    if (!how.whole)
        return *d;
    check_values(*d, fuzz::expected_cef(b, how.with.how), message);
    const bool old = how.o.cef_version == 0;
    check_v6(*d, old ? "c6a2" : "src", fuzz::device_address(b, false), message);
    check_v6(*d, old ? "c6a3" : "dst", fuzz::peer_of(b).address, message);
    return *d;
}

fuzz::decoded check_leef(const std::string& body, const sent& how, const std::string& message)
{
    const auto& b = how.b;
    static const std::set<std::string, std::less<>> known = {
        "cat",        "devTime",      "devTimeFormat", "sev",      "src",           "dst",
        "dstPort",    "srcMAC",       "usrName",       "identSrc", "identHostName", "category",
        "externalId", "darktraceUrl", "score",         "tags",     "modelId",       "modelUuid",
        "priority",   "mitre",        "master",        "hostname", "decision",      "description"};
    const auto d = fuzz::decode_leef(body, how.with.how.leef);
    if (!d)
        broken("no LEEF", message);
    check_keys(*d, known, message);
    check_header(*d, fuzz::expected_leef_header(b, how.with.how), message);
    how.check_shortening(*d, message);
    if (!how.whole)
        return *d;
    check_values(*d, fuzz::expected_leef(b, how.with.how), message);
    const auto device = fuzz::device_address(b, false);
    check_v6(*d, "src", device, message);
    if (d->find("identHostName"))
        check_v6(*d, "identSrc", device, message);
    check_v6(*d, "dst", fuzz::peer_of(b).address, message);
    return *d;
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

const rules::labels of_the_rules = {{"playbook", "PB\n^|12"}, {"tenant", "own"}};
const rules::labels of_the_inventory = {{"site", "\xe2\x80\xa8 x\xff"}, {"playbook", "lost"}};
const rules::labels of_the_master = {{"tenant", "acme"}, {"site", "lost"}};

/// The first that has a name wins: rules, inventory, master.
bj::object wanted_labels(bool all)
{
    bj::object out;
    for (const auto* from : {&of_the_rules, &of_the_inventory, &of_the_master})
    {
        for (const auto& [name, value] : *from)
        {
            if ((all || from == &of_the_master) && !out.contains(name))
                out[name] = value;
        }
    }
    return out;
}

/// The element as one message has it (product.md 6), from a reading of its own. Nothing where a did is
/// spelled so that which device is which cannot be said. device_on_top: as in the native shape.
std::optional<bj::object> wanted(
    const bj::object& in, const breach& b, const circumstances& with, bool api, bool device_on_top)
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
            to = bj::string(fuzz::url_of(b, with.how));
        else if (name == "device" && device && device_on_top)
            to = *device;
        else if (api)
            continue;
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
        out["breachUrl"] = bj::string(fuzz::url_of(b, with.how));
    if (device_on_top && device && !out.contains("device"))
        out["device"] = *device;
    out["dtbridge"] = bj::object{{"master", "acme"},
                                 {"labels", wanted_labels(with.labels)},
                                 {"decision", fuzz::decision_of(with.how)},
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

/// What a shortened object may lack of the whole one (product.md 6, darktrace.md 4.1): at the top, in the
/// model and in the device any member, in a component its logic and filters, elsewhere nothing.
class left_out
{
public:
    explicit left_out(bool api) : api_(api) {}

    bool fits(const bj::object& in, const bj::object& out) const { return part(in, out, place::root); }

private:
    enum class place { root, models, model, device, components, component, filters, other };

    place inside(std::string_view name, place where, const bj::value& v) const
    {
        if (where == place::root && name == "model" && v.is_object())
            return api_ && (v.as_object().contains("then") || v.as_object().contains("now")) ? place::models
                                                                                             : place::model;
        if (where == place::models)
            return place::model;
        if (where == place::component)
            return name == "triggeredFilters" ? place::filters
                   : name == "device"         ? place::device
                                              : place::other;
        if (where != place::root)
            return place::other;
        return name == "device"                ? place::device
               : name == "triggeredComponents" ? place::components
                                               : place::other;
    }

    /// In the order of the whole one.
    bool part(const bj::object& in, const bj::object& out, place where) const
    {
        auto at = in.begin();
        for (const auto& [name, value] : out)
        {
            if (where == place::root && name == "truncated")
                continue;
            const auto from = at;
            at = std::find_if(at, in.end(), [&n = name](const auto& m) {
                return fuzz::repaired(view(m.key()), true) == view(n);
            });
            const bool may_lack = where != place::other && where != place::filters;
            if (at == in.end() || (!may_lack && at != from) ||
                !part(at->value(), value, inside(view(name), where, at->value()), view(name), where))
                return false;
            ++at;
        }
        return (where != place::other && where != place::filters) || at == in.end();
    }

    bool part(
        const bj::value& in, const bj::value& out, place where, std::string_view name, place around) const
    {
        if (where == place::other || in.kind() != out.kind())
            return same(in, out) || (around == place::model && name == "description" && is_cut(in, out));
        if (in.is_object())
            return where == place::components || where == place::filters
                       ? same(in, out)
                       : part(in.as_object(), out.as_object(), where);
        if (!in.is_array() || (where != place::components && where != place::filters))
            return same(in, out);
        const auto &a = in.as_array(), &z = out.as_array();
        if (where == place::components)
            return std::equal(a.begin(), a.end(), z.begin(), z.end(), [this](const auto& l, const auto& r) {
                return l.is_object() && r.is_object() ? part(l.as_object(), r.as_object(), place::component)
                                                      : same(l, r);
            });
        if (z.empty() != a.empty())
            return false;  // one of each component is kept
        auto at = a.begin();
        return std::all_of(z.begin(), z.end(), [&](const auto& filter) {
            at = std::find_if(at, a.end(), [&](const auto& each) { return same(each, filter); });
            return at != a.end() && at++ != a.end();
        });
    }

    static bool is_cut(const bj::value& in, const bj::value& out)
    {
        return in.is_string() && out.is_string() &&
               fuzz::repaired(view(in.as_string()), true).starts_with(view(out.as_string()));
    }

    bool api_;
};

/// Of the members that are never left out, those that the whole one has.
void check_kept(const bj::object& in,
                const bj::object& out,
                const std::vector<std::string_view>& names,
                const std::string& message)
{
    for (const auto name : names)
    {
        const auto* wanted = in.if_contains(name);
        if (!wanted || wanted->is_object() || wanted->is_array())
            continue;  // no value of the product's: goes like any other
        const auto* kept = out.if_contains(name);
        if (!kept || !same(*wanted, *kept))
            broken(std::string(name) + " is not kept", message);
    }
}

/// Whether the API's shape has, when shortened, the device at the top that only a component had: where the
/// components are left out, and while they are tried.
bool brings_device(const bj::object& in, const bj::object& out)
{
    const auto has_one = [](const bj::object& o) {
        const auto* device = o.if_contains("device");
        return is_object(device) && !device->as_object().empty();
    };
    return !out.contains("triggeredComponents") || (has_one(out) && !has_one(in));
}

void check_shortened(const bj::object& in, const bj::object& out, bool api, const std::string& message)
{
    if (!message.ends_with(",\"truncated\":true}") || out.empty() || (out.end() - 1)->key() != "truncated")
        broken("truncated is not last", message);
    check_kept(in, out, {"pbid", "time", "score", "breachUrl"}, message);
    const auto inside = [&](std::string_view name, const bj::object& a, const bj::object& z) {
        const auto *from = a.if_contains(name), *to = z.if_contains(name);
        if (!is_object(from))
            return std::pair<const bj::object*, const bj::object*>();
        if (!is_object(to))
            broken(std::string(name) + " is not kept", message);
        return std::pair(&from->as_object(), &to->as_object());
    };
    if (const auto [from, to] = inside("device", in, out); from)
        check_kept(*from, *to, {"hostname", "ip"}, message);
    auto [from, to] = inside("model", in, out);
    if (from && api)
    {
        // As received: {then, now}, of which then is the breach's; either may stand alone, as may a flat
        // model.
        const auto *then = from->if_contains("then"), *now = from->if_contains("now");
        if (is_object(then))
            std::tie(from, to) = inside("then", *from, *to);
        else if (is_object(now) && !from->contains("name"))
            std::tie(from, to) = inside("now", *from, *to);
    }
    if (from)
        check_kept(*from, *to, {"name", "pid", "uuid"}, message);
    if (!left_out(api).fits(in, out))
        broken("shortened: something else than the whole object has", message);
}

void check_json(std::string body, std::string_view element, const sent& how, const std::string& message)
{
    const auto take_off = [&](std::string_view prefix) {
        if (!body.starts_with(prefix))
            broken("no " + std::string(prefix), message);
        body.erase(0, prefix.size());
    };
    if (how.o.header == format::header_kind::rfc3164)
        take_off("darktrace: ");
    if (how.o.header == format::header_kind::rfc5424 && how.o.bom)
        take_off("\xef\xbb\xbf");
    if (!how.o.cookie.empty())
        take_off(how.o.cookie + ' ');
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
    if (!body.ends_with('}'))
        broken("something around the object", message);
    if (repeats_a_name(how.b.root))
        return;
    const bool api = how.o.shape == format::json_shape::api;
    const auto in = parsed(made_comparable(element), ec);
    if (ec || !in.is_object())
        broken("the bridge read what is no JSON object", std::string(element));
    const auto out = parsed(made_comparable(body), ec);
    if (ec || !out.is_object())
        broken("no JSON that is read again", message);
    const bool on_top = !api || (!how.whole && brings_device(in.as_object(), out.as_object()));
    const auto expected = wanted(in.as_object(), how.b, how.with, api, on_top);
    if (!expected)
        return;
    if (!how.whole)
        check_shortened(*expected, out.as_object(), api, message);
    else if (!same(*expected, out))
        broken(api ? "api shape: another object" : "native shape: another object", message);
}

/// The element, and behind its last brace what chooses the rest.
std::pair<std::string_view, std::string_view> parts_of(std::string_view input)
{
    const auto end = std::min(input.rfind('}'), input.size() - 1) + 1;
    return {input.substr(0, end), input.substr(end)};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    using format::header_kind;
    using format::kind;
    struct target
    {
        kind format;
        header_kind header;
        std::size_t limit = 0;
        format::json_shape shape = format::json_shape::native;
    };
    // What is shortened comes behind the same without a limit.
    static constexpr target targets[] = {
        {kind::json, header_kind::rfc5424},
        {kind::json, header_kind::rfc3164, 0, format::json_shape::api},
        {kind::json, header_kind::rfc3164, 900, format::json_shape::api},
        {kind::json, header_kind::none, 600},
        {kind::cef, header_kind::rfc3164},
        {kind::cef, header_kind::rfc5424, 400},
        {kind::leef, header_kind::rfc3164},
        {kind::leef, header_kind::none, 300},
    };
    const std::string_view input(reinterpret_cast<const char*>(data), size);
    std::string_view element = input, choices;
    breach b;
    if (!b.read(element))
    {
        if (size == 0)
            return 0;
        std::tie(element, choices) = parts_of(input);
        if (choices.empty() || !b.read(element))
            return 0;
    }
    const auto with = chosen_by(choices);
    const format::master_info master{with.how.master, with.how.url, with.how.public_url, of_the_master};
    rules::decision said;
    said.reason = "fuzz";
    said.forward = with.how.forward;
    said.severity = with.how.severity;
    said.labels = with.labels ? &of_the_rules : nullptr;
    said.inventory = with.labels ? &of_the_inventory : nullptr;
    std::optional<fuzz::decoded> uncut;
    for (const auto& t : targets)
    {
        auto o = with.options(t.format, t.header, t.limit);
        o.shape = t.shape;
        std::string message;
        const auto verdict = formatter_of(o).message(b, master, said, message);
        if (verdict == format::verdict::undeliverable)
        {
            if (!message.empty())
                broken("undeliverable, yet something came out", message);
            if (o.max_message == 0)
                broken("undeliverable without a limit", std::string(element));
            continue;
        }
        if (o.max_message != 0 && message.size() > o.max_message)
            broken("over max_message", message);
        if (!fuzz::is_one_line(message, o.format == kind::leef && o.leef_delimiter == '\t'))
            broken("not one line of UTF-8", message);
        const bool whole = verdict == format::verdict::whole;
        if (!whole && o.max_message == 0)
            broken("shortened without a limit", message);
        const auto body = header_taken_off(message, o.header);
        const sent how{b, with, o, whole, uncut};
        if (o.format == kind::json)
            check_json(body, element, how, message);
        else if (auto read =
                     o.format == kind::cef ? check_cef(body, how, message) : check_leef(body, how, message);
                 t.limit == 0)
            uncut = std::move(read);
    }
    return 0;
}
