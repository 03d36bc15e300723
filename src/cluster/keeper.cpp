#include <dtbridge/cluster/keeper.hpp>

#include <algorithm>
#include <set>
#include <utility>

#include <dtbridge/cluster/siphash.hpp>

namespace dtbridge::cluster
{

namespace
{

using std::chrono::milliseconds;

std::int64_t in_ms(boot_time t)
{
    return std::chrono::duration_cast<milliseconds>(t.time_since_epoch()).count();
}

}  // namespace

void database_clock::seen(boot_time sent, boot_time received, std::int64_t now)
{
    const auto most = now - in_ms(sent), least = now - in_ms(received);
    if (!ahead_)
    {
        ahead_ = most;
        learnt_ = received;
        return;
    }
    // Clocks drift by less than a thousandth.
    const auto drifted = *ahead_ + (in_ms(received) - in_ms(learnt_)) / 1000;
    if (least <= drifted + std::chrono::duration_cast<milliseconds>(slack_).count())
        jumped_.reset();
    else if (!jumped_)
        jumped_ = received;
    if (jumped_ && received - *jumped_ >= lease_)
    {
        // Who lives has renewed by the new clock since.
        ahead_ = most;
        learnt_ = received;
        jumped_.reset();
    }
    else if (most <= drifted)
    {
        ahead_ = most;
        learnt_ = received;
    }
}

std::int64_t database_clock::no_later_than(boot_time received, std::int64_t now) const
{
    if (!ahead_)
        return now;
    return std::min(now, in_ms(received) + *ahead_ + (in_ms(received) - in_ms(learnt_)) / 1000);
}

keeper::keeper(identity me, options o, std::shared_ptr<planner> masters, boot_time now)
    : me_(std::move(me)),
      options_(o),
      planner_(std::move(masters)),
      plan_(std::make_shared<const plan>()),
      clock_(o),
      due_{now, now}
{}

keeper::~keeper()
{
    for (auto& [name, h] : holdings_)
        h.permit->revoke();
}

// ---- renewing

renewal keeper::to_renew(boot_time now) const
{
    auto state = bridge_state::joining;
    if (leaving_)
        state = bridge_state::leaving;
    else if (settled(now))
        state = now >= *settles_ + options_.establish ? bridge_state::established : bridge_state::serving;
    renewal r{me_, !renewed_, state, {}};
    for (const auto& [name, h] : holdings_)
        r.leases.push_back({name, h.permit->number()});
    return r;
}

/// Not when the database may have been away: more than one renewal failed.
bool keeper::settled(boot_time now) const
{
    return settles_ && *settles_ <= now && now - *renewed_ < 2 * options_.renew;
}

changes keeper::renewed(boot_time sent, const renewal& asked, const renewal_answer& answer)
{
    changes out;
    due_.renew = sent + options_.renew;
    if (answer.superseded)
    {
        superseded_ = true;
        for (auto at = holdings_.begin(); at != holdings_.end();)
            at = lose(at, out);
        return out;
    }
    if (!renewed_ || sent - *renewed_ >= 2 * options_.renew)
        settles_ = sent + options_.settle;
    renewed_ = sent;
    if (*settles_ > sent)
        due_.renew = std::min(due_.renew, *settles_);  // so that the others hear of it
    std::set<std::pair<std::string_view, std::int64_t>> renewed;
    for (const auto& l : answer.renewed)
        renewed.emplace(l.master, l.number);
    for (const auto& l : asked.leases)
    {
        const auto at = holdings_.find(l.master);
        if (at == holdings_.end() || at->second.permit->number() != l.number)
            continue;
        if (!renewed.contains({l.master, l.number}))
        {
            lose(at, out);
            continue;
        }
        at->second.permit->extend(sent + options_.lease - options_.margin);
        at->second.lapsed = false;
    }
    return out;
}

void keeper::renew_failed(boot_time now)
{
    due_.renew = now + options_.retry;
}

// ---- looking

std::vector<std::string> keeper::interest() const
{
    auto out = wanted_;
    for (const auto& [name, h] : holdings_)
        out.push_back(name);
    for (const auto& [name, number] : given_up_)
        out.push_back(name);
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    return out;
}

/// How soon masters of a bridge that stopped are taken: where bridges are few, looking often costs nothing.
milliseconds keeper::look_interval(std::size_t bridges) const
{
    const auto all = options_.look_each * static_cast<std::int64_t>(bridges);
    return std::min(options_.renew, std::max(options_.look_least, all));
}

void keeper::look_no_later_than(boot_time t)
{
    due_.look = std::min(due_.look, t);
}

void keeper::want(std::shared_ptr<const plan> p)
{
    plan_ = std::move(p);
    wanted_.clear();
    for (const auto m : plan_->masters_of(me_.name))
        wanted_.push_back(planner_->masters()[m]);
}

bool keeper::wants(std::string_view master) const
{
    return std::binary_search(wanted_.begin(), wanted_.end(), master);
}

/// now: the latest time that the database's clock certainly shows.
void keeper::plan_for(const snapshot& s, std::int64_t now)
{
    // While all are new, those that are about to serve count, so that the first does not take everything.
    // Later the others do not wait for them: they are handed their share when they serve.
    const auto established = [now](const member& m) {
        return m.expires > now && m.state == bridge_state::established;
    };
    const bool only_serving = std::any_of(s.members.begin(), s.members.end(), established);
    std::vector<std::string> live;
    for (const auto& m : s.members)
    {
        if (m.expires <= now || m.who.name == me_.name || m.state == bridge_state::leaving ||
            (only_serving && m.state == bridge_state::joining))
            continue;
        live.push_back(m.who.name);
    }
    if (!leaving_)
        live.push_back(me_.name);
    std::sort(live.begin(), live.end());
    if (live != plan_->bridges)
        want(planner_->for_bridges(std::move(live)));
}

changes keeper::seen(boot_time sent,
                     boot_time received,
                     const std::vector<std::string>& asked,
                     const snapshot& s)
{
    changes out;
    due_.look = sent + look_interval(s.members.size());
    if (superseded_)
        return out;
    clock_.seen(sent, received, s.now);
    const auto now = clock_.no_later_than(received, s.now);
    const bool may_take = settled(sent);
    if (may_take)
    {
        const auto before = plan_;
        plan_for(s, now);
        if (plan_ != before)
            eager_until_ = received + options_.eager_for;
    }
    else if (settles_ && *settles_ > sent)
    {
        look_no_later_than(*settles_);
    }

    // A bridge that missed a heartbeat is looked at when it is due to be given up, not at the end of a whole
    // round more. Not by all the others in the same instant.
    const auto spread_out = milliseconds(siphash({0, 0}, me_.session) % 100);
    const auto look_when_expired = [&](std::int64_t expires) {
        if (expires > now)
            look_no_later_than(received + milliseconds(expires - now) + spread_out);
    };
    for (const auto& m : s.members)
        if (m.who.name != me_.name)
            look_when_expired(m.expires);

    std::map<std::string_view, const lease_row*> rows;
    for (const auto& row : s.leases)
    {
        rows.emplace(row.master, &row);
        // A claim that was done when nobody waited for it any more, and that this bridge is not to have by
        // now.
        if (row.owner == me_ && !holdings_.contains(row.master) && (leaving_ || !wants(row.master)))
            given_up_[row.master] = row.number;
    }
    bool waiting = false;
    for (const auto& master : asked)
    {
        static const lease_row never_owned = {};
        const auto found = rows.find(master);
        const auto& row = found == rows.end() ? never_owned : *found->second;
        const bool ours = row.owner == me_;
        if (const auto given = given_up_.find(master); given != given_up_.end())
        {
            if (ours && row.number == given->second)
                continue;
            given_up_.erase(given);
        }
        if (const auto at = holdings_.find(master); at != holdings_.end())
        {
            if (row.number > at->second.permit->number() ||
                (row.number == at->second.permit->number() && !ours))
                lose(at, out);
            continue;
        }
        if (ours)
        {
            // A claim whose answer was lost. What was left of it when the database answered is left of it
            // now, less the time since it was asked.
            hold(master, row.number, sent + milliseconds(row.expires - s.now), out);
            continue;
        }
        if (leaving_ || !wants(master))
            continue;
        if (row.owner.name.empty() || row.expires <= now)
        {
            if (may_take)
                out.claims.push_back({master, row.number, row.owner.name});
            continue;
        }
        waiting = true;
        look_when_expired(row.expires);
    }
    const auto unknown = [&asked](const std::string& m) {
        return !std::binary_search(asked.begin(), asked.end(), m);
    };
    if (std::any_of(wanted_.begin(), wanted_.end(), unknown))
        due_.look = received;
    else if (waiting && received < eager_until_)
        look_no_later_than(received + options_.eager);
    if (may_take && !leaving_)
        hand_over(sent, s, out);
    return out;
}

void keeper::look_failed(boot_time now)
{
    due_.look = now + options_.retry;
}

changes keeper::acquired(boot_time sent,
                         const std::vector<claim>& asked,
                         const std::vector<lease_number>& won)
{
    changes out;
    std::map<std::string_view, std::int64_t> numbers;
    for (const auto& l : won)
        numbers.emplace(l.master, l.number);
    for (const auto& c : asked)
    {
        const auto at = numbers.find(c.master);
        if (at == numbers.end())
        {
            ++counted_.beaten;
            continue;
        }
        ++counted_.acquired;
        if (!c.from.empty())
            ++counted_.takeovers;
        if (leaving_ || superseded_)
            given_up_[c.master] = at->second;
        else if (!holdings_.contains(c.master))
            hold(c.master, at->second, sent + options_.lease, out);
    }
    if (!out.gained.empty())
        eager_until_ = std::max(eager_until_, sent + options_.eager_for);
    return out;
}

void keeper::claims_failed(boot_time now)
{
    due_.look = now;
}

void keeper::hold(std::string master, std::int64_t number, boot_time end, changes& to)
{
    auto p = std::make_shared<cluster::permit>(master, number, me_.session);
    p->extend(end - options_.margin);
    to.gained.push_back(p);
    holdings_.emplace(std::move(master), holding{std::move(p)});
}

keeper::holdings::iterator keeper::lose(holdings::iterator at, changes& to)
{
    at->second.permit->revoke();
    to.lost.push_back(at->first);
    ++counted_.lost;
    return holdings_.erase(at);
}

// ---- giving away

void keeper::hand_over(boot_time sent, const snapshot& s, changes& to)
{
    std::set<std::string_view> serving;
    for (const auto& m : s.members)
        if (m.state == bridge_state::serving || m.state == bridge_state::established)
            serving.insert(m.who.name);
    const auto& masters = planner_->masters();
    auto stopping = std::size_t(
        std::count_if(holdings_.begin(), holdings_.end(), [](const auto& h) { return h.second.stopping; }));
    const auto most = std::max(options_.hand_over_least,
                               holdings_.size() / std::max<std::size_t>(1, options_.hand_over_fraction));
    for (auto& [name, h] : holdings_)
    {
        const auto at = std::lower_bound(masters.begin(), masters.end(), name);
        if (h.stopping || at == masters.end() || *at != name)  // those that are not named: set_masters()
            continue;
        const auto& heir = plan_->bridges[plan_->owners[std::size_t(at - masters.begin())]];
        if (h.heir != heir)
        {
            h.heir = heir;
            h.heir_since = sent;
        }
        // By the next look every other bridge has seen what we saw; before that nobody might take what we let
        // go.
        if (heir == me_.name || !serving.contains(heir) || sent < h.heir_since + options_.renew ||
            stopping >= most)
            continue;
        h.stopping = true;
        ++stopping;
        to.stop.push_back(name);
    }
}

void keeper::stop_all(changes& to)
{
    for (auto& [name, h] : holdings_)
        if (!std::exchange(h.stopping, true))
            to.stop.push_back(name);
}

void keeper::stopped(std::string_view master)
{
    const auto at = holdings_.find(master);
    if (at == holdings_.end())
        return;
    at->second.permit->revoke();
    given_up_[at->first] = at->second.permit->number();
    holdings_.erase(at);
    ++counted_.handed_over;
}

std::vector<lease_number> keeper::to_release() const
{
    std::vector<lease_number> out;
    for (const auto& [master, number] : given_up_)
        out.push_back({master, number});
    return out;
}

void keeper::released(const std::vector<lease_number>& asked)
{
    for (const auto& l : asked)
        if (const auto at = given_up_.find(l.master); at != given_up_.end() && at->second == l.number)
            given_up_.erase(at);
}

changes keeper::leave(boot_time now)
{
    changes out;
    leaving_ = true;
    due_.renew = now;
    stop_all(out);
    return out;
}

changes keeper::set_masters(std::shared_ptr<planner> masters, boot_time now)
{
    changes out;
    planner_ = std::move(masters);
    want(planner_->for_bridges(plan_->bridges));
    eager_until_ = now + options_.eager_for;
    due_.look = now;
    const auto& known = planner_->masters();
    for (auto& [name, h] : holdings_)
    {
        if (h.stopping || std::binary_search(known.begin(), known.end(), name))
            continue;
        h.stopping = true;
        out.stop.push_back(name);
    }
    return out;
}

// ---- asking

std::vector<std::string> keeper::lapsed(boot_time now)
{
    std::vector<std::string> out;
    for (auto& [name, h] : holdings_)
    {
        if (h.lapsed || h.permit->may_write(now))
            continue;
        h.lapsed = true;
        ++counted_.lapsed;
        out.push_back(name);
    }
    return out;
}

std::optional<boot_time> keeper::lapses() const
{
    std::optional<boot_time> first;
    for (const auto& [name, h] : holdings_)
        if (!h.lapsed && (!first || h.permit->writes_until() < *first))
            first = h.permit->writes_until();
    return first;
}

bool keeper::may_write(std::string_view master, boot_time now) const
{
    const auto at = holdings_.find(master);
    return at != holdings_.end() && at->second.permit->may_write(now);
}

std::vector<std::shared_ptr<const permit>> keeper::permits() const
{
    std::vector<std::shared_ptr<const permit>> out;
    for (const auto& [name, h] : holdings_)
        out.push_back(h.permit);
    return out;
}

}  // namespace dtbridge::cluster
