#pragma once

#include <chrono>
#include <cstdint>

namespace dtbridge::cluster
{

/// CLOCK_BOOTTIME: cannot be set, and goes on while the process is stopped and while the machine sleeps. It
/// does not see that a hypervisor held the machine without telling it.
struct boot_clock
{
    using duration = std::chrono::nanoseconds;
    using rep = duration::rep;
    using period = duration::period;
    using time_point = std::chrono::time_point<boot_clock, duration>;
    static constexpr bool is_steady = true;

    static time_point now() noexcept;
};

using boot_time = boot_clock::time_point;

}  // namespace dtbridge::cluster
