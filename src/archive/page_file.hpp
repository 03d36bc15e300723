#pragma once

/// The pages of an SQLite file set that may be damaged, read without SQLite and without writing anything:
/// the file, overlaid with what its write-ahead log has committed. For recovery only (sqlite.org, "Database
/// File Format" 1.3, 1.6 and 4).

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace dtbridge
{

/// Unsigned big-endian number of size bytes at offset; 0 where bytes are too short for it.
std::uint64_t big_endian(std::string_view bytes, std::size_t offset, std::size_t size);

class page_file
{
public:
    /// path: the database; path-wal beside it is read where it is there. Throws db::error where the file
    /// cannot be opened.
    /// pointer_maps: whether such a file is made with auto_vacuum, for where its header cannot be read.
    page_file(const std::string& path, bool pointer_maps);
    ~page_file();
    page_file(const page_file&) = delete;
    page_file& operator=(const page_file&) = delete;

    std::uint32_t page_size() const { return page_size_; }
    /// Bytes of a page that SQLite uses.
    std::uint32_t usable_size() const { return page_size_ - reserved_; }
    /// Highest page number, of file and log.
    std::uint32_t pages() const { return pages_; }
    /// False where the first page does not begin as an SQLite file does: nothing in it can be believed.
    bool has_header() const { return has_header_; }
    std::int64_t user_version() const { return user_version_; }
    std::int64_t application_id() const { return application_id_; }
    std::uint32_t first_free_trunk() const { return first_free_trunk_; }
    /// A page that holds no rows but the parents of others (auto_vacuum).
    bool is_pointer_map(std::uint32_t number) const;

    /// The page, 1 the first; false where the file is too short or the disk refuses.
    bool read(std::uint32_t number, std::string& page) const;

private:
    void read_log(const std::string& path);

    int fd_ = -1, log_fd_ = -1;
    std::uint64_t size_ = 0;
    std::uint32_t page_size_ = 4096, reserved_ = 0, pages_ = 0, first_free_trunk_ = 0;
    bool has_header_ = false, pointer_maps_ = false;
    std::int64_t user_version_ = 0, application_id_ = 0;
    std::unordered_map<std::uint32_t, std::uint64_t> in_log_;  ///< page to offset of its newest image
};

}  // namespace dtbridge
