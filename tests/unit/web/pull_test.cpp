#include <chrono>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/json/parse.hpp>
#include <boost/test/unit_test.hpp>

#include <dtbridge/web/pull.hpp>

#include "support/memory_archive.hpp"
#include "support/run_coro.hpp"

using namespace dtbridge;
using namespace std::chrono_literals;

namespace
{

struct stage
{
    stage() : store(std::make_shared<test::memory_archive>("acme")) {}

    void add(std::int64_t pbid, const std::string& body, bool archive_only = false)
    {
        archive_block block;
        block.bytes = body;
        archive_element e;
        e.key.pbid = pbid;
        e.key.created = 1'700'000'000'000 + pbid * 1000;
        e.body = block.bytes;
        block.elements.push_back(e);
        block.archive_only = archive_only;
        test::run_coro(io, store->add(std::move(block)), 5s);
        board.ring("acme");
    }
    void add_plain(std::int64_t pbid,
                   const std::string& score = "0.5",
                   const std::string& model = "Compliance::Test")
    {
        add(pbid,
            "{ \"pbid\": " + std::to_string(pbid) + ",\n \"score\": " + score + ", \"model\": {\"name\": \"" +
                model + "\"}}");
    }

    outcome<std::string> pull(web::pull_order o, web::pull_bounds bounds = {})
    {
        o.master = "acme";
        web::pull_parts parts;
        parts.order = std::move(o);
        parts.store = store;
        parts.policy = policy;
        parts.info.name = "acme";
        parts.info.url = "https://dt.example";
        return test::run_coro(io, all(std::move(parts), bounds), 20s);
    }
    awaitable<outcome<std::string>> all(web::pull_parts parts, web::pull_bounds bounds)
    {
        auto source = co_await web::start_pull(std::move(parts), board, bounds);
        if (!source)
            co_return source.error();
        std::string text;
        for (;;)
        {
            auto piece = co_await (*source)->next();
            if (!piece)
                co_return piece.error();
            if (piece->empty())
                co_return text;
            longest = std::max(longest, piece->size());
            ++pieces;
            text += *piece;
            if (after_first_piece)
                std::exchange(after_first_piece, nullptr)();
        }
    }

    asio::io_context io{1};
    std::shared_ptr<test::memory_archive> store;
    std::shared_ptr<const rules::policy> policy;
    web::news_board board;
    std::size_t longest = 0, pieces = 0;
    std::function<void()> after_first_piece;
};

std::vector<boost::json::object> lines(const std::string& text)
{
    std::vector<boost::json::object> out;
    std::size_t start = 0;
    for (auto end = text.find('\n'); end != std::string::npos; end = text.find('\n', start))
    {
        if (end > start)
            out.push_back(boost::json::parse(text.substr(start, end - start)).as_object());
        start = end + 1;
    }
    BOOST_TEST(start == text.size());
    return out;
}

std::vector<std::int64_t> pbids(const std::vector<boost::json::object>& all)
{
    std::vector<std::int64_t> out;
    for (const auto& o : all)
    {
        if (o.contains("breach"))
            out.push_back(o.at("breach").at("pbid").as_int64());
    }
    return out;
}

std::int64_t next_of(const boost::json::object& last)
{
    return web::read_cursor(std::string_view(last.at("next").as_string()))->seq;
}

}  // namespace

BOOST_AUTO_TEST_CASE(lines_hold_the_archived_bytes_without_white_space)
{
    stage s;
    s.add(7, "{ \"pbid\" : 7,\r\n\t\"score\": 0.5000, \"t\": \"a b\\\" \\\\\", \"c\": \"x\ny\" }");
    const auto text = s.pull({});
    BOOST_REQUIRE(text.has_value());
    BOOST_TEST(
        *text ==
        "{\"seq\":1,\"master\":\"acme\",\"archived\":\"2024-01-01T01:00:00.000Z\",\"breach\":{\"pbid\":7,"
        "\"score\":0.5000,\"t\":\"a b\\\" \\\\\",\"c\":\"x\\u000ay\"}}\n{\"next\":\"" +
            web::make_cursor("acme", 1) + "\",\"more\":false}\n");
}

BOOST_AUTO_TEST_CASE(the_cursor_goes_through_everything_once)
{
    stage s;
    for (int i = 1; i <= 25; ++i)
        s.add_plain(i);
    std::vector<std::int64_t> seen;
    web::pull_order o;
    o.limit = 10;
    bool more = true;
    for (int round = 0; more; ++round)
    {
        const auto all = lines(*s.pull(o));
        const auto some = pbids(all);
        seen.insert(seen.end(), some.begin(), some.end());
        more = all.back().at("more").as_bool();
        BOOST_TEST(more == (round < 2));
        BOOST_TEST(!all.back().contains("gap"));
        o.after = next_of(all.back());
    }
    BOOST_REQUIRE(seen.size() == 25u);
    for (int i = 0; i < 25; ++i)
        BOOST_TEST(seen[static_cast<std::size_t>(i)] == i + 1);
    // And nothing again.
    BOOST_TEST(pbids(lines(*s.pull(o))).empty());
}

