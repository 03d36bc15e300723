/// Any text as dtbridge.toml: problems that name the file, never a crash and never a secret.

#include <cstdint>
#include <cstdlib>
#include <string>

#include <sys/mman.h>
#include <unistd.h>

#include <dtbridge/config/configuration.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    using namespace dtbridge;
    static const int file = ::memfd_create("dtbridge.toml", 0);
    if (file < 0 || ::ftruncate(file, 0) != 0 || ::pwrite(file, data, size, 0) != static_cast<ssize_t>(size))
        std::abort();
    const auto loaded = config::load("/proc/self/fd/" + std::to_string(file), {});
    std::size_t errors = 0;
    for (const auto& p : loaded.problems)
    {
        errors += p.warning ? 0 : 1;
        if (config::to_line(p).find('\n') != std::string::npos)
            std::abort();
    }
    if (loaded.ok != (errors == 0))
        std::abort();
    return 0;
}
