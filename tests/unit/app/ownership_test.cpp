#include "app/ownership.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <functional>
#include <set>

#include "cluster/model_database.hpp"

using namespace dtbridge;
using namespace std::chrono_literals;
using app::ownership;
using cluster::boot_clock;

namespace
{

using names = std::vector<std::string>;
using shared_permit = std::shared_ptr<const cluster::permit>;

const names six = {"frankfurt", "london", "osaka", "paris", "seoul", "tokyo"};

/// Everything ten times as fast as in real life, and nothing that a busy machine could not keep up with.
cluster::options quick()
{
    cluster::options o;
    o.lease = 1500ms;
    o.renew = 300ms;
    o.margin = 500ms;
    o.retry = 50ms;
    o.eager = 50ms;
    o.settle = 150ms;
    o.establish = 500ms;
    o.look_each = 10ms;
    o.look_least = 50ms;
    return o;
}

/// What the database's clock shows: nothing like the bridges'.
std::int64_t database_now()
{
    return 1'700'000'000'000 +
           std::chrono::duration_cast<std::chrono::milliseconds>(boot_clock::now().time_since_epoch())
               .count();
}

/// How one bridge's way to the database is.
struct way
{
    bool hangs = false;  ///< statements get no answer for as long as this holds
    bool fails = false;
    boot_clock::duration late = 0s;  ///< done at once, and answered so much later
    int under_way = 0, most_under_way = 0;
};

class faulty_store : public cluster::lease_store
{
public:
    faulty_store(cluster::model_database& d, way& w) : shared_(d), way_(w) {}

    awaitable<outcome<cluster::renewal_answer>> renew(cluster::renewal r) override
    {
        return answer<cluster::renewal_answer>(
            [this, r = std::move(r)] { return shared_.renew(r, database_now()); });
    }
    awaitable<outcome<cluster::snapshot>> read(cluster::identity who, names masters) override
    {
        std::sort(masters.begin(), masters.end());
        return answer<cluster::snapshot>([this, who = std::move(who), masters = std::move(masters)] {
            return shared_.read(who, masters, database_now());
        });
    }
    awaitable<outcome<cluster::snapshot>> read_all() override
    {
        return answer<cluster::snapshot>([this] { return shared_.read({}, six, database_now()); });
    }
    awaitable<outcome<std::vector<cluster::lease_number>>> try_acquire(cluster::identity who,
                                                                       std::vector<cluster::claim> c) override
    {
        return answer<std::vector<cluster::lease_number>>([this, who = std::move(who), c = std::move(c)] {
            return shared_.try_acquire(who, c, database_now());
        });
    }
    awaitable<outcome<std::int64_t>> release(cluster::identity who,
                                             std::vector<cluster::lease_number> l) override
    {
        return answer<std::int64_t>(
            [this, who = std::move(who), l = std::move(l)] { return shared_.release(who, l); });
    }
    awaitable<outcome<std::int64_t>> release_all(cluster::identity who) override
    {
        return answer<std::int64_t>([this, who = std::move(who)] { return shared_.release_all(who); });
    }

private:
    template <class T>
    awaitable<outcome<T>> answer(std::function<T()> work)
    {
        struct counted
        {
            explicit counted(way& w) : to(w)
            {
                to.most_under_way = std::max(to.most_under_way, ++to.under_way);
            }
            counted(const counted&) = delete;
            counted& operator=(const counted&) = delete;
            ~counted() { --to.under_way; }
            way& to;
        };
        const counted here(way_);
        asio::steady_timer timer(co_await asio::this_coro::executor);
        while (way_.hangs)
        {
            timer.expires_after(5ms);
            co_await timer.async_wait(asio::use_awaitable);
        }
        if (way_.fails)
            co_return fail(errc::refused, "no database");
        auto done = work();
        if (way_.late > 0s)
        {
            timer.expires_after(way_.late);
            co_await timer.async_wait(asio::use_awaitable);
        }
        co_return done;
    }

    cluster::model_database& shared_;
    way& way_;
};

/// A bridge that begins and ends work at once, unless it is told to be slow with a master.
struct bridge
{
    bridge(asio::io_context& c, cluster::model_database& d, const std::string& name, names masters = six)
        : tasks(c.get_executor(), [](const std::string&, std::exception_ptr) {
              BOOST_ERROR("the rounds ended with an exception");
          })
    {
        app::ownership_hooks hooks;
        hooks.gained = [this](shared_permit p) {
            const auto master = p->master();
            BOOST_TEST(!works_for(master));
            leases[master] = std::move(p);
            if (on_gained)
                on_gained(master);
        };
        hooks.lost = [this](const std::string& m) {
            lost.insert(m);
            leases.erase(m);
        };
        hooks.stop = [this](const std::string& m) {
            if (slow.contains(m))
                return;
            end(m);
        };
        hooks.lapsed = [this](const names& all) { lapsed.insert(all.begin(), all.end()); };
        ownership::limits l;
        l.statement = 200ms;
        l.name_taken = 50ms;
        self = std::make_unique<ownership>(c.get_executor(),
                                           std::make_unique<faulty_store>(d, to_database),
                                           name,
                                           std::move(masters),
                                           std::move(hooks),
                                           quick(),
                                           l);
    }
    void start() { tasks.spawn("rounds", self->run()); }
    void end(const std::string& m)
    {
        leases.erase(m);
        self->stopped(m);
    }
    bool works_for(const std::string& m) const { return leases.contains(m); }
    bool may_write(const std::string& m) const
    {
        const auto at = leases.find(m);
        return at != leases.end() && at->second->may_write(boot_clock::now());
    }
    bool has_ended() const { return tasks.size() == 0; }

