#include "app/status_json.hpp"

#include <algorithm>

#include <boost/json/array.hpp>

#include <dtbridge/core/time.hpp>

namespace dtbridge::app
{

namespace
{

boost::json::value time_or_null(std::int64_t ms)
{
    if (ms == 0)
        return nullptr;
    return boost::json::value(rfc3339_ms(ms));
}

std::string_view name_of(deliver::status::state s)
{
    switch (s)
    {
        case deliver::status::state::stopped:
            return "stopped";
        case deliver::status::state::connecting:
            return "connecting";
        case deliver::status::state::connected:
            return "connected";
        case deliver::status::state::waiting:
            return "waiting";
    }
    return "unknown";
}

}  // namespace

boost::json::object to_json(const poll::master_status& m, std::int64_t archive_bytes)
{
    boost::json::object o;
    o["name"] = m.name;
    o["state"] = poll::name_of(m.state);
    o["last_poll"] = time_or_null(m.last_poll);
    o["last_success"] = time_or_null(m.last_success);
    o["position"] = time_or_null(m.position.value_or(0));
    if (m.skew_seconds)
        o["skew_seconds"] = *m.skew_seconds;
    else
        o["skew_seconds"] = nullptr;
    o["by_activity"] = m.by_activity;
    o["error"] = m.error;
    o["archived"] = m.archived;
    o["late"] = m.late;
    o["set_aside"] = m.set_aside;
    o["repeated"] = m.repeated;
    o["reused_pbids"] = m.reused_pbids;
    o["last_sweep"] = time_or_null(m.last_sweep);
    o["sweep_error"] = m.sweep_error;
    o["differences"] = m.differences;
    o["state_changes"] = m.state_changes;
    o["archive_bytes"] = archive_bytes;
    return o;
}

boost::json::object to_json(const deliver::status& d)
{
    boost::json::object o;
    o["name"] = d.name;
    o["state"] = name_of(d.now);
    o["connected_to"] = d.connected_to;
    o["error"] = d.error;
    boost::json::array cursors;
    for (const auto& c : d.cursors)
    {
        boost::json::object cursor;
        cursor["master"] = c.master;
        cursor["seq"] = c.seq;
        if (!c.error.empty())
            cursor["error"] = c.error;
        cursors.push_back(std::move(cursor));
    }
    o["cursors"] = std::move(cursors);
    o["lag"] = d.lag;
    o["lag_seconds"] = d.lag_seconds;
    o["sent"] = d.sent;
    o["confirmed"] = d.confirmed;
    o["held_back"] = d.held_back;
    o["forwarded"] = d.forwarded;
    o["throttled"] = d.throttled;
    o["shortened"] = d.shortened;
    o["undeliverable"] = d.undeliverable;
    o["lost"] = d.lost;
    return o;
}

void add_policy_lines(boost::json::object& destination, std::vector<deliver::line_status> lines)
{
    constexpr std::size_t most = 5000;
    const auto all = lines.size();
    if (all > most)
    {
        std::stable_partition(lines.begin(), lines.end(), [](const deliver::line_status& l) {
            return l.since_start > 0 || l.last_24h > 0;
        });
        lines.resize(most);
    }
    boost::json::array list;
    list.reserve(lines.size());
    for (const auto& l : lines)
    {
        boost::json::object o;
        o["line"] = l.line;
        o["file"] = l.file;
        o["text"] = l.text;
        o["since_start"] = l.since_start;
        o["last_24h"] = l.last_24h;
        o["never_in_a_week"] = l.never_in_a_week;
        list.push_back(std::move(o));
    }
    destination["policy_lines"] = std::move(list);
    if (all > most)
        destination["policy_lines_left_out"] = all - most;
}

}  // namespace dtbridge::app
