#pragma once

/// Every breach of one master, exact bytes, once per (pbid, created), in one SQLite file, with the poll
/// position and every destination's cursor beside it (contract 4). The only queue of the bridge. All SQLite
/// work happens on a worker; the methods are coroutines that resume on the caller's executor, and what memory
/// can answer never leaves it. Polling, decisions and when to prune are left to others. Tested in
/// tests/unit/archive with a real SQLite.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dtbridge/archive/database_options.hpp>
#include <dtbridge/core/breach.hpp>
#include <dtbridge/core/failure.hpp>

namespace dtbridge
{

namespace asio = boost::asio;
using asio::awaitable;

namespace cluster
{
class permit;
}

/// One element as it was received, ready for the archive.
struct archive_element
{
    breach_key key;
    std::optional<std::int64_t> time;
    std::string_view body;  ///< exact bytes, into archive_block::bytes
    bool acknowledged = false;
    std::int64_t comment_count = 0;
    bool late = false;  ///< found after polling had passed its time, for `explain`
};

/// How far polling has come. Saved with the last block of an answer.
struct poll_position
{
    std::int64_t position = 0;  ///< ms, the end of the last complete answer's window, by the master's clock
    bool by_activity = false;   ///< window = "auto" has turned to activity
};

/// Counts of one asked-for window (contract 3, "Per window").
struct window_counts
{
    std::int64_t start = 0, end = 0;  ///< ms
    bool sweep = false;
    std::int64_t shown = 0;
    std::int64_t archived = 0;  ///< by the answer's earlier blocks; the archive adds what this block brought
    std::int64_t late = 0;
    // Of a sweep alone:
    std::int64_t held = 0;  ///< of what is archived, after the sweep, this many lie in the window
    std::int64_t gone = 0;  ///< of those, the API shows these no longer
};

/// One element may be this long (contract 3, "Bounds").
inline constexpr std::size_t max_element_bytes = 4u << 20;

/// Breaches to add. Moving keeps the elements' views right (a short string moves its bytes along); copying
/// would not, so there is none. Any number of elements; about 256 KiB at a time is what add() does best.
struct archive_block
{
    archive_block() = default;
    archive_block(archive_block&& other) noexcept;
    archive_block& operator=(archive_block&& other) noexcept;

    std::string bytes;  ///< owner of the bodies
    std::vector<archive_element> elements;
    std::optional<poll_position>
        position;  ///< set on the last block of an answer: committed in the same transaction
    std::optional<window_counts> window;  ///< recorded in the same transaction
    bool archive_only = false;            ///< back-fill by command: archived, and passed over by read()
};

struct added
{
    std::vector<breach_key> keys;   ///< newly archived, in order
    std::int64_t repeated = 0;      ///< already there
    std::int64_t reused_pbids = 0;  ///< new breaches whose pbid was archived before with another created
    std::int64_t last_seq = 0;      ///< highest seq of the archive
};

struct archived_breach
{
    std::int64_t seq = 0;       ///< grows, never reused
    std::int64_t archived = 0;  ///< ms, when it was committed
    breach_key key;
    std::string_view body;
};
/// Breaches in order of seq; bodies live as long as hold.
struct archive_span
{
    std::vector<archived_breach> breaches;
    std::int64_t scanned_to = 0;  ///< the cursor may move here even where breaches is shorter (gaps)
    std::shared_ptr<const void> hold;
};

struct archive_cursor
{
    std::string destination;
    std::int64_t seq = 0;  ///< everything up to here was decided and, where forwarded, confirmed
    std::int64_t lost =
        0;  ///< breaches that retention dropped before the cursor had passed them, since it exists
    std::int64_t began =
        0;  ///< ms: when the destination first ran, as far as this archive knows; 0: it does not

