#include <boost/asio/error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>

#include <dtbridge/async/task_group.hpp>

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <future>

#include "unit/net/support.hpp"

using namespace dtbridge;
using namespace dtbridge::net;
using namespace dtbridge::net::test;

namespace
{

/// Every case runs plain and with TLS.
struct stream_fixture
{
    pki keys;
    asio::io_context ctx;
    std::optional<peer_tls> server_tls(bool tls) const
    {
        return tls ? std::optional<peer_tls>(peer_tls{.own = keys.server}) : std::nullopt;
    }
    connect_options options(const peer_server& s, bool tls) const
    {
        return to(s, tls ? keys.client() : nullptr);
    }
};

awaitable<void> read_into(stream& s, result<std::size_t>& got, duration limit)
{
    char c = 0;
    const asio::mutable_buffer into(&c, 1);
    got = co_await s.read_some(into, limit);
}

awaitable<void> read_count(stream& s, std::size_t& total)
{
    std::vector<char> buffer(65536);
    for (;;)
    {
        const asio::mutable_buffer into = asio::buffer(buffer);
        const auto n = co_await s.read_some(into, 20s);
        if (!n || n.value() == 0)
            co_return;
        total += n.value();
    }
}

awaitable<void> pause(duration d)
{
    asio::steady_timer timer(co_await asio::this_coro::executor, d);
    co_await timer.async_wait(asio::use_awaitable);
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(stream_test, stream_fixture)

BOOST_DATA_TEST_CASE(says_and_hears, boost::unit_test::data::make({false, true}), tls)
{
    peer_server server([](peer_connection& c) { c.write("you said " + c.read_until("\n")); },
                       server_tls(tls));
    auto script = [](connect_options o, bool secure) -> awaitable<void> {
        auto s = co_await open(std::move(o));
        BOOST_TEST(s->is_open());
        BOOST_TEST(s->native_handle() >= 0);
        BOOST_TEST(s->peer().protocol == (secure ? "TLSv1.3" : ""));
        BOOST_TEST(s->peer().address.starts_with("127.0.0.1:"));
        const std::string text = "hello\n";
        const asio::const_buffer out = asio::buffer(text);
        const auto n = co_await s->write(out, 5s);
        BOOST_TEST(n.value() == 6u);
        BOOST_TEST(s->bytes_handed() >= 6u);
        const auto answer = co_await read_text(*s);
        BOOST_TEST(answer == "you said hello\n");
        s->close();
        BOOST_TEST(!s->is_open());
        BOOST_TEST(s->native_handle() == -1);
        const auto after = co_await s->write(out, 5s);
        BOOST_TEST(after.has_error());
    };
    run_coro(ctx, script(options(server, tls), tls), 10s);
}

BOOST_DATA_TEST_CASE(a_read_that_times_out_loses_nothing, boost::unit_test::data::make({false, true}), tls)
{
    std::promise<void> go;
    auto started = go.get_future();
    peer_server server(
        [&started](peer_connection& c) {
            started.wait_for(10s);
            c.write("late");
            c.read_all();
        },
        server_tls(tls));
    auto script = [](connect_options o, std::promise<void>& p) -> awaitable<void> {
        auto s = co_await open(std::move(o));
        result<std::size_t> got = std::size_t(0);
        co_await read_into(*s, got, 5ms);
        BOOST_REQUIRE(got.has_error());
        BOOST_TEST((got.error() == make_error_code(errc::timed_out)));
        BOOST_TEST(describe(got.error()) == "timed out");
        BOOST_TEST(s->is_open());
        p.set_value();
        std::string text;
        while (text.size() < 4)
            text += co_await read_text(*s);
        BOOST_TEST(text == "late");
    };
    run_coro(ctx, script(options(server, tls), go), 10s);
}

BOOST_DATA_TEST_CASE(half_close_lets_the_answer_in, boost::unit_test::data::make({false, true}), tls)
{
    std::promise<std::pair<std::string, bool>> heard;
    peer_server server(
        [&heard](peer_connection& c) {
            const auto all = c.read_all();
            const bool notified = c.saw_close_notify();
            c.write("all of it");
            c.finish();
            heard.set_value({all, notified});
        },
        server_tls(tls));
    auto script = [](connect_options o) -> awaitable<void> {
        auto s = co_await open(std::move(o));
        const std::string text = "last words";
        const asio::const_buffer out = asio::buffer(text);
        co_await s->write(out, 5s);
        const bool said = co_await s->finish(5s);
        BOOST_TEST(said);
        const auto more = co_await s->write(out, 5s);
        BOOST_REQUIRE(more.has_error());
        BOOST_TEST((more.error() == asio::error::broken_pipe));
        std::string answer;
        for (std::string piece = co_await read_text(*s); !piece.empty();)
        {
            answer += piece;
            piece = co_await read_text(*s);
        }
        BOOST_TEST(answer == "all of it");
        for (int i = 0; i < 1000 && s->bytes_outstanding() != 0; ++i)
            co_await pause(1ms);
        BOOST_TEST(s->bytes_outstanding() == 0u);
    };
    run_coro(ctx, script(options(server, tls)), 10s);
    const auto [all, notified] = heard.get_future().get();
    BOOST_TEST(all == "last words");
    BOOST_TEST(notified == tls);
}

BOOST_AUTO_TEST_CASE(an_end_without_close_notify_is_told_from_an_orderly_one)
{
    peer_server server(
        [](peer_connection& c) {
            c.cut();
            c.read_all();
        },
        server_tls(true));
    auto script = [](connect_options o) -> awaitable<void> {
        auto s = co_await open(std::move(o));
        result<std::size_t> got = std::size_t(0);
        co_await read_into(*s, got, 5s);
        BOOST_REQUIRE(got.has_error());
        BOOST_TEST(is_truncated(got.error()));
        co_await read_into(*s, got, 5s);
        BOOST_TEST(got.has_error());
    };
    run_coro(ctx, script(options(server, true)), 10s);
}

BOOST_DATA_TEST_CASE(reads_while_it_writes, boost::unit_test::data::make({false, true}), tls)
{
    // Both sides send more than all buffers hold: either could only finish if the other reads meanwhile.
    static constexpr std::size_t size = 24u << 20;
    std::promise<std::size_t> heard;
    peer_server server(
        [&heard](peer_connection& c) {
            std::size_t total = 0;
            const std::string chunk(64u << 10, 'x');
            for (std::size_t sent = 0; sent < size; sent += chunk.size())
            {
                c.write(chunk);
                total += c.read_exactly(chunk.size()).size();
            }
            total += c.read_all().size();
            heard.set_value(total);
        },
        server_tls(tls));
    auto script = [](connect_options o) -> awaitable<void> {
        auto ex = co_await asio::this_coro::executor;
        auto s = co_await open(std::move(o));
        std::size_t total = 0;
        task_group group(ex, {});
        group.spawn("reader", read_count(*s, total));
        const std::string text(size + 12345, 'y');
        const asio::const_buffer out = asio::buffer(text);
        const auto n = co_await s->write(out, 20s);
        BOOST_TEST(n.value() == text.size());
        co_await s->finish(5s);
        const bool ended = co_await group.join(20s);
        BOOST_TEST(ended);
        BOOST_TEST(total == size);
        BOOST_TEST(s->bytes_handed() >= text.size());
    };
    run_coro(ctx, script(options(server, tls)), 60s);
    BOOST_TEST(heard.get_future().get() == size + 12345);
}

BOOST_DATA_TEST_CASE(what_the_peer_has_not_read_is_outstanding,
                     boost::unit_test::data::make({false, true}),
                     tls)
{
    std::promise<void> go;
    auto started = go.get_future();
    peer_server server(
        [&started](peer_connection& c) {
            started.wait_for(10s);
            c.read_all();
        },
        server_tls(tls));
    auto script = [](connect_options o, std::promise<void>& p) -> awaitable<void> {
        auto s = co_await open(std::move(o));
        const auto before = s->bytes_handed();
        const std::string text(64u << 20, 'z');  // more than the buffers of both kernels
        const asio::const_buffer out = asio::buffer(text);
        const auto n = co_await s->write(out, 50ms);
        BOOST_REQUIRE(n.has_error());
        BOOST_TEST((n.error() == make_error_code(errc::timed_out)));
        BOOST_TEST(s->bytes_outstanding() > 0u);
        BOOST_TEST(s->bytes_outstanding() <= s->bytes_handed());
        BOOST_TEST(s->bytes_handed() > before);
        const auto again = co_await s->write(out, 50ms);
        BOOST_TEST((again.error() == asio::error::broken_pipe));
        p.set_value();
        for (int i = 0; i < 5000 && s->bytes_outstanding() != 0; ++i)
            co_await pause(1ms);
        BOOST_TEST(s->bytes_outstanding() == 0u);
        s->close();
        BOOST_TEST(s->bytes_outstanding() == 0u);
    };
    run_coro(ctx, script(options(server, tls), go), 20s);
}

BOOST_DATA_TEST_CASE(a_slow_reader_gets_everything_in_order, boost::unit_test::data::make({false, true}), tls)
{
    std::promise<bool> right;
    peer_server server(
        [&right](peer_connection& c) {
            const auto all = c.read_all();
            bool ok = all.size() == (8u << 20);
            for (std::size_t i = 0; ok && i < all.size(); ++i)
                ok = all[i] == static_cast<char>(i / 1000 % 251);
            c.finish();
            right.set_value(ok);
        },
        server_tls(tls));
    auto script = [](connect_options o) -> awaitable<void> {
        auto s = co_await open(std::move(o));
        std::string text(8u << 20, '\0');
        for (std::size_t i = 0; i < text.size(); ++i)
            text[i] = static_cast<char>(i / 1000 % 251);
        for (std::size_t at = 0; at < text.size();)
        {
            const std::size_t n = std::min<std::size_t>(text.size() - at, 1 + at % 200000);
            const asio::const_buffer out(text.data() + at, n);
            const auto done = co_await s->write(out, 10s);
            BOOST_REQUIRE(done.has_value());
            at += n;
        }
        co_await s->finish(5s);
        const auto end = co_await read_text(*s);
        BOOST_TEST(end.empty());
    };
    run_coro(ctx, script(options(server, tls)), 30s);
    BOOST_TEST(right.get_future().get());
}

BOOST_DATA_TEST_CASE(closing_ends_a_pending_read, boost::unit_test::data::make({false, true}), tls)
{
    peer_server server([](peer_connection& c) { c.read_all(); }, server_tls(tls));
    auto script = [](connect_options o, bool destroy) -> awaitable<void> {
        auto ex = co_await asio::this_coro::executor;
        auto s = co_await open(std::move(o));
        task_group group(ex, {});
        result<std::size_t> got = std::size_t(7);
        group.spawn("reader", read_into(*s, got, 1h));
        co_await pause(2ms);
        if (destroy)
            s.reset();
        else
            s->close();
        const bool ended = co_await group.join(5s);
        BOOST_TEST(ended);
        BOOST_REQUIRE(got.has_error());
        BOOST_TEST((got.error() == asio::error::operation_aborted));
    };
    run_coro(ctx, script(options(server, tls), false), 10s);
    run_coro(ctx, script(options(server, tls), true), 10s);
}

BOOST_DATA_TEST_CASE(cancelling_ends_a_pending_read_and_leaves_the_stream,
                     boost::unit_test::data::make({false, true}),
                     tls)
{
    peer_server server(
        [](peer_connection& c) {
            c.read_until("\n");
            c.write("still here");
        },
        server_tls(tls));
    auto script = [](connect_options o) -> awaitable<void> {
        auto ex = co_await asio::this_coro::executor;
        auto s = co_await open(std::move(o));
        int failures = 0;
        task_group group(ex, [&failures](const std::string&, std::exception_ptr) { ++failures; });
        result<std::size_t> got = std::size_t(7);
        group.spawn("reader", read_into(*s, got, 1h));
        co_await pause(2ms);
        group.cancel();
        const bool ended = co_await group.join(5s);
        BOOST_TEST(ended);
        BOOST_TEST(failures == 0);
        const std::string text = "and you?\n";
        const asio::const_buffer out = asio::buffer(text);
        co_await s->write(out, 5s);
        const auto answer = co_await read_text(*s);
        BOOST_TEST(answer == "still here");
    };
    run_coro(ctx, script(options(server, tls)), 10s);
}

BOOST_DATA_TEST_CASE(a_reset_is_an_error_and_no_signal, boost::unit_test::data::make({false, true}), tls)
{
    // SIGPIPE has its default action here: a write that raised it would end the program.
    // The peer waits for a line: a reset that comes earlier may end connect() already.
    const auto reset_after_a_line = [](peer_connection& c) {
        c.read_until("\n");
        c.reset();
    };
    peer_server server(reset_after_a_line, server_tls(tls));
    auto script = [](connect_options o) -> awaitable<void> {
        auto s = co_await open(std::move(o));
        const std::string line = "go\n";
        const asio::const_buffer go = asio::buffer(line);
        co_await s->write(go, 5s);
        result<std::size_t> got = std::size_t(7);
        while (got && got.value() > 0)
            co_await read_into(*s, got, 5s);
        BOOST_TEST(got.has_error());
        const std::string text = "anybody?";
        const asio::const_buffer out = asio::buffer(text);
        for (int i = 0; i < 3; ++i)
        {
            const auto n = co_await s->write(out, 1s);
            BOOST_TEST((n.has_error() || i == 0));
        }
        const bool finished = co_await s->finish(1s);
        BOOST_TEST(!finished);
    };
    run_coro(ctx, script(options(server, tls)), 10s);
}

BOOST_AUTO_TEST_CASE(a_dead_peer_is_noticed_within_the_bound)
{
    peer_server server([](peer_connection& c) { c.read_all(); });
    auto script = [](connect_options o) -> awaitable<void> {
        o.user_timeout_ms = 30000;
        auto s = co_await open(std::move(o));
        const auto option = [&s](int level, int name) {
            int value = 0;
            socklen_t size = sizeof value;
            getsockopt(s->native_handle(), level, name, &value, &size);
            return value;
        };
        BOOST_TEST(option(IPPROTO_TCP, TCP_USER_TIMEOUT) == 30000);
        BOOST_TEST(option(SOL_SOCKET, SO_KEEPALIVE) == 1);
        BOOST_TEST(option(IPPROTO_TCP, TCP_NODELAY) == 1);
        BOOST_TEST(option(IPPROTO_TCP, TCP_KEEPIDLE) +
                       option(IPPROTO_TCP, TCP_KEEPINTVL) * option(IPPROTO_TCP, TCP_KEEPCNT) <=
                   30);
    };
    run_coro(ctx, script(to(server)), 10s);
}

BOOST_AUTO_TEST_CASE(a_port_on_which_nothing_listens)
{
    connect_options o;
    o.peer = {"127.0.0.1", dtbridge::test::closed_port()};
    const auto made = run_coro(ctx, connect(o), 10s);
    BOOST_REQUIRE(made.has_error());
    BOOST_TEST((made.error().code == asio::error::connection_refused));
    BOOST_TEST(has(made.error().detail, o.peer.text() + ": connection refused"));
}

BOOST_AUTO_TEST_CASE(a_name_is_resolved_and_named)
{
    connect_options o;
    o.peer = {"localhost", dtbridge::test::closed_port()};
    const auto made = run_coro(ctx, connect(o), 10s);
    BOOST_REQUIRE(made.has_error());
    BOOST_TEST(has(made.error().detail, o.peer.text() + " (127.0.0.1): connection refused"));
    o.peer.host = "nothing.invalid";
    const auto none = run_coro(ctx, connect(o), 30s);
    BOOST_REQUIRE(none.has_error());
    BOOST_TEST((none.error().code == make_error_code(errc::resolve_failed)));
    o.peer.host = "bad host";
    const auto bad = run_coro(ctx, connect(o), 10s);
    BOOST_REQUIRE(bad.has_error());
    BOOST_TEST((bad.error().code == make_error_code(errc::malformed)));
}

BOOST_AUTO_TEST_CASE(a_handshake_that_nobody_answers_ends_at_the_limit)
{
    peer_server server([](peer_connection& c) { c.read_all(); });  // plain, and silent
    auto o = to(server, keys.client());
    o.limit = 50ms;
    const auto made = run_coro(ctx, connect(o), 10s);
    BOOST_REQUIRE(made.has_error());
    BOOST_TEST((made.error().code == asio::error::timed_out));
    BOOST_TEST(has(made.error().detail, "timed out in the TLS handshake"));
}

BOOST_AUTO_TEST_CASE(connecting_can_be_cancelled)
{
    peer_server server([](peer_connection& c) { c.read_all(); });
    auto o = to(server, keys.client());
    auto script = [](connect_options options) -> awaitable<void> {
        auto ex = co_await asio::this_coro::executor;
        int failures = 0;
        task_group group(ex, [&failures](const std::string&, std::exception_ptr) { ++failures; });
        auto opening = [](connect_options what) -> awaitable<void> {
            auto made = co_await connect(std::move(what));
            BOOST_TEST(made.has_error());
        };
        group.spawn("opening", opening(std::move(options)));
        co_await pause(5ms);
        group.cancel();
        const bool ended = co_await group.join(5s);
        BOOST_TEST(ended);
        BOOST_TEST(failures == 0);
    };
    run_coro(ctx, script(o), 10s);
}

BOOST_AUTO_TEST_SUITE_END()
