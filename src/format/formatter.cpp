#include <dtbridge/core/time.hpp>
#include <dtbridge/format/formatter.hpp>

#include <algorithm>
#include <charconv>

#include "format/cef.hpp"
#include "format/field_map.hpp"
#include "format/json_message.hpp"
#include "format/leef.hpp"
#include "format/pairs.hpp"
#include "format/severity.hpp"
#include "format/syslog_header.hpp"
#include "format/values.hpp"

namespace dtbridge::format
{
namespace
{

constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
constexpr std::string_view sd_id =
    "dtbridge@32473";  // 32473 is the number for documentation (formats.md 5.1)
constexpr std::string_view bridge_name = "dtbridge";

/// What the headers of breaches and bridge events have in common.
struct header_of
{
    std::optional<std::int64_t> time;
    std::string_view hostname, app_name;
    std::string_view structured_data;  ///< "" is nil
};

}  // namespace

struct formatter::impl
{
    options o;
    field_map map;
    std::string bridge_host;
    pair_style style;
    // Reused from message to message, so that one costs few allocations.
    pair_memory memory;
    value_reader values;
    json_writer json;
    std::string structured_data;
    std::string scratch;

    bool is_json() const { return o.format == kind::json; }
    std::size_t end_of(const std::string& out) const
    {
        return o.max_message == 0 || out.size() > no_limit - o.max_message ? no_limit
                                                                           : out.size() + o.max_message;
    }

    void append_header(const header_of& h, std::string& out) const
    {
        switch (o.header)
        {
            case header_kind::none:
                return;
            case header_kind::rfc3164: {
                rfc3164_fields f;
                f.facility = o.facility;
                f.severity = o.severity;
                f.time = h.time.value_or(0);
                f.offset_minutes = o.time_offset_minutes;
                f.hostname = h.hostname;
                if (is_json())
                    f.tag = h.app_name.empty() ? bridge_name : h.app_name;  // R3
                append_rfc3164(out, f);
                return;
            }
            case header_kind::rfc5424:
                break;
        }
        rfc5424_fields f;
        f.facility = o.facility;
        f.severity = o.severity;
        f.time = h.time;
        f.hostname = h.hostname;
        f.app_name = h.app_name;
        append_rfc5424(out, f);
        out += ' ';
        out += h.structured_data.empty() ? std::string_view("-") : h.structured_data;
        out += ' ';
        if (is_json() && o.bom)
            out += byte_order_mark;  // S5: RFC 5424 is the only header that knows one
    }

    void append_cookie(std::string& out) const
    {
        if (o.cookie.empty())
            return;
        out += o.cookie;
        out += ' ';
    }

    void make_structured_data(const breach& b, const master_info& master, const rules::decision& said)
    {
        structured_data.clear();
        if (!o.structured_data || o.header != header_kind::rfc5424)
            return;
        open_sd_element(structured_data, sd_id);
        append_sd_param(structured_data, "master", master.name);
        char digits[24];
        auto end = std::to_chars(digits, digits + sizeof digits, b.key.pbid).ptr;
        append_sd_param(
            structured_data, "pbid", std::string_view(digits, static_cast<std::size_t>(end - digits)));
        if (b.score)
            append_sd_param(structured_data, "score", b.score->text());
        if (o.mark_held_back)
            append_sd_param(structured_data, "decision", decision_word(said));
        structured_data += ']';
    }

    void append_event_head(const breach& b, int severity, std::string& out)
    {
        if (o.format == kind::cef)
        {
            auto name = model_path(string_member(b.then, "name"));
            append_cef_header(out,
                              o.cef_version,
                              o.cef_vendor,
                              o.cef_product,
                              o.cef_device_version,
                              model_id(b),
                              name,
                              item(std::int64_t{severity}));
            if (o.space_after_header)
                out += ' ';
            return;
        }
        std::string id;
        switch (o.leef_event_id)
        {
            case options::event_id::model:
                id = model_path(string_member(b.then, "name"));
                break;
            case options::event_id::uuid:
                id = string_member(b.then, "uuid");
                break;
            case options::event_id::pid:
                id = model_id(b);
                break;
        }
        append_leef_header(
            out, o.leef_version, o.leef_delimiter, o.cef_vendor, o.cef_product, o.cef_device_version, id);
    }

