#pragma once

/// What is kept in memory of an archive, all of it within a budget and none of it needed: breaches that were
/// just added, keys that were archived last.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include <dtbridge/archive/archive.hpp>

namespace dtbridge
{

/// What one add() brought: consecutive seqs from first_seq on.
struct added_block
{
    struct entry
    {
        breach_key key;
        std::size_t begins = 0;
        std::size_t length = 0;
    };
    std::int64_t first_seq = 0;
    std::int64_t archived = 0;
    bool archive_only = false;
    std::string bytes;
    std::vector<entry> entries;

    std::int64_t last_seq() const { return first_seq + static_cast<std::int64_t>(entries.size()) - 1; }
    std::size_t weight() const
    {
        return bytes.capacity() + entries.capacity() * sizeof(entry) + sizeof *this;
    }
};

/// The blocks of all archives of the process. Each archive's are consecutive and end with its newest breach.
/// Over a budget the oldest go: of the archive, then of the process. Thread-safe; its lock is never held over
/// a disk access.
class recent_blocks
{
public:
    recent_blocks(std::size_t per_archive, std::size_t in_all) : per_archive_(per_archive), in_all_(in_all) {}

    /// One archive's part. Empties itself.
    class part
    {
    public:
        explicit part(std::shared_ptr<recent_blocks> all) : all_(std::move(all)) {}
        ~part() { clear(); }
        part(const part&) = delete;
        part& operator=(const part&) = delete;

        void add(std::shared_ptr<const added_block> block);
        /// Nothing where what follows after_seq is not all here.
        std::optional<archive_span> read(std::int64_t after_seq,
                                         std::size_t max_count,
                                         std::size_t max_bytes) const;
        /// Everybody has what is at or before seq.
        void release(std::int64_t seq);
        void clear() { release(std::numeric_limits<std::int64_t>::max()); }

    private:
        friend class recent_blocks;
        struct item;
        std::shared_ptr<recent_blocks> all_;
        std::deque<std::list<item>::iterator> mine_;
        std::size_t bytes_ = 0;
    };

    std::size_t bytes() const;

private:
    void drop_front(part& of);

    const std::size_t per_archive_;
    const std::size_t in_all_;
    mutable std::mutex mutex_;
    std::list<part::item> all_;  // oldest first
    std::size_t bytes_ = 0;
};

struct recent_blocks::part::item
{
    part* owner;
    std::shared_ptr<const added_block> block;
};

/// Keys that were archived last, with what the API last showed of them. Not thread-safe.
class recent_keys
{
public:
    struct shown
    {
        bool acknowledged = false;
        std::int64_t comment_count = 0;
    };
    /// Forgets the oldest over limit.
    void add(const breach_key& key, shown state, std::size_t limit);
    const shown* find(const breach_key& key) const;
    void update(const breach_key& key, shown state);
    void clear();
    std::size_t size() const { return order_.size(); }

private:
    struct hash
    {
        std::size_t operator()(const breach_key& key) const;
    };
    std::unordered_map<breach_key, shown, hash> keys_;
    std::deque<breach_key> order_;
};

/// Hashes that were set aside last: a master that sends the same bad element at every poll costs no disk
/// access.
class recent_hashes
{
public:
    bool has(const std::string& hash) const { return hashes_.count(hash) != 0; }
    void add(const std::string& hash);

private:
    static constexpr std::size_t limit = 1024;
    std::unordered_set<std::string> hashes_;
    std::deque<std::string> order_;
};

}  // namespace dtbridge
