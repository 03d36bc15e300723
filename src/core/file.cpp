#include <dtbridge/core/file.hpp>

#include <cerrno>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace dtbridge
{

namespace
{

std::string reason(int error)
{
    if (error == ENOENT)
        return "is missing";
    if (error == EACCES)
        return "cannot be read: permission denied; the service's user (dtbridge) must be able to";
    return "cannot be read: " + std::generic_category().message(error);
}

class descriptor
{
public:
    explicit descriptor(int fd) : fd_(fd) {}
    descriptor(const descriptor&) = delete;
    descriptor& operator=(const descriptor&) = delete;
    ~descriptor()
    {
        if (fd_ >= 0)
            ::close(fd_);
    }
    int get() const { return fd_; }

private:
    int fd_;
};

}  // namespace

outcome<file_text> read_file(const std::string& path, std::size_t max, file_kind kind)
{
    // O_NONBLOCK: a FIFO of that name must not hold up the start.
    const int unless_any = kind == file_kind::regular ? O_NONBLOCK : 0;
    descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | unless_any));
    if (file.get() < 0)
    {
        int error = errno;
        return fail(error_code(error, boost::system::generic_category()), reason(error));
    }
    struct stat facts
    {
    };
    if (::fstat(file.get(), &facts) != 0)
    {
        int error = errno;
        return fail(error_code(error, boost::system::generic_category()), reason(error));
    }
    if (S_ISDIR(facts.st_mode))
        return fail(errc::malformed, "is a folder, not a file");
    if (kind == file_kind::regular && !S_ISREG(facts.st_mode))
        return fail(errc::malformed, "is not a regular file");
    file_text answer;
    answer.world_readable = (facts.st_mode & S_IROTH) != 0;
    char buffer[16384];
    for (;;)
    {
        ssize_t n = ::read(file.get(), buffer, sizeof buffer);
        if (n < 0)
        {
            int error = errno;
            if (error == EINTR)
                continue;
            return fail(error_code(error, boost::system::generic_category()), reason(error));
        }
        if (n == 0)
            return answer;
        answer.bytes.append(buffer, static_cast<std::size_t>(n));
        if (answer.bytes.size() > max)
            return fail(errc::over_limit, "is longer than " + std::to_string(max >> 10) + " KiB");
    }
}

}  // namespace dtbridge
