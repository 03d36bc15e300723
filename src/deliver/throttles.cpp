#include <dtbridge/deliver/throttles.hpp>

#include <dtbridge/core/text.hpp>
#include <dtbridge/core/time.hpp>

#include <algorithm>
#include <limits>
#include <map>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace dtbridge::deliver
{

namespace
{

constexpr std::size_t longest_value = 160;  // of a factor in a key; a longer one is told by its digest
constexpr std::size_t longest_url = 512;
constexpr std::int64_t for_the_late = 15'000;  // ms: the last breaches of a window arrive after its end
constexpr char between = '\x1f';

/// 64-bit FNV-1a: tells long values apart that begin alike.
std::uint64_t digest_of(std::string_view s)
{
    std::uint64_t h = 14695981039346656037u;
    for (const char c : s)
    {
        h ^= static_cast<unsigned char>(c);
        h *= 1099511628211u;
    }
    return h;
}

std::string value_of(std::string_view s)
{
    auto shown = text::printable(s, longest_value);
    if (s.size() > longest_value)
        shown += '#' + std::to_string(digest_of(s));
    return shown;
}

bool has(const rules::throttle& t, std::string_view factor)
{
    return std::find(t.by.begin(), t.by.end(), factor) != t.by.end();
}

/// What makes two throttles the same one: whatever their place in the file, and however `by` is ordered.
std::string identity_of(const rules::throttle& t)
{
    auto by = t.by;
    std::sort(by.begin(), by.end());
    std::string out;
    for (const auto& factor : by)
        out.append(factor).append(1, ',');
    return out + std::to_string(t.limit) + '/' + std::to_string(t.per_ms);
}

std::string model_of(const breach& b)
{
    auto name = string_member(b.then, "name");
    return value_of(model_path(name.empty() ? string_member(b.then, "uuid") : name));
}

/// As people call it.
std::string device_words(const breach& b)
{
    for (const char* member : {"hostname", "devicelabel", "ip", "macaddress"})
        if (const auto s = string_member(b.device, member); !s.empty())
            return value_of(s);
    return device_of(b);
}

std::int64_t end_of(std::int64_t start, std::int64_t per)
{
    std::int64_t end = 0;
    return __builtin_add_overflow(start, per, &end) ? std::numeric_limits<std::int64_t>::max() : end;
}

}  // namespace

std::string device_of(const breach& b)
{
    std::int64_t did = 0;
    if (b.device.find("did").integer(did))
        return "did " + std::to_string(did);
    for (const char* member : {"hostname", "ip", "macaddress", "devicelabel"})
        if (const auto s = string_member(b.device, member); !s.empty())
            return value_of(text::lower(s));
    return {};
}

struct throttles::impl
{
    /// What one master has in a window.
    struct share
    {
        throttle_window as;
        bool changed = false;
    };
    struct window
    {
        std::int64_t start = 0, ends = 0;
        std::int64_t passed = 0;  // of all shares
        std::vector<share> shares;
        std::multimap<std::int64_t, window*>::iterator age, end;
        bool listed = false;  // in ends, as there is something to tell
        std::size_t rule = 0;
        const std::string* key = nullptr;
    };
    struct place
    {
        std::string identity;
        std::unordered_map<std::string, window> windows;
    };
    struct question
    {
        std::vector<std::string> keys;  // one per throttle
        std::optional<std::size_t> by;
        std::string master, model, device;
        std::int64_t created = 0;
    };

    std::size_t most_keys;
    std::shared_ptr<const rules::policy> policy;
    std::vector<place> places;                  // one per throttle of the policy
    std::multimap<std::int64_t, window*> ages;  // by start
    std::multimap<std::int64_t, window*> ends;  // of those with something to tell
    std::map<std::string, std::unordered_set<window*>, std::less<>> changed;  // by master
    std::vector<throttle_summary> told;
    question asked;

    const rules::throttle& rule(std::size_t i) const { return policy->throttles()[i]; }

    static std::int64_t untold(const window& w)
    {
        std::int64_t n = 0;
        for (const auto& s : w.shares)
            n += std::max<std::int64_t>(0, s.as.held - s.as.summed_up);
        return n;
    }

    share& share_of(window& w, const std::string& master)
    {
        for (auto& s : w.shares)
            if (s.as.master == master)
                return s;
        share s;
        s.as.throttle = places[w.rule].identity;
        s.as.key = *w.key;
        s.as.start = w.start;
        s.as.ends = w.ends;
        s.as.master = master;
        w.shares.push_back(std::move(s));
        return w.shares.back();
    }

    void note(window& w, share& s)
    {
        s.changed = true;
        changed[s.as.master].insert(&w);
    }

    /// Puts the window where the ends are looked at, where there is something to tell.
    void list(window& w)
    {
        const bool tells = rule(w.rule).summary && untold(w) > 0;
        if (tells && !w.listed)
            w.end = ends.emplace(end_of(w.ends, std::min(for_the_late, rule(w.rule).per_ms / 4)), &w);
        else if (!tells && w.listed)
            ends.erase(w.end);
        w.listed = tells;
    }

    /// Tells of what was not told of yet.
    void tell(window& w)
    {
        if (!rule(w.rule).summary || untold(w) == 0)
            return;
        const auto& t = rule(w.rule);
        throttle_summary s;
        s.throttle = rules::describe(t, policy->file());
        s.of_key_model = has(t, "model");
        s.of_key_device = has(t, "device");
        s.start = w.start;
        s.ends = w.ends;
        s.first = std::numeric_limits<std::int64_t>::max();
        s.last = std::numeric_limits<std::int64_t>::min();
        std::size_t masters = 0;
        for (auto& part : w.shares)
        {
            const auto fresh = part.as.held - part.as.summed_up;
            if (fresh <= 0)
                continue;
            ++masters;
            s.held += fresh;
            s.first = std::min(s.first, part.as.first);
            if (part.as.last >= s.last)
            {
                s.last = part.as.last;
                s.model = part.as.last_model;
                s.device = part.as.last_device;
                s.last_url = part.as.last_url;
            }
            s.master = part.as.master;
            part.as.summed_up = part.as.held;
            s.windows.push_back(part.as);
        }
        if (masters > 1)
            s.master.clear();
        told.push_back(std::move(s));
        list(w);
    }

    void forget_changes(window& w)
    {
        for (const auto& s : w.shares)
            if (s.changed)
                changed[s.as.master].erase(&w);
    }

    void drop(window& w)
    {
        forget_changes(w);
        if (w.listed)
            ends.erase(w.end);
        ages.erase(w.age);
        auto& windows = places[w.rule].windows;
        windows.erase(windows.find(*w.key));
    }

    /// A window from start on, in the place of an earlier one of its key.
    window& open(std::size_t i, const std::string& key, std::int64_t start)
    {
        auto& windows = places[i].windows;
        const auto [at, fresh] = windows.try_emplace(key);
        auto& w = at->second;
        if (fresh)
        {
            w.rule = i;
            w.key = &at->first;
        }
        else
        {
            tell(w);
            forget_changes(w);
            if (w.listed)
                ends.erase(w.end);
            w.listed = false;
            ages.erase(w.age);
            w.shares.clear();
        }
        w.passed = 0;
        w.start = start;
        w.ends = end_of(start, rule(i).per_ms);
        w.age = ages.emplace(start, &w);
        return w;
    }

    /// The oldest windows go; never the youngest, which is in use.
    void make_room()
    {
        while (ages.size() > most_keys)
        {
            auto& oldest = *ages.begin()->second;
            tell(oldest);
            drop(oldest);
        }
    }

    /// The window of that key that created falls into; null where it would start one.
    window* find(std::size_t i, const std::string& key, std::int64_t created)
    {
        auto& windows = places[i].windows;
        const auto at = windows.find(key);
        return at == windows.end() || created >= at->second.ends ? nullptr : &at->second;
    }

    std::string key_of(const rules::throttle& t, const breach& b)
    {
        std::string key;
        const auto add = [&](std::string_view value) { key.append(value).append(1, between); };
        const bool device = has(t, "device");
        if (device || has(t, "master"))
            add(asked.master);
        if (has(t, "model"))
            add(asked.model);
        if (device)
            add(device_of(b));
        if (has(t, "category"))
            add(value_of(model_category(b.then)));
        return key;
    }
};

throttles::throttles(std::size_t most_keys) : impl_(std::make_unique<impl>())
{
    impl_->most_keys = std::max<std::size_t>(1, most_keys);
}

throttles::~throttles() = default;

void throttles::follow(std::shared_ptr<const rules::policy> policy)
{
    auto& p = *impl_;
    std::vector<impl::place> places;
    std::vector<std::size_t> rule_of(p.places.size(), static_cast<std::size_t>(-1));
    for (const auto& t : policy->throttles())
    {
        impl::place next;
        next.identity = identity_of(t);
        // Two of the same kind in one file are two throttles.
        std::size_t same = 1;
        for (const auto& other : places)
            same += other.identity == next.identity || other.identity.starts_with(next.identity + '#');
        if (same > 1)
            next.identity += '#' + std::to_string(same);
        for (std::size_t i = 0; i < p.places.size(); ++i)
            if (p.places[i].identity == next.identity)
                rule_of[i] = places.size();
        places.push_back(std::move(next));
    }
    for (std::size_t i = 0; i < p.places.size(); ++i)
    {
        auto& windows = p.places[i].windows;
        if (rule_of[i] < places.size())
        {
            for (auto& [_, w] : windows)
                w.rule = rule_of[i];
            places[rule_of[i]].windows = std::move(windows);  // elements of a node-based map stay in place
            continue;
        }
        // What a throttle that goes held back is told of now: nothing will tell of it later.
        while (!windows.empty())
        {
            auto& w = windows.begin()->second;
            p.tell(w);
            p.drop(w);
        }
    }
    p.places = std::move(places);
    p.policy = std::move(policy);
    p.asked = {};
    for (auto& place : p.places)
        for (auto& [_, w] : place.windows)
            p.list(w);
}

bool throttles::any() const
{
    return !impl_->places.empty();
}

std::optional<std::size_t> throttles::ask(const breach& b,
                                          std::string_view master,
                                          std::int64_t created,
                                          bool always)
{
    auto& p = *impl_;
    auto& q = p.asked;
    q.by.reset();
    q.keys.resize(p.places.size());
    q.master = master;
    q.model = model_of(b);
    q.created = created;
    q.device = device_words(b);
    for (std::size_t i = 0; i < p.places.size(); ++i)
    {
        q.keys[i] = p.key_of(p.rule(i), b);
        const auto* w = p.find(i, q.keys[i], created);
        if (!q.by && !always && w != nullptr && w->passed >= p.rule(i).limit)
            q.by = i;
    }
    return q.by;
}

void throttles::passed()
{
    auto& p = *impl_;
    for (std::size_t i = 0; i < p.places.size(); ++i)
    {
        auto* w = p.find(i, p.asked.keys[i], p.asked.created);
        if (w == nullptr)
            w = &p.open(i, p.asked.keys[i], p.asked.created);
        ++w->passed;
        auto& s = p.share_of(*w, p.asked.master);
        ++s.as.passed;
        p.note(*w, s);
    }
    p.make_room();
}

void throttles::held(std::string url)
{
    auto& p = *impl_;
    if (!p.asked.by)
        return;
    auto* w = p.find(*p.asked.by, p.asked.keys[*p.asked.by], p.asked.created);
    if (w == nullptr)
        return;
    if (url.size() > longest_url)
        url.resize(longest_url);
    auto& s = p.share_of(*w, p.asked.master);
    if (s.as.held == s.as.summed_up)
        s.as.first = s.as.last = p.asked.created;
    ++s.as.held;
    s.as.first = std::min(s.as.first, p.asked.created);
    s.as.last = std::max(s.as.last, p.asked.created);
    s.as.last_model = p.asked.model;
    s.as.last_device = p.asked.device;
    s.as.last_url = std::move(url);
    p.note(*w, s);
    p.list(*w);
}

std::vector<throttle_window> throttles::take_changes(std::string_view master)
{
    std::vector<throttle_window> out;
    const auto at = impl_->changed.find(master);
    if (at == impl_->changed.end())
        return out;
    for (auto* w : at->second)
        for (auto& s : w->shares)
            if (s.changed && s.as.master == master)
            {
                s.changed = false;
                out.push_back(s.as);
            }
    at->second.clear();
    return out;
}

void throttles::put_back(const std::vector<throttle_window>& windows)
{
    auto& p = *impl_;
    for (const auto& given : windows)
        for (auto& place : p.places)
        {
            const auto at = place.windows.find(given.key);
            if (place.identity != given.throttle || at == place.windows.end())
                continue;
            for (auto& s : at->second.shares)
                if (s.as.master == given.master)
                    p.note(at->second, s);
        }
}

void throttles::note_told(std::vector<throttle_window>& windows) const
{
    for (auto& given : windows)
        for (const auto& place : impl_->places)
        {
            const auto at = place.windows.find(given.key);
            if (place.identity != given.throttle || at == place.windows.end())
                continue;
            for (const auto& s : at->second.shares)
                if (s.as.master == given.master && s.as.start == given.start)
                    given.summed_up = std::max(given.summed_up, s.as.summed_up);
        }
}

void throttles::restore(std::string_view master, const std::vector<throttle_window>& windows)
{
    auto& p = *impl_;
    for (const auto& saved : windows)
    {
        const auto at = std::find_if(p.places.begin(), p.places.end(), [&](const impl::place& place) {
            return place.identity == saved.throttle;
        });
        if (at == p.places.end() || saved.ends <= saved.start)
            continue;
        const auto i = static_cast<std::size_t>(at - p.places.begin());
        const auto known = at->windows.find(saved.key);
        impl::window* w = known == at->windows.end() ? nullptr : &known->second;
        // A key that several masters have: the youngest window is the one that is open.
        if (w != nullptr && w->start > saved.start)
            continue;
        if (w == nullptr || w->start < saved.start)
            w = &p.open(i, saved.key, saved.start);
        auto& s = p.share_of(*w, std::string(master));
        const auto ends = s.as.ends;
        w->passed += saved.passed - s.as.passed;
        s.as = saved;
        s.as.ends = ends;
        s.as.master = master;
        p.list(*w);
    }
    p.make_room();
}

void throttles::forget(std::string_view master)
{
    auto& p = *impl_;
    for (auto& place : p.places)
    {
        for (auto at = place.windows.begin(); at != place.windows.end();)
        {
            auto& w = (at++)->second;
            const auto part = std::find_if(w.shares.begin(), w.shares.end(), [&](const impl::share& s) {
                return s.as.master == master;
            });
            if (part == w.shares.end())
                continue;
            w.passed -= part->as.passed;
            w.shares.erase(part);
            if (w.shares.empty())
                p.drop(w);
            else
                p.list(w);
        }
    }
    if (const auto at = p.changed.find(master); at != p.changed.end())
        p.changed.erase(at);
}

std::vector<throttle_summary> throttles::take_summaries(std::int64_t now)
{
    auto& p = *impl_;
    while (!p.ends.empty() && p.ends.begin()->first <= now)
        p.tell(*p.ends.begin()->second);
    return std::exchange(p.told, {});
}

std::optional<std::int64_t> throttles::next_end() const
{
    if (!impl_->told.empty())
        return std::numeric_limits<std::int64_t>::min();
    if (impl_->ends.empty())
        return std::nullopt;
    return impl_->ends.begin()->first;
}

std::size_t throttles::keys() const
{
    return impl_->ages.size();
}

}  // namespace dtbridge::deliver
