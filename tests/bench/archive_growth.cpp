/// bench-archive FOLDER ROWS [BYTES]: fills one archive through its own append, and at 1,000, 10,000, .. ROWS
/// breaches measures what the next ones cost, what reading on from the beginning costs, and what looking up
/// keys costs. Prints a JSON object a line: {"rows", "append_us", "read_us", "known_us", "unknown_us",
/// "peak_mib", "disk_mib"}, CPU of the process per breach.

#include <dtbridge/archive/archive.hpp>

#include <sys/resource.h>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <vector>

#include "generator.hpp"
#include "sized.hpp"

using namespace dtbridge;

namespace
{

constexpr std::int64_t some_day = 1'700'000'000'000;
constexpr std::int64_t measured = 4000;  // breaches of one figure
constexpr std::size_t block_bytes = 256u << 10;

double cpu_us()
{
    rusage u{};
    ::getrusage(RUSAGE_SELF, &u);
    const auto us = [](const timeval& t) {
        return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_usec);
    };
    return us(u.ru_utime) + us(u.ru_stime);
}

double peak_mib()
{
    rusage u{};
    ::getrusage(RUSAGE_SELF, &u);
    return static_cast<double>(u.ru_maxrss) / 1024;
}

breach_key key_of(std::int64_t n)
{
    return breach_key{1'000'000 + n, some_day + n * 500};
}

class growing
{
public:
    growing(const std::string& folder, std::size_t bytes) : pool_(workers_.get_executor(), folder)
    {
        const simulator::generator make(7, 1'000'000);
        const auto text = [&make](std::uint64_t i) {
            std::string out;
            make.write(i, some_day, some_day - 5000, out);
            return out;
        };
        for (std::uint64_t i = 0; i < 512; ++i)
        {
            auto body = text(i);
            bodies_.push_back(
                simulator::sized(body, bytes, [&](unsigned k) { return text(10'000 + 64 * i + k); }));
        }
        std::string master = "bench";
        std::string none;
        auto opened = run(archive::open(pool_, std::move(master), std::move(none)));
        if (!opened)
            throw std::runtime_error(opened.error().detail);
        store_ = *opened;
    }
    ~growing()
    {
        run(store_->close());
        store_.reset();
        workers_.join();
    }
    growing(const growing&) = delete;
    growing& operator=(const growing&) = delete;

    void append(std::int64_t count)
    {
        while (count > 0)
        {
            archive_block b;
            std::vector<std::size_t> ends;
            for (; count > 0 && b.bytes.size() < block_bytes; --count)
            {
                b.bytes += bodies_[static_cast<std::size_t>(rows_) % bodies_.size()];
                ends.push_back(b.bytes.size());
                archive_element e;
                e.key = key_of(rows_++);
                e.time = e.key.created;
                b.elements.push_back(e);
            }
            for (std::size_t i = 0, from = 0; i < ends.size(); from = ends[i++])
                b.elements[i].body = std::string_view(b.bytes).substr(from, ends[i] - from);
            const auto offered = b.elements.size();
            auto done = run(store_->add(std::move(b)));
            if (!done || done->keys.size() != offered)
                throw std::runtime_error(done ? "a breach was there before" : done.error().detail);
        }
    }
    void read(std::int64_t after, std::int64_t count)
    {
        for (std::int64_t got = 0; got < count;)
        {
            auto span = run(store_->read(after, 128, block_bytes));
            if (!span || span->breaches.empty())
                throw std::runtime_error("the archive cannot be read");
            got += static_cast<std::int64_t>(span->breaches.size());
            after = span->scanned_to;
        }
    }
    /// first: of the keys asked for; how many of them are missing must be as expected.
    void look_up(std::int64_t first, std::int64_t step, std::size_t missing)
    {
        std::vector<breach_key> keys;
        for (std::int64_t i = 0; i < measured; ++i)
            keys.push_back(key_of(first + i * step));
        auto found = run(store_->missing(std::move(keys)));
        if (!found || found->size() != missing)
            throw std::runtime_error("keys are not looked up right");
    }
    std::int64_t rows() const { return rows_; }
    double disk_mib()
    {
        auto facts = run(store_->facts());
        return facts ? static_cast<double>(facts->bytes) / (1 << 20) : 0;
    }

private:
    template <class T>
    T run(awaitable<T> task)
    {
        std::optional<T> answer;
        asio::co_spawn(ctx_, std::move(task), [&answer](std::exception_ptr e, T value) {
            if (e)
                std::rethrow_exception(e);
            answer = std::move(value);
        });
        ctx_.restart();
        ctx_.run();
        return std::move(*answer);
    }

    asio::io_context ctx_;
    asio::thread_pool workers_{1};
    archive_pool pool_;
    std::shared_ptr<archive> store_;
    std::vector<std::string> bodies_;
    std::int64_t rows_ = 0;
};

template <class F>
double us_each(F what)
{
    // The median of three: one checkpoint of the write-ahead log more or less is no trend.
    double took[3];
    for (double& t : took)
    {
        const double before = cpu_us();
        what();
        t = (cpu_us() - before) / static_cast<double>(measured);
    }
    std::sort(std::begin(took), std::end(took));
    return took[1];
}

void grow(const std::string& folder, std::int64_t rows, std::size_t bytes)
{
    growing a(folder, bytes);
    for (std::int64_t at = 1000; at <= rows; at *= 10)
    {
        a.append(at - a.rows());
        const std::int64_t rows_then = a.rows();
        const double append = us_each([&a] { a.append(measured); });
        const double read = us_each([&a] { a.read(0, measured); });
        // Spread over everything that is there, so that nothing is recent.
        const std::int64_t step = std::max<std::int64_t>(1, a.rows() / measured);
        const double known = us_each([&a, step] { a.look_up(0, step, 0); });
        const double unknown = us_each([&a] { a.look_up(a.rows(), 1, static_cast<std::size_t>(measured)); });
        std::printf(
            "{\"rows\":%lld,\"append_us\":%.3f,\"read_us\":%.3f,\"known_us\":%.3f,\"unknown_us\":%.3f,"
            "\"peak_mib\":%.1f,\"disk_mib\":%.1f}\n",
            static_cast<long long>(rows_then),
            append,
            read,
            known,
            unknown,
            peak_mib(),
            a.disk_mib());
        std::fflush(stdout);
    }
}

}  // namespace

int main(int argc, char** argv)
{
    if (argc < 3)
    {
        std::fputs("bench-archive FOLDER ROWS [BYTES]\n", stderr);
        return 2;
    }
    try
    {
        grow(argv[1], std::atoll(argv[2]), argc > 3 ? static_cast<std::size_t>(std::atoll(argv[3])) : 5000);
    }
    catch (const std::exception& e)
    {
        std::fprintf(stderr, "bench-archive: %s\n", e.what());
        return 1;
    }
    return 0;
}
