#include <dtbridge/deliver/line_counts.hpp>

#include <algorithm>

namespace dtbridge::deliver
{

namespace
{

constexpr std::int64_t hour_ms = 3'600'000;
constexpr std::int64_t week_ms = 7 * 24 * hour_ms;
constexpr std::int64_t hours_shown = 24;
constexpr std::size_t most_saved = 20'000;

/// The same line after an edit that moved it.
std::string name_of(const rules::policy_line& l)
{
    return l.file + '\n' + l.text;
}

std::unordered_map<std::string, std::size_t> index_of(const rules::policy& p)
{
    std::unordered_map<std::string, std::size_t> out;
    for (std::size_t i = 0; i < p.lines().size(); ++i)
        out.emplace(name_of(p.lines()[i]), i);
    return out;
}

}  // namespace

void line_counts::follow(std::shared_ptr<const rules::policy> policy, std::int64_t now)
{
    if (policy_ == policy)
        return;
    const auto before = policy_;
    const auto& lines = policy->lines();
    std::vector<std::int64_t> counts(lines.size());
    std::vector<facts> kept(lines.size());
    for (auto& f : kept)
        f.since = now;
    std::map<std::int64_t, std::unordered_map<std::size_t, std::int64_t>> hours;
    if (before)
    {
        sample(now);
        const auto old = index_of(*before);
        std::unordered_map<std::size_t, std::size_t> moved;
        for (std::size_t i = 0; i < lines.size(); ++i)
        {
            const auto at = old.find(name_of(lines[i]));
            if (at == old.end())
                continue;
            counts[i] = counts_[at->second];
            kept[i] = facts_[at->second];
            moved.emplace(at->second, i);
        }
        for (const auto& [hour, by_line] : hours_)
            for (const auto& [line, count] : by_line)
                if (const auto at = moved.find(line); at != moved.end())
                    hours[hour][at->second] = count;
    }
    policy_ = std::move(policy);
    counts_ = std::move(counts);
    facts_ = std::move(kept);
    hours_ = std::move(hours);
    all_ = true;
}

void line_counts::restore(const std::vector<policy_line_record>& records, std::int64_t now)
{
    if (!policy_)
        return;
    const auto lines = index_of(*policy_);
    for (const auto& r : records)
    {
        const auto at = lines.find(r.line);
        if (at == lines.end())
            continue;
        auto& f = facts_[at->second];
        f.since = std::min(now, r.since);
        f.last_spoke = std::max(f.last_spoke, std::min(now, r.last_spoke));
        for (const auto& [hour, count] : r.hours)
            if (hour <= now / hour_ms && hour > now / hour_ms - hours_shown)
                hours_[hour][at->second] += count;
    }
}

void line_counts::sample(std::int64_t now)
{
    const auto hour = now / hour_ms;
    for (std::size_t i = 0; i < counts_.size(); ++i)
    {
        const auto fresh = counts_[i] - facts_[i].sampled;
        if (fresh == 0)
            continue;
        hours_[hour][i] += fresh;
        facts_[i].sampled = counts_[i];
        facts_[i].last_spoke = now;
        facts_[i].changed = true;
    }
    while (!hours_.empty() && hours_.begin()->first <= hour - hours_shown)
        hours_.erase(hours_.begin());
}

std::vector<line_status> line_counts::list(std::int64_t now) const
{
    std::vector<line_status> out;
    if (!policy_)
        return out;
    const auto hour = now / hour_ms;
    const auto& lines = policy_->lines();
    out.reserve(lines.size());
    for (std::size_t i = 0; i < lines.size(); ++i)
    {
        line_status s;
        s.text = lines[i].text;
        s.file = lines[i].file;
        s.line = lines[i].line;
        s.since_start = counts_[i];
        const auto unsampled = counts_[i] - facts_[i].sampled;
        s.last_24h = unsampled;
        s.never_in_a_week =
            unsampled == 0 && facts_[i].since <= now - week_ms && facts_[i].last_spoke <= now - week_ms;
        out.push_back(std::move(s));
    }
    for (const auto& [at, by_line] : hours_)
        if (at > hour - hours_shown)
            for (const auto& [line, count] : by_line)
                out[line].last_24h += count;
    return out;
}

policy_line_record line_counts::record(std::size_t line, std::int64_t from_hour) const
{
    policy_line_record r;
    r.line = name_of(policy_->lines()[line]);
    r.since = facts_[line].since;
    r.last_spoke = facts_[line].last_spoke;
    for (auto at = hours_.lower_bound(from_hour); at != hours_.end(); ++at)
        if (const auto count = at->second.find(line); count != at->second.end())
            r.hours.emplace_back(at->first, count->second);
    return r;
}

line_counts::changes line_counts::take_changes(std::int64_t now)
{
    sample(now);
    changes out;
    out.all = all_;
    out.oldest_hour = now / hour_ms - hours_shown + 1;
    for (std::size_t i = 0; i < facts_.size() && out.lines.size() < most_saved; ++i)
    {
        if (!all_ && !facts_[i].changed)
            continue;
        facts_[i].changed = false;
        out.lines.push_back(record(i, all_ ? out.oldest_hour : saved_hour_));
    }
    all_ = false;
    saved_hour_ = now / hour_ms;
    return out;
}

}  // namespace dtbridge::deliver