    /// The model's pid, as an integer wherever it is one.
    std::string_view model_id(const breach& b)
    {
        item pid(b.then.find("pid"));
        if (auto i = integer_of(pid))
            return text_of(item(*i), scratch);
        return pid.node.is(json::kind::array) ? std::string_view() : text_of(pid, scratch);
    }

    /// The pairs in the map's order. False where CEF's first key found no room.
    bool append_pairs(const breach& b, pair_writer& writer)
    {
        using added = pair_writer::added;
        const auto& fields = map.impl_->fields;
        for (std::size_t i = 0; i < fields.size();)
        {
            const auto before = writer.mark();
            bool complete = true;
            const std::size_t first = i;
            do
            {
                const map_field& f = fields[i];
                if (complete)
                {
                    auto became = added::nothing;
                    for (std::size_t s = 0; s < f.sources.size() && became == added::nothing; ++s)
                        became = writer.add(f.key, f.info, f.kind, f.sources[s].read(b, values), f.label);
                    complete = became == added::sent;
                    if (first == 0 && !style.leef && became == added::no_room)
                        return false;  // a CEF message always has externalId first (product.md 6)
                }
                ++i;
            } while (i < fields.size() && fields[i].joins_previous);
            if (!complete)
                writer.take_back(before);
        }
        writer.finish();
        return true;
    }

    verdict event_json(const event& e, std::string& out, std::size_t end)
    {
        const std::size_t limit = end == no_limit ? no_limit : end - std::min(end, out.size());
        sink text;
        auto member = [&](std::string_view before, std::string_view value) {
            text += before;
            append_json_string(text, value, nul::replaced);
        };
        member("{\"dtbridge\":{\"event\":", e.type);
        text += std::string_view(",\"time\":");
        text += text_of(item(e.time), scratch);
        member(",\"master\":", e.master);
        member(",\"destination\":", e.destination);
        if (e.count)
        {
            text += std::string_view(",\"count\":");
            text += text_of(item(*e.count), scratch);
        }
        text += std::string_view(",\"message\":");
        const std::size_t message_at = text.size();
        member("", e.message);
        text += std::string_view("}}");
        auto answer = verdict::whole;
        if (text.size() > limit)
        {
            constexpr std::string_view rest = ",\"truncated\":true}}";
            text.resize(message_at);
            if (message_at + 2 + rest.size() > limit)
                return verdict::undeliverable;
            append_json_string(text, e.message, nul::replaced, limit - message_at - 2 - rest.size());
            text += rest;
            answer = verdict::shortened;
        }
        out += text.view();
        return answer;
    }

