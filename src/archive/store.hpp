#pragma once

/// One archive file, synchronously: what archive.cpp runs on the archive's strand. Methods throw db::error
/// and leave file and memory as they were then.

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <dtbridge/archive/archive.hpp>

#include "archive/open_files.hpp"
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
};

/// What the archives of a process share.
struct archive_budget
{
    archive_budget(std::size_t open_limit, std::size_t per_archive, std::size_t in_all)
        : files(open_limit), blocks(std::make_shared<recent_blocks>(per_archive, in_all))
    {}
    /// Keys that one archive may keep in memory, now that there are so many.
    std::size_t keys_each() const;

    open_files files;
    std::shared_ptr<recent_blocks> blocks;
    std::atomic<std::size_t> archives{0};
};

class store
{
public:
    enum class access { write, read };

    /// Touches nothing yet. folder: of this master.
    store(std::string folder, access how, std::shared_ptr<archive_budget> budget);
    ~store();
    store(const store&) = delete;
    store& operator=(const store&) = delete;

    void open();              ///< creates, migrates, reads what known_facts holds
    void refresh() { db(); }  ///< for a reader: what is known is of this moment then
    void close();
    added add(archive_block& block, std::int64_t now);
    void save_position(const poll_position& p);
    std::vector<breach_key> missing(const std::vector<breach_key>& keys);
    archive_span read(std::int64_t after_seq, std::size_t max_count, std::size_t max_bytes);
    archive_span find(std::int64_t pbid);
    archive_span scan(const scan_order& what);
    archive_cursor ensure_cursor(const std::string& destination, const new_cursor& otherwise);
    bool confirm(const std::string& destination, const confirmed_batch& batch, std::int64_t now);
    bool forget_cursor(const std::string& destination);
    std::vector<throttle_window> throttle_windows(const std::string& destination);
    bool note_summary(const std::string& destination, const throttle_window& w);
    std::string remember(const std::string& text, const std::string& name, std::int64_t now);
    std::optional<std::string> recall(const std::string& hash);
    std::vector<confirmed_record> confirmed(std::int64_t seq);
    std::vector<std::pair<std::string, withheld_breach>> withheld(std::int64_t first_seq,
                                                                  std::int64_t last_seq);
    std::vector<breach_history> history(std::int64_t pbid);
    bool set_aside(const std::string& raw, const std::string& reason, std::int64_t now);
    std::vector<noted_change> note_states(const std::vector<shown_state>& shown, std::int64_t now);
    std::vector<state_change> changes(const breach_key& key);
    std::vector<window_counts> windows(std::size_t max_count);
    key_span keys(const key_order& what);
    std::vector<difference> note_differences(std::vector<difference> found, std::int64_t now);
    bool settle_differences(difference::kind what, const std::vector<breach_key>& keys);
    std::vector<difference> differences(std::size_t max_count);

    /// False when the order asks for nothing, as far as can be told without opening the file.
    bool has_to_prune(const retention_order& order, std::int64_t now) const;
    /// Empties the log, so that the steps have its space.
    void start_prune();
    /// Drops a few blocks in one transaction. False when nothing more may or has to go.
    bool prune_step(const retention_order& order, std::int64_t now, retention_result& dropped_now);
    /// Forgets batches, changes and texts that belong to no breach any more.
    void forget_dropped();
    /// Gives some free pages back to the file system. False when that is done.
    bool shrink_step();

    std::int64_t file_bytes() const;
    archive_facts facts() const;

    const std::string& path() const { return path_; }
    bool may_write() const { return access_ == access::write; }
    known_facts& known() { return known_; }
    const known_facts& known() const { return known_; }
    recent_blocks::part& blocks() { return blocks_; }
    open_file& file() { return *file_; }
    /// After a failed job: drops a connection whose file may be damaged or gone, so that the next job opens
    /// it anew.
    void recover_from(const failure& f);

private:
    db::connection& db();
    void load(db::connection& file);
    /// Rows of breach_columns; reads until a bound, which the answer's scanned_to shows, or to through.
    archive_span collect(db::statement& rows,
                         std::size_t max_count,
                         std::size_t max_bytes,
                         std::int64_t through);
    std::shared_ptr<const disk_block> body_block(std::int64_t id);
    std::optional<std::int64_t> text_id(const std::string& hash, std::int64_t now);
    std::int64_t first_block_since(std::int64_t archived);
    std::int64_t used_bytes();
    // Parts of a transaction: cursor is the row's id.
    void save_withheld(std::int64_t cursor, const std::vector<withheld_breach>& rows);
    void save_windows(std::int64_t cursor, const std::vector<throttle_window>& windows);
    std::vector<breach_history::fate> fates_of(std::int64_t seq);
    void load_oldest(std::int64_t& oldest_seq, std::int64_t& oldest_archived);

    const std::string folder_;
    const std::string path_;
    const access access_;
    std::shared_ptr<archive_budget> budget_;
    std::shared_ptr<open_file> file_ = std::make_shared<open_file>();
    known_facts known_;
    recent_blocks::part blocks_;
    bool loaded_ = false;
    std::size_t windows_since_trim_ = 0;
};

}  // namespace dtbridge