BOOST_AUTO_TEST_CASE(a_cursor_that_retention_has_passed_goes_on_at_the_oldest)
{
    stage s;
    for (int i = 1; i <= 6; ++i)
        s.add_plain(i);
    s.store->records.erase(s.store->records.begin(), s.store->records.begin() + 3);
    web::pull_order o;
    o.after = 1;
    auto all = lines(*s.pull(o));
    BOOST_TEST(pbids(all) == (std::vector<std::int64_t>{4, 5, 6}), boost::test_tools::per_element());
    BOOST_TEST(all.back().at("gap").as_bool());
    // Up to the edge nothing is missing.
    o.after = 3;
    BOOST_TEST(!lines(*s.pull(o)).back().contains("gap"));
    // Of an archive that was begun anew.
    o.after = 99;
    all = lines(*s.pull(o));
    BOOST_TEST(all.back().at("gap").as_bool());
    BOOST_TEST(pbids(all).size() == 3u);
    // No cursor: from the oldest, and no gap.
    o.after.reset();
    all = lines(*s.pull(o));
    BOOST_TEST(!all.back().contains("gap"));
    BOOST_TEST(pbids(all).size() == 3u);
}

BOOST_AUTO_TEST_CASE(retention_that_passes_an_answer_under_way_is_told)
{
    web::pull_bounds bounds;
    bounds.span_breaches = 2;
    bounds.piece = 1;  // one read to a piece
    for (const bool with_cursor : {true, false})
    {
        stage s;
        for (int i = 1; i <= 8; ++i)
            s.add_plain(i);
        web::pull_order o;
        if (with_cursor)
            o.after = 0;
        s.after_first_piece = [&] {
            s.store->records.erase(s.store->records.begin(), s.store->records.begin() + 5);
        };
        const auto all = lines(*s.pull(o, bounds));
        BOOST_TEST(pbids(all) == (std::vector<std::int64_t>{1, 2, 6, 7, 8}),
                   boost::test_tools::per_element());
        BOOST_TEST(all.back().contains("gap"));
        // Up to what was read already nothing is missing.
        s.after_first_piece = [&] { s.store->records.pop_front(); };
        o.after = 5;
        BOOST_TEST(!lines(*s.pull(o, bounds)).back().contains("gap"));
    }
    // The rest of the archive.
    stage s;
    for (int i = 1; i <= 8; ++i)
        s.add_plain(i);
    s.after_first_piece = [&] { s.store->records.clear(); };
    BOOST_TEST(lines(*s.pull({}, bounds)).back().contains("gap"));
}

BOOST_AUTO_TEST_CASE(a_hole_among_the_numbers_is_no_gap)
{
    stage s;
    for (int i = 1; i <= 6; ++i)
        s.add_plain(i);
    s.store->records.erase(s.store->records.begin() + 2, s.store->records.begin() + 4);
    web::pull_order o;
    o.after = 2;
    const auto all = lines(*s.pull(o));
    BOOST_TEST(pbids(all) == (std::vector<std::int64_t>{5, 6}), boost::test_tools::per_element());
    BOOST_TEST(!all.back().contains("gap"));
}

