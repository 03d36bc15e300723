#include <iostream>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "app/commands.hpp"
#include "app/explanation.hpp"
#include "app/host.hpp"
#include "app/load_config.hpp"
#include "app/options.hpp"
#include "app/state_reading.hpp"

namespace dtbridge::app
{

int explain(const arguments& args)
{
    const auto said = parse(args,
                            "explain",
                            {{"master", "M", "whose breach", true},
                             {"pbid", "N", "which; every breach that ever had this pbid is told of", true},
                             {"json", "", "as one JSON object"}});
    if (!said)
        return exit_done;
    const auto pbid = to_pbid(said->get("pbid"));
    const auto c = load_config(said->config(), true);
    const auto name = find_master(c, said->get("master")).name;
    become_owner(c.service.state_dir);
    state_reader state(c);
    auto opened = state.open(name);
    if (!opened)
        throw action_error(opened.error().detail);
    auto& store = **opened;
    const auto histories = state.must(store.history(pbid));
    const auto bodies = state.must(store.find(pbid));
    const auto cursors = state.must(store.cursors());

    explanation_sources from;
    from.config = &c;
    from.master = name;
    from.policy_text = [&](const std::string& hash) { return state.must(store.recall(hash)); };
    from.first_ran = [&](const std::string& destination) -> std::optional<std::int64_t> {
        const auto known = service_store::look_up_first_ran(c.service.state_dir, destination);
        auto at = known ? *known : std::nullopt;
        for (const auto& cursor : cursors)
            if (cursor.destination == destination)
                at = cursor.first_ran(at);
        return at;
    };
    boost::json::array breaches;
    for (const auto& h : histories)
    {
        explained_breach b;
        b.history = h;
        for (const auto& found : bodies.breaches)
            if (found.seq == h.seq)
                b.body = found.body;
        b.changes = state.must(store.changes(h.key));
        breaches.push_back(explain_breach(b, from));
    }
    if (said->has("json"))
    {
        boost::json::object o;
        o["master"] = name;
        o["pbid"] = pbid;
        o["breaches"] = breaches;
        std::cout << boost::json::serialize(o) << '\n';
    }
    else
    {
        for (const auto& b : breaches)
            std::cout << "master " << name << ", " << explanation_text(b.get_object());
    }
    std::cout.flush();
    if (histories.empty())
        throw action_error("no breach with pbid " + std::to_string(pbid) + " was ever archived of master " +
                           name);
    return std::cout ? exit_done : exit_not_right;
}

}  // namespace dtbridge::app
