#include <random>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/test/unit_test.hpp>

#include "app/retention.hpp"
#include "support/run_coro.hpp"
#include "support/temp_dir.hpp"

namespace
{

using namespace dtbridge;
using namespace std::chrono_literals;
constexpr std::int64_t day = 24 * 3'600'000;

/// Archives of real files whose clock the test sets. Destination "siem" has passed nothing, "lake"
/// everything.
class stage
{
public:
    stage() : pool_(worker_.get_executor(), folder_ / "masters", [this] { return clock_; }) {}
    ~stage()
    {
        for (auto& a : archives_)
            run(a->close());
        archives_.clear();
        worker_.join();
    }

    template <class T>
    T run(asio::awaitable<T> task)
    {
        return test::run_coro(io_, std::move(task), 30s);
    }

    /// An archive with one block of breaches, archived at this time.
    std::shared_ptr<archive> add(const std::string& master, int breaches, std::int64_t archived)
    {
        clock_ = archived;
        auto opened = run(archive::open(pool_, master, ""));
        BOOST_REQUIRE(opened.has_value());
        archive_block block;
        std::vector<std::size_t> at;
        for (int i = 0; i < breaches; ++i)
        {
            at.push_back(block.bytes.size());
            block.bytes += R"({"pbid":)" + std::to_string(i) + "}";
        }
        at.push_back(block.bytes.size());
        for (int i = 0; i < breaches; ++i)
        {
            archive_element e;
            e.key = {i, 1};
            const auto from = at[static_cast<std::size_t>(i)];
            e.body = std::string_view(block.bytes).substr(from, at[static_cast<std::size_t>(i) + 1] - from);
            block.elements.push_back(e);
        }
        BOOST_REQUIRE(run((*opened)->add(std::move(block))).has_value());
        BOOST_REQUIRE(run((*opened)->ensure_cursor("siem", {"", 0})).has_value());
        BOOST_REQUIRE(run((*opened)->ensure_cursor("lake", {"", (*opened)->last_seq()})).has_value());
        archives_.push_back(*opened);
        return *opened;
    }

    /// So many more breaches of 256 KiB that do not compress well, each in a block of its own.
    void grow(const std::shared_ptr<archive>& a, int breaches)
    {
        for (int i = 0; i < breaches; ++i)
        {
            archive_block block;
            block.bytes = R"({"pbid":)" + std::to_string(++grown_) + R"(,"a":")";
            while (block.bytes.size() < (256u << 10))
                block.bytes += static_cast<char>('a' + random_() % 26);
            block.bytes += "\"}";
            archive_element e;
            e.key = {grown_, 1};
            e.body = block.bytes;
            block.elements.push_back(e);
            BOOST_REQUIRE(run(a->add(std::move(block))).has_value());
        }
    }

    std::int64_t left(const std::shared_ptr<archive>& a)
    {
        auto facts = run(a->facts());
        BOOST_REQUIRE(facts.has_value());
        return facts->breaches;
    }

    app::retention_rules rules(std::vector<app::retention_rules::waiting> destinations)
    {
        app::retention_rules r;
        r.archive.retention = 90 * 24h;
        r.archive.min_free = 0;
        r.state_dir = folder_.path();
        r.destinations = std::move(destinations);
        for (auto& d : r.destinations)
        {
            if (d.masters.empty())
                d.masters = {"acme", "behind", "passed"};
        }
        return r;
    }

    app::retention_report keep(app::retention_rules r, std::int64_t now)
    {
        return run(app::keep_retention(archives_, std::move(r), now));
    }

private:
    test::temp_dir folder_;
    asio::thread_pool worker_{2};
    asio::io_context io_{1};
    std::int64_t clock_ = 0, grown_ = 1000;
    std::mt19937 random_{1};
    archive_pool pool_;
    std::vector<std::shared_ptr<archive>> archives_;
};

using lost = std::vector<std::pair<std::string, std::int64_t>>;

}  // namespace

BOOST_AUTO_TEST_CASE(what_everyone_has_goes_after_retention)
{
    stage s;
    const auto a = s.add("acme", 5, 1000 * day);
    auto young = s.keep(s.rules({{"lake", {}, {}}}), 1089 * day);
    BOOST_TEST(young.dropped == 0);
    BOOST_TEST(s.left(a) == 5);
    const auto old = s.keep(s.rules({{"lake", {}, {}}}), 1091 * day);
    BOOST_TEST(old.dropped == 5);
    BOOST_TEST(old.lost.empty());  // "siem" is orphaned here: nobody's loss
    BOOST_TEST(s.left(a) == 0);
}

BOOST_AUTO_TEST_CASE(retention_waits_for_a_destination_as_long_as_its_hold)
{
    stage s;
    const auto a = s.add("acme", 5, 1000 * day);
    BOOST_TEST(s.keep(s.rules({{"siem", {}, {}}, {"lake", {}, {}}}), 2000 * day).dropped == 0);
    BOOST_TEST(s.keep(s.rules({{"siem", 30 * 24h, {}}, {"lake", {}, {}}}), 1119 * day).dropped == 0);
    BOOST_TEST(s.left(a) == 5);
    const auto r = s.keep(s.rules({{"siem", 30 * 24h, {}}, {"lake", {}, {}}}), 1121 * day);
    BOOST_TEST(r.dropped == 5);
    BOOST_TEST((r.lost == lost{{"siem", 5}}));
}

