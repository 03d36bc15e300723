#include "cluster/model_database.hpp"

#include <algorithm>

namespace dtbridge::cluster
{

renewal_answer model_database::renew(const renewal& r, std::int64_t now)
{
    ++done_.statements;
    const auto at = bridges_.find(r.who.name);
    if (!r.join && (at == bridges_.end() || at->second.who != r.who))
        return renewal_answer{true, {}};
    bridges_[r.who.name] = member{r.who, now + lease_ms_, r.state};
    ++done_.rows_written;
    renewal_answer answer;
    for (const auto& l : r.leases)
    {
        const auto row = leases_.find(l.master);
        if (row == leases_.end() || row->second.number != l.number ||
            row->second.owner.session != r.who.session)
            continue;
        row->second.expires = now + lease_ms_;
        answer.renewed.push_back(l);
        ++done_.rows_written;
    }
    return answer;
}

snapshot model_database::read(const identity& who, const std::vector<std::string>& masters, std::int64_t now)
{
    ++done_.statements;
    snapshot s;
    s.now = now;
    for (const auto& [name, m] : bridges_)
        s.members.push_back(m);
    for (const auto& master : masters)
        if (const auto row = leases_.find(master); row != leases_.end())
            s.leases.push_back(row->second);
    if (const auto mine = by_session_.find(who.session); mine != by_session_.end())
        for (const auto& [master, number] : mine->second)
            if (!std::binary_search(masters.begin(), masters.end(), master))
                s.leases.push_back(leases_.at(master));
    done_.rows_read += static_cast<std::int64_t>(s.members.size() + s.leases.size());
    return s;
}

std::vector<lease_number> model_database::try_acquire(const identity& who,
                                                      const std::vector<claim>& claims,
                                                      std::int64_t now)
{
    ++done_.statements;
    std::vector<lease_number> won;
    const auto at = bridges_.find(who.name);
    if (at == bridges_.end() || at->second.who != who || at->second.state == bridge_state::leaving)
        return won;
    for (const auto& c : claims)
    {
        auto row = leases_.find(c.master);
        if (row == leases_.end() && c.number == 0)
            row = leases_.emplace(c.master, lease_row{c.master}).first;
        if (row == leases_.end() || row->second.number != c.number)
            continue;
        auto& lease = row->second;
        if (!lease.owner.name.empty() && lease.expires > now)
            continue;
        if (!lease.owner.session.empty())
            by_session_[lease.owner.session].erase(c.master);
        lease.owner = who;
        ++lease.number;
        lease.expires = now + lease_ms_;
        by_session_[who.session][c.master] = lease.number;
        won.push_back({c.master, lease.number});
        ++done_.rows_written;
    }
    return won;
}

std::int64_t model_database::release(const identity& who, const std::vector<lease_number>& leases)
{
    ++done_.statements;
    std::int64_t freed = 0;
    for (const auto& l : leases)
    {
        const auto row = leases_.find(l.master);
        if (row == leases_.end() || row->second.number != l.number ||
            row->second.owner.session != who.session)
            continue;
        row->second.owner = {};
        row->second.expires = 0;
        by_session_[who.session].erase(l.master);
        ++freed;
    }
    done_.rows_written += freed;
    return freed;
}

std::int64_t model_database::release_all(const identity& who)
{
    std::vector<lease_number> all;
    for (const auto& [master, number] : by_session_[who.session])
        all.push_back({master, number});
    const auto freed = release(who, all);
    by_session_.erase(who.session);
    if (const auto at = bridges_.find(who.name); at != bridges_.end() && at->second.who == who)
    {
        bridges_.erase(at);
        ++done_.rows_written;
    }
    return freed;
}

bool model_database::fence(const std::string& master, const std::string& session, std::int64_t number) const
{
    const auto row = leases_.find(master);
    return row != leases_.end() && row->second.owner.session == session && row->second.number == number;
}

const lease_row* model_database::lease_of(const std::string& master) const
{
    const auto row = leases_.find(master);
    return row == leases_.end() ? nullptr : &row->second;
}

}  // namespace dtbridge::cluster