    /// When the destination first ran, where the service's file knows this or nothing: the earlier counts,
    /// for that file may have been lost and made again.
    std::optional<std::int64_t> first_ran(std::optional<std::int64_t> known) const
    {
        if (began == 0)
            return known;
        return known ? std::min(*known, began) : began;
    }
};

/// What a cursor that is not there yet begins with.
struct new_cursor
{
    std::string formerly = {};  ///< takes over the cursor of that name, where there is one
    std::int64_t seq = 0;
    std::int64_t began = 0;  ///< ms; given to a cursor that lacks it, too. 0: not known
};

/// A breach that a batch passed over though its policy forwards it.
struct withheld_breach
{
    enum class cause { throttled = 1, undeliverable = 2 };
    std::int64_t seq = 0;
    cause why = cause::throttled;
    std::string reason;  ///< the throttle's words, or why it could not be sent
};

/// What one master's breaches did to one key of a throttle in its latest window (product.md 5, "Throttles").
struct throttle_window
{
    std::string throttle;                           ///< which throttle: its factors, limit and span
    std::string key;                                ///< values of its factors
    std::int64_t start = 0, ends = 0;               ///< ms, by created
    std::int64_t passed = 0, held = 0;              ///< of this master's breaches
    std::int64_t summed_up = 0;                     ///< of held, those that a summary told of already
    std::int64_t first = 0, last = 0;               ///< ms, created of the first and the last that was held
    std::string master;                             ///< not saved: whose archive it is
    std::string last_model, last_device, last_url;  ///< of the last that was held
};

/// One confirmed batch: from then on the cursor stands at last_seq.
struct confirmed_batch
{
    std::int64_t first_seq = 0, last_seq = 0;
    std::int64_t sent = 0, held_back = 0, undeliverable = 0, throttled = 0;
    std::string policy_hash, fields_hash;   ///< of archive::remember
    std::vector<withheld_breach> withheld;  ///< a row each
    std::vector<throttle_window> windows;   ///< as they stand after last_seq; a later one replaces an earlier
};

/// A batch as it was noted, for `explain`; withheld and windows are left out.
struct confirmed_record
{
    std::string destination;
    confirmed_batch batch;
    std::int64_t at = 0;      ///< ms
    std::string policy_name;  ///< as it was remembered
};

/// Another acknowledged state or comment count that the API showed later.
struct state_change
{
    std::int64_t at = 0;  ///< ms, when it was noted
    bool acknowledged = false;
    std::int64_t comment_count = 0;
    std::optional<std::int64_t> acknowledged_at{};  ///< ms, by the master, where it says so
};

/// What the API shows of a breach now.
struct shown_state
{
    breach_key key;
    bool acknowledged = false;
    std::int64_t comment_count = 0;
    std::optional<std::int64_t> acknowledged_at;
    std::string acknowledged_by{};  ///< where the master says so
    std::string model{};            ///< its path, of one that is acknowledged
};

/// One that was another than before.
struct noted_change
{
    breach_key key;
    std::int64_t seq = 0;
    bool archive_only = false;
    bool was_acknowledged = false;
    state_change now;
    std::string acknowledged_by{};  ///< not kept
    std::string model{};            ///< as shown; not kept
};

/// What keys() is asked for: breaches whose time (created, where they have none) lies in a window.
struct key_order
{
    std::int64_t after_seq = 0;
    std::int64_t from = 0, to = 0;  ///< ms, both inclusive
    /// ms by this host's clock: what was archived before cannot be meant. Saves reading it, where the clock
    /// was never set back.
    std::int64_t archived_from = std::numeric_limits<std::int64_t>::min();
    std::size_t max_scanned = 16384;  ///< breaches looked at
};
struct key_span
{
    std::vector<breach_key> keys;
    std::int64_t scanned_to = 0;
    bool end = false;  ///< nothing is behind scanned_to
};

/// Where what the API shows and what is archived are not the same (contract 3).
struct difference
{
    enum class kind : std::int64_t {
        late = 1,      ///< shown to a sweep and not archived before: polling had not seen it
        gone = 2,      ///< archived, and the API shows it no longer
        withheld = 3,  ///< shown in a window and not to be had by its pbid
    };
    kind what = kind::late;
    breach_key key;
    std::int64_t at = 0;  ///< ms, when it was found
    bool operator==(const difference&) const = default;
};

/// What became of one breach, for `explain`. Keys outlive retention, so a breach that was dropped is here
/// too.
struct breach_history
{
    struct fate
    {
        std::string destination;
        std::int64_t cursor = 0;                ///< everything up to here is done
        std::optional<confirmed_record> batch;  ///< that holds it
        std::optional<withheld_breach> withheld;
        std::int64_t lost_at = 0;  ///< ms, when retention dropped it before the cursor had passed it; 0 never
    };
    std::int64_t seq = 0;
    breach_key key;
    bool dropped = false;       ///< by retention: what follows up to fates is not known any more
    std::int64_t archived = 0;  ///< ms
    bool late = false, archive_only = false, acknowledged = false;
    std::int64_t comment_count = 0;
    std::vector<fate> fates;  ///< of every destination with a cursor
};

/// What scan() is asked for: everything archived in order of seq, that of archive_only included.
struct scan_order
{
    std::int64_t after_seq = 0;
    std::int64_t created_from = std::numeric_limits<std::int64_t>::min();    ///< ms, inclusive
    std::int64_t created_before = std::numeric_limits<std::int64_t>::max();  ///< ms, exclusive
    std::size_t max_count = 512;
    std::size_t max_bytes = 1u << 20;  ///< about, at least one breach
};

struct archive_facts
{
    std::int64_t oldest_seq = 0;  ///< last_seq + 1 where there is no breach
    std::int64_t last_seq = 0, breaches = 0;
    std::int64_t oldest_archived = 0;  ///< ms, 0 where there is no breach
    std::int64_t bytes = 0;            ///< of the file set on disk
};

/// What retention may drop, by whole blocks (256 KiB of bodies): a block stays while one of its breaches is
/// needed.
struct retention_order
{
    std::int64_t older_than = 0;           ///< ms: archived before this may go once keep_for has passed it
    std::int64_t max_bytes = 0;            ///< of this archive; 0 none. A caller short of min_free lowers it
    std::vector<archive_cursor> keep_for;  ///< destinations whose missing breaches must stay; the further of
                                           ///< seq here and the stored cursor counts
    bool drop_undelivered = false;         ///< max_bytes may drop even those, counted lost ("drop_oldest")
};
struct retention_result
{
    std::int64_t dropped = 0;
    std::vector<std::pair<std::string, std::int64_t>>
        lost;  ///< per destination: dropped though it had not passed them
};

/// Opened archives of the process: at most 64 SQLite connections at once, the least recently used one is
/// closed. Also the budget of what was just added and is kept in memory (16 MiB), and of recent keys.
/// Thread-safe. Archives may outlive it; the worker must outlive the archives.
class archive_pool
{
public:
    /// worker: a pool's executor for what blocks, of at most 64 threads. folder: state_dir/masters. clock: ms
    /// since 1970, called on worker threads.
    archive_pool(asio::any_io_executor worker, std::string folder);
    archive_pool(asio::any_io_executor worker, std::string folder, std::function<std::int64_t()> clock);
    /// The same in a database, where its url says one. Nothing is connected to yet; an url that cannot be
    /// read throws. folder: for what stays beside it (set-aside.ndjson).
    archive_pool(asio::any_io_executor worker, std::string folder, const archive_database& database);
    archive_pool(asio::any_io_executor worker,
                 std::string folder,
                 std::function<std::int64_t()> clock,
                 const archive_database& database);
    ~archive_pool();
    std::size_t open_connections() const;
    std::size_t bytes_in_memory() const;
    archive_pool(const archive_pool&) = delete;
    archive_pool& operator=(const archive_pool&) = delete;
    struct impl;
    const std::shared_ptr<impl>& shared() const { return impl_; }

private:
    std::shared_ptr<impl> impl_;
};

class archive
{
public:
    /// Opens or creates folder/<master>/archive.db (0640), migrates an older schema, refuses a newer one
    /// (errc::archive_newer), a damaged one (errc::archive_damaged, naming the file and `dtbridge recover`).
    /// formerly: an existing archive of that name is renamed first, unless master has one (then formerly
    /// stays, an orphan); no archive object of that name may be open. One object per master and process.
    /// close() before the last reference goes, else the file is closed where that happens.
    /// lease, in a database: of the master, held. Opened after it was taken, and anew for every other one:
    /// what is known of the archive is what the database holds from then on. Whatever writes answers
    /// errc::lease_lost, and writes nothing, once the lease is no longer this one. Without one, whatever
    /// writes answers errc::locked while a bridge has a lease on master, and names it.
    static awaitable<outcome<std::shared_ptr<archive>>> open(
        archive_pool& pool,
        std::string master,
        std::string formerly,
        std::shared_ptr<const cluster::permit> lease = {});
    /// For commands beside a running service: errc::not_found where there is none, nothing is created or
    /// brought forward, all that writes answers errc::refused, and every answer is of the moment.
    static awaitable<outcome<std::shared_ptr<archive>>> open_to_read(archive_pool& pool, std::string master);
    /// The masters that have an archive, in order.
    static awaitable<outcome<std::vector<std::string>>> names(archive_pool& pool);
    /// Deletes all of a master for good; nothing may have it open (errc::locked where a bridge has a lease on
    /// it). False where there was nothing.
    static awaitable<outcome<bool>> erase(archive_pool& pool, std::string master);
    virtual ~archive() = default;

