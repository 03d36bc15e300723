#pragma once

/// One master's archive in PostgreSQL. Every statement is short and names the master; every transaction that
/// writes goes through write(), which first checks the master's lease and locks the master's row.

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <dtbridge/archive/archive.hpp>
#include <dtbridge/cluster/permit.hpp>
#include <dtbridge/db/postgres.hpp>

#include "archive/any_store.hpp"
#include "archive/pg_directory.hpp"
#include "archive/store.hpp"

namespace dtbridge
{

struct pg_layout
{
    bool own_schemas = false;
    std::chrono::milliseconds partition = std::chrono::hours(24 * 7);
};

class pg_store : public any_store
{
public:
    /// Touches nothing yet. folder: of this master, for set-aside.ndjson.
    pg_store(std::string master,
             std::string folder,
             access how,
             std::shared_ptr<db::postgres_pool> pool,
             std::shared_ptr<archive_budget> budget,
             pg_layout layout,
             std::shared_ptr<const cluster::permit> lease = {});
    ~pg_store() override;

    void take_over(const std::string& formerly) override;
    void open() override;
    void refresh() override;
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
    bool has_to_prune(const retention_order& order, std::int64_t now) const override;
    void start_prune() override {}
    bool prune_step(const retention_order& order, std::int64_t now, retention_result& dropped_now) override;
    void forget_dropped() override;
    bool shrink_step() override { return false; }
    archive_facts facts() const override;

    const std::string& path() const override { return path_; }
    bool may_write() const override { return access_ == access::write; }
    known_facts& known() override { return known_; }
    recent_blocks::part& blocks() override { return blocks_; }
    std::mutex& busy() override { return busy_; }
    void recover_from(const failure& f) override;

    /// Changes of many breaches, for those who read a whole archive.
    std::vector<std::pair<std::int64_t, state_change>> changes_between(std::int64_t first, std::int64_t last);

private:
    friend class pg_copier;
    struct disk_part
    {
        std::int64_t first_seq = 0, last_seq = 0, archived = 0;
        bool archive_only = false;
        std::string directory, bytes;
        std::size_t count() const { return directory.size() / directory_entry_bytes; }
    };
    struct block_facts
    {
        std::int64_t first_seq = 0, last_seq = 0, archived = 0, bytes = 0;
        bool archive_only = false;
    };
    /// What a transaction of retention did.
    struct dropping
    {
        std::int64_t breaches = 0, bytes = 0, last_seq = 0;
        std::map<std::string, std::int64_t> lost;
        std::vector<std::int64_t> parts;  ///< that went, by their start
        std::int64_t oldest_seq = 0, oldest_archived = 0;
        bool any = false, more = false;
    };

    /// A connection, and what is known of the archive if it is not yet (or, for a reader, of this moment).
    db::postgres_pool::borrowed connect();
    void load(db::postgres& on);
    /// The lease of this archive, for the transaction: nobody takes the master over before it ends. Throws
    /// errc::lease_lost where it is not this one any more, errc::locked where there is none and a bridge has
    /// one.
    void hold_lease(db::postgres& on);
    /// The same, locks the master's row for the transaction, and checks that nobody else wrote.
    void enter(db::postgres& on);
    [[noreturn]] void raise_lease_lost() const;
    /// body(connection) in a transaction, again where two of them met. What body changes outside of the
    /// database it sets anew each time.
    template <class F>
    auto write(F body)
    {
        constexpr int most_tries = 5;
        for (int tries = 1;; ++tries)
        {
            try
            {
                auto c = connect();
                db::postgres_transaction commit(*c);
                enter(*c);
                auto answer = body(*c);
                commit.commit();
                return answer;
            }
            catch (const db::postgres_error& e)
            {
                if (!e.may_succeed_again() || tries >= most_tries)
                    throw;
            }
            static thread_local std::minstd_rand random(std::random_device{}());
            std::this_thread::sleep_for(
                std::chrono::milliseconds(std::uniform_int_distribution<int>(1, 20 * tries)(random)));
        }
    }
    db::parameters ours() const { return db::parameters().add(id_); }
    void make_partitions(db::postgres& on, const std::string& place);
    void make_part(std::int64_t now);
    std::string part_name(std::int64_t starts) const;
    void load_oldest(db::postgres& on, std::int64_t& oldest_seq, std::int64_t& oldest_archived);
    [[noreturn]] void raise_damaged(std::int64_t first_seq, const std::string& what) const;
    std::shared_ptr<const disk_part> take_part(const db::rows& r, int row);
    std::vector<std::shared_ptr<const disk_part>> parts_after(db::postgres& on,
                                                              const scan_order& what,
                                                              bool all);
    archive_span collect(const scan_order& what, bool all);
    archived_breach breach_in(const disk_part& b, std::size_t n) const;
    std::optional<std::int64_t> text_id(db::postgres& on, const std::string& hash, std::int64_t now);
    void save_withheld(db::postgres& on, std::int64_t cursor, const std::vector<withheld_breach>& rows);
    void save_windows(db::postgres& on, std::int64_t cursor, const std::vector<throttle_window>& windows);
    std::vector<confirmed_record> batches_of(db::postgres& on, std::int64_t seq);
    std::vector<breach_history::fate> fates_of(db::postgres& on, std::int64_t seq);
    /// Which of these the archive still has, with when they were archived.
    std::map<std::int64_t, std::int64_t> still_there(db::postgres& on, const std::vector<std::int64_t>& seqs);
    void count_lost(db::postgres& on, const std::vector<block_facts>& gone, std::int64_t now, dropping& d);
    void drop_old(
        db::postgres& on, const retention_order& order, std::int64_t floor, std::int64_t now, dropping& d);
    void drop_over(
        db::postgres& on, const retention_order& order, std::int64_t floor, std::int64_t now, dropping& d);
    void drop_part(db::postgres& on, std::int64_t starts, std::int64_t now, dropping& d);
    std::vector<block_facts> blocks_of_part(db::postgres& on, std::int64_t starts, std::int64_t ends);

    const std::string master_;
    const std::string folder_;
    const access access_;
    std::shared_ptr<db::postgres_pool> pool_;
    std::shared_ptr<archive_budget> budget_;
    const pg_layout layout_;
    const std::shared_ptr<const cluster::permit> lease_;
    const std::string path_;
    std::mutex busy_;
    known_facts known_;
    recent_blocks::part blocks_;
    std::shared_ptr<const disk_part> last_block_;  ///< the one that was read last: a cursor reads on in it
    bool loaded_ = false;
    std::int64_t id_ = 0;
    std::string place_;  ///< schema of its partitions
    std::int64_t bytes_ = 0;
    std::map<std::int64_t, std::int64_t> parts_;  ///< start and end
    std::size_t windows_since_trim_ = 0;
};

/// Names of the archives of a database, in order.
std::vector<std::string> pg_archive_names(db::postgres_pool& pool);
/// For the transaction: whoever reads what is dropped (a backup) is waited for no longer than 3 s, as every
/// bridge's statements wait behind a drop that waits.
void pg_wait_briefly(db::postgres& on);
/// Deletes all of one master. False where there was nothing.
bool pg_erase_archive(db::postgres_pool& pool, const std::string& master);

}  // namespace dtbridge