    way to_database;
    std::map<std::string, shared_permit> leases;
    std::set<std::string> lost, lapsed, slow;
    std::function<void(const std::string&)> on_gained;
    task_group tasks;
    std::unique_ptr<ownership> self;
};

struct world
{
    asio::io_context ctx;
    cluster::model_database database{quick().lease.count()};

    /// Until what is waited for holds.
    void wait(const std::string& what, const std::function<bool()>& holds)
    {
        const auto until = std::chrono::steady_clock::now() + 20s;
        while (!holds() && std::chrono::steady_clock::now() < until)
        {
            ctx.restart();
            ctx.run_for(5ms);
        }
        BOOST_TEST_REQUIRE(holds(), what);
    }
    void end(std::initializer_list<bridge*> all)
    {
        for (auto* b : all)
        {
            b->to_database.hangs = false;
            b->tasks.cancel();
        }
        for (auto* b : all)
            wait("the rounds end", [b] { return b->has_ended(); });
    }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(owning)

BOOST_AUTO_TEST_CASE(one_alone_takes_everything)
{
    world w;
    bridge a(w.ctx, w.database, "a");
    BOOST_TEST(a.self->trouble() != "");
    a.start();
    w.wait("all masters are gained", [&] { return a.leases.size() == six.size(); });
    w.wait("nothing is wrong", [&] { return a.self->trouble().empty(); });
    BOOST_TEST(a.self->held() == six.size());
    for (const auto& m : six)
        BOOST_TEST(a.self->owner_of(m) == "a");
    BOOST_TEST(a.to_database.most_under_way == 1);
    w.end({&a});
    BOOST_TEST(a.lost.empty());
}

BOOST_AUTO_TEST_CASE(two_share_and_who_leaves_is_followed)
{
    world w;
    bridge a(w.ctx, w.database, "a"), b(w.ctx, w.database, "b");
    a.start();
    b.start();
    w.wait("both work and everything is owned",
           [&] { return a.leases.size() + b.leases.size() == 6 && !a.leases.empty() && !b.leases.empty(); });
    for (const auto& m : six)
        BOOST_TEST(a.works_for(m) != b.works_for(m));
    a.self->leave();
    w.wait("the first is gone", [&] { return a.has_ended(); });
    w.wait("the second has everything", [&] { return b.leases.size() == 6; });
    BOOST_TEST(a.self->held() == 0u);
    BOOST_TEST(a.lost.empty());
    BOOST_TEST(b.self->counted().takeovers == 0);
    w.wait("only one is left", [&] { return b.self->members().size() == 1; });
    w.end({&b});
}

BOOST_AUTO_TEST_CASE(a_master_that_ends_slowly_holds_up_no_other)
{
    world w;
    bridge a(w.ctx, w.database, "a"), b(w.ctx, w.database, "b");
    a.slow = {"paris"};
    a.start();
    w.wait("the first has everything", [&] { return a.leases.size() == 6; });
    b.start();
    w.wait("the second has joined", [&] { return b.self->trouble().empty(); });
    a.self->leave();
    w.wait("the second has all the others", [&] { return b.leases.size() == 5; });
    BOOST_TEST(!b.works_for("paris"));
    BOOST_TEST(!a.has_ended());
    BOOST_TEST(a.may_write("paris"));  // renewed meanwhile
    a.end("paris");
    w.wait("and then that one", [&] { return b.works_for("paris"); });
    w.wait("the first is gone", [&] { return a.has_ended(); });
    w.end({&b});
}

BOOST_AUTO_TEST_CASE(a_database_that_does_not_answer_ends_what_may_be_written_before_another_takes_it)
{
    world w;
    bridge a(w.ctx, w.database, "a"), b(w.ctx, w.database, "b");
    a.start();
    w.wait("the first has everything", [&] { return a.leases.size() == 6; });
    const auto before = a.leases;
    b.on_gained = [&](const std::string& m) { BOOST_TEST(!before.at(m)->may_write(boot_clock::now())); };
    a.to_database.hangs = true;
    b.start();
    w.wait("its leases lapse", [&] { return a.lapsed.size() == 6; });
    BOOST_TEST(a.self->trouble().find("leases cannot be renewed: the database") == 0);
    w.wait("another bridge has them", [&] { return b.leases.size() == 6; });
    BOOST_TEST(b.self->counted().takeovers == 6);
    BOOST_TEST(a.lost.empty());
    BOOST_TEST(a.to_database.most_under_way == 1);
    a.to_database.hangs = false;
    w.wait("the first is told", [&] { return a.lost.size() == 6; });
    for (const auto& [m, p] : before)
        BOOST_TEST(!p->may_write(boot_clock::now()));
    w.end({&a, &b});
}

BOOST_AUTO_TEST_CASE(after_an_outage_everything_goes_on_where_it_was)
{
    world w;
    bridge a(w.ctx, w.database, "a");
    a.to_database.fails = true;
    a.start();
    w.wait("the failure is seen", [&] { return a.self->trouble().find("no database") != std::string::npos; });
    BOOST_TEST(a.leases.empty());
    a.to_database.fails = false;
    w.wait("it has everything", [&] { return a.leases.size() == 6; });
    const auto before = a.leases;
    a.to_database.fails = true;
    w.wait("its leases lapse", [&] { return a.lapsed.size() == 6; });
    a.to_database.fails = false;
    w.wait("they may be written for again", [&] {
        return std::all_of(six.begin(), six.end(), [&](const auto& m) { return a.may_write(m); });
    });
    BOOST_TEST((a.leases == before));
    BOOST_TEST(a.lost.empty());
    BOOST_TEST(a.self->counted().lapsed == 6);
    w.end({&a});
}

BOOST_AUTO_TEST_CASE(an_answer_that_comes_too_late_is_none)
{
    world w;
    bridge a(w.ctx, w.database, "a");
    a.start();
    w.wait("it has everything", [&] { return a.leases.size() == 6; });
    // Every renewal is done, and told when nobody waits for it any more.
    a.to_database.late = 400ms;
    w.wait("its leases lapse", [&] { return a.lapsed.size() == 6; });
    BOOST_TEST(a.to_database.most_under_way == 1);
    a.to_database.late = 0s;
    w.wait("they may be written for again", [&] { return a.may_write("paris"); });
    BOOST_TEST(a.lost.empty());
    w.end({&a});
}

BOOST_AUTO_TEST_CASE(a_second_process_of_the_name_has_it)
{
    world w;
    bridge a(w.ctx, w.database, "a");
    a.start();
    w.wait("the first has everything", [&] { return a.leases.size() == 6; });
    bridge again(w.ctx, w.database, "a");
    again.start();
    w.wait("the first has lost everything", [&] { return a.lost.size() == 6; });
    BOOST_TEST(a.self->trouble().find("another process works under the name a") != std::string::npos);
    w.wait("the second has it", [&] { return again.leases.size() == 6; });
    BOOST_TEST(a.leases.empty());
    const auto session = a.self->session();
    again.self->leave();
    w.wait("the second is gone", [&] { return again.has_ended(); });
    w.wait("the first takes part again", [&] { return a.leases.size() == 6; });
    BOOST_TEST(a.self->session() != session);
    w.end({&a});
}

BOOST_AUTO_TEST_CASE(masters_of_another_configuration)
{
    world w;
    bridge a(w.ctx, w.database, "a", {"frankfurt", "london"});
    a.start();
    w.wait("both are gained", [&] { return a.leases.size() == 2; });
    a.self->set_masters({"london", "osaka", "paris"});
    w.wait("those of the new one are", [&] {
        return a.leases.size() == 3 && !a.works_for("frankfurt") && a.works_for("osaka") &&
               a.works_for("paris");
    });
    w.wait("the other is free", [&] { return w.database.lease_of("frankfurt")->owner.name.empty(); });
    BOOST_TEST(a.lost.empty());
    w.end({&a});
}

BOOST_AUTO_TEST_CASE(what_cannot_be_ended_is_given_up)
{
    world w;
    bridge a(w.ctx, w.database, "a");
    a.slow = {six.begin(), six.end()};
    a.start();
    w.wait("it has everything", [&] { return a.leases.size() == 6; });
    a.self->leave();
    a.self->give_up();
    w.wait("it is gone", [&] { return a.has_ended(); });
    for (const auto& m : six)
    {
        BOOST_TEST(!a.may_write(m));
        BOOST_TEST(w.database.lease_of(m)->owner.name == "");
    }
}

BOOST_AUTO_TEST_CASE(who_has_what_is_known_to_the_others)
{
    world w;
    bridge a(w.ctx, w.database, "a"), b(w.ctx, w.database, "b", {});
    a.start();
    w.wait("the first has everything", [&] { return a.leases.size() == 6; });
    b.start();
    w.wait("the second has joined", [&] { return b.self->trouble().empty(); });
    b.tasks.spawn("ask", b.self->refresh(0s));
    w.wait("it has asked", [&] { return !b.tasks.has("ask"); });
    for (const auto& m : six)
        BOOST_TEST(b.self->owner_of(m) == "a");
    BOOST_TEST(b.self->members().size() == 2u);
    w.end({&a, &b});
}

BOOST_AUTO_TEST_SUITE_END()
