#include "app/host.hpp"

#include <cerrno>
#include <csignal>
#include <cstring>

#include <grp.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/command.hpp"

namespace dtbridge::app
{

std::string host_name()
{
    char name[256] = {};
    if (::gethostname(name, sizeof name - 1) != 0 || name[0] == '\0')
        return "localhost";
    return name;
}

void forbid_cores()
{
    // systemd-coredump keeps none either where the limit is 0, though the kernel hands it the memory.
    const rlimit none = {0, 0};
    ::setrlimit(RLIMIT_CORE, &none);
}

void ignore_broken_pipes()
{
    std::signal(SIGPIPE, SIG_IGN);
}

void become_owner(const std::string& state_dir)
{
    struct stat facts = {};
    if (::geteuid() != 0 || ::stat(state_dir.c_str(), &facts) != 0 || facts.st_uid == 0)
        return;
    if (::setgroups(1, &facts.st_gid) != 0 || ::setgid(facts.st_gid) != 0 || ::setuid(facts.st_uid) != 0)
        throw action_error("cannot become the owner of " + state_dir + ": " + std::strerror(errno));
}

}  // namespace dtbridge::app
