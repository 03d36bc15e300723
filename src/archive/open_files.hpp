#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>

#include <dtbridge/db/connection.hpp>

namespace dtbridge
{

/// Bodies as they were read from disk.
struct disk_block
{
    std::int64_t id = 0;
    std::int64_t archived = 0;
    std::string bytes;
};

/// An archive's file while it is open. busy is held by whoever uses db: a job on the archive's strand, or
/// another one that closes it because the limit is reached.
struct open_file
{
    std::mutex busy;
    std::unique_ptr<db::connection> db;
    std::shared_ptr<const disk_block> last_block;  ///< the one that was read last: a cursor reads on in it

private:
    friend class open_files;
    bool listed_ = false;
    std::list<std::shared_ptr<open_file>>::iterator place_;
};

/// At most so many files open at once; the least recently used one that nobody is using is closed.
/// Thread-safe.
class open_files
{
public:
    explicit open_files(std::size_t limit) : limit_(limit) {}

    /// file (whose busy the caller holds) is about to be opened or used.
    void use(const std::shared_ptr<open_file>& file);
    /// Closes file, whose busy the caller holds.
    void close(const std::shared_ptr<open_file>& file);
    std::size_t size() const;

private:
    /// Puts file in front, or answers one that must be closed first: not listed any more, its busy held.
    std::shared_ptr<open_file> place_or_take_idle(const std::shared_ptr<open_file>& file);

    const std::size_t limit_;
    mutable std::mutex mutex_;
    std::list<std::shared_ptr<open_file>> order_;  // front: used last
};

}  // namespace dtbridge
