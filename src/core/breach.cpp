#include <dtbridge/core/breach.hpp>

#include <dtbridge/core/ip.hpp>
#include <dtbridge/core/text.hpp>

namespace dtbridge
{

namespace
{

using json::kind;

std::optional<std::int64_t> integer_member(const json::value& object, std::string_view name)
{
    std::int64_t n = 0;
    if (!object.find(name).integer(n))
        return {};
    return n;
}

/// The text of an address without a mask, if it is one.
std::string_view address_of(const json::value& v)
{
    if (!v.is(kind::string))
        return {};
    auto s = text::trim_blank(v.text());
    s = s.substr(0, s.find('/'));
    return ip_address::parse(s) ? s : std::string_view();
}

/// A component's address: a string, or the first that is one of an array.
std::string_view component_address(const json::value& component)
{
    const auto ip = component.find("ip");
    if (!ip.is(kind::array))
        return address_of(ip);
    for (const auto each : ip)
        if (const auto s = address_of(each); !s.empty())
            return s;
    return {};
}

}  // namespace

outcome<breach_key> breach::read(std::string_view element, const json::limits& bounds)
{
    key = {};
    time.reset();
    creation_time.reset();
    score.reset();
    root = then = now = device = json::value();
    devices.clear();
    components.clear();

    const auto parsed = doc.parse(element, bounds);
    if (!parsed)
        return parsed.error();
    if (!parsed->is(kind::object))
        return fail(errc::malformed, "the element is no JSON object");
    const auto pbid = parsed->find("pbid");
    if (!pbid)
        return fail(errc::malformed, "the element has no pbid");
    if (!pbid.integer(key.pbid))
        return fail(errc::malformed,
                    "the element's pbid is no integer of 64 bits: " + text::printable(pbid.text(), 40));
    root = *parsed;
    time = integer_member(root, "time");
    creation_time = integer_member(root, "creationTime");
    key.created = creation_time ? *creation_time : time.value_or(0);

    const auto s = root.find("score");
    if (s.is(kind::number))
        score = decimal::parse(s.text());
    else if (s.is(kind::string))
        score = decimal::parse(text::trim_blank(s.text()));

    // darktrace.md 1.6: {then, now}, {then}, or flat; flat too where the model stands beside an odd then or
    // now.
    if (const auto model = root.find("model"); model.is(kind::object))
    {
        const auto as_of_breach = model.find("then");
        const auto as_read = model.find("now");
        if (as_of_breach.is(kind::object))
            then = as_of_breach;
        else if (as_read.is(kind::object) && !model.find("name"))
            then = as_read;
        else
            then = model;
        now = as_read.is(kind::object) ? as_read : then;
    }

    const auto top = root.find("device");
    if (top.is(kind::object))
        devices.push_back(top);
    if (const auto triggered = root.find("triggeredComponents"); triggered.is(kind::array))
        for (const auto component : triggered)
        {
            if (!component.is(kind::object))
                continue;
            components.push_back(component);
            if (const auto nested = component.find("device"); nested.is(kind::object))
                devices.push_back(nested);
        }
    for (const auto& each : devices)
        if (!device || device.size() == 0)  // an empty object at the top says less than one in a component
            device = each;
    return key;
}

std::string_view string_member(const json::value& object, std::string_view name)
{
    const auto v = object.find(name);
    return v.is(kind::string) ? text::trim_blank(v.text()) : std::string_view();
}

std::string model_path(std::string_view name)
{
    std::string out;
    out.reserve(name.size());
    for (std::size_t i = 0; i < name.size(); ++i)
        if (name.substr(i, 2) == "::")
        {
            out += '/';
            ++i;
        }
        else
            out += name[i];
    return out;
}

std::vector<std::string_view> model_tags(const json::value& model)
{
    std::vector<std::string_view> out;
    const auto tags = model.find("tags");
    if (!tags.is(kind::array))
        return out;
    for (const auto tag : tags)
        if (const auto s = tag.is(kind::string) ? text::trim_blank(tag.text()) : std::string_view();
            !s.empty())
            out.push_back(s);
    return out;
}

bool is_compliance(const json::value& model)
{
    const auto v = model.find("compliance");
    if (v.is(kind::boolean))
        return v.boolean();
    if (v.is(kind::string) && text::iequals(text::trim_blank(v.text()), "true"))
        return true;
    std::int64_t n = 0;
    return v.integer(n) && n == 1;
}

std::string_view model_category(const json::value& model)
{
    if (is_compliance(model))
        return "Compliance";
    const auto category = string_member(model, "category");
    for (const std::string_view known : {"Critical", "Suspicious", "Informational", "Compliance"})
        if (text::iequals(category, known))
            return known;
    return category;
}

bool is_acknowledged(const breach& b)
{
    const auto v = b.root.find("acknowledged");
    return v.boolean() || (v.is(kind::object) && v.size() > 0);
}

bool is_suppressed(const breach& b)
{
    return b.root.find("suppressed").boolean();
}

std::string_view saas_user(const json::value& device)
{
    constexpr std::string_view prefix = "saas::";
    const auto host = string_member(device, "hostname");
    if (!text::iequals(host.substr(0, prefix.size()), prefix))
        return {};
    const auto rest = host.substr(prefix.size());
    const auto colon = rest.find(':');
    return colon == rest.npos ? std::string_view() : text::trim_blank(rest.substr(colon + 1));
}

peer breach_peer(const breach& b)
{
    for (const auto& component : b.components)
    {
        const auto ip = component_address(component);
        if (ip.empty())
            continue;
        auto port = integer_member(component, "port");
        if (port && (*port < 0 || *port > 65535))
            port.reset();
        return {ip, port, component};
    }
    return {};
}

}  // namespace dtbridge
