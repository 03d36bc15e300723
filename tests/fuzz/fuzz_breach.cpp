/// Any element to every format: one line within max_message that readers of our own (decoders.hpp) read back
/// to the values of the input, with no key that the map does not have, whatever is in it.

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <set>
#include <string>

#include <boost/json/parse.hpp>

#include <dtbridge/core/breach.hpp>
#include <dtbridge/core/text.hpp>
#include <dtbridge/format/formatter.hpp>

#include "fuzz/decoders.hpp"

namespace
{

using namespace dtbridge;

[[noreturn]] void broken(const char* what, const std::string& message)
{
    std::cerr << what << ": " << text::printable(message, 20'000) << '\n';
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

/// A string member with its blanks; "" where there is none.
std::string_view as_received(const json::value& object, std::string_view name)
{
    const auto v = object.find(name);
    return v.is(json::kind::string) ? v.text() : std::string_view();
}

/// What every format hands on unchanged: printable ASCII without what some format has to touch.
bool is_plain(std::string_view s)
{
    return !s.empty() && s.size() <= 40 && s.front() != ' ' && s.back() != ' ' &&
           std::all_of(s.begin(), s.end(), [](char c) {
               return c >= ' ' && c <= '~' && c != '^' && c != '|' && c != '=' && c != '\\' && c != '"';
           });
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

void check_value(const fuzz::decoded& d,
                 const char* key,
                 std::string_view expected,
                 const std::string& message)
{
    const auto* value = d.find(key);
    if (!value || *value != expected)
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
    if (b.time)
        check_value(*d, "rt", std::to_string(*b.time), message);
    check_value(*d, "cs4", "acme", message);
    if (const auto host = as_received(b.device, "hostname"); is_plain(host))
        check_value(*d, "shost", host, message);
    if (const auto uuid = as_received(b.then, "uuid"); is_plain(uuid))
        check_value(*d, "cs3", uuid, message);
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
    check_value(*d, "cat", "ModelBreach", message);
    if (!whole)
        return;
    check_value(*d, "externalId", std::to_string(b.key.pbid), message);
    check_value(*d, "master", "acme", message);
    if (const auto host = as_received(b.device, "hostname"); is_plain(host))
        check_value(*d, "hostname", host, message);
    if (const auto uuid = as_received(b.then, "uuid"); is_plain(uuid))
        check_value(*d, "modelUuid", uuid, message);
}

std::optional<std::int64_t> whole_number(const boost::json::value& v)
{
    if (v.is_int64())
        return v.as_int64();
    if (v.is_string())
    {
        std::int64_t n = 0;
        const auto& s = v.as_string();
        const auto* end = s.data() + s.size();
        if (std::from_chars(s.data(), end, n).ptr == end)
            return n;
    }
    return std::nullopt;  // 1e2, " 7 ": spellings that are not looked at here
}

void check_json(std::string body, const breach& b, bool tagged, bool api, const std::string& message)
{
    constexpr std::string_view tag = "darktrace: ";
    if (tagged)
    {
        if (!body.starts_with(tag))
            broken("no tag", message);
        body.erase(0, tag.size());
    }
    if (!body.starts_with('{'))
        broken("JSON does not begin where it should", message);
    boost::system::error_code ec;
    boost::json::parse_options options;
    options.max_depth = 300;
    const auto parsed = boost::json::parse(body, ec, {}, options);
    if (ec || !parsed.is_object())
        broken("no JSON", message);
    const auto& root = parsed.as_object();
    const auto* pbid = root.if_contains("pbid");
    if (!pbid)
        broken("no pbid", message);
    // Boost keeps the last of repeated keys, the bridge the first: then nothing can be said.
    if (body.find("\"pbid\"") != body.rfind("\"pbid\"") || api)
        return;
    if (const auto n = whole_number(*pbid); n && *n != b.key.pbid)
        broken("another pbid", message);
    const auto* device = root.if_contains("device");
    const auto host = as_received(b.device, "hostname");
    if (device && device->is_object() && is_plain(host) &&
        body.find("\"hostname\"") == body.rfind("\"hostname\""))
    {
        const auto* name = device->as_object().if_contains("hostname");
        if (name && name->is_string() &&
            std::string_view(name->as_string().data(), name->as_string().size()) != host)
            broken("another hostname", message);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    static format::formatter formatters[] = {
        make(format::kind::json, format::header_kind::rfc5424, 0),
        make(format::kind::json, format::header_kind::rfc3164, 900, true),
        make(format::kind::json, format::header_kind::none, 600),
        make(format::kind::cef, format::header_kind::rfc3164, 0),
        make(format::kind::cef, format::header_kind::rfc5424, 400),
        make(format::kind::leef, format::header_kind::rfc3164, 0),
        make(format::kind::leef, format::header_kind::none, 300),
    };
    static const format::master_info master{"acme", "https://acme.example", "", {{"tenant", "acme"}}};
    breach b;
    if (!b.read(std::string_view(reinterpret_cast<const char*>(data), size)))
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
        const bool whole = verdict == format::verdict::whole && o.max_message == 0;
        const auto body = header_taken_off(message, o.header);
        switch (o.format)
        {
            case format::kind::json:
                check_json(body,
                           b,
                           o.header == format::header_kind::rfc3164,
                           o.shape == format::json_shape::api,
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
