#include <malloc.h>

#include <dtbridge/db/connection.hpp>

#include "archive/recent.hpp"
#include "fixture.hpp"

using namespace dtbridge;
using test::archives;
using test::numbered;
using test::pbids;

namespace
{

std::shared_ptr<const added_block> block(std::int64_t first, std::size_t n, std::size_t bytes)
{
    auto b = std::make_shared<added_block>();
    b->first_seq = first;
    b->bytes.assign(bytes, 'x');
    for (std::size_t i = 0; i < n; ++i)
        b->entries.push_back(added_block::entry{breach_key{first + static_cast<std::int64_t>(i), 0}, i, 1});
    return b;
}

/// Bytes; 0 under a sanitizer, which has a heap of its own.
std::int64_t heap_in_use()
{
    const auto all = ::mallinfo2();
    return static_cast<std::int64_t>(all.uordblks + all.hblkhd);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(memory)

BOOST_AUTO_TEST_CASE(oldest_go_over_a_budget)
{
    auto all = std::make_shared<recent_blocks>(10'000, 24'000);
    recent_blocks::part a(all);
    recent_blocks::part b(all);
    recent_blocks::part c(all);
    for (std::int64_t i = 0; i < 5; ++i)
        a.add(block(1 + 2 * i, 2, 3000));
    BOOST_TEST(all->bytes() <= 10'000u);
    BOOST_TEST(!a.read(0, 10, 1000).has_value());
    auto newest = a.read(8, 10, 1000);
    BOOST_REQUIRE(newest.has_value());
    BOOST_TEST(pbids(*newest) == (std::vector<std::int64_t>{9, 10}), boost::test_tools::per_element());
    for (std::int64_t i = 0; i < 3; ++i)
    {
        b.add(block(1 + i, 1, 3000));
        c.add(block(1 + i, 1, 3000));
    }
    BOOST_TEST(all->bytes() <= 24'000u);
    BOOST_TEST(!a.read(6, 10, 1000).has_value());
    BOOST_TEST(c.read(0, 10, 1000).has_value());
    c.release(2);
    BOOST_TEST(!c.read(1, 10, 1000).has_value());
    BOOST_TEST(c.read(2, 10, 1000).has_value());
}

BOOST_AUTO_TEST_CASE(what_is_kept_reaches_to_the_newest)
{
    auto all = std::make_shared<recent_blocks>(10'000, 25'000);
    recent_blocks::part a(all);
    a.add(block(1, 2, 100));
    a.add(block(3, 1, 20'000));  // too big to keep
    BOOST_TEST(!a.read(0, 10, 1000).has_value());
    BOOST_TEST(all->bytes() == 0u);
    a.add(block(4, 1, 100));
    a.add(block(9, 1, 100));  // a gap, which cannot be
    BOOST_TEST(!a.read(3, 10, 1000).has_value());
    BOOST_TEST(a.read(8, 10, 1000).has_value());
}

BOOST_AUTO_TEST_CASE(a_span_outlives_what_memory_keeps)
{
    auto all = std::make_shared<recent_blocks>(10'000, 25'000);
    std::optional<archive_span> span;
    {
        recent_blocks::part a(all);
        a.add(block(1, 2, 100));
        span = a.read(0, 10, 1000);
    }
    BOOST_TEST(all->bytes() == 0u);
    BOOST_TEST(span->breaches[1].body == "x");
}

BOOST_AUTO_TEST_CASE(keys_are_bounded)
{
    recent_keys keys;
    for (std::int64_t i = 0; i < 1000; ++i)
        keys.add(breach_key{i, 0}, {}, 100);
    BOOST_TEST(keys.size() == 100u);
    BOOST_TEST(!keys.find(breach_key{899, 0}));
    BOOST_TEST(keys.find(breach_key{900, 0}));
}

DTBRIDGE_TEST_BOTH(a_poll_without_news_opens_nothing)
{
    archives a(kind);
    auto acme = a.open();
    a.must(acme->ensure_cursor("qradar", {"", 0}));
    auto first = numbered(1, 50);
    a.must(acme->add(std::move(first)));
    a.must(acme->close());
    BOOST_TEST(a.pool.open_connections() == 0u);
    std::vector<breach_key> keys;
    for (std::int64_t i = 1; i <= 50; ++i)
        keys.push_back(breach_key{i, 1000 * i});
    BOOST_TEST(a.must(acme->missing(keys)).empty());
    BOOST_TEST(a.must(acme->add(numbered(1, 50))).repeated == 50);
    BOOST_TEST(a.must(acme->note_states({shown_state{keys[0], false, 0, {}}})).empty());
    BOOST_TEST(a.must(acme->read(50, 10, 1000)).breaches.empty());
    BOOST_TEST(!a.must(acme->position()).has_value());
    BOOST_TEST(a.must(acme->cursors()).size() == 1u);
    BOOST_TEST(a.must(acme->facts()).breaches == 50);
    retention_order nothing_old;
    nothing_old.older_than = 5;
    BOOST_TEST(a.must(acme->prune(nothing_old)).dropped == 0);
    BOOST_TEST(a.pool.open_connections() == 0u);
}

DTBRIDGE_TEST_BOTH(a_span_holds_no_block_that_it_has_nothing_of)
{
    archives a(kind);
    auto acme = a.open();
    // Each block reaches from long before what is looked for to long after it; one of them has it.
    constexpr std::int64_t blocks = 40;
    constexpr std::size_t block_size = 200'000;
    for (std::int64_t n = 0; n < blocks; ++n)
    {
        auto pieces = test::pieces_of(1 + 3 * n, 3, block_size / 3);
        pieces[0].key.created = 1'000;
        pieces[1].key.created = n == 7 ? 5'000 : 2'000;
        pieces[2].key.created = 9'000;
        a.must(acme->add(test::block_of(pieces)));
    }
    scan_order what;
    what.created_from = 4'000;
    what.created_before = 6'000;
    what.max_bytes = 1 << 20;
    a.must(acme->scan(what));
    const auto before = heap_in_use();
    const auto span = a.must(acme->scan(what));
    BOOST_TEST(pbids(span) == (std::vector<std::int64_t>{1 + 3 * 7 + 1}), boost::test_tools::per_element());
    BOOST_TEST(heap_in_use() - before < static_cast<std::int64_t>(blocks / 4 * block_size));
}

DTBRIDGE_TEST_BOTH(deliveries_read_what_was_just_added_from_memory)
{
    archives a(kind);
    auto acme = a.open();
    a.must(acme->ensure_cursor("one", {"", 0}));
    a.must(acme->ensure_cursor("two", {"", 0}));
    a.must(acme->add(numbered(1, 50)));
    BOOST_TEST(a.pool.bytes_in_memory() >= 50u * 200u);
    // The bodies on disk go away, so that only memory can answer.
    a.value("DELETE FROM block");
    auto span = a.must(acme->read(0, 100, 1 << 20));
    BOOST_TEST(span.breaches.size() == 50u);
    confirmed_batch batch;
    batch.last_seq = 50;
    a.must(acme->confirm("one", batch));
    BOOST_TEST(a.pool.bytes_in_memory() > 0u);
    a.must(acme->confirm("two", batch));
    BOOST_TEST(a.pool.bytes_in_memory() == 0u);  // everybody has it
    BOOST_TEST(span.breaches[49].body.substr(0, 10) == "{\"pbid\":50");
}

BOOST_AUTO_TEST_SUITE_END()
