/// What the service answers at `listen` (product.md 9): who may see what, health, status, and the pull API.

#include <algorithm>
#include <filesystem>

#include <boost/asio/use_awaitable.hpp>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include <dtbridge/core/log.hpp>
#include <dtbridge/core/text.hpp>
#include <dtbridge/web/page.hpp>

#include "app/load_config.hpp"
#include "app/reload.hpp"
#include "app/service_impl.hpp"

namespace dtbridge::app
{

namespace
{

using namespace std::chrono_literals;

web::response json_response(const boost::json::object& o)
{
    web::response r;
    r.content_type = "application/json";
    r.body = boost::json::serialize(o) + "\n";
    return r;
}

bool has_parameter(std::string_view query, std::string_view name)
{
    while (!query.empty())
    {
        const auto end = std::min(query.find('&'), query.size());
        const auto one = query.substr(0, end);
        if (one.substr(0, one.find('=')) == name)
            return !one.ends_with("=0") && !one.ends_with("=false");
        query.remove_prefix(std::min(end + 1, query.size()));
    }
    return false;
}

/// The server lives until its last connection has ended, which may be long after another one took its place.
awaitable<void> run_listener(std::shared_ptr<web::server> s)
{
    co_await s->run();
}

boost::json::array to_array(const std::vector<std::string>& words)
{
    boost::json::array out;
    for (const auto& w : words)
        out.push_back(boost::json::value(w));
    return out;
}

}  // namespace

bool access::to(const std::string& master) const
{
    return all || std::find(masters.begin(), masters.end(), master) != masters.end();
}

/// Nothing where who is admitted, and then what who may see. data: breaches are asked for; those need a token
/// even on this host as soon as one is configured.
std::optional<web::response> service::impl::admit(const web::request& r, bool data, access& who) const
{
    if (!r.bearer.empty())
    {
        // Every token is compared, so that the time does not tell which one was near.
        const config::api_token* found = nullptr;
        for (const auto& t : config.tokens)
        {
            if (t.token.equals(r.bearer.reveal()) && found == nullptr)
                found = &t;
        }
        if (found == nullptr)
            return web::refusal(401, "the token is not one of [[api_token]]");
        who.masters = found->masters;
        who.all = std::all_of(
            config.masters.begin(), config.masters.end(), [&](const auto& m) { return who.to(m.name); });
        return std::nullopt;
    }
    if (r.local && (!data || config.tokens.empty()))
    {
        who.all = true;
        return std::nullopt;
    }
    return web::refusal(401, "a token of [[api_token]] is needed: Authorization: Bearer <token>");
}

web::response service::impl::answer_ready(const web::request& r) const
{
    const auto now = look_at_health();
    const bool ready = now.broken.empty() && (now.troubles.empty() || !has_parameter(r.query, "strict"));
    boost::json::object o;
    o["ready"] = ready;
    access who;
    if (!admit(r, false, who) && who.all)
    {
        auto reasons = now.broken;
        reasons.insert(reasons.end(), now.troubles.begin(), now.troubles.end());
        o["reasons"] = to_array(reasons);
    }
    auto answer = json_response(o);
    answer.status = ready ? 200 : 503;
    return answer;
}

awaitable<web::response> service::impl::answer_api_status(web::request r)
{
    access who;
    if (auto refused = admit(r, false, who))
        co_return std::move(*refused);
    co_await ask_bridges();
    auto o = status_json();
    if (who.all)
        co_return json_response(o);
    // Another customer's masters, and destinations that serve them, are not this one's business.
    auto& master_list = o["masters"].as_array();
    boost::json::array seen_masters, seen_destinations;
    for (auto& m : master_list)
    {
        if (who.to(std::string(m.as_object()["name"].as_string())))
            seen_masters.push_back(std::move(m));
    }
    for (auto& d : o["destinations"].as_array())
    {
        const auto at = destinations.find(std::string(d.as_object()["name"].as_string()));
        if (at == destinations.end())
            continue;
        const auto& served = at->second.config.options.masters;
        if (std::all_of(served.begin(), served.end(), [&](const auto& m) { return who.to(m); }))
            seen_destinations.push_back(std::move(d));
    }
    o["masters"] = std::move(seen_masters);
    o["destinations"] = std::move(seen_destinations);
    o["reasons"] = boost::json::array();
    co_return json_response(o);
}

web::response service::impl::answer_masters(const web::request& r) const
{
    access who;
    if (auto refused = admit(r, true, who))
        return std::move(*refused);
    boost::json::array list;
    for (const auto& [name, m] : masters)
    {
        if (!who.to(name))
            continue;
        boost::json::object one;
        one["name"] = name;
        boost::json::object labels;
        for (const auto& [key, value] : m.options.labels)
            labels[key] = value;
        one["labels"] = std::move(labels);
        list.push_back(std::move(one));
    }
    boost::json::object o;
    o["masters"] = std::move(list);
    return json_response(o);
}

/// A policy that a destination of this master decides with, by the stem of its file; null where there is
/// none.
std::shared_ptr<const rules::policy> service::impl::policy_for(const std::string& name,
                                                               const std::string& stem) const
{
    for (const auto& [unused, d] : destinations)
    {
        const auto& o = d.config.options;
        const bool serves = std::find(o.masters.begin(), o.masters.end(), name) != o.masters.end();
        if (serves && !o.rules_file.empty() && std::filesystem::path(o.rules_file).stem() == stem)
            return d.config.policy;
    }
    return nullptr;
}

awaitable<web::response> service::impl::answer_breaches(web::request r)
{
    access who;
    if (auto refused = admit(r, true, who))
        co_return std::move(*refused);
    auto order = web::read_pull_order(r.query, now_ms());
    if (!order)
        co_return web::refusal(400, order.error().detail);
    const auto shown = text::printable(order->master);
    if (!who.to(order->master))
        co_return web::refusal(403, "this token may not read master " + shown);
    const auto m = masters.find(order->master);
    if (m == masters.end())
        co_return web::refusal(404, "no master is named " + shown + "; /api/v1/masters lists them");
    if (const auto foreign = web::foreign_cursor(*order, m->second.options.formerly))
        co_return web::refusal(400, foreign->detail);
    const auto master_name = order->master;
    auto readable = co_await readable_archive(master_name);
    if (!readable)
        co_return web::refusal(503, "the archive of master " + shown + " is not open");
    // A reload may have come in between.
    const auto still = masters.find(master_name);
    if (still == masters.end())
        co_return web::refusal(404, "no master is named " + shown + "; /api/v1/masters lists them");
    web::pull_parts parts;
    if (!order->rules.empty())
    {
        parts.policy = policy_for(order->master, order->rules);
        if (!parts.policy)
            co_return web::refusal(404,
                                   "no destination of master " + shown +
                                       " uses rules of that name: " + text::printable(order->rules));
    }
    web::response answer;
    answer.content_type = order->envelope ? "application/json" : "application/x-ndjson";
    parts.store = *readable;
    if (still->second.store != *readable)
        parts.reader = *readable;
    parts.info = to_master_info(still->second.options);
    parts.devices = inventories.of(order->master);
    parts.order = std::move(*order);
    auto begun = co_await web::start_pull(std::move(parts), board);
    if (!begun)
        co_return web::refusal(503, begun.error().detail);
    answer.rest = std::move(*begun);
    co_return answer;
}

void service::impl::add_routes(web::server& s)
{
    web::serve_page(s);
    s.handle("/healthz", [](const web::request&) {
        web::response alive;
        alive.body = "alive\n";
        return alive;
    });
    s.handle("/readyz", [this](const web::request& r) { return answer_ready(r); });
    s.handle("/metrics", [this](const web::request& r) { return answer_metrics(r); });
    s.handle_slow("/api/v1/status", [this](web::request r) { return answer_api_status(std::move(r)); });
    s.handle("/api/v1/masters", [this](const web::request& r) { return answer_masters(r); });
    s.handle_slow("/api/v1/breaches", [this](web::request r) { return answer_breaches(std::move(r)); });
    s.handle_slow("/api/v1/newest", [this](web::request r) { return answer_newest(std::move(r)); });
}

void service::impl::start_listener()
{
    const auto& o = config.service;
    if (o.listen.empty())
        return;
    listener_tls.reset();
    if (!o.listen_cert_file.empty())
    {
        auto tls = web::make_tls_server(o.listen_cert_file, o.listen_key_file);
        if (!tls)
        {
            log::error("web", "", tls.error().detail, {{"next", "tried again at the next reload"}});
            return;
        }
        listener_tls = std::move(*tls);
    }
    listener = std::make_shared<web::server>(ex);
    add_routes(*listener);
    auto listening = listener->listen(o.listen, listener_tls);
    if (!listening)
    {
        // Forwarding matters more than being looked at.
        log::error("web", "", listening.error().detail, {{"next", "tried again at the next reload"}});
        listener.reset();
        return;
    }
    others.spawn("listener", run_listener(listener));
}

/// After a reload: a new address, or one whose port was taken, is listened on; a renewed certificate is used
/// by the connections from now on.
awaitable<void> service::impl::renew_listener(const config::service_options& before)
{
    const auto& o = config.service;
    const bool same =
        before.listen == o.listen && before.listen_cert_file.empty() == o.listen_cert_file.empty();
    if (listener && same)
    {
        if (o.listen_cert_file.empty())
            co_return;
        auto tls = web::make_tls_server(o.listen_cert_file, o.listen_key_file);
        if (tls)
        {
            listener_tls = std::move(*tls);
            listener->renew(listener_tls);
        }
        else
        {
            log::error("web",
                       "",
                       tls.error().detail,
                       {{"next", "the certificate that was read before stays in use"}});
        }
        co_return;
    }
    others.cancel("listener");
    std::string name("listener");
    const auto ended = co_await others.join(std::move(name), 5s);
    if (!ended)
        log::warning("web", "", "a request was not answered within 5 s; an archive's disk may hang");
    listener.reset();
    start_listener();
}

}  // namespace dtbridge::app
