#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/test/unit_test.hpp>

#include <dtbridge/async/task_group.hpp>

#include <memory>
#include <optional>
#include <string>

#include "poll/intake.hpp"
#include "support/memory_archive.hpp"
#include "support/run_coro.hpp"

using namespace dtbridge;
using namespace dtbridge::poll;
using namespace std::chrono_literals;

namespace
{

/// An answer's beginning: elements of 1 KiB from pbid first on.
std::string elements(int first, int count)
{
    std::string out;
    for (int i = first; i < first + count; ++i)
        out += (out.empty() ? "" : ",") + ("{\"pbid\":" + std::to_string(i)) +
               ",\"creationTime\":1700000000000,\"x\":\"" + std::string(1000, 'x') + "\"}";
    return out;
}

/// One answer, as a poller takes it in.
struct taking
{
    taking(test::memory_archive& store, const intake::listeners& all)
        : in(std::in_place, store, intake::order{}, all, [] { return std::int64_t{0}; })
    {
        net::http_response head;
        head.status = 200;
        in->head(head);
    }
    awaitable<void> feed(std::string piece)
    {
        const auto done = co_await in->body(piece);
        BOOST_TEST(done.has_value());
        ++fed;
    }
    std::optional<intake> in;
    int fed = 0;
};

awaitable<bool> second_waits_for_first()
{
    const auto ex = co_await asio::this_coro::executor;
    test::memory_archive store;
    intake::listeners all;
    all.turns = std::make_shared<turnstile>(ex, 1);
    taking first(store, all), second(store, all), small(store, all);
    task_group group(ex, [](const std::string&, std::exception_ptr) { BOOST_ERROR("a task threw"); });
    std::string begin = "[" + elements(0, 100);
    co_await first.feed(std::move(begin));
    std::string other = "[" + elements(1000, 100);
    group.spawn("second", second.feed(std::move(other)));
    // A short answer passes by.
    std::string few = "[" + elements(2000, 10);
    co_await small.feed(std::move(few));
    std::string more = "," + elements(100, 500);
    co_await first.feed(std::move(more));
    BOOST_TEST(second.fed == 0);
    BOOST_TEST(store.pbids().size() > 100u);
    // With its end, the next one's turn comes.
    first.in.reset();
    const bool ended = co_await group.join("second", 5s);
    BOOST_TEST(ended);
    BOOST_TEST(second.fed == 1);
    co_return true;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(intakes)

BOOST_AUTO_TEST_CASE(long_answers_are_taken_in_by_turns)
{
    asio::io_context io;
    BOOST_TEST(test::run_coro(io, second_waits_for_first(), 10s));
}

BOOST_AUTO_TEST_SUITE_END()
