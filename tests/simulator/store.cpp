#include "store.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include "dates.hpp"
#include "json_text.hpp"
#include "sized.hpp"

namespace simulator
{

namespace
{

bool truthy(std::string_view value)
{
    return !value.empty() && value != "false" && value != "null" && value != "0" && value != "\"\"";
}

std::int64_t at(double start, double step, std::uint64_t k)
{
    return static_cast<std::int64_t>(std::floor(start + static_cast<double>(k) * step));
}

/// Appliances write times in ms that are whole seconds, so many breaches share one.
std::int64_t whole_second(std::int64_t ms)
{
    return ms - ms % 1000;
}

}  // namespace

void store::add_entry(std::string_view text, std::int64_t now)
{
    entry e;
    e.text = text;
    e.shown = now;
    auto& f = e.facts;
    auto members = json_text::members(text);
    json_text::object breach(text);
    auto pbid = json_text::integer(breach.get("pbid"));
    f.has_pbid = pbid.has_value();
    f.pbid = pbid.value_or(0);
    auto time = json_text::integer(breach.get("time"));
    auto created = json_text::integer(breach.get("creationTime"));
    if (!time && !created)
    {
        // No place of its own: it is served beside the element before it.
        f.created = entries_.empty() ? now : entries_.back().facts.created;
        f.time = entries_.empty() ? now : entries_.back().facts.time;
    }
    else
    {
        f.created = created.value_or(time.value_or(0));
        f.time = time.value_or(f.created);
    }
    f.acknowledged = truthy(breach.get("acknowledged"));
    f.suppressed = truthy(breach.get("suppressed"));
    f.score = json_text::number(breach.get("score"));
    auto device = breach.get("device");
    if (device.empty())
        if (auto components = json_text::elements(breach.get("triggeredComponents"));
            components && !components->empty())
            device = json_text::find(components->front(), "device");
    f.did = json_text::integer(json_text::find(device, "did")).value_or(0);
    f.hostname = json_text::string(json_text::find(device, "hostname"));
    f.saas = f.hostname.starts_with("SaaS::");
    std::string model(breach.get("model"));
    if (auto then = json_text::find(model, "then"); !then.empty())
        model = std::string(then);
    f.pid = json_text::integer(json_text::find(model, "pid")).value_or(0);
    f.uuid = json_text::string(json_text::find(model, "uuid"));
    if (late_left_ > 0 && members)
    {
        --late_left_;
        e.time = f.created - late_by_;
        e.shown = now + late_hidden_;
    }
    entries_.push_back(std::move(e));
}

std::size_t store::load(std::string_view text, std::int64_t now)
{
    auto before = entries_.size();
    for (auto value : json_text::values(text))
    {
        auto members = json_text::members(value);
        bool keyed = members && !members->empty() && json_text::find(value, "pbid").empty() &&
                     std::any_of(members->begin(), members->end(), [](const auto& m) {
                         return m.key.starts_with('/');
                     });
        if (!keyed)
        {
            add_entry(value, now);
            continue;
        }
        std::set<std::int64_t> seen;
        for (const auto& m : *members)
            for (auto inner : json_text::values(m.value))
            {
                auto pbid = json_text::integer(json_text::find(inner, "pbid"));
                if (pbid && seen.insert(*pbid).second)
                    add_entry(inner, now);
            }
    }
    return entries_.size() - before;
}

std::int64_t store::newest_plausible() const
{
    std::int64_t newest = 0;
    for (const auto& e : entries_)
        if (plausible(e.facts.created))
            newest = std::max(newest, e.facts.created);
    return newest;
}

void store::move_to(std::int64_t now)
{
    auto newest = newest_plausible();
    for (auto& e : entries_)
        if (newest && plausible(e.facts.created))
            e.shift = now - newest;
}

void store::spread(std::int64_t now, std::int64_t span)
{
    std::vector<entry*> order;
    for (auto& e : entries_)
        if (plausible(e.facts.created))
            order.push_back(&e);
    std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
        return a->facts.created < b->facts.created;
    });
    auto n = static_cast<std::int64_t>(order.size());
    for (std::int64_t i = 0; i < n; ++i)
    {
        auto* e = order[static_cast<std::size_t>(i)];
        e->shift = now - span * (n - 1 - i) / n - e->facts.created;
    }
}

void store::add_generated(
    std::uint64_t count, std::int64_t until, std::int64_t span, std::int64_t shown, std::int64_t offset)
{
    close_open(shown);
    lane l;
    l.first = next_index_;
    l.count = count;
    l.step = count ? static_cast<double>(span) / static_cast<double>(count) : 0;
    l.start = static_cast<double>(until) - l.step * static_cast<double>(count ? count - 1 : 0);
    l.shown = shown;
    l.offset = offset;
    next_index_ += count;
    lanes_.push_back(l);
    open_lane(shown);
}

