/// What the running service answers through its control socket (product.md 7): one member function per
/// command, each in a file of its own where it is more than a few lines, listed in the table of answer().

#include <array>
#include <utility>

#include <boost/asio/use_awaitable.hpp>
#include <boost/json/array.hpp>

#include <dtbridge/poll/target.hpp>

#include "app/service_impl.hpp"
#include "app/service_request.hpp"
#include "app/signed_request.hpp"
#include "app/status_json.hpp"
#include "app/version.hpp"

namespace dtbridge::app
{

boost::json::object service::impl::status_json() const
{
    boost::json::object o;
    o["version"] = program_version;
    o["started"] = rfc3339_ms(started);
    boost::json::array reasons, master_list, destination_list;
    const auto now = look_at_health();
    for (const auto* words : {&now.broken, &now.troubles})
    {
        for (const auto& w : *words)
            reasons.push_back(boost::json::value(w));
    }
    for (const auto& [name, m] : masters)
    {
        auto facts = m.poller ? m.poller->status() : poll::master_status{};
        facts.name = name;
        if (!m.error.empty())
            facts.error = m.error;
        const auto known = stored.find(name);
        auto one = to_json(facts, known == stored.end() ? 0 : known->second.bytes);
        one["stuck"] = is_stuck(facts, m.options);
        if (bridges)
        {
            one["owner"] = bridges->owner_of(name);
            one["owned"] = owns(m);
            if (!owns(m))
                one["state"] = "elsewhere";
        }
        master_list.push_back(std::move(one));
    }
    for (const auto& [name, d] : destinations)
    {
        const auto facts = d.delivery->now();
        auto one = to_json(facts);
        add_policy_lines(one, d.delivery->lines().list(now_ms()));
        one["stuck"] = is_stuck(facts, d.config.options);
        if (const auto rate = watching.rates.find(name); rate != watching.rates.end())
        {
            boost::json::array day;
            for (const auto v : rate->second.values(now_ms()))
                day.push_back(v);
            one["confirmed_24h"] = std::move(day);  // by half hours, the newest last
        }
        destination_list.push_back(std::move(one));
    }
    o["ready"] = now.broken.empty();
    o["reasons"] = std::move(reasons);
    o["masters"] = std::move(master_list);
    o["destinations"] = std::move(destination_list);
    if (bridges)
        o["bridges"] = bridges_json();
    return o;
}

std::int64_t service::impl::master_now(const master& m) const
{
    const auto skew = m.poller ? m.poller->status().skew_seconds.value_or(0) : 0;
    return now_ms() + skew * 1000;
}

awaitable<boost::json::object> service::impl::answer_status(boost::json::object)
{
    co_await ask_bridges();
    boost::json::object o;
    o["ok"] = true;
    o["status"] = status_json();
    co_return o;
}

awaitable<boost::json::object> service::impl::answer_sign(boost::json::object request)
{
    const auto name = text_member(request, "master");
    const auto m = masters.find(name);
    if (m == masters.end())
        co_return refusal("no master is named '" + name + "' in the running service", true);
    auto target = check_target(text_member(request, "target"));
    if (!target)
        co_return refusal(target.error().detail, true);
    const auto& unit = m->second;
    auto date = text_member(request, "date");
    if (date.empty())
        date = poll::format_date(unit.options.date, master_now(unit));
    boost::json::object o;
    o["ok"] = true;
    o["output"] = curl_line(unit.options, *target, text_member(request, "post"), date);
    co_return o;
}

awaitable<boost::json::object> service::impl::answer_get(boost::json::object request)
{
    const auto name = text_member(request, "master");
    const auto m = masters.find(name);
    if (m == masters.end())
        co_return refusal("no master is named '" + name + "' in the running service", true);
    auto target = check_target(text_member(request, "target"));
    if (!target)
        co_return refusal(target.error().detail, true);
    auto options = m->second.options;
    const auto at = master_now(m->second);
    auto got = co_await signed_get(std::move(options), std::move(*target), at);
    if (!got)
        co_return refusal(got.error().detail);
    boost::json::object o;
    o["ok"] = true;
    o["status"] = static_cast<std::int64_t>(got->status);
    o["content_type"] = got->content_type;
    o["output"] = got->body;
    co_return o;
}

awaitable<boost::json::object> service::impl::answer(boost::json::object request, asker& back)
{
    struct question
    {
        std::string_view command;
        awaitable<boost::json::object> (impl::*answer)(boost::json::object) = nullptr;
        awaitable<boost::json::object> (impl::*long_answer)(boost::json::object, asker&) = nullptr;
    };
    static constexpr std::array known = {
        question{"status", &impl::answer_status},
        question{"sign", &impl::answer_sign},
        question{"get", &impl::answer_get},
        question{"backfill", nullptr, &impl::answer_backfill},
        question{"replay", nullptr, &impl::answer_replay},
        question{"check", &impl::answer_check},
        question{"test", &impl::answer_test},
    };
    const auto command = text_member(request, "command");
    for (const auto& q : known)
    {
        if (q.command != command)
            continue;
        if (q.long_answer != nullptr)
        {
            auto reply = co_await (this->*q.long_answer)(std::move(request), back);
            co_return reply;
        }
        auto reply = co_await (this->*q.answer)(std::move(request));
        co_return reply;
    }
    co_return refusal("the running service does not know the command '" + command +
                      "'; is it of another version?");
}

}  // namespace dtbridge::app