BOOST_AUTO_TEST_CASE(filters_leave_out_and_the_cursor_moves_on)
{
    stage s;
    s.add_plain(1, "0.2", "Compliance :: File Storage");
    s.add_plain(2, "0.9", "Compliance::File Storage");
    s.add_plain(3, "0.9", "Device / New Agent");
    s.add(4, "{\"pbid\":4}", true);  // back-filled by command
    web::pull_order o;
    o.model = "compliance/file*";
    auto all = lines(*s.pull(o));
    BOOST_TEST(pbids(all) == (std::vector<std::int64_t>{1, 2}), boost::test_tools::per_element());
    BOOST_TEST(next_of(all.back()) == 4);
    o = {};
    o.since = 1'700'000'003'000;
    BOOST_TEST(pbids(lines(*s.pull(o))) == (std::vector<std::int64_t>{3}), boost::test_tools::per_element());
    auto loaded = rules::load_text("[forward]\nmin_score = 0.5\n", "half.toml");
    s.policy = std::make_shared<const rules::policy>(std::move(loaded.value));
    all = lines(*s.pull({}));
    BOOST_TEST(pbids(all) == (std::vector<std::int64_t>{2, 3}), boost::test_tools::per_element());
    BOOST_TEST(std::string(all[0].at("reason").as_string()).find("half.toml:2") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(messages_are_those_of_the_format_without_header)
{
    stage s;
    s.add_plain(5, "0.55", "A::B");
    web::pull_order o;
    o.as = format::kind::cef;
    auto all = lines(*s.pull(o));
    BOOST_TEST(std::string(all[0].at("message").as_string()).starts_with("CEF:0|Darktrace|DCIP|1|"));
    BOOST_TEST(std::string(all[0].at("message").as_string()).find("externalId=5") != std::string::npos);
    o.as = format::kind::leef;
    all = lines(*s.pull(o));
    BOOST_TEST(std::string(all[0].at("message").as_string()).starts_with("LEEF:2.0|Darktrace|"));
}

BOOST_AUTO_TEST_CASE(the_envelope_is_one_object)
{
    stage s;
    web::pull_order o;
    o.envelope = true;
    auto whole = boost::json::parse(*s.pull(o)).as_object();
    BOOST_TEST(whole.at("breaches").as_array().empty());
    BOOST_TEST(!whole.at("more").as_bool());
    for (int i = 1; i <= 3; ++i)
        s.add_plain(i);
    whole = boost::json::parse(*s.pull(o)).as_object();
    BOOST_TEST(whole.at("breaches").as_array().size() == 3u);
    BOOST_TEST(whole.at("breaches").as_array()[2].at("seq").as_int64() == 3);
    BOOST_TEST(next_of(whole) == 3);
}

BOOST_AUTO_TEST_CASE(the_body_is_made_in_pieces_whatever_its_length)
{
    stage s;
    for (int i = 1; i <= 300; ++i)
        s.add(i, "{\"pbid\":" + std::to_string(i) + ",\"x\":\"" + std::string(4000, 'x') + "\"}");
    web::pull_bounds bounds;
    bounds.span_bytes = 32u << 10;
    bounds.piece = 16u << 10;
    web::pull_order o;
    o.limit = 10'000;
    const auto text = s.pull(o, bounds);
    BOOST_TEST(text->size() > 1'200'000u);
    BOOST_TEST(s.longest < 70'000u);
    BOOST_TEST(s.pieces > 20u);
    BOOST_TEST(pbids(lines(*text)).size() == 300u);
}

BOOST_AUTO_TEST_CASE(a_search_that_takes_long_ends_with_a_cursor)
{
    stage s;
    for (int i = 1; i <= 300; ++i)
        s.add_plain(i);
    web::pull_bounds bounds;
    bounds.span_breaches = 10;
    bounds.search = std::chrono::nanoseconds(1);  // over before the first look
    web::pull_order o;
    o.model = "nothing like it";
    const auto all = lines(*s.pull(o, bounds));
    BOOST_REQUIRE(all.size() == 1u);
    BOOST_TEST(all[0].at("more").as_bool());
}

BOOST_AUTO_TEST_CASE(news_ends_the_wait)
{
    stage s;
    asio::steady_timer timer(s.io, 200ms);
    timer.async_wait([&](error_code) {
        archive_block block;
        block.bytes = "{\"pbid\":9}";
        archive_element e;
        e.key.pbid = 9;
        e.body = block.bytes;
        block.elements.push_back(e);
        asio::co_spawn(s.io, s.store->add(std::move(block)), [&s](std::exception_ptr, const outcome<added>&) {
            s.board.ring("other");
            s.board.ring("acme");
        });
    });
    web::pull_order o;
    o.wait = 15s;
    const auto start = std::chrono::steady_clock::now();
    const auto all = lines(*s.pull(o));
    const auto took = std::chrono::steady_clock::now() - start;
    BOOST_TEST(pbids(all) == (std::vector<std::int64_t>{9}), boost::test_tools::per_element());
    BOOST_TEST((took >= 190ms));
    BOOST_TEST((took < 10s));
}

BOOST_AUTO_TEST_CASE(the_wait_ends_empty_handed_too)
{
    stage s;
    web::pull_order o;
    o.wait = 150ms;
    const auto start = std::chrono::steady_clock::now();
    BOOST_TEST(lines(*s.pull(o)).size() == 1u);
    BOOST_TEST((std::chrono::steady_clock::now() - start >= 140ms));
}

BOOST_AUTO_TEST_CASE(what_cannot_be_read_is_an_error_and_no_empty_answer)
{
    stage s;
    s.add_plain(1);
    s.store->read_failure = fail(errc::archive_damaged, "damaged");
    const auto text = s.pull({});
    BOOST_REQUIRE(!text.has_value());
    BOOST_TEST(text.error().detail == "damaged");
    s.store.reset();
    BOOST_TEST(!s.pull({}).has_value());
}