std::uint64_t store::shown_count(const lane& l, std::int64_t now) const
{
    if (now < l.shown)
        return 0;
    auto limit = l.open ? UINT64_MAX : l.count;
    auto latest = now - l.hidden;
    if (static_cast<double>(latest) < l.start)
        return 0;
    if (l.step <= 0)
        return limit == UINT64_MAX ? 0 : limit;
    auto k = static_cast<std::uint64_t>((static_cast<double>(latest) - l.start) / l.step);
    while (k > 0 && at(l.start, l.step, k) > latest)
        --k;
    while (at(l.start, l.step, k + 1) <= latest)
        ++k;
    return std::min(k + 1, limit);
}

void store::close_open(std::int64_t now)
{
    if (lanes_.empty() || !lanes_.back().open)
        return;
    auto& l = lanes_.back();
    l.count = shown_count(l, now);
    l.open = false;
    next_due_ = l.start + static_cast<double>(l.count) * l.step;
    next_index_ = l.first + l.count;
    if (l.count == 0)
        lanes_.pop_back();
}

void store::open_lane(std::int64_t now)
{
    if (per_second_ <= 0)
        return;
    lane l;
    l.first = next_index_;
    l.step = 1000.0 / per_second_;
    l.start = std::max(next_due_, static_cast<double>(now));
    l.shown = now;
    l.offset = offset_;
    l.open = true;
    if (late_left_ > 0)
    {
        lane late = l;
        late.open = false;
        late.count = late_left_;
        late.lag = late_by_;
        late.hidden = late_hidden_;
        lanes_.push_back(late);
        l.first += late.count;
        l.start += static_cast<double>(late.count) * l.step;
        late_left_ = 0;
    }
    lanes_.push_back(l);
}

void store::set_rate(double per_second, std::int64_t now)
{
    close_open(now);
    per_second_ = per_second;
    next_due_ = static_cast<double>(now) + (per_second > 0 ? 1000.0 / per_second : 0);
    open_lane(now);
}

void store::set_offset(std::int64_t offset, std::int64_t now)
{
    close_open(now);
    offset_ = offset;
    open_lane(now);
}

void store::set_late(std::uint64_t count, std::int64_t by, std::int64_t hidden, std::int64_t now)
{
    close_open(now);
    late_left_ = count;
    late_by_ = by;
    late_hidden_ = hidden;
    open_lane(now);
}

void store::replaced(std::int64_t shift, std::int64_t now)
{
    close_open(now);
    for (auto& e : entries_)
    {
        if (!plausible(e.facts.created))
            continue;
        e.shift += shift;
        if (e.time)
            *e.time += shift;
    }
    for (auto& l : lanes_)
        l.offset += shift;
    open_lane(now);
}

breach_ref store::ref_of(std::size_t lane_number, std::uint64_t k) const
{
    const auto& l = lanes_[lane_number];
    auto t = generator_.of(l.first + k);
    breach_ref ref;
    ref.created = whole_second(at(l.start, l.step, k)) + l.offset;
    ref.time = ref.created - l.lag.value_or(t.lag);
    ref.pbid = t.pbid;
    ref.lane = static_cast<std::int32_t>(lane_number);
    ref.index = l.first + k;
    ref.visible = std::max(l.shown, static_cast<std::int64_t>(std::ceil(at(l.start, l.step, k))) + l.hidden);
    return ref;
}

