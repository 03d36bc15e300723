#include <rules/index.hpp>

#include <algorithm>

#include <dtbridge/core/text.hpp>

namespace dtbridge::rules
{

namespace
{

using json::kind;

// A breach names a handful; these keep one that names a million from holding up everything behind it.
constexpr std::size_t max_devices = 256;
constexpr std::size_t max_addresses = 4096;

void sort_globs(std::vector<glob_rule>& globs)
{
    std::sort(globs.begin(), globs.end(), [](const glob_rule& a, const glob_rule& b) {
        return a.literals != b.literals ? a.literals > b.literals : a.rule < b.rule;
    });
}

std::string_view text_of(const json::value& v)
{
    return v.is(kind::string) ? text::trim_blank(v.text()) : std::string_view();
}

/// The first pattern, most specific first, that one of the texts matches.
found_rule find_glob(const std::vector<glob_rule>& globs, const std::vector<std::string_view>& texts)
{
    for (const auto& g : globs)
        for (const auto t : texts)
            if (text::glob_match(g.pattern, t))
                return g.rule;
    return {};
}

std::string base_bytes(const ip_address& a)
{
    return {reinterpret_cast<const char*>(a.bytes.data()), a.bytes.size()};
}

}  // namespace

found_rule model_index::add(const model_key& key, std::size_t rule)
{
    const auto taken = [&](auto& map, const auto& k) -> found_rule {
        const auto [at, fresh] = map.try_emplace(k, rule);
        return fresh ? found_rule() : found_rule(at->second);
    };
    switch (key.type)
    {
        case model_key::kind::uuid:
            return taken(uuids_, key.text);
        case model_key::kind::pid:
            return taken(pids_, key.pid);
        case model_key::kind::name:
            return taken(names_, key.text);
        case model_key::kind::glob:
            break;
    }
    const auto before = taken(seen_globs_, key.text);
    if (!before)
        globs_.push_back({key.text, key.literals, rule});
    return before;
}

void model_index::sort()
{
    sort_globs(globs_);
}

found_rule model_index::find(const json::value& model) const
{
    if (empty() || !model.is(kind::object))
        return {};
    if (!uuids_.empty())
        if (const auto at = uuids_.find(text::lower(text_of(model.find("uuid")))); at != uuids_.end())
            return at->second;
    std::int64_t pid = 0;
    if (!pids_.empty() && model.find("pid").integer(pid))
        if (const auto at = pids_.find(pid); at != pids_.end())
            return at->second;
    if (names_.empty() && globs_.empty())
        return {};
    const auto written = text_of(model.find("name"));
    if (written.empty())
        return {};
    std::string name;
    normal_name(name, written);
    if (const auto at = names_.find(name); at != names_.end())
        return at->second;
    for (const auto& g : globs_)
        if (text::glob_match(g.pattern, name))
            return g.rule;
    return {};
}

bool model_matches(std::string_view glob, std::string_view name)
{
    std::string pattern, normal;
    normal_name(pattern, glob);
    normal_name(normal, name);
    return text::glob_match(pattern, normal);
}

found_rule device_index::add(const device_key& key, std::size_t rule)
{
    std::string identity = std::to_string(static_cast<int>(key.type)) + ':';
    if (key.type == device_key::kind::did)
        identity += std::to_string(key.did);
    else if (key.type == device_key::kind::ip)
        identity += key.network.base.text() + '/' + std::to_string(key.network.prefix);
    else
        identity += (key.name.empty() ? "" : key.name + '=') + key.text;
    const auto [at, fresh] = seen_.try_emplace(identity, rule);
    if (!fresh)
        return at->second;
    switch (key.type)
    {
        case device_key::kind::did:
            dids_.emplace(key.did, rule);
            break;
        case device_key::kind::ip: {
            const auto same = [&key](const networks& n) {
                return n.v6 == key.network.base.v6 && n.prefix == key.network.prefix;
            };
            auto group = std::find_if(networks_.begin(), networks_.end(), same);
            if (group == networks_.end())
                group = networks_.insert(group, {key.network.base.v6, key.network.prefix, {}});
            group->bases.emplace(base_bytes(key.network.base), rule);
            break;
        }
        case device_key::kind::mac:
            macs_.push_back({key.text, key.literals, rule});
            break;
        case device_key::kind::host:
            hosts_.push_back({key.text, key.literals, rule});
            break;
        case device_key::kind::type:
            types_.push_back({key.text, key.literals, rule});
            break;
        case device_key::kind::tag:
            tags_.push_back({key.text, key.literals, rule});
            break;
        case device_key::kind::label: {
            auto group = std::find_if(
                labels_.begin(), labels_.end(), [&key](const auto& g) { return g.first == key.name; });
            if (group == labels_.end())
                group = labels_.insert(group, {key.name, {}});
            group->second.push_back({key.text, key.literals, rule});
            break;
        }
    }
    return {};
}

void device_index::sort()
{
    for (auto* globs : {&macs_, &hosts_, &types_, &tags_})
        sort_globs(*globs);
    for (auto& [_, globs] : labels_)
        sort_globs(globs);
    std::stable_sort(networks_.begin(), networks_.end(), [](const networks& a, const networks& b) {
        return a.host_bits() < b.host_bits();
    });
}

found_rule device_index::find_address(const std::vector<json::value>& devices) const
{
    std::vector<ip_address> addresses;
    const auto take = [&addresses](const json::value& v) {
        if (addresses.size() >= max_addresses)
            return;
        if (const auto a = ip_address::parse(text_of(v)))
            addresses.push_back(*a);
    };
    for (const auto& d : devices)
    {
        take(d.find("ip"));
        take(d.find("ip6"));
        if (const auto ips = d.find("ips"); ips.is(kind::array))
            for (const auto each : ips)
                take(each.is(kind::object) ? each.find("ip") : each);
    }
    for (std::size_t g = 0; g < networks_.size(); ++g)
    {
        const auto& group = networks_[g];
        found_rule first;
        for (const auto& a : addresses)
        {
            if (a.v6 != group.v6)
                continue;
            ip_address base = a;
            for (unsigned bit = group.prefix; bit < (a.v6 ? 128u : 32u); ++bit)
                base.bytes[bit / 8] = static_cast<std::uint8_t>(base.bytes[bit / 8] & ~(0x80u >> (bit % 8)));
            const auto at = group.bases.find(base_bytes(base));
            if (at != group.bases.end() && (!first || at->second < *first))
                first = at->second;
        }
        if (first)
            return first;
    }
    return {};
}

found_rule device_index::find(const std::vector<json::value>& all, const known_labels& known) const
{
    if (empty())
        return {};
    if (const auto r = find_device(all))
        return r;
    return labels_.empty() ? found_rule() : find_label(known);
}

/// Of several labels that match, the most specific line; the inventory's value hides the master's.
found_rule device_index::find_label(const known_labels& known) const
{
    const glob_rule* best = nullptr;
    for (const auto& [name, globs] : labels_)
    {
        const auto* value = find_label_value(known, name);
        if (value == nullptr)
            continue;
        const auto at = std::find_if(globs.begin(), globs.end(), [value](const glob_rule& g) {
            return text::glob_match(g.pattern, *value);
        });
        if (at != globs.end() && (best == nullptr || at->literals > best->literals ||
                                  (at->literals == best->literals && at->rule < best->rule)))
            best = &*at;
    }
    return best == nullptr ? found_rule() : found_rule(best->rule);
}

found_rule device_index::find_device(const std::vector<json::value>& all) const
{
    if (all.empty())
        return {};
    const std::vector<json::value> devices(
        all.begin(), all.begin() + static_cast<std::ptrdiff_t>(std::min(all.size(), max_devices)));
    if (!dids_.empty())
    {
        found_rule first;
        for (const auto& d : devices)
        {
            std::int64_t did = 0;
            const auto at = d.find("did").integer(did) ? dids_.find(did) : dids_.end();
            if (at != dids_.end() && (!first || at->second < *first))
                first = at->second;
        }
        if (first)
            return first;
    }
    std::vector<std::string_view> texts;
    if (!macs_.empty())
    {
        // A glob is written with colons, with dashes (now colons) or without either: both forms are looked
        // at.
        std::vector<std::string> forms;
        for (const auto& d : devices)
        {
            const auto written = text_of(d.find("macaddress"));
            if (const auto mac = normal_mac(written))
            {
                forms.push_back(*mac);
                std::string bare = *mac;
                std::erase(bare, ':');
                forms.push_back(std::move(bare));
            }
            else if (!written.empty())
                forms.emplace_back(written);
        }
        texts.assign(forms.begin(), forms.end());
        if (const auto r = find_glob(macs_, texts))
            return r;
    }
    if (!networks_.empty())
        if (const auto r = find_address(devices))
            return r;
    const auto find_members = [&](const std::vector<glob_rule>& globs,
                                  std::initializer_list<std::string_view> names) {
        if (globs.empty())
            return found_rule();
        texts.clear();
        for (const auto& d : devices)
            for (const auto name : names)
                if (const auto s = text_of(d.find(name)); !s.empty())
                    texts.push_back(s);
        return find_glob(globs, texts);
    };
    if (const auto r = find_members(hosts_, {"hostname"}))
        return r;
    if (const auto r = find_members(types_, {"typename", "typelabel"}))
        return r;
    if (tags_.empty())
        return {};
    texts.clear();
    for (const auto& d : devices)
        if (const auto tags = d.find("tags"); tags.is(kind::array))
            for (const auto tag :
                 tags)  // objects {tid, name}, not strings as a model's (darktrace.md 2.5); both are taken
                if (const auto s = text_of(tag.is(kind::object) ? tag.find("name") : tag);
                    !s.empty() && texts.size() < max_tags)
                    texts.push_back(s);
    return find_glob(tags_, texts);
}

}  // namespace dtbridge::rules