    virtual const std::string& master() const = 0;

    /// One transaction, synchronous FULL. What fails (disk full, damage) leaves everything as it was. An
    /// element over max_element_bytes, or a body outside bytes, fails the whole block (errc::over_limit,
    /// errc::malformed).
    virtual awaitable<outcome<added>> add(archive_block block) = 0;
    /// Saves a position alone (an empty poll, at most once a minute: the caller's business), synchronous
    /// NORMAL.
    virtual awaitable<outcome<bool>> save_position(poll_position p) = 0;
    virtual awaitable<outcome<std::optional<poll_position>>> position() = 0;
    /// Which of these are not archived yet, in order. Recent keys answer from memory.
    virtual awaitable<outcome<std::vector<breach_key>>> missing(std::vector<breach_key> keys) = 0;

    /// Breaches after seq, at least one if there is any, at most max_count and about max_bytes. What was just
    /// added is answered from memory.
    virtual awaitable<outcome<archive_span>> read(std::int64_t after_seq,
                                                  std::size_t max_count,
                                                  std::size_t max_bytes) = 0;
    /// All breaches of one pbid that retention has left (contract 1), at most 1,000.
    virtual awaitable<outcome<archive_span>> find(std::int64_t pbid) = 0;
    /// Everything in order, by created: for export, tune, replay. The end is reached when breaches is empty.
    virtual awaitable<outcome<archive_span>> scan(scan_order what) = 0;

