#pragma once

/// A lease as a bridge holds it, which a test may end and renew.

#include <dtbridge/cluster/keeper.hpp>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace dtbridge::test
{

class held_lease
{
public:
    using duration = cluster::boot_clock::duration;

    explicit held_lease(const std::string& master, duration lasts = whole)
        : keeper_({"bridge", "session"}, options(), std::make_shared<cluster::planner>(names{master}), {}),
          master_(master)
    {
        const std::vector<cluster::claim> asked = {{master, 0, ""}};
        const auto sent = cluster::boot_clock::now() - whole + lasts;
        permit_ = keeper_.acquired(sent, asked, {{master, 1}}).gained.front();
    }
    const std::shared_ptr<const cluster::permit>& permit() const { return permit_; }
    /// For good.
    void end() { keeper_.stopped(master_); }
    void renew()
    {
        const auto now = cluster::boot_clock::now();
        const auto asked = keeper_.to_renew(now);
        keeper_.renewed(now, asked, {false, asked.leases});
    }

private:
    using names = std::vector<std::string>;
    static constexpr duration whole = std::chrono::hours(1);
    static cluster::options options()
    {
        cluster::options o;
        o.lease = std::chrono::duration_cast<cluster::options::milliseconds>(whole) + o.margin;
        return o;
    }

    cluster::keeper keeper_;
    std::string master_;
    std::shared_ptr<const cluster::permit> permit_;
};

}  // namespace dtbridge::test
