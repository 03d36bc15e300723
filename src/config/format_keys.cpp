#include <algorithm>
#include <array>

#include <dtbridge/core/text.hpp>

#include "config/checks.hpp"

namespace dtbridge::config
{

namespace
{

using transport::protocol;

bool has_control(std::string_view s)
{
    return std::any_of(s.begin(), s.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

/// A constant field of a header: 1 to max bytes of text without controls.
void check_constant(section& s, std::string_view key, std::string& out, std::size_t max)
{
    std::string value;
    if (!s.read(key, value))
        return;
    if (value.empty() || value.size() > max || has_control(value) || !text::is_valid_utf8(value))
    {
        s.error(key,
                "found " + in_quotes(value) + " (" + counted(value.size(), "byte") + "); expected 1 to " +
                    std::to_string(max) + " bytes of text without control characters");
        return;
    }
    // formats.md 2.5: two readers do not decode an escaped pipe there.
    if (value.find('|') != std::string::npos)
        s.warning(
            key,
            "has a pipe, which is escaped as the standard says, but some receivers split the header there");
    out = value;
}

constexpr std::array<std::string_view, 4> categories{"Critical", "Suspicious", "Informational", "Compliance"};

void check_severity(section& s, format::severity_map& out, int low)
{
    using mode = format::severity_map::mode;
    const entry* e = s.find("severity");
    if (e == nullptr)
        return;
    if (e->value.type != node::kind::table)
    {
        if (e->value.type == node::kind::string)
            s.read_choice(
                "severity",
                out.by,
                {{"score", mode::score}, {"category", mode::category}, {"priority", mode::priority}});
        else
            s.wrong(
                *e,
                "\"score\", \"category\", \"priority\" or a table such as { Critical = 10, Suspicious = 6 }");
        return;
    }
    out.by = mode::table;
    if (e->value.members.empty())
        s.error("severity", "is an empty table; expected entries such as { Critical = 10, Suspicious = 6 }");
    for (const entry& row : e->value.members)
    {
        std::string name = s.name_of("severity") + '.' + text::printable(row.key, 80);
        unsigned line = row.line;
        if (row.value.type != node::kind::integer || row.value.integer < low || row.value.integer > 10)
        {
            s.problems().error(
                line, name, "expected an integer from " + std::to_string(low) + " to 10, without quotes");
            continue;
        }
        bool priority = row.key.size() == 1 && row.key[0] >= '0' && row.key[0] <= '5';
        auto category = std::find(categories.begin(), categories.end(), row.key);
        if (!priority && category == categories.end())
        {
            // Appliances may know other categories; a spelling that differs only in a letter is a mistake.
            std::vector<std::string_view> known(categories.begin(), categories.end());
            s.problems().warning(
                line,
                name,
                "not a category or priority that appliances are known to send (Critical, Suspicious, "
                "Informational, Compliance, 0 to 5)" +
                    did_you_mean(row.key, known));
        }
        out.table.emplace_back(row.key, static_cast<int>(row.value.integer));
    }
}

void check_json(section s, format::options& out)
{
    s.read_choice(
        "shape", out.shape, {{"native", format::json_shape::native}, {"api", format::json_shape::api}});
    s.read("bom", out.bom);
    std::string cookie;
    if (s.read("cookie", cookie))
    {
        if (!cookie.empty() && cookie != "@cee:")
            s.error("cookie", "found " + in_quotes(cookie) + "; expected \"\" or \"@cee:\"");
        else
            out.cookie = cookie;
    }
    // formats.md 4: readers of the cookie fail when a BOM stands before it.
    if (out.bom && !out.cookie.empty())
        s.warning("bom",
                  "a BOM before the cookie keeps receivers from seeing the cookie; expected one of the two");
    s.finish();
}

void check_cef(section s, format::options& out)
{
    std::int64_t version = out.cef_version;
    if (s.read_integer("version", version, 0, 1))
        out.cef_version = static_cast<int>(version);
    check_constant(s, "vendor", out.cef_vendor, 63);    // C4
    check_constant(s, "product", out.cef_product, 63);  // C4
    check_constant(s, "device_version", out.cef_device_version, 31);
    check_severity(s, out.cef_severity, 0);
    s.read("space_after_header", out.space_after_header);
    s.finish();
}

void check_delimiter(section& s, format::options& out)
{
    // formats.md 3.3.
    constexpr std::string_view allowed = "^\t#~;!@$%&";
    bool tab_only = out.leef_version == "1.0";
    if (tab_only)
        out.leef_delimiter = '\t';
    std::string value;
    if (!s.read("delimiter", value))
        return;
    if (value.size() != 1 || allowed.find(value[0]) == std::string_view::npos)
    {
        s.error("delimiter",
                "found " + in_quotes(value) + "; expected one of ^ # ~ ; ! @ $ % & or \"\\t\" (TAB)");
        return;
    }
    if (tab_only && value[0] != '\t')
    {
        if (s.is_explicit("delimiter"))
            s.error("delimiter",
                    "found " + in_quotes(value) +
                        ", but LEEF 1.0 always separates by TAB; expected it to be left out, or version = "
                        "\"2.0\"");
        return;
    }
    out.leef_delimiter = value[0];
}

void check_leef(section s, format::options& out)
{
    std::string version;
    if (const entry* e = s.find("version"))
    {
        if (e->value.type == node::kind::string && (e->value.text == "1.0" || e->value.text == "2.0"))
            out.leef_version = e->value.text;
        else
            s.wrong(*e, "\"2.0\" or \"1.0\", in quotes");
    }
    check_delimiter(s, out);
    using event_id = format::options::event_id;
    s.read_choice("event_id",
                  out.leef_event_id,
                  {{"model", event_id::model}, {"uuid", event_id::uuid}, {"pid", event_id::pid}});
    check_severity(s, out.leef_severity, 1);  // L7
    s.read("mask_equals", out.mask_equals);
    s.finish();
}

void check_header(section& s, protocol kind, format::options& out)
{
    out.header =
        out.format == format::kind::json ? format::header_kind::rfc5424 : format::header_kind::rfc3164;
    // Who reads a topic is no syslog receiver.
    if (kind == protocol::kafka)
        out.header = format::header_kind::none;
    s.read_choice("header",
                  out.header,
                  {{"rfc5424", format::header_kind::rfc5424},
                   {"rfc3164", format::header_kind::rfc3164},
                   {"none", format::header_kind::none}});
    // RFC 5424 table 1; the names are those of syslog.conf, 12 to 15 as the RFC describes them.
    static const std::vector<std::string_view> facilities = {
        "kern",   "user",   "mail",     "daemon", "auth",   "syslog", "lpr",    "news",
        "uucp",   "cron",   "authpriv", "ftp",    "ntp",    "audit",  "alert",  "clock",
        "local0", "local1", "local2",   "local3", "local4", "local5", "local6", "local7"};
    static const std::vector<std::string_view> severities = {
        "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"};
    if (auto index = s.choice_index("facility", facilities))
        out.facility = static_cast<int>(*index);
    if (auto index = s.choice_index("severity", severities))
        out.severity = static_cast<int>(*index);
    std::string app_name;
    if (s.read("app_name", app_name))
    {
        bool right = !app_name.empty() && app_name.size() <= 48 &&
                     std::all_of(app_name.begin(), app_name.end(), [](unsigned char c) {
                         return c > 0x20 && c < 0x7f;
                     });
        if (right)
            out.app_name = app_name;
        else
            s.error("app_name",
                    "found " + in_quotes(app_name) +
                        "; expected 1 to 48 printable ASCII characters without blanks (RFC 5424, 6.2.5)");
    }
    s.read_choice("hostname", out.hostname_is_bridge, {{"master", false}, {"bridge", true}});
    std::string offset;
    if (s.read("time_offset", offset))
    {
        auto digit = [&offset](std::size_t i) { return offset[i] >= '0' && offset[i] <= '9'; };
        bool shape = offset.size() == 6 && (offset[0] == '+' || offset[0] == '-') && digit(1) && digit(2) &&
                     offset[3] == ':' && digit(4) && digit(5);
        int minutes =
            shape ? ((offset[1] - '0') * 10 + offset[2] - '0') * 60 + (offset[4] - '0') * 10 + offset[5] - '0'
                  : 0;
        if (shape && offset[0] == '-')
            minutes = -minutes;
        // The zones in use reach from -12:00 to +14:00.
        if (!shape || offset[4] > '5' || minutes < -720 || minutes > 840)
            s.error(
                "time_offset",
                "found " + in_quotes(offset) +
                    "; expected hours and minutes from UTC, \"-12:00\" to \"+14:00\", such as \"+01:00\"");
        else
        {
            out.time_offset_minutes = minutes;
            if (minutes != 0 && out.header != format::header_kind::rfc3164)
                s.warning("time_offset", "without effect: only the rfc3164 header has a time without a zone");
        }
    }
    if (s.read("structured_data", out.structured_data) && out.structured_data &&
        out.header != format::header_kind::rfc5424)
        s.warning("structured_data", "without effect: only the rfc5424 header has structured data");
}

void check_max_message(section& s, protocol kind, format::options& out)
{
    bool udp = kind == protocol::udp;
    // product.md 2.
    switch (out.format)
    {
        case format::kind::json:
            out.max_message = udp ? 8u << 10 : 64u << 10;
            break;
        case format::kind::cef:
            out.max_message = udp ? 2u << 10 : 8u << 10;
            break;
        case format::kind::leef:
            out.max_message = udp ? 2u << 10 : 4u << 10;
            break;
    }
    constexpr std::uint64_t smallest = 256;       // a header and the ids
    constexpr std::uint64_t largest_udp = 65507;  // RFC 768 in IPv4: 65535 - 20 - 8
    constexpr std::uint64_t largest_stream = 16u << 20;
    constexpr std::uint64_t unfragmented_udp = 1400;
    const entry* e = s.find("max_message");
    std::uint64_t size = 0;
    if (!s.read_size("max_message", size, smallest, largest_stream))
        return;
    if (udp && size > largest_udp)
    {
        s.error("max_message",
                "found " + in_quotes(e->value.text) +
                    ", more than a UDP datagram can hold; expected at most \"65507B\"");
        return;
    }
    if (udp && size > unfragmented_udp && s.is_explicit("max_message"))
        s.warning("max_message",
                  "datagrams over 1400 bytes are sent in fragments, which some networks drop; on tcp and tls "
                  "nothing is lost so");
    out.max_message = static_cast<std::size_t>(size);
}

}  // namespace

void check_format_keys(section& s, protocol kind, format::options& out)
{
    s.read_choice("format",
                  out.format,
                  {{"json", format::kind::json}, {"cef", format::kind::cef}, {"leef", format::kind::leef}});
    check_header(s, kind, out);
    if (auto json = s.subsection("json"))
        check_json(std::move(*json), out);
    if (auto cef = s.subsection("cef"))
        check_cef(std::move(*cef), out);
    if (auto leef = s.subsection("leef"))
        check_leef(std::move(*leef), out);
    s.read_choice("held_back", out.mark_held_back, {{"drop", false}, {"mark", true}});
    if (s.read("annotate", out.annotate) && out.annotate && out.format != format::kind::json)
        s.warning("annotate", "without effect: only json has room for the object \"dtbridge\"");
    check_max_message(s, kind, out);
}

}  // namespace dtbridge::config
