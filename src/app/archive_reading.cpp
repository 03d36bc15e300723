#include "app/archive_reading.hpp"

#include <algorithm>
#include <future>
#include <iostream>
#include <queue>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_future.hpp>

#include <dtbridge/archive/later_states.hpp>
#include <dtbridge/core/text.hpp>
#include <dtbridge/core/time.hpp>

#include "app/progress_view.hpp"

namespace dtbridge::app
{

namespace
{

constexpr std::size_t piece_count = 4096;
constexpr std::size_t piece_bytes = 4u << 20;
constexpr std::size_t merged_bytes = 32u << 20, least_bytes = 64u << 10;
constexpr std::size_t most_open = 32;  // files of masters that are read side by side

std::string folder_of(const std::string& state_dir)
{
    return state_dir + "/masters";
}

template <class T>
T taken(outcome<T> got)
{
    if (!got)
        throw action_error(got.error().detail);
    return std::move(*got);
}

std::vector<std::string> names_of_archives(const config::configuration& c)
{
    asio::thread_pool worker(1);
    archive_pool pool(worker.get_executor(), folder_of(c.service.state_dir), c.archive.database);
    return taken(asio::co_spawn(worker, archive::names(pool), asio::use_future).get());
}

/// One master's archive from the oldest breach to the newest there was at first.
class archive_stream
{
public:
    archive_stream(asio::any_io_executor worker,
                   archive_pool& pool,
                   const std::string& master,
                   scan_order order)
        : worker_(std::move(worker)), order_(order)
    {
        archive_ =
            taken(asio::co_spawn(worker_, archive::open_to_read(pool, master), asio::use_future).get());
        const auto facts = taken(asio::co_spawn(worker_, archive_->facts(), asio::use_future).get());
        first_ = facts.oldest_seq;
        last_ = facts.last_seq;
        ask();
    }
    ~archive_stream()
    {
        if (coming_.valid())
            coming_.wait();
    }
    archive_stream(const archive_stream&) = delete;
    archive_stream& operator=(const archive_stream&) = delete;

    /// The next breaches, nothing at the end; valid until the next call.
    const archive_span* next()
    {
        if (!coming_.valid())
            return nullptr;
        here_ = taken(coming_.get());
        auto& found = here_.breaches;
        // What a service adds meanwhile would keep a slow reader busy for ever.
        while (!found.empty() && found.back().seq > last_)
            found.pop_back();
        if (found.empty())
            return nullptr;
        order_.after_seq = here_.scanned_to;
        if (order_.after_seq < last_)
            ask();
        return &here_;
    }

    /// How much of the archive lies before seq, 0 to 1.
    double part(std::int64_t seq) const
    {
        return last_ < first_
                   ? 1
                   : static_cast<double>(seq - first_ + 1) / static_cast<double>(last_ - first_ + 1);
    }

private:
    void ask() { coming_ = asio::co_spawn(worker_, archive_->scan(order_), asio::use_future); }

    asio::any_io_executor worker_;
    std::shared_ptr<archive> archive_;
    scan_order order_;
    std::int64_t first_ = 0, last_ = 0;
    std::future<outcome<archive_span>> coming_;
    archive_span here_;
};

/// "reading acme: 123,456 breaches, 12 %".
class progress
{
public:
    explicit progress(const reading& what) : what_(what), shown_(what.quiet ? nullptr : new progress_view) {}

