#include <algorithm>
#include <charconv>
#include <filesystem>
#include <map>

#include <dtbridge/core/text.hpp>

#include "config/checks.hpp"
#include "config/profile.hpp"

namespace dtbridge::config
{

namespace
{

using namespace std::chrono_literals;
using transport::protocol;

/// Policies that several destinations share are read and reported once.
struct policies
{
    std::map<std::string, std::shared_ptr<const rules::policy>> by_path;
};

/// Answers false where the transport is not usable.
bool check_transport(section& s, protocol& out)
{
    if (!s.is_set("transport"))
        return true;
    return s.read_choice("transport",
                         out,
                         {{"udp", protocol::udp},
                          {"tcp", protocol::tcp},
                          {"tls", protocol::tls},
                          {"relp", protocol::relp},
                          {"relp+tls", protocol::relp_tls},
                          {"kafka", protocol::kafka}});
}

std::uint16_t default_port_of(protocol kind)
{
    if (transport::is_relp(kind))
        return 2514;
    if (kind == protocol::kafka)
        return 9092;
    return kind == protocol::tls ? 6514 : 514;
}

void add_address(section& s,
                 std::string_view key,
                 std::string_view text,
                 unsigned line,
                 bool port_known,
                 transport::options& out)
{
    const std::uint16_t default_port = default_port_of(out.kind);
    auto address = net::parse_endpoint(text, default_port);
    if (!address)
    {
        s.problems().error(line,
                           s.name_of(key),
                           "found " + address.error().detail +
                               "; expected host, host:port or [v6]:port, such as \"siem.example:" +
                               std::to_string(default_port) + '"');
        return;
    }
    if (port_known && std::find(out.addresses.begin(), out.addresses.end(), *address) != out.addresses.end())
        s.problems().warning(line, s.name_of(key), in_quotes(text) + " is listed twice");
    else
        out.addresses.push_back(*address);
}

void check_addresses(section& s, bool transport_known, transport::options& out)
{
    const entry* one = s.find("address");
    const entry* many = s.find("addresses");
    if (one != nullptr && many != nullptr)
    {
        s.error(one->line > many->line ? "address" : "addresses",
                "address and addresses are both set; expected one of the two");
        return;
    }
    if (one == nullptr && many == nullptr)
    {
        s.error("address", "is missing; expected the collector's address, such as \"siem.example:6514\"");
        return;
    }
    std::string text;
    if (one != nullptr)
    {
        if (s.read("address", text))
            add_address(s, "address", text, one->line, transport_known, out);
        return;
    }
    std::vector<section::text_at> texts;
    if (!s.read_strings("addresses", texts))
        return;
    constexpr std::size_t max_addresses = 64;
    if (texts.empty() || texts.size() > max_addresses)
        s.error("addresses", "found " + std::to_string(texts.size()) + " addresses; expected 1 to 64");
    else
        for (const auto& t : texts)
            add_address(s, "addresses", t.text, t.line, transport_known, out);
}

void check_framing(section& s, bool transport_known, transport::options& out)
{
    // RFC 5425 4.3 wants octet counting on TLS; on TCP receivers read lines (formats.md 5.4).
    out.frames = out.kind == protocol::tls ? transport::framing::octet_counting : transport::framing::newline;
    bool given = s.read_choice("framing",
                               out.frames,
                               {{"octet-counting", transport::framing::octet_counting},
                                {"newline", transport::framing::newline},
                                {"nul", transport::framing::nul}});
    if (given && transport_known && out.kind == protocol::udp && s.is_explicit("framing"))
        s.warning("framing", "without effect on udp: every datagram is one message (RFC 5426)");
    if (given && transport_known && transport::is_relp(out.kind) && s.is_explicit("framing"))
        s.error("framing",
                "RELP has frames of its own; expected framing to be left out, or transport = \"tcp\" or "
                "\"tls\"");
    if (given && transport_known && out.kind == protocol::kafka && s.is_explicit("framing"))
        s.error("framing",
                "every record of Kafka is one message, without a frame; expected framing to be left out");
}

/// Only legal characters, and no name that is a folder's: Kafka's own rule for topics.
bool is_topic(std::string_view name)
{
    constexpr std::size_t longest = 249;
    return !name.empty() && name.size() <= longest && name != "." && name != ".." &&
           std::all_of(name.begin(), name.end(), [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '.' || c == '_' || c == '-';
           });
}

void check_topic(section& s, std::string& out)
{
    std::string topic;
    if (!s.is_set("topic"))
        s.error("topic",
                "is missing; expected the topic that breaches go to, such as \"darktrace.breaches\"");
    else if (s.read("topic", topic))
    {
        if (is_topic(topic))
            out = topic;
        else
            s.error("topic",
                    "found " + in_quotes(topic) +
                        "; expected 1 to 249 letters, digits and . _ -, and neither \".\" nor \"..\"");
    }
}

void check_sasl(section& s, const context& c, transport::kafka_options& out)
{
    static const std::vector<std::string_view> mechanisms = {"", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"};
    bool right = true;
    if (const entry* e = s.find("sasl_mechanism"); e != nullptr)
    {
        const auto which = s.choice_index("sasl_mechanism", mechanisms);
        right = which.has_value();
        if (which)
            out.sasl_mechanism = mechanisms[*which];
    }
    s.read("sasl_username", out.sasl_username);
    const entry* file = s.find("sasl_password_file");
    const bool has_file =
        file != nullptr && !(file->value.type == node::kind::string && file->value.text.empty());
    std::string path;
    if (has_file)
        read_secret(s, "sasl_password_file", c.places, out.sasl_password, path);
    if (!right)
        return;
    if (out.sasl_mechanism.empty())
    {
        for (std::string_view key : {"sasl_username", "sasl_password_file"})
            if (key == "sasl_username" ? !out.sasl_username.empty() : has_file)
                s.error(
                    key,
                    "without effect as long as no sasl_mechanism is set; expected PLAIN, SCRAM-SHA-256 or "
                    "SCRAM-SHA-512 there, or this to be left out");
        return;
    }
    if (out.sasl_username.empty())
        s.error("sasl_username", "is missing; expected the user that signs in by " + out.sasl_mechanism);
    if (!has_file)
        s.error("sasl_password_file",
                "is missing; expected a file that holds the password of the user that signs in by " +
                    out.sasl_mechanism);
}

/// What of tls = { .. } librdkafka cannot do.
void check_kafka_tls(section& s, transport::options& out)
{
    out.kafka.tls = s.is_set("tls");
    auto tls = s.subsection("tls");
    if (!tls)
        return;
    if (!out.tls.fingerprint_sha256.empty())
        tls->error(
            "fingerprint_sha256",
            "librdkafka cannot pin a certificate; expected ca_file with the CA of the brokers, or with "
            "their self-signed certificate");
    if (!out.tls.server_name.empty())
        tls->error("server_name",
                   "brokers tell their own names, and each certificate has to have its broker's; expected "
                   "server_name to be left out");
}

void check_kafka(section& s, const context& c, bool transport_known, transport::options& out)
{
    if (!transport_known || out.kind != protocol::kafka)
    {
        for (std::string_view key : {"topic", "kafka"})
            if (const entry* e = s.find(key); e != nullptr && transport_known &&
                                              (e->value.type != node::kind::string || !e->value.text.empty()))
                s.error(key,
                        std::string(key) +
                            " belongs to transport \"kafka\"; expected it to be left out, or transport = "
                            "\"kafka\"");
        return;
    }
    check_topic(s, out.kafka.topic);
    check_kafka_tls(s, out);
    auto kafka = s.subsection("kafka");
    if (!kafka)
        return;
    static const std::vector<std::string_view> codecs = {"none", "gzip", "snappy", "lz4", "zstd"};
    if (auto which = kafka->choice_index("compression", codecs))
        out.kafka.compression = codecs[*which];
    check_sasl(*kafka, c, out.kafka);
    const bool far = std::any_of(
        out.addresses.begin(), out.addresses.end(), [](const auto& a) { return !is_loopback(a.host); });
    if (out.kafka.sasl_mechanism == "PLAIN" && !out.kafka.tls && far)
        kafka->error(
            "sasl_mechanism",
            "PLAIN without TLS sends the password in the clear; expected tls = { .. } beside it ({} for "
            "the system's CA certificates), or SCRAM-SHA-512");
    kafka->finish();
}

void check_pace(section& s, bool transport_known, deliver::destination_options& out)
{
    out.pace_per_second = transport_known && out.transport.kind == protocol::udp ? 1000 : 0;
    std::string value;
    if (!s.read("pace", value) || value.empty())
        return;
    std::string_view number = value;
    double per_second = 0;
    bool right = number.size() > 2 && number.substr(number.size() - 2) == "/s";
    if (right)
    {
        number.remove_suffix(2);
        auto end = std::from_chars(
            number.data(), number.data() + number.size(), per_second, std::chars_format::fixed);
        right = end.ec == std::errc{} && end.ptr == number.data() + number.size() && per_second >= 0.001 &&
                per_second <= 1e6;
    }
    if (right)
        out.pace_per_second = per_second;
    else
        s.error("pace",
                "found " + in_quotes(value) +
                    "; expected messages per second, from \"0.001/s\" to \"1000000/s\", such as \"200/s\", "
                    "or \"\"");
}

void check_spans(section& s, deliver::destination_options& out)
{
    constexpr auto longest = std::chrono::milliseconds(36500 * 24h);
    std::string value;
    const entry* start = s.find("start");
    if (start != nullptr && start->value.type == node::kind::string && start->value.text == "all")
        out.start.reset();
    else if (start != nullptr)
    {
        std::chrono::milliseconds span{0};
        if (s.read_duration("start", span, 0ms, longest, ", or \"all\""))
            out.start = span;
    }
    const entry* hold = s.find("hold");
    if (hold != nullptr && !(hold->value.type == node::kind::string && hold->value.text.empty()))
    {
        std::chrono::milliseconds span{0};
        if (s.read_duration("hold", span, 1s, longest, ", or \"\""))
            out.hold = span;
    }
}

void check_events(section& s, deliver::destination_options& out)
{
    const entry* heartbeat = s.find("heartbeat");
    if (heartbeat != nullptr &&
        !(heartbeat->value.type == node::kind::string && heartbeat->value.text.empty()))
    {
        std::chrono::milliseconds every{0};
        if (s.read_duration("heartbeat", every, 1s, 24h, ", or \"\""))
            out.heartbeat = every;
    }
    s.read("updates", out.updates);
    if (s.is_set("enrich"))
        s.error("enrich",
                "labels belong to a master's breaches; expected [enrich] for all masters, or [master.enrich] "
                "below one");
}

bool exists(const std::string& path)
{
    std::error_code ignored;
    return std::filesystem::exists(path, ignored);
}

/// Everything the rules module says about a file, under the path it was found at.
void report_file(context& c, std::vector<problem> problems, const std::string& path)
{
    for (problem& p : problems)
        p.file = path;
    c.problems.append(std::move(problems));
}

void check_rules(section& s, context& c, policies& known, destination& out)
{
    out.policy = std::make_shared<const rules::policy>();
    std::string value;
    if (!s.read("rules", value) || value.empty())
        return;
    std::string path = in_folder(c.places.folder, value);
    std::string_view builtin = exists(path) ? std::string_view() : rules::builtin_mapping(value);
    if (!builtin.empty())
        path = value;
    out.options.rules_file = path;
    if (auto before = known.by_path.find(path); before != known.by_path.end())
    {
        out.policy = before->second;
        return;
    }
    if (builtin.empty())
    {
        // A file that cannot be read is a problem of this line; what is in it is a problem of its own lines.
        constexpr std::size_t max_mapping_bytes = 16u << 20;
        auto file = read_file(path, max_mapping_bytes);
        if (!file)
        {
            s.error("rules",
                    path + ' ' + file.error().detail +
                        "; expected a mapping file, or \"mappings/stage-1.toml\", \"mappings/stage-2.toml\", "
                        "\"mappings/stage-3.toml\" or \"mappings/everything.toml\", which are built in");
            known.by_path[path] = out.policy;
            return;
        }
    }
    rules::loaded loaded = builtin.empty() ? rules::load_file(path, value) : rules::load_text(builtin, value);
    report_file(c, std::move(loaded.problems), path);
    out.policy = std::make_shared<const rules::policy>(std::move(loaded.value));
    known.by_path[path] = out.policy;
}

void check_fields(section& s, context& c, destination& out)
{
    format::kind kind = out.options.format.format;
    std::string value;
    bool given = s.read("fields", value) && !value.empty();
    if (kind == format::kind::json)
    {
        if (given && s.is_explicit("fields"))
            s.error("fields",
                    "json is sent as the appliance made it and has no field map; expected \"\", or format "
                    "cef or leef");
        return;
    }
    out.fields_text = std::string(format::builtin_field_map(kind));
    if (!given)
        return;
    std::string path = in_folder(c.places.folder, value);
    std::string_view own =
        kind == format::kind::cef ? "mappings/fields/cef.toml" : "mappings/fields/leef.toml";
    if (value == own && !exists(path))
        return;
    constexpr std::size_t max_map_bytes = 1u << 20;
    auto file = read_file(path, max_map_bytes);
    if (!file)
    {
        s.error("fields",
                path + ' ' + file.error().detail + "; expected a field map, or \"\" for the built-in one");
        return;
    }
    auto map = format::load_field_map_text(kind, file->bytes, path, out.options.format.cef_version);
    report_file(c, std::move(map.problems), path);
    out.options.fields_file = path;
    out.options.format.fields_file = path;
    out.fields_text = std::move(file->bytes);
}

/// What no key shows by itself: it depends on the masters and on the policy.
void check_together(section& s, context& c, const std::vector<master_place>& masters, const destination& d)
{
    const auto& served = d.options.masters;
    if (served.size() > 1)
    {
        std::string several = "several masters, and a pid means another model on each of them";
        if (d.policy->has_pid_keys())
            s.warning("rules",
                      "the mapping file has pid keys, but this destination serves " + several +
                          "; key models by uuid or name");
        if (d.options.format.format == format::kind::leef &&
            d.options.format.leef_event_id == format::options::event_id::pid)
            if (auto leef = s.subsection("leef"))
                leef->warning("event_id",
                              "the destination serves " + several + "; expected \"model\" or \"uuid\"");
    }
    if (!d.policy->reads_tags())
        return;
    for (const master_place& m : masters)
        if (m.minimal_line && std::find(served.begin(), served.end(), m.name) != served.end())
            c.problems.error(*m.minimal_line,
                             "master.query.minimal",
                             "true leaves out tags, which the rules of destination " +
                                 in_quotes(d.options.name) + " (" + d.options.rules_file +
                                 ") decide by; expected false, or rules without tags");
}

void check_destination(section& written,
                       context& c,
                       const std::vector<master_place>& masters,
                       policies& known,
                       name_register& names,
                       destination& out)
{
    deliver::destination_options& o = out.options;
    node merged = with_profile(written, o.profile);
    section s(c.problems, merged, written.path(), written.line());
    s.find("profile");
    names.check(s, o.name, o.formerly);
    std::vector<section::text_at> patterns{{"*", s.line()}};
    bool given = s.is_set("masters");
    if (!given && masters.empty())
        patterns.clear();  // "no [[master]]" is said once, by load()
    if (!given || s.read_strings("masters", patterns))
        if (given || !patterns.empty())
            o.masters = match_masters(s, "masters", patterns, c, masters);
    bool transport_known = check_transport(s, o.transport.kind);
    check_addresses(s, transport_known, o.transport);
    check_framing(s, transport_known, o.transport);
    if (auto tls = s.subsection("tls"))
    {
        check_tls(std::move(*tls), c, tls_side::destination, o.transport.tls);
        bool changed = !(o.transport.tls == net::tls_options{});
        if (changed && transport_known && !transport::is_tls(o.transport.kind) &&
            o.transport.kind != protocol::kafka)
        {
            const bool relp = o.transport.kind == protocol::relp;
            const std::string now = relp ? "relp" : o.transport.kind == protocol::udp ? "udp" : "tcp";
            s.warning("tls",
                      "without effect: transport is " + now +
                          ", and messages are sent in the clear; expected transport = " +
                          in_quotes(relp ? "relp+tls" : "tls"));
        }
    }
    check_kafka(s, c, transport_known, o.transport);
    out.line = s.line_of("transport");
    check_format_keys(s, o.transport.kind, o.format);
    o.transport.max_message = o.format.max_message;
    check_pace(s, transport_known, o);
    check_spans(s, o);
    check_events(s, o);
    check_rules(s, c, known, out);
    check_fields(s, c, out);
    check_together(s, c, masters, out);
    s.finish();
}

}  // namespace

void check_destinations(section& root,
                        context& c,
                        const std::vector<master_place>& masters,
                        std::vector<destination>& out)
{
    name_register names;
    policies known;
    for (section& s : root.list("destination"))
    {
        destination d;
        check_destination(s, c, masters, known, names, d);
        out.push_back(std::move(d));
    }
    names.finish(c.problems);
}

}  // namespace dtbridge::config
