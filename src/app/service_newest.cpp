/// The newest breaches with what each destination decides about them, for the status page.

#include <algorithm>

#include <boost/asio/use_awaitable.hpp>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include <dtbridge/core/text.hpp>

#include "app/load_config.hpp"
#include "app/service_impl.hpp"

namespace dtbridge::app
{

namespace
{

constexpr std::size_t most_masters = 16;  ///< whose archives are looked into for one answer
constexpr std::size_t most_breaches = 50;
constexpr std::size_t most_decisions = 20;  ///< of one breach
constexpr std::size_t most_text = 300;

boost::json::string shown(std::string_view s)
{
    const auto clean = text::to_valid_utf8(s);
    return boost::json::string(text::cut(clean, most_text));
}

std::string_view device_name(const breach& b)
{
    for (const std::string_view name : {"hostname", "devicelabel", "ip"})
    {
        if (const auto value = string_member(b.device, name); !value.empty())
            return value;
    }
    return {};
}

}  // namespace

/// Those that had news last, of which who may see breaches; before there was any news, the first ones.
std::vector<std::string> service::impl::masters_with_news(const access& who) const
{
    std::vector<std::pair<std::int64_t, std::string>> all;
    for (const auto& [name, m] : masters)
    {
        const auto news = last_news.find(name);
        if (m.store && who.to(name))
            all.emplace_back(news == last_news.end() ? 0 : news->second, name);
    }
    std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
    std::vector<std::string> names;
    for (std::size_t i = 0; i < std::min(all.size(), most_masters); ++i)
        names.push_back(std::move(all[i].second));
    return names;
}

boost::json::object service::impl::newest_json(
    const master& m,
    const archived_breach& a,
    const std::vector<std::pair<std::string, withheld_breach>>& withheld,
    breach& scratch) const
{
    const auto info = to_master_info(m.options);
    boost::json::object o;
    o["master"] = info.name;
    o["seq"] = a.seq;
    o["pbid"] = a.key.pbid;
    o["archived"] = rfc3339_ms(a.archived);
    o["created"] = rfc3339_ms(a.key.created);
    if (!scratch.read(a.body))
        return o;
    o["model"] = shown(model_path(string_member(scratch.then, "name")));
    o["device"] = shown(device_name(scratch));
    o["score"] = scratch.score ? shown(scratch.score->text()) : boost::json::string();
    o["url"] = shown(format::breach_url(scratch, info));
    const auto inventory = inventories.of(info.name);
    const auto known = rules::known_of(scratch, &info.labels, inventory.get());
    boost::json::array decisions;
    for (const auto& [name, d] : destinations)
    {
        if (!d.masters.contains(info.name) || decisions.size() == most_decisions)
            continue;
        const auto said = d.config.policy->decide(scratch, known);
        boost::json::object one;
        one["destination"] = name;
        one["forward"] = said.forward;
        one["reason"] = shown(said.reason);
        for (const auto& [to, w] : withheld)
        {
            if (w.seq != a.seq || to != name)
                continue;
            // The rules forwarded it, and yet it did not go.
            const bool throttled = w.why == withheld_breach::cause::throttled;
            one["forward"] = false;
            one["withheld"] = throttled ? "throttled" : "undeliverable";
            one["reason"] = shown(throttled ? rules::throttled_reason(w.reason) : w.reason);
        }
        decisions.push_back(std::move(one));
    }
    o["decisions"] = std::move(decisions);
    return o;
}

awaitable<web::response> service::impl::answer_newest(web::request r)
{
    access who;
    if (auto refused = admit(r, true, who))
        co_return std::move(*refused);
    std::vector<std::pair<std::int64_t, boost::json::object>> found;
    const auto names = masters_with_news(who);
    for (const auto& name : names)
    {
        const auto before = masters.find(name);
        if (before == masters.end() || !before->second.store)
            continue;
        const auto files = before->second.store;
        const auto after =
            std::max<std::int64_t>(0, files->last_seq() - static_cast<std::int64_t>(most_breaches));
        auto span = co_await files->read(after, most_breaches, 1u << 20);
        if (!span || span->breaches.empty())
            continue;
        const auto first = span->breaches.front().seq, last = span->breaches.back().seq;
        const auto withheld = co_await files->withheld(first, last);
        // A reload may have come in between.
        const auto m = masters.find(name);
        if (!withheld || m == masters.end())
            continue;
        breach scratch;
        for (const auto& a : span->breaches)
            found.emplace_back(a.archived, newest_json(m->second, a, *withheld, scratch));
    }
    // What came last, in the order of creation, as people read it.
    std::stable_sort(
        found.begin(), found.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
    found.resize(std::min(found.size(), most_breaches));
    std::stable_sort(found.begin(), found.end(), [](const auto& a, const auto& b) {
        return a.second.at("created").as_string() > b.second.at("created").as_string();
    });
    boost::json::array list;
    for (auto& one : found)
        list.push_back(std::move(one.second));
    boost::json::object o;
    o["breaches"] = std::move(list);
    web::response answer;
    answer.content_type = "application/json";
    answer.body = boost::json::serialize(o) + "\n";
    co_return answer;
}

}  // namespace dtbridge::app
