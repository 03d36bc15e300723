#include "format/values.hpp"

#include <dtbridge/core/ip.hpp>
#include <dtbridge/core/text.hpp>

#include <charconv>

namespace dtbridge::format
{
namespace
{

constexpr derived_info all_values[] = {
    {"@acknowledged", derived::acknowledged, value_kind::string, true},
    {"@category", derived::category, value_kind::string, false},
    {"@component", derived::component, value_kind::string, false},
    {"@created", derived::created, value_kind::time, false},
    {"@decision", derived::decision, value_kind::string, false},
    {"@device.ip", derived::device_ip, value_kind::ip, false},
    {"@device.ipv4", derived::device_ipv4, value_kind::ip, false},
    {"@device.ipv6", derived::device_ipv6, value_kind::ip, false},
    {"@label.", derived::label, value_kind::string, false},
    {"@master", derived::master, value_kind::string, true},
    {"@mitre", derived::mitre, value_kind::string, false},
    {"@model", derived::model, value_kind::string, false},
    {"@pbid", derived::pbid, value_kind::integer, true},
    {"@peer.hostname", derived::peer_hostname, value_kind::string, false},
    {"@peer.ip", derived::peer_ip, value_kind::ip, false},
    {"@peer.port", derived::peer_port, value_kind::integer, false},
    {"@reason", derived::reason, value_kind::string, false},
    {"@score", derived::score, value_kind::number, false},
    {"@severity", derived::severity, value_kind::integer, true},
    {"@tags", derived::tags, value_kind::string, false},
    {"@tags.now", derived::tags_now, value_kind::string, false},
    {"@time", derived::time, value_kind::time, false},
    {"@url", derived::url, value_kind::string, true},
    {"@user", derived::user, value_kind::string, false},
};

void append_element(std::string& list, std::string_view element)
{
    element = text::trim(element);
    if (element.empty())
        return;
    if (!list.empty())
        list += ',';  // C16
    list += element;
}

bool is_https(std::string_view url)
{
    return url.size() > 8 && text::iequals(url.substr(0, 8), "https://");
}

}  // namespace

std::span<const derived_info> derived_values()
{
    return all_values;
}

const derived_info* find_derived(std::string_view name)
{
    for (const auto& v : all_values)
    {
        if (v.id == derived::label ? name.size() > v.name.size() && name.starts_with(v.name) : name == v.name)
            return &v;
    }
    return nullptr;
}

std::string_view decision_word(const rules::decision& said)
{
    return said.forward ? "alert" : "context";
}

void append_breach_url(std::string& out, const breach& b, const master_info& master)
{
    std::string_view base = master.public_url;
    if (base.empty())
    {
        auto own = string_member(b.root, "breachUrl");
        if (is_https(own))
        {
            out += own;
            return;
        }
        base = master.url;
    }
    while (base.ends_with('/'))
        base.remove_suffix(1);
    out += base;
    out += "/#modelbreach/";
    char digits[24];
    out.append(digits, std::to_chars(digits, digits + sizeof digits, b.key.pbid).ptr);
}

std::string breach_url(const breach& b, const master_info& master)
{
    std::string url;
    append_breach_url(url, b, master);
    return url;
}

void value_reader::start(
    const breach& b, const master_info& master, const rules::decision& said, int severity, bool marks)
{
    breach_ = &b;
    master_ = &master;
    said_ = &said;
    severity_ = severity;
    marks_ = marks;
    peer_.reset();
}

const peer& value_reader::found_peer()
{
    if (!peer_)
        peer_ = breach_peer(*breach_);
    return *peer_;
}

item value_reader::device_address(bool v4, bool v6)
{
    // ips is a history and is not looked at. A device may have both; IPv4 is what every reader takes.
    std::optional<ip_address> found;
    for (std::string_view member : {"ip", "ip6"})
    {
        auto ip = ip_address::parse(string_member(breach_->device, member));
        if (!ip || (ip->v6 ? !v6 : !v4))
            continue;
        if (!found || (found->v6 && !ip->v6))
            found = ip;
    }
    if (!found)
        return {};
    text_ = found->text();
    return item(text_);
}

item value_reader::peer_hostname()
{
    const auto& component = found_peer().component;
    for (std::string_view kind : {"Connection hostname", "Internal destination device name"})
    {
        for (json::value filter : component.find("triggeredFilters"))
        {
            if (!text::iequals(string_member(filter, "filterType"), kind))
                continue;
            auto host = string_member(filter.find("trigger"), "value");
            if (!host.empty())
                return item(host);
        }
    }
    return {};
}

item value_reader::mitre()
{
    text_.clear();
    for (json::value technique : breach_->then.find("mitre").find("techniques"))
        append_element(text_, technique.text());
    if (text_.empty())
    {
        for (json::value technique : breach_->root.find("mitreTechniques"))
            append_element(text_, string_member(technique, "techniqueID"));
    }
    return item(text_);
}

item value_reader::component()
{
    for (const auto& c : breach_->components)
    {
        auto metric = c.find("metric");
        for (std::string_view member : {"label", "name"})
        {
            auto name = string_member(metric, member);
            if (!name.empty())
                return item(name);
        }
    }
    return {};
}

item value_reader::get(derived id, std::string_view name)
{
    const breach& b = *breach_;
    switch (id)
    {
        case derived::acknowledged:
            return item(is_acknowledged(b) ? "true" : "false");
        case derived::category:
            return item(model_category(b.then));
        case derived::component:
            return component();
        case derived::created:
            if (!b.time && !b.creation_time)
                return {};
            return item(b.key.created);
        case derived::decision:
            return marks_ ? item(decision_word(*said_)) : item();
        case derived::device_ip:
            return device_address(true, true);
        case derived::device_ipv4:
            return device_address(true, false);
        case derived::device_ipv6:
            return device_address(false, true);
        case derived::label:
            // The model's own labels say more than the inventory's, and those more than the master's.
            for (const rules::labels* from : {said_->labels, said_->inventory, &master_->labels})
            {
                if (from == nullptr)
                    continue;
                for (const auto& [key, value] : *from)
                {
                    if (key == name)
                        return item(value);
                }
            }
            return {};
        case derived::master:
            return item(master_->name);
        case derived::mitre:
            return mitre();
        case derived::model:
            text_ = model_path(string_member(b.then, "name"));
            return item(text_);
        case derived::pbid:
            return item(b.key.pbid);
        case derived::peer_hostname:
            return peer_hostname();
        case derived::peer_ip:
            return item(found_peer().ip);
        case derived::peer_port:
            return found_peer().port ? item(*found_peer().port) : item();
        case derived::reason:
            return item(said_->reason);
        case derived::score:
            if (!b.score)
                return {};
            text_ = b.score->text();
            return item(text_);
        case derived::severity:
            return item(std::int64_t{severity_});
        case derived::tags:
        case derived::tags_now:
            text_.clear();
            for (auto tag : model_tags(id == derived::tags ? b.then : b.now))
                append_element(text_, tag);
            return item(text_);
        case derived::time:
            if (b.time)
                return item(*b.time);
            return b.creation_time ? item(*b.creation_time) : item();
        case derived::url:
            text_.clear();
            append_breach_url(text_, b, *master_);
            return item(text_);
        case derived::user:
            return item(saas_user(b.device));
    }
    return {};
}

}  // namespace dtbridge::format
