#include "archive/page_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>

#include <dtbridge/db/connection.hpp>

namespace dtbridge
{

namespace
{

constexpr std::string_view magic("SQLite format 3\0", 16);
constexpr std::size_t header_size = 100;
constexpr std::size_t log_header_size = 32;
constexpr std::size_t frame_header_size = 24;

bool is_page_size(std::uint64_t n)
{
    return n >= 512 && n <= 65536 && std::has_single_bit(n);
}

bool read_at(int fd, std::uint64_t offset, std::size_t size, std::string& out)
{
    out.resize(size);
    std::size_t done = 0;
    while (done < size)
    {
        const auto n = ::pread(fd, out.data() + done, size - done, static_cast<off_t>(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        done += static_cast<std::size_t>(n);
    }
    return true;
}

std::uint64_t size_of(int fd)
{
    struct stat st;
    return ::fstat(fd, &st) == 0 ? static_cast<std::uint64_t>(st.st_size) : 0;
}

/// The checksum of the log, which goes on from frame to frame (file format 4.2).
struct log_checksum
{
    std::uint32_t a = 0, b = 0;
    bool big = false;

    void add(std::string_view bytes)
    {
        for (std::size_t i = 0; i + 8 <= bytes.size(); i += 8)
        {
            a += word(bytes, i) + b;
            b += word(bytes, i + 4) + a;
        }
    }
    std::uint32_t word(std::string_view bytes, std::size_t at) const
    {
        const auto n = static_cast<std::uint32_t>(big_endian(bytes, at, 4));
        return big ? n : __builtin_bswap32(n);
    }
};

}  // namespace

std::uint64_t big_endian(std::string_view bytes, std::size_t offset, std::size_t size)
{
    if (offset > bytes.size() || size > bytes.size() - offset)
        return 0;
    std::uint64_t n = 0;
    for (std::size_t i = 0; i < size; ++i)
        n = n << 8 | static_cast<unsigned char>(bytes[offset + i]);
    return n;
}

page_file::page_file(const std::string& path, bool pointer_maps) : pointer_maps_(pointer_maps)
{
    fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd_ < 0)
    {
        const error_code code(errno, boost::system::system_category());
        throw db::error(fail(code, path + ": " + code.message()));
    }
    size_ = size_of(fd_);
    std::string head;
    if (read_at(fd_, 0, header_size, head) && std::string_view(head).starts_with(magic))
    {
        auto size = big_endian(head, 16, 2);
        size = size == 1 ? 65536 : size;
        if (is_page_size(size))
        {
            page_size_ = static_cast<std::uint32_t>(size);
            reserved_ = static_cast<std::uint32_t>(big_endian(head, 20, 1));
            has_header_ = usable_size() >= 480;  // the least that the format allows
            reserved_ = has_header_ ? reserved_ : 0;
        }
    }
    pages_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(size_ / page_size_, 0xfffffffe));
    read_log(path + "-wal");
    std::string first;
    if (read(1, first) && std::string_view(first).starts_with(magic))
    {
        has_header_ = true;
        user_version_ = static_cast<std::int64_t>(big_endian(first, 60, 4));
        application_id_ = static_cast<std::int64_t>(big_endian(first, 68, 4));
        pointer_maps_ = big_endian(first, 52, 4) != 0;
        first_free_trunk_ = static_cast<std::uint32_t>(big_endian(first, 32, 4));
    }
}

page_file::~page_file()
{
    if (fd_ >= 0)
        ::close(fd_);
    if (log_fd_ >= 0)
        ::close(log_fd_);
}

void page_file::read_log(const std::string& path)
{
    log_fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (log_fd_ < 0)
        return;
    std::string head;
    if (!read_at(log_fd_, 0, log_header_size, head))
        return;
    const auto kind = big_endian(head, 0, 4);
    const auto size = big_endian(head, 8, 4);
    log_checksum sum;
    sum.big = kind == 0x377f0683;
    sum.add(std::string_view(head).substr(0, 24));
    if ((kind != 0x377f0682 && kind != 0x377f0683) || !is_page_size(size) ||
        big_endian(head, 24, 4) != sum.a || big_endian(head, 28, 4) != sum.b)
        return;
    if (has_header_ && size != page_size_)
        return;
    if (!has_header_)
    {
        page_size_ = static_cast<std::uint32_t>(size);
        pages_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(size_ / page_size_, 0xfffffffe));
    }
    // Frames count up to the last commit before the first that is torn.
    std::vector<std::pair<std::uint32_t, std::uint64_t>> pending;
    std::string frame;
    for (std::uint64_t at = log_header_size; read_at(log_fd_, at, frame_header_size + page_size_, frame);
         at += frame.size())
    {
        const std::string_view all(frame);
        sum.add(all.substr(0, 8));
        sum.add(all.substr(frame_header_size));
        if (all.substr(8, 8) != std::string_view(head).substr(16, 8) || big_endian(all, 16, 4) != sum.a ||
            big_endian(all, 20, 4) != sum.b)
            break;
        const auto number = static_cast<std::uint32_t>(big_endian(all, 0, 4));
        pending.emplace_back(number, at + frame_header_size);
        const auto pages_after = static_cast<std::uint32_t>(big_endian(all, 4, 4));
        if (pages_after == 0)
            continue;
        for (const auto& [page, offset] : pending)
            in_log_[page] = offset;
        pending.clear();
        pages_ = pages_after;
    }
}

bool page_file::is_pointer_map(std::uint32_t number) const
{
    // Page 2 and every page after as many as it has entries (1.8).
    const std::uint32_t entries = usable_size() / 5;
    return pointer_maps_ && number >= 2 && (number - 2) % (entries + 1) == 0;
}

bool page_file::read(std::uint32_t number, std::string& page) const
{
    if (number == 0 || number > pages_)
        return false;
    if (const auto at = in_log_.find(number); at != in_log_.end())
        return read_at(log_fd_, at->second, page_size_, page);
    return read_at(fd_, std::uint64_t{number - 1} * page_size_, page_size_, page);
}

}  // namespace dtbridge
