#include "shape.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "json_text.hpp"

namespace simulator
{

using json_text::object;

namespace
{

constexpr std::array kept_of_model = {"name", "pid", "phid", "uuid", "priority", "category", "compliance"};

std::string minimal_model(std::string_view model)
{
    object in(model);
    if (!in.valid())
        return std::string(model);
    object out("{}");
    for (const auto& [key, value] : in.all())
    {
        if (key == "then" || key == "now")
            out.set(key, minimal_model(value));
        else if (std::find(kept_of_model.begin(), kept_of_model.end(), key) != kept_of_model.end())
            out.set(key, value);
    }
    return out.text();
}

std::string array_text(const std::vector<std::string>& elements)
{
    std::string out = "[";
    for (const auto& e : elements)
        out += (out.size() > 1 ? "," : "") + e;
    return out + "]";
}

void device_into_components(object& breach)
{
    auto components = json_text::elements(breach.get("triggeredComponents"));
    if (!components || components->empty() || !breach.has("device"))
        return;
    std::vector<std::string> changed;
    for (auto text : *components)
    {
        object component(text);
        if (component.valid() && !component.has("device"))
            component.set("device", std::string(breach.get("device")));
        changed.push_back(component.valid() ? component.text() : std::string(text));
    }
    breach.set("triggeredComponents", array_text(changed));
    breach.remove("device");
}

/// Only where the components name one device: a breach of two devices has no device at its top.
void device_to_top(object& breach)
{
    auto components = json_text::elements(breach.get("triggeredComponents"));
    if (!components || components->empty() || breach.has("device"))
        return;
    std::string device;
    std::vector<std::string> changed;
    for (auto text : *components)
    {
        object component(text);
        std::string here(component.get("device"));
        if (here.empty() || (!device.empty() && here != device))
            return;
        device = here;
        component.remove("device");
        changed.push_back(component.text());
    }
    breach.set("triggeredComponents", array_text(changed));
    breach.set("device", device);
}

/// group=device turns score and percentscore into the device's; the breach's own moves to pbscore
/// (darktrace.md 1.11). The device's score is not known here: halfway between the breach's and 1 stands for
/// it.
void by_device(object& breach)
{
    auto score = json_text::number(breach.get("score"));
    if (!score || breach.has("pbscore"))
        return;
    char text[32];
    breach.set("pbscore", std::string(breach.get("score")));
    double device = 1 - (1 - *score) / 2;
    std::snprintf(text, sizeof text, "%.3f", device);
    breach.set("score", text);
    breach.set("devicescore", text);
    std::snprintf(text, sizeof text, "%.0f", device * 100);
    breach.set("percentscore", text);
    breach.set("devicepercentscore", text);
}

}  // namespace

shape shape::of(const request_query& query, const std::string& fqdn)
{
    shape s;
    s.minimal = query.flag("minimal", false);
    s.device_at_top = query.flag("deviceattop", false);
    s.historic_model_only = query.flag("historicmodelonly", false);
    s.breach_url = query.flag("includebreachurl", false);
    s.group_device = query.get("group") == "device";
    s.fqdn = fqdn;
    if (auto names = query.get("responsedata"))
    {
        std::string name;
        for (char c : *names + ",")
            if (c != ',')
                name += c;
            else if (!name.empty())
                s.response_data.push_back(std::exchange(name, {}));
    }
    return s;
}

std::string shaped(std::string_view element, const shape& wanted)
{
    object breach(element);
    if (!breach.valid())
        return std::string(element);
    bool changed = false;
    auto touch = [&] { changed = true; };

    if (wanted.breach_url && !wanted.minimal)
    {
        if (!breach.has("breachUrl") && !wanted.fqdn.empty() && breach.has("pbid"))
        {
            auto pbid = json_text::integer(breach.get("pbid"));
            if (pbid)
            {
                breach.set_first(
                    "breachUrl",
                    json_text::quoted("https://" + wanted.fqdn + "/#modelbreach/" + std::to_string(*pbid)));
                touch();
            }
        }
    }
    else if (breach.has("breachUrl"))
    {
        breach.remove("breachUrl");
        touch();
    }
    if (wanted.historic_model_only)
    {
        auto then = json_text::find(breach.get("model"), "then");
        if (!then.empty())
        {
            breach.set("model", std::string(then));
            touch();
        }
    }
    if (wanted.minimal)
    {
        if (breach.has("model"))
            breach.set("model", minimal_model(breach.get("model")));
        breach.set("triggeredComponents", "[{}]");
        breach.remove("percentscore");
        breach.remove("mitreTechniques");
        touch();
    }
    else if (wanted.device_at_top ? !breach.has("device") : breach.has("device"))
    {
        if (wanted.device_at_top)
            device_to_top(breach);
        else
            device_into_components(breach);
        touch();
    }
    if (wanted.group_device)
    {
        by_device(breach);
        touch();
    }
    if (!wanted.response_data.empty())
    {
        object only("{}");
        for (const auto& [key, value] : breach.all())
            if (std::find(wanted.response_data.begin(), wanted.response_data.end(), key) !=
                wanted.response_data.end())
                only.set(key, value);
        return only.text();
    }
    return changed ? breach.text() : std::string(element);
}

}  // namespace simulator
