#include <core/journal.hpp>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <dtbridge/core/text.hpp>

#include <core/log_line.hpp>

namespace dtbridge::log
{

namespace
{

std::atomic<int> journal{-1};

/// Of syslog, as the journal has them.
char priority_of(level l)
{
    switch (l)
    {
        case level::error:
            return '3';
        case level::warning:
            return '4';
        case level::info:
            return '6';
        case level::debug:
            break;
    }
    return '7';
}

/// Values are one printable line, so that the form with '=' will always do.
void add(std::string& out, std::string_view name, std::string_view value)
{
    out.append(name).append("=").append(text::printable(value, max_value)).append("\n");
}

/// Upper-case letters, digits and underscores, at most 64.
std::string field_name(std::string_view name)
{
    std::string out = "DTBRIDGE_";
    for (const char c : name.substr(0, 50))
    {
        const bool lower = c >= 'a' && c <= 'z';
        const bool plain = (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        out += lower ? static_cast<char>(c - 'a' + 'A') : plain ? c : '_';
    }
    return out;
}

}  // namespace

std::string journal_entry(level l,
                          std::string_view component,
                          std::string_view source,
                          std::string_view message,
                          std::initializer_list<field> fields)
{
    // The line has escaped every control already.
    std::string out = "MESSAGE=" + text_line(component, source, message, fields) + "\nPRIORITY=";
    out += priority_of(l);
    out += "\nSYSLOG_IDENTIFIER=dtbridge\n";
    add(out, "DTBRIDGE_COMPONENT", component);
    if (!source.empty())
        add(out, "DTBRIDGE_SOURCE", source);
    for (const field& f : fields)
        add(out, field_name(f.name), f.value);
    return out;
}

bool is_journal_stream(const char* stream, int descriptor)
{
    unsigned long long device = 0, inode = 0;
    struct stat facts
    {
    };
    return stream != nullptr && std::sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
           ::fstat(descriptor, &facts) == 0 && facts.st_dev == device && facts.st_ino == inode;
}

bool use_journal(const std::string& path)
{
    int made = -1;
    sockaddr_un address{};
    if (!path.empty() && path.size() < sizeof address.sun_path)
    {
        address.sun_family = AF_UNIX;
        std::memcpy(address.sun_path, path.data(), path.size());
        made = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (made >= 0 && ::connect(made, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        {
            ::close(made);
            made = -1;
        }
    }
    const int before = journal.exchange(made);
    if (before >= 0)
        ::close(before);
    return made >= 0;
}

bool send_to_journal(const std::string& entry)
{
    static const bool looked =
        is_journal_stream(std::getenv("JOURNAL_STREAM"), STDERR_FILENO) && use_journal(journal_socket);
    static_cast<void>(looked);
    const int to = journal.load(std::memory_order_relaxed);
    // A journal that hangs holds up nobody: the line then goes to standard error.
    return to >= 0 && ::send(to, entry.data(), entry.size(), MSG_NOSIGNAL | MSG_DONTWAIT) ==
                          static_cast<ssize_t>(entry.size());
}

}  // namespace dtbridge::log