    virtual awaitable<outcome<std::vector<archive_cursor>>> cursors() = 0;
    /// Makes the cursor where there is none. Answers where it stands.
    virtual awaitable<outcome<archive_cursor>> ensure_cursor(std::string destination,
                                                             new_cursor otherwise) = 0;
    /// Moves the cursor to batch.last_seq (never back: false, and nothing is noted) and notes the batch;
    /// synchronous NORMAL. errc::not_found without ensure_cursor.
    virtual awaitable<outcome<bool>> confirm(std::string destination, confirmed_batch batch) = 0;
    virtual awaitable<outcome<bool>> forget_cursor(std::string destination) = 0;
    /// The windows of a destination's throttles as the last batch left them, newest first; at most 16,384.
    virtual awaitable<outcome<std::vector<throttle_window>>> throttle_windows(std::string destination) = 0;
    /// Notes how many of a window a summary told of, so that no restart tells of them again.
    virtual awaitable<outcome<bool>> note_summary(std::string destination, throttle_window w) = 0;
    /// Keeps a policy's or field map's text under its SHA-256 (hex) and answers that. name: of its file, for
    /// reasons that are worked out again.
    virtual awaitable<outcome<std::string>> remember(std::string text, std::string name) = 0;
    awaitable<outcome<std::string>> remember(std::string text)
    {
        return remember(std::move(text), std::string());
    }
    /// The text of that hash, nothing where it is not kept.
    virtual awaitable<outcome<std::optional<std::string>>> recall(std::string hash) = 0;
    /// The batch of each destination that holds seq.
    virtual awaitable<outcome<std::vector<confirmed_record>>> confirmed(std::int64_t seq) = 0;

    /// What batches passed over of first_seq to last_seq, by destination and in order of seq; at most 10,000.
    virtual awaitable<outcome<std::vector<std::pair<std::string, withheld_breach>>>> withheld(
        std::int64_t first_seq, std::int64_t last_seq) = 0;

    /// All breaches of one pbid that were ever archived, at most 1,000.
    virtual awaitable<outcome<std::vector<breach_history>>> history(std::int64_t pbid) = 0;

