#include <dtbridge/cluster/boot_clock.hpp>

#include <time.h>

namespace dtbridge::cluster
{

boot_time boot_clock::now() noexcept
{
    timespec t = {};
    ::clock_gettime(CLOCK_BOOTTIME, &t);
    return boot_time(std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec));
}

}  // namespace dtbridge::cluster
