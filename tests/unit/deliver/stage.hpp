#pragma once

/// What the tests of deliver share: real archives in a temporary folder, an archive that can be made to fail
/// or hang, and a way to write a run down as steps.

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>

#include <dtbridge/async/doorbell.hpp>
#include <dtbridge/deliver/delivery.hpp>

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "support/collector.hpp"
#include "support/collector_keys.hpp"

namespace dtbridge::test
{

namespace asio = boost::asio;
using asio::awaitable;

/// A real archive with switches.
class watched_archive : public archive
{
public:
    watched_archive(asio::any_io_executor ex, std::shared_ptr<archive> real)
        : ex_(ex), real_(std::move(real)), wake_(ex)
    {}

    bool fail_reads = false;
    bool hang_reads = false;  ///< until released or cancelled
    bool fail_confirms = false;
    int reads = 0, confirms = 0;
    std::vector<confirmed_batch> batches;
    void release()
    {
        hang_reads = false;
        wake_.ring();
    }

    const std::string& master() const override { return real_->master(); }
    awaitable<outcome<added>> add(archive_block b) override { return real_->add(std::move(b)); }
    awaitable<outcome<bool>> save_position(poll_position p) override { return real_->save_position(p); }
    awaitable<outcome<std::optional<poll_position>>> position() override { return real_->position(); }
    awaitable<outcome<std::vector<breach_key>>> missing(std::vector<breach_key> k) override
    {
        return real_->missing(std::move(k));
    }
    awaitable<outcome<archive_span>> read(std::int64_t after, std::size_t count, std::size_t bytes) override;
    awaitable<outcome<archive_span>> find(std::int64_t pbid) override { return real_->find(pbid); }
    awaitable<outcome<archive_span>> scan(scan_order o) override { return real_->scan(o); }
    awaitable<outcome<std::vector<archive_cursor>>> cursors() override { return real_->cursors(); }
    awaitable<outcome<archive_cursor>> ensure_cursor(std::string d, new_cursor otherwise) override
    {
        return real_->ensure_cursor(std::move(d), std::move(otherwise));
    }
    awaitable<outcome<bool>> confirm(std::string destination, confirmed_batch batch) override;
    awaitable<outcome<bool>> forget_cursor(std::string d) override
    {
        return real_->forget_cursor(std::move(d));
    }
    awaitable<outcome<std::vector<throttle_window>>> throttle_windows(std::string d) override
    {
        return real_->throttle_windows(std::move(d));
    }
    awaitable<outcome<bool>> note_summary(std::string d, throttle_window w) override
    {
        return real_->note_summary(std::move(d), std::move(w));
    }
    awaitable<outcome<std::string>> remember(std::string t, std::string n) override
    {
        return real_->remember(std::move(t), std::move(n));
    }
    awaitable<outcome<std::vector<breach_history>>> history(std::int64_t p) override
    {
        return real_->history(p);
    }
    awaitable<outcome<std::optional<std::string>>> recall(std::string h) override
    {
        return real_->recall(std::move(h));
    }
    awaitable<outcome<std::vector<confirmed_record>>> confirmed(std::int64_t s) override
    {
        return real_->confirmed(s);
    }
    awaitable<outcome<bool>> set_aside(std::string raw, std::string r) override
    {
        return real_->set_aside(std::move(raw), std::move(r));
    }
    awaitable<outcome<std::vector<noted_change>>> note_states(std::vector<shown_state> s) override
    {
        return real_->note_states(std::move(s));
    }
    awaitable<outcome<std::vector<std::pair<std::string, withheld_breach>>>> withheld(
        std::int64_t first_seq, std::int64_t last_seq) override
    {
        return real_->withheld(first_seq, last_seq);
    }
    awaitable<outcome<key_span>> keys(key_order w) override { return real_->keys(w); }
    awaitable<outcome<std::vector<difference>>> note_differences(std::vector<difference> f) override
    {
        return real_->note_differences(std::move(f));
    }
    awaitable<outcome<bool>> settle_differences(difference::kind w, std::vector<breach_key> k) override
    {
        return real_->settle_differences(w, std::move(k));
    }
    awaitable<outcome<std::vector<difference>>> differences(std::size_t n) override
    {
        return real_->differences(n);
    }
    awaitable<outcome<std::vector<state_change>>> changes(breach_key k) override { return real_->changes(k); }
    awaitable<outcome<std::vector<window_counts>>> windows(std::size_t n) override
    {
        return real_->windows(n);
    }
    awaitable<outcome<retention_result>> prune(retention_order o) override
    {
        return real_->prune(std::move(o));
    }
    awaitable<outcome<archive_facts>> facts() override { return real_->facts(); }
    std::int64_t last_seq() const override { return real_->last_seq(); }
    awaitable<outcome<bool>> close() override { return real_->close(); }

private:
    asio::any_io_executor ex_;
    std::shared_ptr<archive> real_;
    doorbell wake_;
};

/// One moment of a run: once `when` holds, `then` is done.
struct step
{
    std::function<bool()> when;
    std::function<void()> then;
};

class stage
{
public:
    stage();
    ~stage();

    /// Opens (the first time) the archive of a master.
    watched_archive& store(const std::string& master);
    std::shared_ptr<archive> shared(const std::string& master);
    /// Archives count breaches with pbids from first on. padding makes them longer.
    void fill(const std::string& master,
              std::int64_t first,
              std::int64_t count,
              const char* score = "0.5",
              std::size_t padding = 0,
              std::int64_t created = 1'700'000'000'000);
    /// The same from inside a run: returns at once, rings when it is done.
    void fill_later(deliver::delivery& d,
                    const std::string& master,
                    std::int64_t first,
                    std::int64_t count,
                    const char* score = "0.5");
    /// The same, and nobody is told: as between a commit and the news of it.
    void fill_unheard(const std::string& master, std::int64_t first, std::int64_t count);
    std::int64_t cursor(const std::string& master, const std::string& destination = "siem");

    /// Runs d through the steps, then stops it. Fails the test when a step does not come within 20 s.
    void play(deliver::delivery& d, std::vector<step> steps);
    /// The same, but ends by cancelling run().
    void play_and_cancel(deliver::delivery& d, std::vector<step> steps);
    /// How long the last stop took.
    std::chrono::steady_clock::duration stopped_in{};

    asio::io_context ctx;

private:
    awaitable<void> run(deliver::delivery& d, std::vector<step> steps, bool cancel);
    keys_folder folder_;
    asio::thread_pool workers_{2};
    std::unique_ptr<archive_pool> pool_;
    std::map<std::string, std::shared_ptr<watched_archive>> stores_;
};

/// JSON without header, newline frames, to 127.0.0.1:ports in order.
deliver::settings settings_to(std::vector<std::uint16_t> ports,
                              transport::protocol kind = transport::protocol::tcp,
                              const std::string& rules = "");
/// Makes a formatter again after options.format was changed.
void reformat(deliver::settings& s);
/// Short waits.
deliver::limits quick();
format::master_info info(const std::string& name);

/// The pbid of a message, -1 where there is none.
std::int64_t pbid_of(const std::string& message);
std::vector<std::int64_t> pbids_of(const std::vector<std::string>& messages);
/// The pbids from first to last, all of them.
std::set<std::int64_t> all_of(std::int64_t first, std::int64_t last);
std::set<std::int64_t> set_of(const std::vector<std::int64_t>& v);

}  // namespace dtbridge::test
