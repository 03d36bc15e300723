#include <dtbridge/archive/archive.hpp>

#include <boost/asio/strand.hpp>

#include <algorithm>
#include <cerrno>
#include <new>

#include <dtbridge/async/offload.hpp>
#include <dtbridge/core/time.hpp>

#include "archive/folder.hpp"
#include "archive/pg_store.hpp"
#include "archive/store.hpp"

namespace dtbridge
{

namespace
{

constexpr std::size_t most_open_files = 64;
constexpr std::size_t memory_per_archive = 1u << 20;
constexpr std::size_t memory_in_all = 16u << 20;

/// What work answers, or what it threw. A failed job leaves no broken connection behind.
template <class T, class F>
outcome<T> guarded(any_store& s, F& work)
{
    std::lock_guard lock(s.busy());
    try
    {
        return work(s);
    }
    catch (const db::error& e)
    {
        s.recover_from(e.reason());
        return e.reason();
    }
    catch (const std::bad_alloc&)
    {
        failure f = fail(error_code(ENOMEM, boost::system::system_category()), s.path() + ": out of memory");
        s.recover_from(f);
        return f;
    }
}

void check_name(const std::string& name)
{
    // Configuration allows a-z, 0-9 and '-' only; here the one thing that matters: it stays one folder.
    if (name.empty() || name.front() == '.' || name.find('/') != std::string::npos ||
        name.find('\0') != std::string::npos || name.size() > 255)
        throw db::error(fail(errc::malformed, "a master's name cannot be a folder's name"));
}

struct prune_progress
{
    bool more = false;
    retention_result result;

    void add_to(retention_result& sum) const
    {
        sum.dropped += result.dropped;
        for (const auto& [name, count] : result.lost)
        {
            auto same = [&name = name](const auto& l) { return l.first == name; };
            auto it = std::find_if(sum.lost.begin(), sum.lost.end(), same);
            if (it == sum.lost.end())
                sum.lost.emplace_back(name, count);
            else
                it->second += count;
        }
    }
};

class stored_archive : public archive, public std::enable_shared_from_this<stored_archive>
{
public:
    stored_archive(std::shared_ptr<archive_pool::impl> pool,
                   std::string master,
                   any_store::access how,
                   std::shared_ptr<const cluster::permit> lease = {});

    const std::string& master() const override { return master_; }
    awaitable<outcome<added>> add(archive_block block) override;
    awaitable<outcome<bool>> save_position(poll_position p) override;
    awaitable<outcome<std::optional<poll_position>>> position() override;
    awaitable<outcome<std::vector<breach_key>>> missing(std::vector<breach_key> keys) override;
    awaitable<outcome<archive_span>> read(std::int64_t after_seq,
                                          std::size_t max_count,
                                          std::size_t max_bytes) override;
    awaitable<outcome<archive_span>> find(std::int64_t pbid) override;
    awaitable<outcome<archive_span>> scan(scan_order what) override;
    awaitable<outcome<std::vector<archive_cursor>>> cursors() override;
    awaitable<outcome<archive_cursor>> ensure_cursor(std::string destination, new_cursor otherwise) override;
    awaitable<outcome<bool>> confirm(std::string destination, confirmed_batch batch) override;
    awaitable<outcome<bool>> forget_cursor(std::string destination) override;
    awaitable<outcome<std::vector<throttle_window>>> throttle_windows(std::string destination) override;
    awaitable<outcome<bool>> note_summary(std::string destination, throttle_window w) override;
    awaitable<outcome<std::string>> remember(std::string text, std::string name) override;
    awaitable<outcome<std::optional<std::string>>> recall(std::string hash) override;
    awaitable<outcome<std::vector<confirmed_record>>> confirmed(std::int64_t seq) override;
    awaitable<outcome<std::vector<breach_history>>> history(std::int64_t pbid) override;
    awaitable<outcome<bool>> set_aside(std::string raw, std::string reason) override;
    awaitable<outcome<std::vector<noted_change>>> note_states(std::vector<shown_state> shown) override;
    awaitable<outcome<std::vector<state_change>>> changes(breach_key key) override;
    awaitable<outcome<std::vector<std::pair<std::string, withheld_breach>>>> withheld(
        std::int64_t first_seq, std::int64_t last_seq) override;
    awaitable<outcome<std::vector<window_counts>>> windows(std::size_t max_count) override;
    awaitable<outcome<key_span>> keys(key_order what) override;
    awaitable<outcome<std::vector<difference>>> note_differences(std::vector<difference> found) override;
    awaitable<outcome<bool>> settle_differences(difference::kind what, std::vector<breach_key> keys) override;
    awaitable<outcome<std::vector<difference>>> differences(std::size_t max_count) override;
    awaitable<outcome<retention_result>> prune(retention_order order) override;
    awaitable<outcome<archive_facts>> facts() override;
    std::int64_t last_seq() const override;
    awaitable<outcome<bool>> close() override;

