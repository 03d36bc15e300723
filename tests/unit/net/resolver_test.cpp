#include "net/resolver.hpp"

#include <boost/asio/this_coro.hpp>
#include <boost/test/unit_test.hpp>

#include <dtbridge/async/task_group.hpp>

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

#include "support/run_coro.hpp"

using namespace dtbridge;
using namespace dtbridge::net;
using namespace std::chrono_literals;
using dtbridge::test::run_coro;
using addresses = resolver::addresses;

namespace
{

/// A name server that answers when the test says so.
class name_server
{
public:
    resolver::lookup lookup()
    {
        auto s = state_;
        return [s](const std::string& host) {
            std::unique_lock lock(s->mutex);
            ++s->asked[host];
            s->changed.notify_all();
            while (s->held)
                s->changed.wait_for(lock, 1s);
            return s->answer;
        };
    }
    void hold(bool on)
    {
        const std::lock_guard lock(state_->mutex);
        state_->held = on;
        state_->changed.notify_all();
    }
    void answer(resolver::answer a)
    {
        const std::lock_guard lock(state_->mutex);
        state_->answer = std::move(a);
    }
    int asked(const std::string& host)
    {
        const std::lock_guard lock(state_->mutex);
        return state_->asked[host];
    }
    ~name_server() { hold(false); }

private:
    struct state
    {
        std::mutex mutex;
        std::condition_variable changed;
        bool held = false;
        resolver::answer answer;
        std::map<std::string, int> asked;
    };
    std::shared_ptr<state> state_ = std::make_shared<state>();
};

resolver::answer found(addresses a)
{
    resolver::answer r;
    r.found = std::move(a);
    return r;
}

resolver::answer failed(bool temporary)
{
    resolver::answer r;
    r.found = fail(errc::resolve_failed, "no");
    r.temporary = temporary;
    return r;
}

awaitable<void> resolve_into(resolver& r, std::string host, std::vector<addresses>& out)
{
    auto a = co_await r.resolve(std::move(host), 10s);
    out.push_back(a.value());
}

struct resolver_fixture
{
    name_server server;
    asio::io_context ctx;
    outcome<addresses> ask(resolver& r, const std::string& host, duration limit = 10s)
    {
        return run_coro(ctx, r.resolve(host, limit), 20s);
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(resolver_test, resolver_fixture)

BOOST_AUTO_TEST_CASE(literals_are_answered_without_a_lookup)
{
    resolver r(server.lookup(), 1, 2s);
    BOOST_TEST(ask(r, "192.0.2.1").value() == addresses{"192.0.2.1"}, boost::test_tools::per_element());
    BOOST_TEST(ask(r, "2001:db8::1").value() == addresses{"2001:db8::1"}, boost::test_tools::per_element());
    BOOST_TEST(server.asked("192.0.2.1") == 0);
}

BOOST_AUTO_TEST_CASE(a_text_that_is_no_name_is_not_looked_up)
{
    resolver r(server.lookup(), 1, 2s);
    const auto a = ask(r, "a b");
    BOOST_REQUIRE(a.has_error());
    BOOST_TEST((a.error().code == make_error_code(errc::malformed)));
}

BOOST_AUTO_TEST_CASE(waiters_of_one_name_share_a_lookup)
{
    resolver r(server.lookup(), 8, 2s);
    server.answer(found({"192.0.2.7"}));
    server.hold(true);
    task_group group(ctx.get_executor(), {});
    std::vector<addresses> out;
    auto script =
        [](resolver_fixture& f, resolver& res, task_group& g, std::vector<addresses>& o) -> awaitable<void> {
        for (int i = 0; i < 5; ++i)
            g.spawn("waiter", resolve_into(res, "siem.test", o));
        const bool early = co_await g.join(20ms);
        BOOST_TEST(!early);
        f.server.hold(false);
        co_await g.join(10s);
    };
    run_coro(ctx, script(*this, r, group, out), 20s);
    BOOST_TEST(out.size() == 5u);
    BOOST_TEST(server.asked("siem.test") == 1);
}

BOOST_AUTO_TEST_CASE(a_dead_name_server_for_one_name_does_not_hold_up_another)
{
    resolver r(server.lookup(), 2, 2s);
    server.hold(true);
    const auto slow = ask(r, "slow.test", 5ms);
    BOOST_REQUIRE(slow.has_error());
    BOOST_TEST((slow.error().code == make_error_code(errc::resolve_failed)));
    BOOST_TEST(slow.error().detail.find("slow.test") != std::string::npos);
    const auto stuck = ask(r, "other.test", 5ms);  // the second thread
    BOOST_TEST(stuck.has_error());
    while (server.asked("other.test") == 0)
        std::this_thread::yield();
    BOOST_TEST(server.asked("slow.test") == 1);
}

BOOST_AUTO_TEST_CASE(the_last_good_addresses_are_used_after_the_patience_and_replaced_by_the_late_answer)
{
    resolver r(server.lookup(), 2, 5ms);
    server.answer(found({"192.0.2.1"}));
    BOOST_TEST(ask(r, "siem.test").value().front() == "192.0.2.1");
    server.answer(found({"192.0.2.2"}));
    server.hold(true);
    BOOST_TEST(ask(r, "siem.test", 3600s).value().front() == "192.0.2.1");
    BOOST_TEST(ask(r, "siem.test", 3600s).value().front() == "192.0.2.1");
    BOOST_TEST(server.asked("siem.test") == 2);  // the second lookup still goes on, and is shared
    server.hold(false);
    std::string now;
    for (int i = 0; i < 1000 && now != "192.0.2.2"; ++i)
        now = ask(r, "siem.test").value().front();
    BOOST_TEST(now == "192.0.2.2");
}

BOOST_AUTO_TEST_CASE(a_name_that_is_gone_is_an_error_but_silent_name_servers_are_not)
{
    resolver r(server.lookup(), 2, 2s);
    server.answer(failed(true));
    BOOST_TEST(ask(r, "siem.test").has_error());  // nothing known yet
    server.answer(found({"192.0.2.1"}));
    BOOST_TEST(ask(r, "siem.test").has_value());
    server.answer(failed(true));
    BOOST_TEST(ask(r, "siem.test").value().front() == "192.0.2.1");
    server.answer(failed(false));
    BOOST_TEST(ask(r, "siem.test").has_error());
}

BOOST_AUTO_TEST_CASE(a_cancelled_waiter_ends_at_once_and_the_late_answer_finds_nobody)
{
    resolver r(server.lookup(), 1, 2s);
    server.answer(found({"192.0.2.1"}));
    server.hold(true);
    std::vector<addresses> out;
    int failures = 0;
    {
        asio::io_context short_lived;
        task_group group(short_lived.get_executor(),
                         [&failures](const std::string&, std::exception_ptr) { ++failures; });
        auto script = [](resolver& res, task_group& g, std::vector<addresses>& o) -> awaitable<void> {
            g.spawn("waiter", resolve_into(res, "siem.test", o));
            co_await g.join(5ms);
            g.cancel();
            const bool ended = co_await g.join(5s);
            BOOST_TEST(ended);
        };
        run_coro(short_lived, script(r, group, out), 10s);
    }
    server.hold(false);
    BOOST_TEST(out.empty());
    BOOST_TEST(failures == 0);
    BOOST_TEST(ask(r, "siem.test").value().front() == "192.0.2.1");
}

BOOST_AUTO_TEST_CASE(the_systems_lookup)
{
    const auto a = system_lookup("localhost");
    BOOST_REQUIRE(a.found.has_value());
    const auto& all = a.found.value();
    BOOST_TEST((std::count(all.begin(), all.end(), "127.0.0.1") +
                std::count(all.begin(), all.end(), "::1")) == static_cast<long>(all.size()));
    // RFC 6761 6.4: invalid. does not exist.
    const auto none = system_lookup("nothing.invalid");
    BOOST_REQUIRE(none.found.has_error());
    BOOST_TEST(none.found.error().detail.find("nothing.invalid") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
