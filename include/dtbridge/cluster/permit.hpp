#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <utility>

#include <dtbridge/cluster/boot_clock.hpp>

namespace dtbridge::cluster
{

/// One master's lease as its owner holds it. Shared with whatever works for that master: before each write to
/// a socket it asks may_write(boot_clock::now()), and closes the master's connections when that says no; each
/// transaction of the database carries number() and session(). A lease that is lost never comes back in the
/// same permit, but one whose renewal was late may: then may_write() says yes again. May be asked from any
/// thread.
class permit
{
public:
    permit(std::string master, std::int64_t number, std::string session)
        : master_(std::move(master)), number_(number), session_(std::move(session))
    {}

    const std::string& master() const { return master_; }
    std::int64_t number() const { return number_; }
    const std::string& session() const { return session_; }  ///< of the owner
    bool may_write(boot_time now) const { return now < writes_until(); }
    /// The lease's end less the margin.
    boot_time writes_until() const
    {
        return boot_time(boot_clock::duration(until_.load(std::memory_order_relaxed)));
    }

private:
    friend class keeper;
    void extend(boot_time until)
    {
        if (writes_until() < until)
            until_.store(until.time_since_epoch().count(), std::memory_order_relaxed);
    }
    void revoke() { until_.store(0, std::memory_order_relaxed); }

    const std::string master_;
    const std::int64_t number_;
    const std::string session_;
    std::atomic<std::int64_t> until_ = 0;  // ns of boot_clock
};

}  // namespace dtbridge::cluster
