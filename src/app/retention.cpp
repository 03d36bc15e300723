#include "app/retention.hpp"

#include <algorithm>

#include <sys/statvfs.h>

namespace dtbridge::app
{

std::int64_t free_bytes(const std::string& folder)
{
    struct statvfs facts = {};
    if (::statvfs(folder.c_str(), &facts) != 0)
        return -1;
    return static_cast<std::int64_t>(facts.f_bavail) * static_cast<std::int64_t>(facts.f_frsize);
}

namespace
{

bool gets(const retention_rules::waiting& d, const std::string& master)
{
    return std::find(d.masters.begin(), d.masters.end(), master) != d.masters.end();
}

/// Whose cursor this is. Null: a destination that is gone, or that no longer gets this master's breaches,
/// lacks nothing.
const retention_rules::waiting* owner_of(const std::string& cursor,
                                         const std::string& master,
                                         const retention_rules& rules)
{
    for (const auto& d : rules.destinations)
        if ((d.destination == cursor || d.formerly == cursor) && gets(d, master))
            return &d;
    return nullptr;
}

/// The archive counts for every cursor it has; what an orphaned one lacked is nobody's loss.
void add_lost(retention_report& report,
              const retention_rules& rules,
              const std::string& master,
              const std::vector<std::pair<std::string, std::int64_t>>& lost)
{
    for (const auto& [cursor, count] : lost)
    {
        const auto* owner = owner_of(cursor, master, rules);
        if (owner == nullptr)
            continue;
        auto at = std::find_if(report.lost.begin(), report.lost.end(), [&](const auto& l) {
            return l.first == owner->destination;
        });
        if (at == report.lost.end())
            report.lost.emplace_back(owner->destination, count);
        else
            at->second += count;
    }
}

awaitable<void> prune(std::shared_ptr<archive> from,
                      retention_order order,
                      const retention_rules& rules,
                      retention_report& report)
{
    auto result = co_await from->prune(std::move(order));
    // Another bridge's by now, which looks after it.
    if (!result && result.error().code == errc::lease_lost)
        co_return;
    if (!result)
    {
        report.errors.push_back(from->master() + ": " + result.error().detail);
        co_return;
    }
    report.dropped += result->dropped;
    add_lost(report, rules, from->master(), result->lost);
}

/// How far below a bound an archive that is over it is brought, so that one that is at its bound for good is
/// not pruned, and said to be full, minute by minute.
constexpr std::int64_t margin_part = 20;

std::int64_t with_margin(std::int64_t over, std::uint64_t bound)
{
    return over > 0 ? over + static_cast<std::int64_t>(bound) / margin_part : 0;
}

/// How many bytes have to go; 0 when everything is in bounds.
awaitable<std::int64_t> excess(const std::vector<std::shared_ptr<archive>>& archives,
                               const retention_rules& rules,
                               std::vector<archive_facts>& facts,
                               retention_report& report)
{
    facts.clear();
    report.bytes = 0;
    for (const auto& a : archives)
    {
        auto known = co_await a->facts();
        facts.push_back(known ? *known : archive_facts{});
        report.bytes += facts.back().bytes;
    }
    report.free = free_bytes(rules.state_dir);
    const auto max_size = rules.archive.max_size, min_free = rules.archive.min_free;
    std::int64_t over = with_margin(report.bytes - static_cast<std::int64_t>(max_size), max_size);
    if (report.free >= 0)
        over = std::max(over, with_margin(static_cast<std::int64_t>(min_free) - report.free, min_free));
    co_return over;
}

/// How far a destination has come. One without a cursor lacks everything: it is about to start, or could not.
archive_cursor cursor_of(const retention_rules::waiting& d, const std::vector<archive_cursor>& known)
{
    const auto named = [&known](const std::string& name) {
        return std::find_if(
            known.begin(), known.end(), [&name](const auto& c) { return c.destination == name; });
    };
    auto at = named(d.destination);
    if (at == known.end())
        at = named(d.formerly);
    if (at != known.end())
        return *at;
    archive_cursor none;
    none.destination = d.destination;
    return none;
}

/// Of the destinations that get this master's breaches; others hold nothing back.
awaitable<std::vector<archive_cursor>> cursors_of(std::shared_ptr<archive> a, const retention_rules& rules)
{
    auto all = co_await a->cursors();
    std::vector<archive_cursor> known, kept;
    if (all)
        known = std::move(*all);
    for (const auto& d : rules.destinations)
    {
        if (gets(d, a->master()))
            kept.push_back(cursor_of(d, known));
    }
    co_return kept;
}

bool has_to_give_way(const retention_rules& rules, retention_report& report)
{
    report.gave_way = report.gave_way || (rules.give_way && rules.give_way());
    return report.gave_way;
}

}  // namespace

retention_rules retention_rules_of(const config::configuration& c)
{
    retention_rules rules;
    rules.archive = c.archive;
    rules.state_dir = c.service.state_dir;
    for (const auto& d : c.destinations)
        rules.destinations.push_back({d.options.name, d.options.hold, d.options.masters, d.options.formerly});
    return rules;
}

awaitable<retention_report> keep_retention(std::vector<std::shared_ptr<archive>> archives,
                                           retention_rules rules,
                                           std::int64_t now)
{
    retention_report report;
    const auto too_old = now - rules.archive.retention.count();

    // By age. A destination with a hold is waited for that long beyond retention; the others until the
    // archive is full.
    std::vector<std::chrono::milliseconds> holds;
    for (const auto& d : rules.destinations)
    {
        if (d.hold)
            holds.push_back(*d.hold);
    }
    std::sort(holds.begin(), holds.end());
    holds.erase(std::unique(holds.begin(), holds.end()), holds.end());
    for (const auto& a : archives)
    {
        if (has_to_give_way(rules, report))
            co_return report;
        auto cursors = co_await cursors_of(a, rules);
        retention_order by_age;
        by_age.older_than = too_old;
        by_age.keep_for = cursors;
        co_await prune(a, std::move(by_age), rules, report);
        for (const auto hold : holds)
        {
            retention_order expired;
            expired.older_than = too_old - hold.count();
            for (const auto& c : cursors)
            {
                const auto& d = *owner_of(c.destination, a->master(), rules);
                if (!d.hold || *d.hold > hold)
                    expired.keep_for.push_back(c);
            }
            co_await prune(a, std::move(expired), rules, report);
        }
    }

    // By size: what was delivered first, the oldest archive first, then (drop_oldest) what was not.
    std::vector<archive_facts> facts;
    for (const bool undelivered : {false, true})
    {
        if (undelivered && rules.archive.pause_when_full)
            break;
        std::int64_t over = co_await excess(archives, rules, facts, report);
        if (over == 0)
            break;
        std::vector<std::size_t> order(archives.size());
        for (std::size_t i = 0; i < order.size(); ++i)
            order[i] = i;
        std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
            return facts[a].oldest_archived < facts[b].oldest_archived;
        });
        for (const auto i : order)
        {
            if (over <= 0)
                break;
            if (has_to_give_way(rules, report))
                co_return report;
            if (facts[i].breaches == 0)
                continue;
            auto cursors = co_await cursors_of(archives[i], rules);
            retention_order by_size;
            by_size.max_bytes = std::max<std::int64_t>(facts[i].bytes - over, 1);
            by_size.drop_undelivered = undelivered;
            by_size.keep_for = std::move(cursors);
            co_await prune(archives[i], std::move(by_size), rules, report);
            auto after = co_await archives[i]->facts();
            if (after)
                over -= std::max<std::int64_t>(facts[i].bytes - after->bytes, 0);
        }
    }
    const auto left = co_await excess(archives, rules, facts, report);
    report.full = left > 0;
    co_return report;
}

}  // namespace dtbridge::app