    /// Keeps an element that is no breach: raw, once per hash, in set-aside.ndjson, a line
    /// {"at","reason","raw"} each (and "base64" where raw is not UTF-8). True if it was new, also when the
    /// file has its 16 MiB and the raw bytes are let go.
    virtual awaitable<outcome<bool>> set_aside(std::string raw, std::string reason) = 0;
    /// Notes where the API shows another acknowledged state or comment count than was last known, and answers
    /// those, in order. Breaches that are not there (any more) are passed over. Recent ones are compared in
    /// memory.
    virtual awaitable<outcome<std::vector<noted_change>>> note_states(std::vector<shown_state> shown) = 0;
    /// What note_states noted of a breach, in order.
    virtual awaitable<outcome<std::vector<state_change>>> changes(breach_key key) = 0;
    /// The newest recorded windows, newest first; the archive keeps 10,000.
    virtual awaitable<outcome<std::vector<window_counts>>> windows(std::size_t max_count) = 0;
    /// Which breaches lie in a window of activity, those of archive_only included.
    virtual awaitable<outcome<key_span>> keys(key_order what) = 0;
    /// Keeps differences, each once, the newest 10,000; answers those that were not kept yet. at is filled
    /// in.
    virtual awaitable<outcome<std::vector<difference>>> note_differences(std::vector<difference> found) = 0;
    /// Forgets those of a kind: the breach is shown again.
    virtual awaitable<outcome<bool>> settle_differences(difference::kind what,
                                                        std::vector<breach_key> keys) = 0;
    /// The newest first.
    virtual awaitable<outcome<std::vector<difference>>> differences(std::size_t max_count) = 0;

    /// Drops in small steps, between which other calls go on. Keys stay. Space on disk is given back.
    virtual awaitable<outcome<retention_result>> prune(retention_order order) = 0;
    virtual awaitable<outcome<archive_facts>> facts() = 0;
    /// Highest seq committed, known without opening anything.
    virtual std::int64_t last_seq() const = 0;
    /// Checkpoints and closes the file; the next call opens it again.
    virtual awaitable<outcome<bool>> close() = 0;
};

/// How often one line of a destination's policy spoke, as far as it must survive a restart.
struct policy_line_record
{
    std::string line;                                          ///< file and text
    std::int64_t since = 0;                                    ///< ms, when this line was first in force
    std::int64_t last_spoke = 0;                               ///< ms, 0 never
    std::vector<std::pair<std::int64_t, std::int64_t>> hours;  ///< hour since 1970 and how often in it
};

/// state_dir/lock and state_dir/service.db: who writes here, when each destination first ran, how often the
/// lines of its policy spoke. Calls block for a moment. The lock is held until destruction and goes with the
/// process, however it ends.
class service_store
{
public:
    /// Locks (errc::locked names the other process) and opens; makes the folder (0750) where it is missing.
    static outcome<std::unique_ptr<service_store>> open(const std::string& state_dir);
    /// The lock alone, held until the answer goes: for what mends a file that open() cannot open.
    static outcome<std::shared_ptr<const void>> lock(const std::string& state_dir);
    virtual ~service_store() = default;
    /// When the service first ran with this destination (ms), set to now where unknown; formerly takes over.
    virtual outcome<std::int64_t> first_ran(const std::string& destination,
                                            const std::string& formerly,
                                            std::int64_t now) = 0;
    /// The same, nothing where it is not known, read beside a running service: no lock is taken and nothing
    /// is set.
    static outcome<std::optional<std::int64_t>> look_up_first_ran(const std::string& state_dir,
                                                                  const std::string& destination);
    /// Names with state that are not in these lists: "master acme", "destination qradar".
    virtual outcome<std::vector<std::string>> orphans(const std::vector<std::string>& masters,
                                                      const std::vector<std::string>& destinations) = 0;
    /// Forgets when a destination first ran. False where nothing was known of it.
    virtual outcome<bool> forget_destination(const std::string& destination) = 0;
    /// The counters of a destination's policy lines.
    virtual outcome<std::vector<policy_line_record>> policy_lines(const std::string& destination) = 0;
    /// Replaces what is kept of these lines; all: forgets every other line of the destination. Hours before
    /// oldest_hour are forgotten. Small: one commit.
    virtual outcome<bool> save_policy_lines(const std::string& destination,
                                            const std::vector<policy_line_record>& lines,
                                            bool all,
                                            std::int64_t oldest_hour) = 0;
};

}  // namespace dtbridge
