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

#include "archive/any_store.hpp"
#include "archive/open_files.hpp"
#include "archive/recent.hpp"

namespace dtbridge
{

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

class store : public any_store
{
public:
    /// Touches nothing yet. folder: of this master.
    store(std::string folder, access how, std::shared_ptr<archive_budget> budget);
    ~store() override;
    store(const store&) = delete;
    store& operator=(const store&) = delete;

    void take_over(const std::string& formerly) override;
    void open() override;
    void refresh() override { db(); }
    void close() override;
    added add(archive_block& block, std::int64_t now) override;
    void save_position(const poll_position& p) override;
    std::vector<breach_key> missing(const std::vector<breach_key>& keys) override;
    archive_span read(std::int64_t after_seq, std::size_t max_count, std::size_t max_bytes) override;
    archive_span find(std::int64_t pbid) override;
    archive_span scan(const scan_order& what) override;
    archive_cursor ensure_cursor(const std::string& destination, const new_cursor& otherwise) override;
    bool confirm(const std::string& destination, const confirmed_batch& batch, std::int64_t now) override;
    bool forget_cursor(const std::string& destination) override;
    std::vector<throttle_window> throttle_windows(const std::string& destination) override;
    bool note_summary(const std::string& destination, const throttle_window& w) override;
    std::string remember(const std::string& text, const std::string& name, std::int64_t now) override;
    std::optional<std::string> recall(const std::string& hash) override;
    std::vector<confirmed_record> confirmed(std::int64_t seq) override;
    std::vector<std::pair<std::string, withheld_breach>> withheld(std::int64_t first_seq,
                                                                  std::int64_t last_seq) override;
    std::vector<breach_history> history(std::int64_t pbid) override;
    bool set_aside(const std::string& raw, const std::string& reason, std::int64_t now) override;
    std::vector<noted_change> note_states(const std::vector<shown_state>& shown, std::int64_t now) override;
    std::vector<state_change> changes(const breach_key& key) override;
    std::vector<window_counts> windows(std::size_t max_count) override;
    key_span keys(const key_order& what) override;
    std::vector<difference> note_differences(std::vector<difference> found, std::int64_t now) override;
    bool settle_differences(difference::kind what, const std::vector<breach_key>& keys) override;
    std::vector<difference> differences(std::size_t max_count) override;

    /// False when the order asks for nothing, as far as can be told without opening the file.
    bool has_to_prune(const retention_order& order, std::int64_t now) const override;
    /// Empties the log, so that the steps have its space.
    void start_prune() override;
    /// Drops a few blocks in one transaction. False when nothing more may or has to go.
    bool prune_step(const retention_order& order, std::int64_t now, retention_result& dropped_now) override;
    /// Forgets batches, changes and texts that belong to no breach any more.
    void forget_dropped() override;
    /// Gives some free pages back to the file system. False when that is done.
    bool shrink_step() override;

    std::int64_t file_bytes() const;
    archive_facts facts() const override;

    const std::string& path() const override { return path_; }
    bool may_write() const override { return access_ == access::write; }
    known_facts& known() override { return known_; }
    const known_facts& known() const { return known_; }
    recent_blocks::part& blocks() override { return blocks_; }
    std::mutex& busy() override { return file_->busy; }
    /// After a failed job: drops a connection whose file may be damaged or gone, so that the next job opens
    /// it anew.
    void recover_from(const failure& f) override;

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