    /// all: how much of everything is read, 0 to 1.
    void show(const std::string& of, double all, std::int64_t count)
    {
        if (!shown_ || !shown_->visible())
            return;
        const auto seconds = static_cast<double>(now_ms() - start_) / 1000;
        std::string line = what_.what + ' ' + of + ": " + std::to_string(static_cast<int>(100 * all)) +
                           " %, " + std::to_string(count) + " breaches";
        if (seconds > 1)
            line += ", " + std::to_string(static_cast<std::int64_t>(static_cast<double>(count) / seconds)) +
                    " a second";
        shown_->show(line);
    }
    void clear()
    {
        if (shown_)
            shown_->clear();
    }

private:
    const reading& what_;
    std::unique_ptr<progress_view> shown_;
    const std::int64_t start_ = now_ms();
};

/// When breaches were first shown as acknowledged by a sweep, asked for in order of seq.
class acknowledgements
{
public:
    acknowledgements(const reading& what, const std::string& master)
        : folder_(folder_of(what.state_dir)),
          database_(what.database),
          master_(master),
          wanted_(what.with_changes),
          stays_open_(!what.by_arrival || what.masters.size() <= most_open)
    {}
    /// What belongs to these breaches.
    void read(const archive_span& span)
    {
        changes_.clear();
        if (wanted_)
        {
            if (!states_)
                states_ = taken(later_states::open(folder_, master_, database_));
            changes_ = taken(states_->between(span.breaches.front().seq, span.breaches.back().seq));
            if (!stays_open_)
                states_.reset();
        }
        at_ = changes_.begin();
    }
    std::optional<std::int64_t> of(std::int64_t seq)
    {
        while (at_ != changes_.end() && at_->first < seq)
            ++at_;
        for (; at_ != changes_.end() && at_->first == seq; ++at_)
            if (at_->second.acknowledged)
                return at_->second.acknowledged_at.value_or(at_->second.at);
        return {};
    }

private:
    std::string folder_;
    archive_database database_;
    std::string master_;
    bool wanted_, stays_open_;
    std::unique_ptr<later_states> states_;
    std::vector<std::pair<std::int64_t, state_change>> changes_;
    std::vector<std::pair<std::int64_t, state_change>>::const_iterator at_ = changes_.begin();
};

using taker = std::function<bool(const read_breach&)>;

/// One master after the other.
void read_in_turn(const reading& what,
                  const scan_order& order,
                  asio::thread_pool& workers,
                  archive_pool& pool,
                  progress& shown,
                  const taker& each)
{
    std::int64_t count = 0;
    const auto masters = static_cast<double>(what.masters.size());
    for (std::size_t i = 0; i < what.masters.size(); ++i)
    {
        archive_stream stream(workers.get_executor(), pool, what.masters[i], order);
        acknowledgements acknowledged(what, what.masters[i]);
        while (const auto* span = stream.next())
        {
            acknowledged.read(*span);
            for (const auto& b : span->breaches)
                if (!each(read_breach{what.masters[i], b, acknowledged.of(b.seq)}))
                    return;
            count += static_cast<std::int64_t>(span->breaches.size());
            shown.show(what.masters[i],
                       (static_cast<double>(i) + stream.part(span->breaches.back().seq)) / masters,
                       count);
        }
    }
}

/// All masters by the time of archiving, and each in order of seq: the order in which the service saw them.
void read_merged(const reading& what,
                 const scan_order& order,
                 asio::thread_pool& workers,
                 archive_pool& pool,
                 progress& shown,
                 const taker& each)
{
    struct source
    {
        source(const reading& what, std::size_t i, asio::any_io_executor ex, archive_pool& p, scan_order o)
            : master(i), stream(std::move(ex), p, what.masters[i], o), acknowledged(what, what.masters[i])
        {
            step();
        }
        const archived_breach* head() const { return span == nullptr ? nullptr : &span->breaches[at]; }
        void step()
        {
            if (span != nullptr && ++at < span->breaches.size())
                return;
            span = stream.next();
            at = 0;
            part = span == nullptr ? 1 : stream.part(span->breaches.back().seq);
            if (span != nullptr)
                acknowledged.read(*span);
        }
        std::size_t master;
        archive_stream stream;
        acknowledgements acknowledged;
        const archive_span* span = nullptr;
        std::size_t at = 0;
        double part = 0;
    };
    const auto later = [](const source* a, const source* b) {
        const auto x = a->head()->archived, y = b->head()->archived;
        return x != y ? x > y : a->master > b->master;
    };
    std::vector<std::unique_ptr<source>> all;
    std::priority_queue<source*, std::vector<source*>, decltype(later)> heads(later);
    double parts = 0;
    for (std::size_t i = 0; i < what.masters.size(); ++i)
    {
        all.push_back(std::make_unique<source>(what, i, workers.get_executor(), pool, order));
        parts += all.back()->part;
        if (all.back()->head() != nullptr)
            heads.push(all.back().get());
    }
    const auto all_of_them = std::to_string(what.masters.size()) + " masters";
    std::int64_t count = 0;
    while (!heads.empty())
    {
        auto* s = heads.top();
        heads.pop();
        const auto& b = *s->head();
        if (!each(read_breach{what.masters[s->master], b, s->acknowledged.of(b.seq)}))
            return;
        parts -= s->part;
        s->step();
        parts += s->part;
        if (s->head() != nullptr)
            heads.push(s);
        if (++count % 1024 == 0)
            shown.show(all_of_them, parts / static_cast<double>(what.masters.size()), count);
    }
}

}  // namespace

time_span read_time_span(const parsed& said, std::int64_t now)
{
    time_span span;
    const auto read = [&](const char* name, std::optional<std::int64_t>& out) {
        if (!said.has(name))
            return;
        out = parse_time_argument(said.get(name), now);
        if (!out)
            throw usage_error("--" + std::string(name) + ": found '" + text::printable(said.get(name), 60) +
                              "'; expected a time such as 2026-03-01, '2026-03-01 12:30', "
                              "2026-03-01T12:30:00Z, 10 or 13 digits of "
                              "epoch, -24h or now");
    };
    read("from", span.from);
    read("to", span.to);
    if (span.from && span.to && *span.from >= *span.to)
        throw usage_error("--from is not before --to");
    return span;
}

std::vector<std::string> archives_to_read(const config::configuration& c, const std::string& master)
{
    const auto& state_dir = c.service.state_dir;
    const auto there = names_of_archives(c);
    const auto has_archive = [&](const std::string& name) {
        return std::find(there.begin(), there.end(), name) != there.end();
    };
    const auto configured = [&](const std::string& name) {
        return std::any_of(c.masters.begin(), c.masters.end(), [&](const auto& m) { return m.name == name; });
    };
    if (!master.empty())
    {
        const bool is_folder = master.find('/') == std::string::npos && master.front() != '.';
        if (!is_folder || (!configured(master) && !has_archive(master)))
        {
            std::string known;
            for (const auto& m : c.masters)
                known += (known.empty() ? "" : ", ") + m.name;
            throw usage_error("no master is named '" + text::printable(master, 63) + "', and " + state_dir +
                              " has no archive of one; there " +
                              (known.empty() ? "is none" : "are: " + known));
        }
        return {master};
    }
    std::vector<std::string> names;
    for (const auto& m : c.masters)
        if (has_archive(m.name))
            names.push_back(m.name);
    if (names.empty())
        throw action_error(folder_of(state_dir) +
                           ": no master has an archive yet; the service makes it at its first poll");
    return names;
}

void read_archives(const reading& what, const std::function<bool(const read_breach&)>& each)
{
    const bool merged = what.by_arrival && what.masters.size() > 1;
    scan_order order;
    order.max_count = piece_count;
    // Merged, every archive has two pieces in memory.
    order.max_bytes =
        merged ? std::clamp(merged_bytes / (2 * what.masters.size()), least_bytes, piece_bytes) : piece_bytes;
    if (what.span.from)
        order.created_from = *what.span.from;
    if (what.span.to)
        order.created_before = *what.span.to;
    asio::thread_pool workers(1);
    // Streams go before what they run on, also when something is thrown.
    {
        archive_pool pool(workers.get_executor(), folder_of(what.state_dir), what.database);
        progress shown(what);
        merged ? read_merged(what, order, workers, pool, shown, each)
               : read_in_turn(what, order, workers, pool, shown, each);
    }
    workers.join();
}

std::int64_t read_parsed(const reading& what,
                         const std::function<bool(const read_breach&, const breach&)>& each)
{
    breach b;
    std::int64_t broken = 0;
    read_archives(what, [&](const read_breach& r) {
        const auto key = b.read(r.archived.body);
        if (key)
            return each(r, b);
        ++broken;
        std::cerr << r.master << ", seq " << r.archived.seq << ", pbid " << r.archived.key.pbid << ": "
                  << key.error().detail << '\n';
        return true;
    });
    return broken;
}

}  // namespace dtbridge::app
