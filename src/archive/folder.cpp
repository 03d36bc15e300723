#include "archive/folder.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>

#include <dtbridge/db/connection.hpp>

namespace dtbridge
{

namespace
{

[[noreturn]] void raise_system(const std::string& path, const char* what)
{
    int number = errno;
    error_code code(number, boost::system::system_category());
    if (number == ENOSPC || number == EDQUOT)
        code = make_error_code(errc::disk_full);
    throw db::error(fail(code, path + ": " + what + ": " + code.message()));
}

}  // namespace

bool folder_exists(const std::string& path)
{
    struct stat st;
    return ::stat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode);
}

std::string parent_folder(const std::string& path)
{
    auto end = path.find_last_not_of('/');
    auto slash = end == std::string::npos ? end : path.find_last_of('/', end);
    if (slash == std::string::npos)
        return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

void make_folder(const std::string& path)
{
    if (folder_exists(path))
        return;
    auto above = parent_folder(path);
    if (above != path && !folder_exists(above))
        make_folder(above);
    if (::mkdir(path.c_str(), 0750) != 0 && errno != EEXIST)
        raise_system(path, "the folder cannot be made");
    if (!folder_exists(path))
    {
        errno = ENOTDIR;
        raise_system(path, "the folder cannot be made");
    }
    sync_folder(above);
}

void sync_folder(const std::string& path)
{
    int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        raise_system(path, "the folder cannot be opened");
    int done = ::fsync(fd);
    int number = errno;
    ::close(fd);
    errno = number;
    if (done != 0 && errno != EINVAL)  // a file system that cannot sync folders
        raise_system(path, "the folder cannot be synced");
}

void rename_folder(const std::string& from, const std::string& to)
{
    if (std::rename(from.c_str(), to.c_str()) != 0)
        raise_system(from, "the folder cannot be renamed");
    sync_folder(parent_folder(to));
}

bool remove_folder(const std::string& path)
{
    std::error_code ec;
    const bool was_there = std::filesystem::remove_all(path, ec) > 0;
    if (ec)
        throw db::error(fail(error_code(ec), path + ": " + ec.message()));
    return was_there;
}

std::vector<std::string> folders_with(const std::string& path, const char* file)
{
    std::vector<std::string> out;
    std::error_code ec;
    for (std::filesystem::directory_iterator at(path, ec), end; !ec && at != end; at.increment(ec))
    {
        std::error_code of_file;
        if (std::filesystem::exists(at->path() / file, of_file))
            out.push_back(at->path().filename().string());
    }
    std::sort(out.begin(), out.end());
    return out;
}

}  // namespace dtbridge
