#include "app/process_figures.hpp"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

namespace dtbridge::app
{

namespace
{

std::string read_all(const char* path)
{
    std::ifstream in(path);
    return {std::istreambuf_iterator<char>(in), {}};
}

double now_by(clockid_t clock)
{
    timespec t{};
    ::clock_gettime(clock, &t);
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

/// Seconds since 1970. Not btime of /proc/stat: ProcSubset=pid of the unit hides it.
double booted_at()
{
    return now_by(CLOCK_REALTIME) - now_by(CLOCK_BOOTTIME);
}

}  // namespace

process_figures read_process_figures()
{
    process_figures f;
    // proc(5), /proc/pid/stat: what follows the name in parentheses starts with field 3.
    const auto stat = read_all("/proc/self/stat");
    const auto name_end = stat.rfind(')');
    if (name_end != std::string::npos)
    {
        std::istringstream fields(stat.substr(name_end + 1));
        const double ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
        static const double boot = booted_at();
        std::string skipped;
        double value = 0;
        for (int field = 3; fields >> skipped && field <= 24; ++field)
        {
            if (field == 3)
                continue;
            value = std::stod(skipped);
            if (field == 14 || field == 15)
                f.cpu_seconds += value / ticks;
            else if (field == 20)
                f.threads = static_cast<std::int64_t>(value);
            else if (field == 22)
                f.started_seconds = boot + value / ticks;
            else if (field == 23)
                f.virtual_bytes = static_cast<std::int64_t>(value);
            else if (field == 24)
                f.resident_bytes = static_cast<std::int64_t>(value) * ::sysconf(_SC_PAGESIZE);
        }
    }
    std::error_code ec;
    std::filesystem::directory_iterator entries("/proc/self/fd", ec);
    for (; !ec && entries != std::filesystem::directory_iterator(); entries.increment(ec))
        ++f.open_descriptors;
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0)
        f.most_descriptors = static_cast<std::int64_t>(limit.rlim_cur);
    return f;
}

}  // namespace dtbridge::app