std::vector<breach_ref> store::find(const span_wanted& wanted, std::int64_t now) const
{
    std::vector<breach_ref> found;
    auto inside = [&](const breach_ref& ref) {
        auto t = wanted.by_creation ? ref.created : ref.time;
        return t >= wanted.from && t <= wanted.to;
    };
    for (std::size_t i = 0; i < entries_.size(); ++i)
    {
        const auto& e = entries_[i];
        if (e.shown > now)
            continue;
        breach_ref ref;
        ref.created = e.facts.created + e.shift;
        ref.time = e.time ? *e.time : e.facts.time + e.shift;
        ref.pbid = e.facts.pbid;
        ref.index = i;
        ref.visible = e.shown;
        if (inside(ref))
            found.push_back(ref);
    }
    for (std::size_t n = 0; n < lanes_.size(); ++n)
    {
        const auto& l = lanes_[n];
        auto count = shown_count(l, now);
        std::uint64_t first = 0;
        std::uint64_t last = count;
        if (l.step > 0 && count)
        {
            // Creation is even, so the span is a range of numbers; by time it is that range widened by the
            // largest lag.
            auto least = l.lag.value_or(generator::least_lag);
            auto most = l.lag.value_or(generator::most_lag);
            double from = static_cast<double>(wanted.from) - l.start - static_cast<double>(l.offset);
            double to = static_cast<double>(wanted.to) + 1000 - l.start - static_cast<double>(l.offset);
            if (!wanted.by_creation)
            {
                from += static_cast<double>(least);
                to += static_cast<double>(most);
            }
            double low = std::floor(from / l.step) - 1;
            double high = std::ceil(to / l.step) + 2;
            if (low > 0)
                first = low > static_cast<double>(count) ? count : static_cast<std::uint64_t>(low);
            last = high < 0                            ? 0
                   : high > static_cast<double>(count) ? count
                                                       : static_cast<std::uint64_t>(high);
        }
        for (auto k = first; k < last; ++k)
        {
            auto ref = ref_of(n, k);
            if (inside(ref))
                found.push_back(ref);
        }
    }
    if (!removed_.empty())
        std::erase_if(found, [&](const auto& ref) { return removed_.contains(ref.pbid); });
    std::stable_sort(found.begin(), found.end(), [&](const auto& a, const auto& b) {
        return wanted.by_creation ? a.created < b.created : a.time < b.time;
    });
    return found;
}

std::optional<breach_ref> store::find_pbid(std::int64_t pbid, std::int64_t now) const
{
    std::optional<breach_ref> newest;
    if (removed_.contains(pbid))
        return newest;
    auto offer = [&](const breach_ref& ref) {
        if (!newest || ref.created > newest->created)
            newest = ref;
    };
    for (std::size_t i = 0; i < entries_.size(); ++i)
    {
        const auto& e = entries_[i];
        if (e.facts.has_pbid && e.facts.pbid == pbid && e.shown <= now)
        {
            breach_ref ref;
            ref.created = e.facts.created + e.shift;
            ref.time = e.time ? *e.time : e.facts.time + e.shift;
            ref.pbid = pbid;
            ref.index = i;
            offer(ref);
        }
    }
    auto first = generator_.of(0).pbid;
    auto i = static_cast<std::uint64_t>(pbid) - static_cast<std::uint64_t>(first);
    for (std::size_t n = 0; pbid >= first && n < lanes_.size(); ++n)
    {
        const auto& l = lanes_[n];
        if (i >= l.first && i - l.first < shown_count(l, now))
            offer(ref_of(n, i - l.first));
    }
    return newest;
}

breach_facts store::facts(const breach_ref& ref) const
{
    breach_facts f;
    if (ref.lane < 0)
        f = entries_[ref.index].facts;
    else
    {
        auto t = generator_.of(ref.index);
        f.pbid = t.pbid;
        f.did = t.did;
        f.pid = t.pid;
        f.acknowledged = t.acknowledged;
        f.suppressed = t.suppressed;
        f.saas = t.saas;
        f.score = t.score / 1000.0;
        f.uuid = generator::uuid(t.model);
    }
    f.created = ref.created;
    f.time = ref.time;
    if (!acknowledged_.empty())
        if (auto found = acknowledged_.find(f.pbid); found != acknowledged_.end())
            f.acknowledged = truthy(found->second);
    return f;
}

std::string store::text(const breach_ref& ref) const
{
    std::string out;
    if (ref.lane < 0)
    {
        const auto& e = entries_[ref.index];
        out = json_text::shift_times(e.text, e.shift);
        if (e.time)
        {
            json_text::object breach(out);
            breach.set("time", std::to_string(*e.time));
            out = breach.text();
        }
    }
    else
    {
        out.reserve(8192);
        generator_.write(ref.index, ref.created, ref.time, out);
        if (size_ > 0)
            out = sized(out, size_, [&](unsigned k) {
                std::string more;
                generator_.write(ref.index + 1 + k, ref.created, ref.time, more);
                return more;
            });
    }
    auto acknowledged = acknowledged_.find(ref.pbid);
    auto comments = comments_.find(ref.pbid);
    if (acknowledged != acknowledged_.end() || comments != comments_.end())
    {
        json_text::object breach(out);
        if (breach.valid())
        {
            if (acknowledged != acknowledged_.end())
                breach.set("acknowledged", acknowledged->second);
            if (comments != comments_.end())
                breach.set("commentCount", std::to_string(comments->second));
            out = breach.text();
        }
    }
    return out;
}

}  // namespace simulator
