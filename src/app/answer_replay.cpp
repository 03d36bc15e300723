/// `replay` through the control socket: beside the destination's normal delivery, with its settings in force.

#include <algorithm>

#include "app/destination_settings.hpp"
#include "app/load_config.hpp"
#include "app/replay.hpp"
#include "app/service_impl.hpp"
#include "app/service_request.hpp"

namespace dtbridge::app
{

namespace
{

/// Tells the command how far it has come.
class back_to_asker : public replay_listener
{
public:
    explicit back_to_asker(asker& back) : back_(back) {}
    awaitable<bool> told(const replay_counts& counts) override
    {
        auto words = to_json(counts);
        const bool on = co_await back_.progress(std::move(words));
        co_return on;
    }

private:
    asker& back_;
};

/// One replay at a time to a destination.
class mark
{
public:
    mark(std::set<std::string>& names, std::string name) : names_(names), name_(std::move(name))
    {
        names_.insert(name_);
    }
    ~mark() { names_.erase(name_); }
    mark(const mark&) = delete;
    mark& operator=(const mark&) = delete;

private:
    std::set<std::string>& names_;
    std::string name_;
};

}  // namespace

awaitable<boost::json::object> service::impl::answer_replay(boost::json::object request, asker& back)
{
    const auto name = text_member(request, "destination");
    const auto at = destinations.find(name);
    if (at == destinations.end())
        co_return refusal("no destination is named '" + name + "' in the running service", true);
    if (replaying.contains(name))
        co_return refusal("a replay to " + name + " is under way already; one at a time");
    const auto wanted = text_member(request, "master");
    const auto served = at->second.config.options.masters;
    if (!wanted.empty() && std::find(served.begin(), served.end(), wanted) == served.end())
        co_return refusal("destination " + name + " gets no breaches of a master named '" + wanted + "'",
                          true);
    std::vector<replay_part> parts;
    for (const auto& each : served)
    {
        const auto m = masters.find(each);
        if ((!wanted.empty() && each != wanted) || m == masters.end())
            continue;
        auto readable = co_await readable_archive(each);
        if (!readable)
            co_return refusal("the archive of " + each + " cannot be read: " + readable.error().detail);
        const auto still = masters.find(each);
        if (still != masters.end())
            parts.push_back(
                replay_part{*readable, to_master_info(still->second.options), inventories.of(each)});
    }
    const mark only_one(replaying, name);
    // A reload may have come in between.
    const auto to = destinations.find(name);
    if (to == destinations.end())
        co_return refusal("no destination is named '" + name + "' in the running service", true);
    auto with = to_settings(to->second.config);
    auto order = to_replay_order(request);
    const auto per_second = static_cast<double>(number_member(request, "pace").value_or(0));
    back_to_asker asking(back);
    auto result =
        co_await replay(ex, std::move(with), std::move(parts), std::move(order), per_second, asking);
    if (!result)
        co_return refusal(result.error().detail);
    boost::json::object o;
    o["ok"] = true;
    o["finished"] = result->finished;
    o["counts"] = to_json(result->counts);
    co_return o;
}

}  // namespace dtbridge::app
