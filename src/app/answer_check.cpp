/// What the running service answers to `check --connect` and `test`: with its own credentials, from its own
/// network, over connections of their own.

#include <algorithm>

#include <dtbridge/poll/poller.hpp>

#include "app/connect_check.hpp"
#include "app/service_impl.hpp"
#include "app/service_request.hpp"
#include "app/test_event.hpp"

namespace dtbridge::app
{

/// {"after": key} in; {"checks": [..], "next": key} out, next while there is more.
awaitable<boost::json::object> service::impl::answer_check(boost::json::object request)
{
    std::vector<poll::master_options> master_list;
    for (const auto& [name, m] : masters)
        master_list.push_back(m.options);
    std::vector<config::destination> destination_list;
    for (const auto& [name, d] : destinations)
        destination_list.push_back(d.config);
    auto targets = connect_targets(config.archive.database, master_list, destination_list);
    const auto after = text_member(request, "after");
    std::erase_if(targets, [&](const auto& t) { return t.key <= after; });
    boost::json::object reply;
    if (targets.size() > connect_chunk)
    {
        targets.resize(connect_chunk);
        reply["next"] = targets.back().key;
    }
    for (auto& t : targets)
    {
        if (t.is_master)
            t.master_skew = master_now(masters.at(t.master.name)) - now_ms();
    }
    auto found = co_await check_connections(others, std::move(targets));
    reply["ok"] = true;
    reply["checks"] = std::move(found);
    co_return reply;
}

awaitable<boost::json::object> service::impl::answer_test(boost::json::object request)
{
    const auto name = text_member(request, "destination");
    const auto at = destinations.find(name);
    if (at == destinations.end())
        co_return refusal("no destination is named '" + name + "' in the running service", true);
    const auto d = at->second.config;
    auto sent = co_await send_test_event(d);
    boost::json::object reply;
    reply["ok"] = true;
    reply["test"] = std::move(sent);
    co_return reply;
}

}  // namespace dtbridge::app
