/// archive-speed [breaches [bytes]]: breaches per CPU second of add() and read(), CPU of the whole process,
/// in blocks of 256 KiB. DTBRIDGE_SPEED_TEXT names a file of API answers: bodies are cut from it and their
/// longer numbers replaced, so that they repeat as much as real ones do; without it they are made of few
/// words and many random digits, which is hard on zstd.

#include <dtbridge/archive/archive.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <random>
#include <sstream>

#include "support/temp_dir.hpp"

using namespace dtbridge;

namespace
{

double cpu_seconds()
{
    rusage u{};
    ::getrusage(RUSAGE_SELF, &u);
    auto seconds = [](const timeval& t) {
        return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
    };
    return seconds(u.ru_utime) + seconds(u.ru_stime);
}

std::string sample_text()
{
    const char* path = std::getenv("DTBRIDGE_SPEED_TEXT");
    std::ifstream in(path ? path : "");
    std::stringstream out;
    out << in.rdbuf();
    return out.str();
}

std::string body(std::mt19937_64& random, std::int64_t pbid, std::size_t size)
{
    static constexpr const char* words[] = {"\"triggeredComponents\":[{\"time\":",
                                            "\"metric\":{\"mlid\":1,\"name\":",
                                            "\"device\":{\"did\":",
                                            "\"hostname\":\"workstation-",
                                            "\"cfType\":",
                                            "\"arguments\":{\"value\":",
                                            "\"comparatorType\":\"matches\","};
    static const std::string sample = sample_text();
    std::string b = "{\"pbid\":" + std::to_string(pbid);
    if (!sample.empty())
    {
        auto at = sample.find('{', random() % sample.size());
        while (b.size() < size)
            b += at < sample.size() ? sample[at++] : sample[at = 0];
        for (std::size_t i = 0; i < b.size(); ++i)
        {
            auto end = b.find_first_not_of("0123456789", i);
            end = std::min(end, b.size());
            if (end - i > 7)
                for (auto k = i + 6; k < end; ++k)
                    b[k] = static_cast<char>('0' + random() % 10);
            i = std::max(i, end);
        }
        return b;
    }
    while (b.size() < size)
    {
        b += ',';
        b += words[random() % 7];
        b += std::to_string(random() % 100'000'000);
    }
    return b + "}";
}

struct measure
{
    measure() : cpu(cpu_seconds()), wall(std::chrono::steady_clock::now()) {}
    void print(const char* what, std::int64_t n) const
    {
        double used = cpu_seconds() - cpu;
        double passed = std::chrono::duration<double>(std::chrono::steady_clock::now() - wall).count();
        std::printf("%-24s %8lld breaches  %7.0f per CPU second  %5.2f us CPU each  %6.3f s wall\n",
                    what,
                    static_cast<long long>(n),
                    static_cast<double>(n) / used,
                    used * 1e6 / static_cast<double>(n),
                    passed);
    }
    double cpu;
    std::chrono::steady_clock::time_point wall;
};

awaitable<bool> read_all(std::shared_ptr<archive> from, const char* what)
{
    measure m;
    std::int64_t n = 0;
    for (std::int64_t at = 0; at < from->last_seq();)
    {
        auto span = co_await from->read(at, 256, 256 << 10);
        if (!span)
            co_return false;
        n += static_cast<std::int64_t>(span->breaches.size());
        at = span->scanned_to;
    }
    m.print(what, n);
    co_return true;
}

awaitable<bool> run(archive_pool& pool, std::int64_t count, std::size_t size)
{
    std::string master = "speed";
    std::string none;
    auto opened = co_await archive::open(pool, master, none);
    if (!opened)
        co_return false;
    auto store = *opened;
    std::mt19937_64 random(1);
    std::vector<archive_block> blocks;
    std::int64_t bytes = 0;
    for (std::int64_t pbid = 1; pbid <= count;)
    {
        archive_block b;
        std::vector<std::size_t> ends;
        while (pbid <= count && b.bytes.size() + size < 256 << 10)
        {
            b.bytes += body(random, pbid, size);
            ends.push_back(b.bytes.size());
            archive_element e;
            e.key = breach_key{pbid, 1'700'000'000'000 + pbid * 1000};
            e.time = e.key.created;
            b.elements.push_back(e);
            ++pbid;
        }
        for (std::size_t i = 0, from = 0; i < ends.size(); from = ends[i++])
            b.elements[i].body = std::string_view(b.bytes).substr(from, ends[i] - from);
        bytes += static_cast<std::int64_t>(b.bytes.size());
        blocks.push_back(std::move(b));
    }
    {
        measure m;
        for (auto& b : blocks)
        {
            auto done = co_await store->add(std::move(b));
            if (!done)
            {
                std::puts(done.error().detail.c_str());
                co_return false;
            }
        }
        m.print("add", count);
    }
    auto facts = co_await store->facts();
    if (!facts)
        co_return false;
    std::printf("%.1f MB of bodies, %.1f MB on disk\n",
                static_cast<double>(bytes) / 1e6,
                static_cast<double>(facts->bytes) / 1e6);
    auto closed = co_await store->close();
    if (!closed)
        co_return false;
    auto read = co_await read_all(store, "read from disk");
    co_return read;
}

awaitable<bool> just_added(archive_pool& pool, std::size_t size)
{
    std::string master = "memory";
    std::string none;
    auto opened = co_await archive::open(pool, master, none);
    if (!opened)
        co_return false;
    auto store = *opened;
    archive_block b;
    std::mt19937_64 random(2);
    std::vector<std::size_t> ends;
    for (std::int64_t pbid = 1; pbid <= 150; ++pbid)
    {
        b.bytes += body(random, pbid, size);
        ends.push_back(b.bytes.size());
        archive_element e;
        e.key = breach_key{pbid, pbid};
        b.elements.push_back(e);
    }
    for (std::size_t i = 0, from = 0; i < ends.size(); from = ends[i++])
        b.elements[i].body = std::string_view(b.bytes).substr(from, ends[i] - from);
    auto done = co_await store->add(std::move(b));
    if (!done)
        co_return false;
    measure m;
    std::int64_t n = 0;
    for (int round = 0; round < 1000; ++round)
    {
        auto span = co_await store->read(0, 150, 1 << 20);
        if (!span)
            co_return false;
        n += static_cast<std::int64_t>(span->breaches.size());
    }
    m.print("read from memory", n);
    co_return true;
}

}  // namespace

int main(int argc, char** argv)
{
    std::int64_t count = argc > 1 ? std::atoll(argv[1]) : 10'000;
    auto size = static_cast<std::size_t>(argc > 2 ? std::atoll(argv[2]) : 5000);
    test::temp_dir dir;
    asio::io_context ctx;
    asio::thread_pool workers(2);
    bool good = true;
    {
        archive_pool pool(workers.get_executor(), dir.path());
        auto note = [&](std::exception_ptr e, bool ok) { good = good && !e && ok; };
        asio::co_spawn(ctx, run(pool, count, size), note);
        ctx.run();
        ctx.restart();
        asio::co_spawn(ctx, just_added(pool, size), note);
        ctx.run();
    }
    workers.join();
    return good ? 0 : 1;
}