    /// Opens the file, on the worker. formerly: see archive::open.
    awaitable<outcome<bool>> start(std::string formerly);

private:
    bool may_write() const { return store_->may_write(); }
    failure refusal() const { return fail(errc::refused, store_->path() + ": opened to be read only"); }

    /// Runs work(store) on the strand. The job keeps this alive.
    template <class T, class F>
    awaitable<outcome<T>> run(F work)
    {
        auto job = [self = shared_from_this(), work = std::move(work)]() mutable {
            return guarded<T>(*self->store_, work);
        };
        return offload(strand_, std::move(job));
    }
    /// The same for what a reader may not do.
    template <class T, class F>
    awaitable<outcome<T>> change(F work)
    {
        auto job = [self = shared_from_this(), work = std::move(work)]() mutable -> outcome<T> {
            if (!self->may_write())
                return self->refusal();
            return guarded<T>(*self->store_, work);
        };
        return offload(strand_, std::move(job));
    }

    std::shared_ptr<archive_pool::impl> pool_;
    const std::string master_;
    asio::any_io_executor strand_;
    std::unique_ptr<any_store> store_;
};

}  // namespace

struct archive_pool::impl
{
    impl(asio::any_io_executor w, std::string f, std::function<std::int64_t()> c)
        : worker(std::move(w)), folder(std::move(f)), clock(std::move(c))
    {}
    asio::any_io_executor worker;
    std::string folder;
    std::function<std::int64_t()> clock;
    std::shared_ptr<archive_budget> budget =
        std::make_shared<archive_budget>(most_open_files, memory_per_archive, memory_in_all);
    std::shared_ptr<db::postgres_pool> database;  ///< null: files
    pg_layout layout;

