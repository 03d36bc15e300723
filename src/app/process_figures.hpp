#pragma once

#include <cstdint>

namespace dtbridge::app
{

/// Of this process, from /proc/self; 0 where it cannot be told.
struct process_figures
{
    double cpu_seconds = 0;
    double started_seconds = 0;  ///< since 1970
    std::int64_t resident_bytes = 0, virtual_bytes = 0;
    std::int64_t open_descriptors = 0, most_descriptors = 0;
    std::int64_t threads = 0;
};
process_figures read_process_figures();

}  // namespace dtbridge::app
