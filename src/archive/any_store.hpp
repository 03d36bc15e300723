#pragma once

/// One archive, synchronously: what archive.cpp runs on the archive's strand, whatever it is kept in. Methods
/// throw db::error and leave what is stored and what is known as they were then.

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <dtbridge/archive/archive.hpp>

#include "archive/recent.hpp"

namespace dtbridge
{

/// What is known of an archive without opening its file. Written after a commit, by the worker; read by
/// anybody.
struct known_facts
{
    struct cursor
    {
        std::int64_t id = 0;
        std::int64_t seq = 0;
        std::int64_t lost = 0;
        std::int64_t began = 0;
    };
    mutable std::mutex mutex;
    std::int64_t last_seq = 0;
    std::int64_t breaches = 0;
    std::int64_t oldest_seq = 1;
    std::int64_t oldest_archived = 0;
    std::optional<poll_position> position;
    std::map<std::string, cursor> cursors;
    recent_keys keys;
    recent_hashes set_aside;

    /// Breaches that were stored at now, from number first_seq on in this order, and the position that went
    /// with them. keys_limit: of keys. Says in out what they were.
    void take_in(const std::vector<const archive_element*>& fresh,
                 std::int64_t first_seq,
                 const std::optional<poll_position>& reached,
                 std::int64_t now,
                 std::size_t keys_limit,
                 added& out);
};

/// Bounds of what is read at once, and kept, of what became of breaches.
inline constexpr std::int64_t most_windows_read = 16384;
inline constexpr std::size_t windows_between_trims = 1024;
inline constexpr std::int64_t most_histories = 1000;
inline constexpr std::int64_t most_withheld = 10000;

/// A cause as it is stored; what is none is the first.
withheld_breach::cause cause_of(std::int64_t how);

class any_store
{
public:
    enum class access { write, read };

    any_store() = default;
    virtual ~any_store() = default;
    any_store(const any_store&) = delete;
    any_store& operator=(const any_store&) = delete;

    /// formerly: an archive of that name, where this one is not there yet, becomes this one.
    virtual void take_over(const std::string& formerly) = 0;
    virtual void open() = 0;     ///< creates, migrates, reads what known_facts holds
    virtual void refresh() = 0;  ///< for a reader: what is known is of this moment then
    virtual void close() = 0;
    virtual added add(archive_block& block, std::int64_t now) = 0;
    virtual void save_position(const poll_position& p) = 0;
    virtual std::vector<breach_key> missing(const std::vector<breach_key>& keys) = 0;
    virtual archive_span read(std::int64_t after_seq, std::size_t max_count, std::size_t max_bytes) = 0;
    virtual archive_span find(std::int64_t pbid) = 0;
    virtual archive_span scan(const scan_order& what) = 0;
    virtual archive_cursor ensure_cursor(const std::string& destination, const new_cursor& otherwise) = 0;
    virtual bool confirm(const std::string& destination, const confirmed_batch& batch, std::int64_t now) = 0;
    virtual bool forget_cursor(const std::string& destination) = 0;
    virtual std::vector<throttle_window> throttle_windows(const std::string& destination) = 0;
    virtual bool note_summary(const std::string& destination, const throttle_window& w) = 0;
    virtual std::string remember(const std::string& text, const std::string& name, std::int64_t now) = 0;
    virtual std::optional<std::string> recall(const std::string& hash) = 0;
    virtual std::vector<confirmed_record> confirmed(std::int64_t seq) = 0;
    virtual std::vector<std::pair<std::string, withheld_breach>> withheld(std::int64_t first_seq,
                                                                          std::int64_t last_seq) = 0;
    virtual std::vector<breach_history> history(std::int64_t pbid) = 0;
    virtual bool set_aside(const std::string& raw, const std::string& reason, std::int64_t now) = 0;
    virtual std::vector<noted_change> note_states(const std::vector<shown_state>& shown,
                                                  std::int64_t now) = 0;
    virtual std::vector<state_change> changes(const breach_key& key) = 0;
    virtual std::vector<window_counts> windows(std::size_t max_count) = 0;
    virtual key_span keys(const key_order& what) = 0;
    virtual std::vector<difference> note_differences(std::vector<difference> found, std::int64_t now) = 0;
    virtual bool settle_differences(difference::kind what, const std::vector<breach_key>& keys) = 0;
    virtual std::vector<difference> differences(std::size_t max_count) = 0;

    /// False when the order asks for nothing, as far as can be told from what is known.
    virtual bool has_to_prune(const retention_order& order, std::int64_t now) const = 0;
    virtual void start_prune() = 0;
    /// Drops a few blocks in one transaction. False when nothing more may or has to go.
    virtual bool prune_step(const retention_order& order,
                            std::int64_t now,
                            retention_result& dropped_now) = 0;
    /// Forgets batches, changes and texts that belong to no breach any more.
    virtual void forget_dropped() = 0;
    /// Gives some free space back. False when that is done.
    virtual bool shrink_step() = 0;
    virtual archive_facts facts() const = 0;

    virtual const std::string& path() const = 0;  ///< of the file, or in which database: for words
    virtual bool may_write() const = 0;
    virtual known_facts& known() = 0;
    virtual recent_blocks::part& blocks() = 0;
    virtual std::mutex& busy() = 0;
    /// After a failed job: what may be damaged or gone is opened anew by the next.
    virtual void recover_from(const failure& f) = 0;
};

/// Every body lies inside bytes: a view that does not would put foreign memory on disk. Throws db::error, as
/// for a body that is too long. path: for words.
void check_bodies(const archive_block& block, const std::string& path);

}  // namespace dtbridge
