#include "archive/set_aside.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include <dtbridge/core/text.hpp>
#include <dtbridge/core/time.hpp>
#include <dtbridge/db/connection.hpp>

namespace dtbridge
{

namespace
{

std::string base64(std::string_view bytes)
{
    static constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    out.reserve((bytes.size() + 2) / 3 * 4);
    for (std::size_t i = 0; i < bytes.size(); i += 3)
    {
        std::size_t n = std::min<std::size_t>(3, bytes.size() - i);
        std::uint32_t v = 0;
        for (std::size_t k = 0; k < 3; ++k)
            v = (v << 8) | (k < n ? static_cast<unsigned char>(bytes[i + k]) : 0u);
        for (std::size_t k = 0; k < 4; ++k)
            out += k <= n ? digits[(v >> (18 - 6 * k)) & 63] : '=';
    }
    return out;
}

struct descriptor
{
    explicit descriptor(int d) : fd(d) {}
    ~descriptor() { ::close(fd); }
    descriptor(const descriptor&) = delete;
    descriptor& operator=(const descriptor&) = delete;
    int fd;
};

[[noreturn]] void raise_system(const std::string& path)
{
    int number = errno;
    if (number == ENOSPC || number == EDQUOT)
        throw db::error(fail(errc::disk_full, path + ": no space left to write"));
    error_code code(number, boost::system::system_category());
    throw db::error(fail(code, path + ": " + code.message()));
}

bool write_all(int fd, std::string_view bytes)
{
    while (!bytes.empty())
    {
        auto n = ::write(fd, bytes.data(), bytes.size());
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
}

}  // namespace

std::string set_aside_line(std::int64_t at, std::string_view reason, std::string_view raw)
{
    std::string line = "{\"at\":";
    text::append_quoted(line, rfc3339_ms(at));
    line += ",\"reason\":";
    text::append_quoted(line, reason);
    line += ",\"raw\":";
    text::append_quoted(line, raw);
    if (!text::is_valid_utf8(raw))
        line += ",\"base64\":\"" + base64(raw) + "\"";
    line += "}\n";
    return line;
}

bool append_line(const std::string& path, std::string_view line, std::size_t max_bytes)
{
    descriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640));
    if (file.fd < 0)
        raise_system(path);
    struct stat st;
    if (::fstat(file.fd, &st) != 0)
        raise_system(path);
    auto size = static_cast<std::size_t>(st.st_size);
    char last = '\n';
    if (size > 0 && ::pread(file.fd, &last, 1, st.st_size - 1) != 1)
        raise_system(path);
    std::string_view before = last == '\n' ? std::string_view() : std::string_view("\n");
    if (size + before.size() + line.size() > max_bytes)
        return false;
    if (write_all(file.fd, before) && write_all(file.fd, line) && ::fdatasync(file.fd) == 0)
        return true;
    int number = errno;
    // A half line is no loss: the next append would end it.
    [[maybe_unused]] int taken_back = ::ftruncate(file.fd, st.st_size);
    errno = number;
    raise_system(path);
}

}  // namespace dtbridge