    std::unique_ptr<any_store> make_store(const std::string& master,
                                          any_store::access how,
                                          std::shared_ptr<const cluster::permit> lease) const
    {
        if (database)
            return std::make_unique<pg_store>(
                master, folder + "/" + master, how, database, budget, layout, std::move(lease));
        return std::make_unique<store>(folder + "/" + master, how, budget);
    }
};

archive_pool::archive_pool(asio::any_io_executor worker, std::string folder)
    : archive_pool(std::move(worker), std::move(folder), now_ms)
{}

archive_pool::archive_pool(asio::any_io_executor worker,
                           std::string folder,
                           std::function<std::int64_t()> clock)
    : impl_(std::make_shared<impl>(std::move(worker), std::move(folder), std::move(clock)))
{}

archive_pool::archive_pool(asio::any_io_executor worker,
                           std::string folder,
                           std::function<std::int64_t()> clock,
                           const archive_database& database)
    : archive_pool(std::move(worker), std::move(folder), std::move(clock))
{
    if (database.url.empty())
        return;
    db::postgres_options options;
    options.url = database.url;
    options.password = database.password;
    impl_->database = std::make_shared<db::postgres_pool>(std::move(options));
    impl_->layout.own_schemas = database.own_schemas;
    impl_->layout.partition = database.partition;
}

archive_pool::archive_pool(asio::any_io_executor worker, std::string folder, const archive_database& database)
    : archive_pool(std::move(worker), std::move(folder), now_ms, database)
{}

archive_pool::~archive_pool() = default;

std::size_t archive_pool::open_connections() const
{
    return impl_->budget->files.size() + (impl_->database ? impl_->database->size() : 0);
}

std::size_t archive_pool::bytes_in_memory() const
{
    return impl_->budget->blocks->bytes();
}

archive_block::archive_block(archive_block&& other) noexcept
{
    *this = std::move(other);
}

archive_block& archive_block::operator=(archive_block&& other) noexcept
{
    if (this == &other)
        return *this;
    const char* before = other.bytes.data();
    auto size = other.bytes.size();
    bytes = std::move(other.bytes);
    elements = std::move(other.elements);
    position = other.position;
    window = other.window;
    archive_only = other.archive_only;
    if (bytes.data() == before)
        return *this;
    for (auto& e : elements)
    {
        auto offset =
            reinterpret_cast<std::uintptr_t>(e.body.data()) - reinterpret_cast<std::uintptr_t>(before);
        if (offset <= size && e.body.size() <= size - offset)
            e.body = std::string_view(bytes).substr(offset, e.body.size());
    }
    return *this;
}

awaitable<outcome<std::shared_ptr<archive>>> archive::open(archive_pool& pool,
                                                           std::string master,
                                                           std::string formerly,
                                                           std::shared_ptr<const cluster::permit> lease)
{
    auto made = std::make_shared<stored_archive>(
        pool.shared(), std::move(master), any_store::access::write, std::move(lease));
    auto started = co_await made->start(std::move(formerly));
    if (!started)
        co_return started.error();
    co_return std::shared_ptr<archive>(made);
}

awaitable<outcome<std::shared_ptr<archive>>> archive::open_to_read(archive_pool& pool, std::string master)
{
    auto made = std::make_shared<stored_archive>(pool.shared(), std::move(master), any_store::access::read);
    std::string none;
    auto started = co_await made->start(std::move(none));
    if (!started)
        co_return started.error();
    co_return std::shared_ptr<archive>(made);
}

namespace
{

/// What fn answers, or why not.
template <class T, class F>
awaitable<outcome<T>> on_worker(asio::any_io_executor worker, F fn)
{
    auto job = [fn = std::move(fn)]() mutable -> outcome<T> {
        try
        {
            return fn();
        }
        catch (const db::error& e)
        {
            return e.reason();
        }
    };
    return offload(std::move(worker), std::move(job));
}

}  // namespace

awaitable<outcome<std::vector<std::string>>> archive::names(archive_pool& pool)
{
    auto job = [shared = pool.shared()] {
        if (shared->database)
            return pg_archive_names(*shared->database);
        return folders_with(shared->folder, "archive.db");
    };
    return on_worker<std::vector<std::string>>(pool.shared()->worker, std::move(job));
}

awaitable<outcome<bool>> archive::erase(archive_pool& pool, std::string master)
{
    auto job = [shared = pool.shared(), master = std::move(master)] {
        check_name(master);
        const bool stored = shared->database && pg_erase_archive(*shared->database, master);
        const bool was_there = remove_folder(shared->folder + "/" + master);
        return stored || was_there;
    };
    return on_worker<bool>(pool.shared()->worker, std::move(job));
}

namespace
{

stored_archive::stored_archive(std::shared_ptr<archive_pool::impl> pool,
                               std::string master,
                               any_store::access how,
                               std::shared_ptr<const cluster::permit> lease)
    : pool_(std::move(pool)),
      master_(std::move(master)),
      strand_(asio::make_strand(pool_->worker)),
      store_(pool_->make_store(master_, how, std::move(lease)))
{}

awaitable<outcome<bool>> stored_archive::start(std::string formerly)
{
    auto work = [this, formerly = std::move(formerly)](any_store& s) {
        check_name(master_);
        if (!formerly.empty())
        {
            check_name(formerly);
            s.take_over(formerly);
        }
        s.open();
        return true;
    };
    return run<bool>(std::move(work));
}

awaitable<outcome<added>> stored_archive::add(archive_block block)
{
    auto work = [this, block = std::move(block)](any_store& s) mutable {
        return s.add(block, pool_->clock());
    };
    return change<added>(std::move(work));
}

awaitable<outcome<bool>> stored_archive::save_position(poll_position p)
{
    auto work = [p](any_store& s) {
        s.save_position(p);
        return true;
    };
    return change<bool>(std::move(work));
}

awaitable<outcome<std::optional<poll_position>>> stored_archive::position()
{
    if (may_write())
    {
        std::lock_guard lock(store_->known().mutex);
        co_return store_->known().position;
    }
    auto work = [](any_store& s) {
        s.refresh();
        return s.known().position;
    };
    auto answer = co_await run<std::optional<poll_position>>(std::move(work));
    co_return answer;
}

awaitable<outcome<std::vector<breach_key>>> stored_archive::missing(std::vector<breach_key> keys)
{
    if (may_write())
    {
        std::lock_guard lock(store_->known().mutex);
        const auto& known = store_->known().keys;
        std::erase_if(keys, [&](const breach_key& key) { return known.find(key) != nullptr; });
    }
    if (keys.empty())
        co_return keys;
    auto work = [keys = std::move(keys)](any_store& s) { return s.missing(keys); };
    auto answer = co_await run<std::vector<breach_key>>(std::move(work));
    co_return answer;
}

awaitable<outcome<archive_span>> stored_archive::read(std::int64_t after_seq,
                                                      std::size_t max_count,
                                                      std::size_t max_bytes)
{
    if (may_write())
    {
        if (after_seq >= last_seq())
        {
            archive_span nothing;
            nothing.scanned_to = after_seq;
            co_return nothing;
        }
        auto span = store_->blocks().read(after_seq, max_count, max_bytes);
        if (span)
            co_return std::move(*span);
    }
    auto work = [=](any_store& s) { return s.read(after_seq, max_count, max_bytes); };
    auto answer = co_await run<archive_span>(std::move(work));
    co_return answer;
}

awaitable<outcome<archive_span>> stored_archive::find(std::int64_t pbid)
{
    auto work = [pbid](any_store& s) { return s.find(pbid); };
    return run<archive_span>(std::move(work));
}

awaitable<outcome<archive_span>> stored_archive::scan(scan_order what)
{
    auto work = [what](any_store& s) { return s.scan(what); };
    return run<archive_span>(std::move(work));
}

awaitable<outcome<std::vector<archive_cursor>>> stored_archive::cursors()
{
    auto list = [](const known_facts& known) {
        std::vector<archive_cursor> out;
        for (const auto& [name, cursor] : known.cursors)
            out.push_back(archive_cursor{name, cursor.seq, cursor.lost, cursor.began});
        return out;
    };
    if (may_write())
    {
        std::lock_guard lock(store_->known().mutex);
        co_return list(store_->known());
    }
    auto work = [list](any_store& s) {
        s.refresh();
        return list(s.known());
    };
    auto answer = co_await run<std::vector<archive_cursor>>(std::move(work));
    co_return answer;
}

awaitable<outcome<archive_cursor>> stored_archive::ensure_cursor(std::string destination,
                                                                 new_cursor otherwise)
{
    auto work = [destination = std::move(destination), otherwise = std::move(otherwise)](any_store& s) {
        return s.ensure_cursor(destination, otherwise);
    };
    return change<archive_cursor>(std::move(work));
}

awaitable<outcome<bool>> stored_archive::confirm(std::string destination, confirmed_batch batch)
{
    auto work = [this, destination = std::move(destination), batch = std::move(batch)](any_store& s) {
        return s.confirm(destination, batch, pool_->clock());
    };
    return change<bool>(std::move(work));
}

awaitable<outcome<bool>> stored_archive::forget_cursor(std::string destination)
{
    auto work = [destination = std::move(destination)](any_store& s) { return s.forget_cursor(destination); };
    return change<bool>(std::move(work));
}

awaitable<outcome<std::vector<throttle_window>>> stored_archive::throttle_windows(std::string destination)
{
    auto work = [destination = std::move(destination)](any_store& s) {
        return s.throttle_windows(destination);
    };
    return run<std::vector<throttle_window>>(std::move(work));
}

awaitable<outcome<bool>> stored_archive::note_summary(std::string destination, throttle_window w)
{
    auto work = [destination = std::move(destination), w = std::move(w)](any_store& s) {
        return s.note_summary(destination, w);
    };
    return change<bool>(std::move(work));
}

awaitable<outcome<std::string>> stored_archive::remember(std::string text, std::string name)
{
    auto work = [this, text = std::move(text), name = std::move(name)](any_store& s) {
        return s.remember(text, name, pool_->clock());
    };
    return change<std::string>(std::move(work));
}

awaitable<outcome<std::optional<std::string>>> stored_archive::recall(std::string hash)
{
    auto work = [hash = std::move(hash)](any_store& s) { return s.recall(hash); };
    return run<std::optional<std::string>>(std::move(work));
}

awaitable<outcome<std::vector<confirmed_record>>> stored_archive::confirmed(std::int64_t seq)
{
    auto work = [seq](any_store& s) { return s.confirmed(seq); };
    return run<std::vector<confirmed_record>>(std::move(work));
}

awaitable<outcome<std::vector<breach_history>>> stored_archive::history(std::int64_t pbid)
{
    auto work = [pbid](any_store& s) { return s.history(pbid); };
    return run<std::vector<breach_history>>(std::move(work));
}

awaitable<outcome<bool>> stored_archive::set_aside(std::string raw, std::string reason)
{
    auto work = [this, raw = std::move(raw), reason = std::move(reason)](any_store& s) {
        return s.set_aside(raw, reason, pool_->clock());
    };
    return change<bool>(std::move(work));
}

awaitable<outcome<std::vector<noted_change>>> stored_archive::note_states(std::vector<shown_state> shown)
{
    if (may_write())
    {
        std::lock_guard lock(store_->known().mutex);
        const auto& known = store_->known().keys;
        std::erase_if(shown, [&](const shown_state& s) {
            const auto* before = known.find(s.key);
            return before && before->acknowledged == s.acknowledged &&
                   before->comment_count == s.comment_count;
        });
    }
    if (shown.empty())
        co_return std::vector<noted_change>();
    auto work = [this, shown = std::move(shown)](any_store& s) {
        return s.note_states(shown, pool_->clock());
    };
    auto answer = co_await change<std::vector<noted_change>>(std::move(work));
    co_return answer;
}

awaitable<outcome<std::vector<state_change>>> stored_archive::changes(breach_key key)
{
    auto work = [key](any_store& s) { return s.changes(key); };
    return run<std::vector<state_change>>(std::move(work));
}

awaitable<outcome<std::vector<std::pair<std::string, withheld_breach>>>> stored_archive::withheld(
    std::int64_t first_seq, std::int64_t last_seq)
{
    auto work = [first_seq, last_seq](any_store& s) { return s.withheld(first_seq, last_seq); };
    return run<std::vector<std::pair<std::string, withheld_breach>>>(std::move(work));
}

awaitable<outcome<key_span>> stored_archive::keys(key_order what)
{
    auto work = [what](any_store& s) { return s.keys(what); };
    return run<key_span>(std::move(work));
}

awaitable<outcome<std::vector<difference>>> stored_archive::note_differences(std::vector<difference> found)
{
    auto work = [this, found = std::move(found)](any_store& s) {
        return s.note_differences(found, pool_->clock());
    };
    return change<std::vector<difference>>(std::move(work));
}

awaitable<outcome<bool>> stored_archive::settle_differences(difference::kind what,
                                                            std::vector<breach_key> keys)
{
    auto work = [what, keys = std::move(keys)](any_store& s) { return s.settle_differences(what, keys); };
    return change<bool>(std::move(work));
}

awaitable<outcome<std::vector<difference>>> stored_archive::differences(std::size_t max_count)
{
    auto work = [max_count](any_store& s) { return s.differences(max_count); };
    return run<std::vector<difference>>(std::move(work));
}

awaitable<outcome<std::vector<window_counts>>> stored_archive::windows(std::size_t max_count)
{
    auto work = [max_count](any_store& s) { return s.windows(max_count); };
    return run<std::vector<window_counts>>(std::move(work));
}

awaitable<outcome<retention_result>> stored_archive::prune(retention_order order)
{
    // One job per step: polls and deliveries of this master go on in between.
    retention_result result;
    auto now = pool_->clock();
    auto start = [order, now](any_store& s) {
        bool needed = s.has_to_prune(order, now);
        if (needed)
            s.start_prune();
        return needed;
    };
    auto more = co_await change<bool>(std::move(start));
    if (!more)
        co_return more.error();
    if (!*more)
        co_return result;
    while (*more)
    {
        auto step = [order, now](any_store& s) {
            prune_progress p;
            p.more = s.prune_step(order, now, p.result);
            return p;
        };
        auto progress = co_await change<prune_progress>(std::move(step));
        if (!progress)
            co_return progress.error();
        progress->add_to(result);
        *more = progress->more;
    }
    if (result.dropped > 0)
    {
        auto forget = [](any_store& s) {
            s.forget_dropped();
            return true;
        };
        auto forgotten = co_await change<bool>(std::move(forget));
        if (!forgotten)
            co_return forgotten.error();
    }
    do
    {
        auto shrink = [](any_store& s) { return s.shrink_step(); };
        more = co_await change<bool>(std::move(shrink));
        if (!more)
            co_return more.error();
    } while (*more);
    co_return result;
}

awaitable<outcome<archive_facts>> stored_archive::facts()
{
    auto work = [](any_store& s) {
        if (!s.may_write())
            s.refresh();
        return s.facts();
    };
    return run<archive_facts>(std::move(work));
}

std::int64_t stored_archive::last_seq() const
{
    std::lock_guard lock(store_->known().mutex);
    return store_->known().last_seq;
}

awaitable<outcome<bool>> stored_archive::close()
{
    auto work = [](any_store& s) {
        s.close();
        return true;
    };
    return run<bool>(std::move(work));
}

}  // namespace

}  // namespace dtbridge
