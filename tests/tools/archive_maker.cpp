/// archive-maker --folder STATE/masters --master M --count N [--days D] [--end MS] [--seed S]
/// [--acknowledge K]: an archive as the service makes it, filled with the simulated master's breaches through
/// the archive library. Breaches lie over D days before MS with a daily and a weekly rhythm. Of one in K a
/// sweep saw later that it was acknowledged. Prints breaches per second.

#include <dtbridge/archive/archive.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/program_options.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <vector>

#include "generator.hpp"

using namespace dtbridge;

namespace
{

constexpr std::int64_t hour = 3600000;
constexpr std::int64_t one_day = 24 * hour;
constexpr std::int64_t friday_1970 = 1;  // the first day was a Thursday

struct order
{
    std::string folder, master;
    std::int64_t count = 0, days = 30, end = 0, acknowledge = 0;
    std::uint64_t seed = 1;
};

/// When each breach comes: hours in shares of a working day and of a weekend.
class rhythm
{
public:
    explicit rhythm(const order& o) : start_(o.end - o.days * one_day), count_(o.count)
    {
        double sum = 0;
        for (std::int64_t h = 0; h < o.days * 24; ++h)
        {
            const auto at = start_ + h * hour;
            const auto weekday = (at / one_day + 7 - friday_1970) % 7;  // 0 is Friday, 1 and 2 the weekend
            const auto clock = at / hour % 24;
            double share = clock >= 7 && clock < 18 ? 2.0 : 0.7;
            if (weekday == 1 || weekday == 2)
                share = 0.5;
            share *= 0.75 + 0.5 * static_cast<double>((at / one_day * 7919) % 101) / 100;
            ends_.push_back(sum += share);
        }
    }
    std::int64_t of(std::int64_t i) const
    {
        const double wanted = ends_.back() * (static_cast<double>(i) + 0.5) / static_cast<double>(count_);
        const auto at = std::lower_bound(ends_.begin(), ends_.end(), wanted);
        const auto before = at == ends_.begin() ? 0 : *std::prev(at);
        const auto part = (wanted - before) / (*at - before);
        return start_ + (at - ends_.begin()) * hour + static_cast<std::int64_t>(part * hour);
    }

private:
    std::int64_t start_, count_;
    std::vector<double> ends_;
};

awaitable<std::string> fill(archive_pool& pool, order o, std::atomic<std::int64_t>& clock)
{
    std::string none;
    auto opened = co_await archive::open(pool, o.master, none);
    if (!opened)
        co_return opened.error().detail;
    auto store = *opened;
    const simulator::generator make(o.seed, 100000);
    const rhythm times(o);
    for (std::int64_t i = 0; i < o.count;)
    {
        archive_block block;
        std::vector<std::size_t> ends;
        std::vector<archive_element> elements;
        std::vector<std::pair<breach_key, std::int64_t>> later;
        while (i < o.count && block.bytes.size() < 2u << 20)
        {
            const auto t = make.of(static_cast<std::uint64_t>(i));
            const auto created = times.of(i);
            make.write(static_cast<std::uint64_t>(i), created, created - t.lag, block.bytes);
            ends.push_back(block.bytes.size());
            archive_element e;
            e.key = breach_key{t.pbid, created};
            e.time = created - t.lag;
            e.acknowledged = t.acknowledged;
            elements.push_back(e);
            if (o.acknowledge > 0 && i % o.acknowledge == 0 && !t.acknowledged)
                later.emplace_back(e.key, created + (1 + t.pbid % 90) * 300000);
            ++i;
        }
        for (std::size_t k = 0, from = 0; k < ends.size(); from = ends[k++])
            elements[k].body = std::string_view(block.bytes).substr(from, ends[k] - from);
        block.elements = std::move(elements);
        clock = block.elements.back().key.created;
        auto done = co_await store->add(std::move(block));
        if (!done)
            co_return done.error().detail;
        for (const auto& [key, at] : later)
        {
            clock = at;
            shown_state acknowledged;
            acknowledged.key = key;
            acknowledged.acknowledged = true;
            std::vector<shown_state> one(1, acknowledged);
            auto noted = co_await store->note_states(std::move(one));
            if (!noted)
                co_return noted.error().detail;
        }
    }
    auto closed = co_await store->close();
    co_return closed ? "" : closed.error().detail;
}

}  // namespace

int main(int argc, char** argv)
{
    namespace po = boost::program_options;
    order o;
    po::options_description options;
    options.add_options()("folder", po::value(&o.folder)->required())(
        "master", po::value(&o.master)->required())("count", po::value(&o.count)->required())(
        "days", po::value(&o.days))("end", po::value(&o.end)->required())("seed", po::value(&o.seed))(
        "acknowledge", po::value(&o.acknowledge));
    try
    {
        po::variables_map said;
        po::store(po::parse_command_line(argc, argv, options), said);
        po::notify(said);
    }
    catch (const po::error& e)
    {
        std::cerr << e.what() << '\n';
        return 2;
    }
    asio::io_context ctx;
    asio::thread_pool workers(2);
    std::atomic<std::int64_t> clock{0};
    std::string wrong = "it ended early";
    const auto start = std::chrono::steady_clock::now();
    {
        archive_pool pool(workers.get_executor(), o.folder, [&clock] { return clock.load(); });
        asio::co_spawn(ctx, fill(pool, o, clock), [&](std::exception_ptr e, std::string words) {
            if (!e)
                wrong = std::move(words);
        });
        ctx.run();
    }
    workers.join();
    if (!wrong.empty())
        std::cerr << wrong << '\n';
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    std::printf("%lld breaches in %.1f s\n", static_cast<long long>(o.count), seconds);
    return wrong.empty() ? 0 : 1;
}