BOOST_AUTO_TEST_CASE(retention_waits_for_no_destination_that_does_not_get_this_master)
{
    stage s;
    const auto a = s.add("acme", 5, 1000 * day);
    const auto r = s.keep(s.rules({{"siem", {}, {"globex"}}, {"lake", {}, {}}}), 1091 * day);
    BOOST_TEST(r.dropped == 5);
    BOOST_TEST(r.lost.empty());
    BOOST_TEST(s.left(a) == 0);
}

BOOST_AUTO_TEST_CASE(retention_waits_for_every_destination_that_is_configured_whether_it_runs_or_not)
{
    stage s;
    const auto a = s.add("acme", 5, 1000 * day);
    config::configuration c;
    auto& d = c.destinations.emplace_back().options;
    d.masters = {"acme"};
    d.hold = 30 * 24h;
    const auto keep = [&](std::int64_t now) {
        auto r = s.rules(app::retention_rules_of(c).destinations);
        return s.keep(std::move(r), now);
    };
    // Its cursor has the old name until it starts, and is its own.
    d.name = "renamed";
    d.formerly = "siem";
    BOOST_TEST(keep(1119 * day).dropped == 0);
    // It has no cursor until it starts.
    d.name = "new";
    d.formerly.clear();
    BOOST_TEST(keep(1119 * day).dropped == 0);
    BOOST_TEST(s.left(a) == 5);
    d.name = "renamed";
    d.formerly = "siem";
    const auto late = keep(1121 * day);
    BOOST_TEST(late.dropped == 5);
    BOOST_TEST((late.lost == lost{{"renamed", 5}}));
}

BOOST_AUTO_TEST_CASE(a_pass_that_gives_way_drops_nothing_more_and_tells_what_it_dropped)
{
    stage s;
    s.add("behind", 5, 1000 * day);
    const auto passed = s.add("passed", 5, 1000 * day);
    auto r = s.rules({{"lake", {}, {}}});
    int asked = 0;
    r.give_way = [&asked] { return ++asked > 1; };
    const auto report = s.keep(r, 1091 * day);
    BOOST_TEST(report.gave_way);
    BOOST_TEST(report.dropped == 5);
    BOOST_TEST(s.left(passed) == 5);
}

BOOST_AUTO_TEST_CASE(a_full_archive_drops_delivered_breaches_first)
{
    stage s;
    const auto behind = s.add("behind", 5, 1000 * day);  // the older one, but "siem" lacks it
    const auto passed = s.add("passed", 5, 1001 * day);
    confirmed_batch batch;
    batch.first_seq = 1;
    batch.last_seq = passed->last_seq();
    BOOST_REQUIRE(s.run(passed->confirm("siem", batch)).has_value());
    auto r = s.rules({{"siem", {}, {}}, {"lake", {}, {}}});
    r.archive.max_size = 1;
    r.archive.pause_when_full = true;
    const auto paused = s.keep(r, 1002 * day);
    BOOST_TEST(s.left(passed) == 0);
    BOOST_TEST(s.left(behind) == 5);
    BOOST_TEST(paused.lost.empty());
    BOOST_TEST(paused.full);

    r.archive.pause_when_full = false;
    const auto dropped = s.keep(r, 1002 * day);
    BOOST_TEST(s.left(behind) == 0);
    BOOST_TEST((dropped.lost == lost{{"siem", 5}}));
}

BOOST_AUTO_TEST_CASE(too_little_free_space_counts_as_full)
{
    stage s;
    const auto a = s.add("acme", 5, 1000 * day);
    auto r = s.rules({{"lake", {}, {}}});
    r.archive.min_free = std::uint64_t{1} << 60;
    const auto report = s.keep(r, 1001 * day);
    BOOST_TEST(report.full);
    BOOST_TEST(s.left(a) == 0);
    BOOST_TEST(app::free_bytes("/nonexistent/folder") == -1);
}

BOOST_AUTO_TEST_CASE(an_archive_over_its_bound_is_brought_a_twentieth_below)
{
    stage s;
    const auto a = s.add("acme", 1, 1000 * day);
    s.grow(a, 130);
    auto r = s.rules({{"lake", {}, {}}});
    r.archive.max_size = 16u << 20;
    const auto report = s.keep(r, 1001 * day);
    const auto bound = static_cast<std::int64_t>(r.archive.max_size);
    BOOST_TEST(!report.full);
    // The write-ahead log may hold a few pages more.
    BOOST_TEST(report.bytes < bound - bound / 40);
    BOOST_TEST(report.bytes > bound / 2);
    BOOST_TEST(s.left(a) < 131);

    // A little more is still within the bound: nothing goes.
    s.grow(a, 1);
    BOOST_TEST(s.keep(r, 1001 * day).dropped == 0);
}