    void event_pairs(const event& e, pair_writer& writer)
    {
        auto add = [&](std::string_view key, const item& v) {
            auto info = style.leef ? leef_key(key) : cef_key(key);
            writer.add(key, info, info.kind, v);
        };
        const std::string_view host =
            e.master.empty() ? std::string_view(bridge_host) : std::string_view(e.master);
        if (!style.leef)
        {
            add("rt", item(e.time));
            add("dvchost", item(host));
            if (e.count)
                add("cnt", item(*e.count));
            add("msg", item(e.message));
            return;
        }
        add("cat", item("BridgeEvent"));
        add("devTime", item(e.time));
        add("sev", item(std::int64_t{e.severity}));
        add("name", item(e.name));
        add("master", item(e.master));
        add("hostname", item(host));
        add("destination", item(e.destination));
        if (e.count)
            add("cnt", item(*e.count));
        add("msg", item(e.message));
    }
};

formatter::formatter(options o, field_map fields, std::string bridge_host) : impl_(std::make_unique<impl>())
{
    impl_->o = std::move(o);
    impl_->bridge_host = std::move(bridge_host);
    if (impl_->o.format == kind::json)
        return;
    impl_->map = std::move(fields);
    if (!impl_->map.impl_)
        impl_->map = load_field_map(impl_->o.format, "", "", impl_->o.cef_version).value;
    impl_->style.leef = impl_->o.format == kind::leef;
    impl_->style.cef_version = impl_->o.cef_version;
    impl_->style.delimiter = !impl_->style.leef               ? ' '
                             : impl_->o.leef_version == "1.0" ? '\t'
                                                              : impl_->o.leef_delimiter;
    impl_->style.mask_equals = impl_->style.leef && impl_->o.mask_equals;
}

formatter::~formatter() = default;
formatter::formatter(formatter&&) noexcept = default;
formatter& formatter::operator=(formatter&&) noexcept = default;

const options& formatter::settings() const
{
    return impl_->o;
}

verdict formatter::message(const breach& b,
                           const master_info& master,
                           const rules::decision& said,
                           std::string& out)
{
    auto& i = *impl_;
    const std::size_t start = out.size();
    const std::size_t end = i.end_of(out);
    i.make_structured_data(b, master, said);
    header_of h;
    // A breach without any time has none to show; 1970 would be a lie.
    if (b.time || b.creation_time)
        h.time = b.key.created;
    h.hostname = i.o.hostname_is_bridge ? std::string_view(i.bridge_host) : std::string_view(master.name);
    h.app_name = i.o.app_name;
    h.structured_data = i.structured_data;
    i.append_header(h, out);

    auto answer = verdict::undeliverable;
    if (i.is_json())
    {
        i.append_cookie(out);
        if (out.size() < end)
            answer = i.json.breach_object(b, master, said, i.o, out, end);
    }
    else
    {
        const int severity =
            severity_of(i.o.format == kind::cef ? i.o.cef_severity : i.o.leef_severity, b, said);
        i.append_event_head(b, severity, out);
        if (out.size() <= end)  // U2
        {
            i.values.start(b, master, said, severity, i.o.mark_held_back);
            pair_writer writer(out, end, i.style, i.memory);
            if (i.append_pairs(b, writer))
                answer = writer.shortened() ? verdict::shortened : verdict::whole;
        }
    }
    if (answer == verdict::undeliverable)
        out.resize(start);
    return answer;
}

verdict formatter::bridge_event(const event& e, std::string_view version, std::string& out)
{
    auto& i = *impl_;
    const std::size_t start = out.size();
    const std::size_t end = i.end_of(out);
    header_of h;
    h.time = e.time;
    h.hostname = i.o.hostname_is_bridge || e.master.empty() ? std::string_view(i.bridge_host)
                                                            : std::string_view(e.master);
    h.app_name = bridge_name;
    i.append_header(h, out);

    auto answer = verdict::undeliverable;
    if (i.is_json())
    {
        i.append_cookie(out);
        if (out.size() < end)
            answer = i.event_json(e, out, end);
    }
    else
    {
        if (i.o.format == kind::cef)
        {
            append_cef_header(out,
                              i.o.cef_version,
                              bridge_name,
                              bridge_name,
                              version,
                              e.type,
                              e.name,
                              item(std::int64_t{std::clamp(e.severity, 1, 10)}));
            if (i.o.space_after_header)
                out += ' ';
        }
        else
            append_leef_header(
                out, i.o.leef_version, i.o.leef_delimiter, bridge_name, bridge_name, version, e.type);
        if (out.size() <= end)
        {
            pair_writer writer(out, end, i.style, i.memory);
            i.event_pairs(e, writer);
            answer = writer.shortened() ? verdict::shortened : verdict::whole;
        }
    }
    if (answer == verdict::undeliverable)
        out.resize(start);
    return answer;
}

}  // namespace dtbridge::format
