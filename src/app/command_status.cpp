#include <algorithm>
#include <iostream>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include <dtbridge/core/time.hpp>

#include "app/ask.hpp"
#include "app/commands.hpp"
#include "app/host.hpp"
#include "app/load_config.hpp"
#include "app/service_request.hpp"
#include "app/state_reading.hpp"
#include "app/status_json.hpp"
#include "app/status_text.hpp"
#include "app/version.hpp"

namespace dtbridge::app
{

namespace
{

/// What one archive tells of its master and of the destinations' cursors in it.
struct archive_view
{
    poll::master_status master;
    std::int64_t bytes = 0, last_seq = 0;
    std::vector<archive_cursor> cursors;
};

archive_view look_at(state_reader& state, const std::string& name)
{
    archive_view v;
    v.master.name = name;
    auto opened = state.open(name);
    if (!opened)
    {
        v.master.error = opened.error().detail;
        return v;
    }
    auto& store = **opened;
    auto position = state.run(store.position());
    auto facts = state.run(store.facts());
    auto cursors = state.run(store.cursors());
    if (position && *position)
        v.master.position = (*position)->position;
    if (facts)
    {
        v.bytes = facts->bytes;
        v.last_seq = facts->last_seq;
        v.master.archived = facts->breaches;
    }
    if (cursors)
        v.cursors = std::move(*cursors);
    const auto note = [&v](const auto& answer) {
        if (!answer && v.master.error.empty())
            v.master.error = answer.error().detail;
    };
    note(position);
    note(facts);
    note(cursors);
    return v;
}

/// The same shape as a running service answers, from the archives alone.
boost::json::object status_at_rest(const config::configuration& c)
{
    state_reader state(c);
    std::vector<archive_view> views;
    boost::json::array masters, destinations, reasons;
    for (const auto& m : c.masters)
    {
        views.push_back(look_at(state, m.name));
        auto one = to_json(views.back().master, views.back().bytes);
        one["state"] = "stopped";
        masters.push_back(std::move(one));
    }
    for (const auto& d : c.destinations)
    {
        deliver::status s;
        s.name = d.options.name;
        for (const auto& v : views)
        {
            const auto& wanted = d.options.masters;
            if (std::find(wanted.begin(), wanted.end(), v.master.name) == wanted.end())
                continue;
            deliver::cursor_status cursor;
            cursor.master = v.master.name;
            for (const auto& known : v.cursors)
                if (known.destination == s.name)
                {
                    cursor.seq = known.seq;
                    s.lost += known.lost;
                }
            cursor.lag = std::max<std::int64_t>(0, v.last_seq - cursor.seq);
            s.lag += cursor.lag;
            s.cursors.push_back(std::move(cursor));
        }
        destinations.push_back(to_json(s));
    }
    boost::json::object o;
    o["version"] = program_version;
    o["started"] = nullptr;
    o["ready"] = false;
    reasons.push_back(boost::json::value("no service runs with the state folder " + c.service.state_dir +
                                         "; this is what the archives in it tell"));
    o["reasons"] = std::move(reasons);
    o["masters"] = std::move(masters);
    o["destinations"] = std::move(destinations);
    return o;
}

}  // namespace

int status(const arguments& args)
{
    const auto said = parse(args, "status", {{"json", "", "as JSON, the same as /api/v1/status"}});
    if (!said)
        return exit_done;
    ignore_broken_pipes();
    boost::json::object request;
    request["command"] = "status";
    boost::json::object shown;
    int answer = exit_done;
    if (const auto reply = ask(*said, request))
    {
        const auto* inside = reply->if_contains("status");
        if (inside == nullptr || !inside->is_object())
            throw action_error("the running service answered without its status; is it of another version?");
        shown = inside->get_object();
    }
    else
    {
        const auto c = load_config(said->config(), true);
        become_owner(c.service.state_dir);
        shown = status_at_rest(c);
        // For scripts: a bridge that does not run forwards nothing.
        answer = exit_not_right;
    }
    if (said->has("json"))
        std::cout << boost::json::serialize(shown) << '\n';
    else
        std::cout << status_text(shown, now_ms());
    std::cout.flush();
    return std::cout ? answer : exit_not_right;
}

}  // namespace dtbridge::app
