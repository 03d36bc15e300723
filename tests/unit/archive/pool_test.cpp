#include "archive/open_files.hpp"
#include "fixture.hpp"

using namespace dtbridge;
using test::archives;
using test::numbered;

BOOST_AUTO_TEST_SUITE(pool)

BOOST_AUTO_TEST_CASE(seventy_archives_share_sixty_four_files)
{
    archives a;
    std::vector<std::shared_ptr<archive>> all;
    for (int i = 0; i < 70; ++i)
    {
        all.push_back(a.open("m" + std::to_string(i)));
        BOOST_REQUIRE(a.pool.open_connections() <= 64u);
    }
    for (int round = 0; round < 2; ++round)
        for (std::size_t i = 0; i < all.size(); ++i)
        {
            a.must(all[i]->add(numbered(1 + 10 * round, 3)));
            BOOST_REQUIRE(a.pool.open_connections() <= 64u);
        }
    BOOST_TEST(a.pool.open_connections() == 64u);
    for (const auto& one : all)
    {
        BOOST_REQUIRE(a.must(one->scan(scan_order{})).breaches.size() == 6u);
        BOOST_REQUIRE(a.pool.open_connections() <= 64u);
    }
    all.clear();
    BOOST_TEST(a.pool.open_connections() == 0u);
}

namespace
{

awaitable<bool> fill(std::shared_ptr<archive> to, int rounds)
{
    for (int i = 0; i < rounds; ++i)
    {
        auto block = numbered(1 + 5 * i, 5);
        auto done = co_await to->add(std::move(block));
        if (!done || done->keys.size() != 5)
            co_return false;
        auto first = to->last_seq() - 5;
        auto span = co_await to->read(first, 10, 10'000);
        if (!span || span->breaches.size() != 5)
            co_return false;
    }
    co_return true;
}

}  // namespace

DTBRIDGE_TEST_BOTH(many_at_once_each_in_order)
{
    archives a(kind);
    std::vector<std::shared_ptr<archive>> all;
    for (int i = 0; i < 66; ++i)
        all.push_back(a.open("m" + std::to_string(i)));
    int good = 0;
    for (const auto& one : all)
        boost::asio::co_spawn(a.ctx, fill(one, 3), [&](std::exception_ptr e, bool ok) { good += !e && ok; });
    a.ctx.restart();
    a.ctx.run_for(std::chrono::seconds(60));
    BOOST_TEST(good == 66);
    BOOST_TEST(a.pool.open_connections() <= 64u);
}

BOOST_AUTO_TEST_CASE(a_busy_file_is_not_closed)
{
    open_files files(2);
    auto one = std::make_shared<open_file>();
    auto two = std::make_shared<open_file>();
    auto three = std::make_shared<open_file>();
    std::unique_lock in_use(one->busy);
    files.use(one);
    files.use(two);
    std::unique_lock also(three->busy);
    files.use(three);  // two goes, though one was used longer ago
    BOOST_TEST(files.size() == 2u);
    files.close(one);
    files.close(two);
    BOOST_TEST(files.size() == 1u);
    files.close(three);
    BOOST_TEST(files.size() == 0u);
}

DTBRIDGE_TEST_BOTH(reader_beside_a_writer)
{
    archives a(kind);
    auto none = a.ask(archive::open_to_read(a.pool, "acme"));
    BOOST_REQUIRE(!none);
    BOOST_TEST((none.error().code == errc::not_found));
    BOOST_TEST(!std::filesystem::exists(a.dir / "masters/acme"));

    auto acme = a.open();
    a.must(acme->ensure_cursor("qradar", {"", 0}));
    a.must(acme->add(numbered(1, 3)));
    archive_pool other(a.workers.get_executor(), a.dir / "masters", a.database);
    auto reader = a.must(archive::open_to_read(other, "acme"));
    BOOST_TEST(reader->last_seq() == 3);
    a.must(acme->add(numbered(4, 2)));
    auto span = a.must(reader->read(0, 10, 10'000));
    BOOST_TEST(span.breaches.size() == 5u);
    BOOST_TEST(span.scanned_to == 5);
    BOOST_TEST(a.must(reader->cursors()).size() == 1u);
    BOOST_TEST(a.must(reader->facts()).breaches == 5);
    auto refused = a.ask(reader->add(numbered(9, 1)));
    BOOST_REQUIRE(!refused);
    BOOST_TEST((refused.error().code == errc::refused));
    confirmed_batch batch;
    batch.last_seq = 2;
    BOOST_TEST(!a.ask(reader->confirm("qradar", batch)));
    retention_order order;
    order.older_than = INT64_MAX;
    BOOST_TEST(!a.ask(reader->prune(order)));
    BOOST_TEST(a.must(acme->confirm("qradar", batch)));
    BOOST_TEST(a.must(reader->cursors())[0].seq == 2);
}

BOOST_AUTO_TEST_SUITE_END()
