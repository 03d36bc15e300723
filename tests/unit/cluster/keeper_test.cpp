#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <set>

#include <dtbridge/cluster/keeper.hpp>

#include "cluster/model_database.hpp"

using namespace dtbridge::cluster;
using namespace std::chrono_literals;

BOOST_AUTO_TEST_SUITE(leases)

namespace
{

using names = std::vector<std::string>;
using ms = std::chrono::milliseconds;

boot_time at(ms t)
{
    return boot_time(t);
}

/// What the database's clock shows: nothing like the bridges' clocks.
std::int64_t db(ms t)
{
    return 1'700'000'000'000 + t.count();
}

const names masters = {"frankfurt", "london", "osaka", "paris", "seoul", "tokyo"};

/// A bridge whose statements are answered at once.
struct bridge
{
    model_database& shared;
    keeper k;
    std::set<std::string> works_for = {};
    names told_lost = {};

    bridge(model_database& m,
           const std::string& name,
           ms t = 0ms,
           const std::string& session = "1",
           names of = masters)
        : shared(m), k({name, name + "/" + session}, {}, std::make_shared<planner>(std::move(of)), at(t))
    {}

    void take(const changes& c)
    {
        for (const auto& p : c.gained)
            works_for.insert(p->master());
        for (const auto& m : c.lost)
        {
            works_for.erase(m);
            told_lost.push_back(m);
        }
    }
    void renew(ms t)
    {
        const auto asked = k.to_renew(at(t));
        take(k.renewed(at(t), asked, shared.renew(asked, db(t))));
    }
    /// Answers what is to be stopped.
    names look(ms t)
    {
        const auto asked = k.interest();
        const auto c = k.seen(at(t), at(t), asked, shared.read(k.me(), asked, db(t)));
        take(c);
        if (!c.claims.empty())
            take(k.acquired(at(t), c.claims, shared.try_acquire(k.me(), c.claims, db(t))));
        return c.stop;
    }
    void stop(const names& these)
    {
        for (const auto& m : these)
        {
            works_for.erase(m);
            k.stopped(m);
        }
        const auto asked = k.to_release();
        shared.release(k.me(), asked);
        k.released(asked);
    }
    /// Everything that is due at t, as often as it is.
    void round(ms t)
    {
        for (int i = 0; i < 5; ++i)
        {
            if (k.due().renew <= at(t))
                renew(t);
            if (k.due().look > at(t))
                return;
            stop(look(t));
        }
        BOOST_ERROR("a keeper that looks again and again");
    }
};

void run(std::vector<bridge*> bridges, ms from, ms to)
{
    for (auto t = from; t <= to; t += 100ms)
        for (auto* b : bridges)
            b->round(t);
}

names sorted(const std::set<std::string>& s)
{
    return {s.begin(), s.end()};
}

model_database a_database()
{
    return model_database(10'000);
}

struct three
{
    model_database shared = a_database();
    bridge one{shared, "bridge-1"}, two{shared, "bridge-2"}, three_{shared, "bridge-3"};

    three() { run({&one, &two, &three_}, 0ms, 3000ms); }
};

}  // namespace

// Who owns what: planner_test.cpp.
BOOST_FIXTURE_TEST_CASE(those_that_start_together_share, three)
{
    BOOST_TEST((sorted(one.works_for) == names{"tokyo"}));
    BOOST_TEST((sorted(two.works_for) == names{"frankfurt", "london", "paris"}));
    BOOST_TEST((sorted(three_.works_for) == names{"osaka", "seoul"}));
    for (const auto& m : masters)
        BOOST_TEST(shared.lease_of(m)->number == 1);
    BOOST_TEST(one.k.counted().acquired == 1);
    BOOST_TEST(one.k.counted().takeovers == 0);
}

BOOST_AUTO_TEST_CASE(nothing_is_taken_before_others_had_time_to_join)
{
    auto shared = a_database();
    bridge b(shared, "bridge-1");
    run({&b}, 0ms, 2900ms);
    BOOST_TEST(b.k.held() == 0u);
    b.round(3000ms);
    BOOST_TEST(b.k.held() == 6u);
}

BOOST_AUTO_TEST_CASE(written_until_three_seconds_before_the_end)
{
    auto shared = a_database();
    bridge b(shared, "bridge-1");
    run({&b}, 0ms, 3000ms);  // acquired at 3000
    BOOST_TEST(b.k.may_write("tokyo", at(3000ms)));
    BOOST_TEST(b.k.may_write("tokyo", at(9999ms)));
    BOOST_TEST(!b.k.may_write("tokyo", at(10000ms)));
    BOOST_TEST(!b.k.may_write("berlin", at(3000ms)));
    b.renew(6000ms);
    BOOST_TEST(b.k.may_write("tokyo", at(12999ms)));
    BOOST_TEST(!b.k.may_write("tokyo", at(13000ms)));
    BOOST_TEST((b.k.lapses() == at(13000ms)));
}

BOOST_AUTO_TEST_CASE(a_late_answer_counts_from_when_it_was_asked)
{
    auto shared = a_database();
    bridge b(shared, "bridge-1");
    run({&b}, 0ms, 3000ms);
    // Sent at 6000; the database did it at 10500 and the answer came at 11000.
    const auto asked = b.k.to_renew(at(6000ms));
    const auto answer = shared.renew(asked, db(10500ms));
    BOOST_TEST((b.k.lapsed(at(10999ms)).size() == 6u));
    b.take(b.k.renewed(at(6000ms), asked, answer));
    BOOST_TEST(b.k.may_write("tokyo", at(12999ms)));
    BOOST_TEST(!b.k.may_write("tokyo", at(13000ms)));
    BOOST_TEST(shared.lease_of("tokyo")->expires == db(20500ms));
    // An older one that comes after it takes nothing away.
    b.take(b.k.renewed(at(5000ms), asked, answer));
    BOOST_TEST(b.k.may_write("tokyo", at(12999ms)));
    BOOST_TEST(b.works_for.size() == 6u);
}

BOOST_FIXTURE_TEST_CASE(a_dead_bridge_is_replaced, three)
{
    // bridge-3 renewed at 3000 last; its leases end at 13000.
    BOOST_TEST((shared.lease_of("osaka")->expires == db(13000ms)));
    run({&one, &two}, 3100ms, 12900ms);
    BOOST_TEST(shared.lease_of("osaka")->owner.name == "bridge-3");
    run({&one, &two}, 13000ms, 13200ms);
    BOOST_TEST(shared.lease_of("osaka")->owner.name == "bridge-2");  // 8f.. over 19..
    BOOST_TEST(shared.lease_of("seoul")->owner.name == "bridge-1");  // c1.. over 5d..
    BOOST_TEST(shared.lease_of("osaka")->number == 2);
    BOOST_TEST(one.k.counted().takeovers == 1);
    BOOST_TEST(two.k.counted().takeovers == 1);
    BOOST_TEST((sorted(one.works_for) == names{"seoul", "tokyo"}));
    BOOST_TEST(one.told_lost.empty());
}

// SIGSTOP for 20 s, then it goes on in the middle of what it did.
BOOST_FIXTURE_TEST_CASE(a_paused_bridge_may_not_write, three)
{
    const auto permits = three_.k.permits();
    BOOST_TEST_REQUIRE(permits.size() == 2u);
    run({&one, &two}, 3100ms, 23000ms);
    for (const auto& p : permits)
        BOOST_TEST(!p->may_write(at(23000ms)));
    BOOST_TEST(shared.fence("osaka", "bridge-2/1", 2));
    BOOST_TEST(!shared.fence("osaka", three_.k.me().session, 1));
    BOOST_TEST((three_.k.lapsed(at(23000ms)) == names{"osaka", "seoul"}));
    BOOST_TEST(three_.k.lapsed(at(23000ms)).empty());
    three_.renew(23000ms);
    BOOST_TEST((three_.told_lost == names{"osaka", "seoul"}));
    BOOST_TEST(three_.k.counted().lost == 2);
    for (const auto& p : permits)
        BOOST_TEST(!p->may_write(at(0ms)));
    // It gets them back in good order, with the numbers after those of the others.
    run({&one, &two, &three_}, 23100ms, 34000ms);
    BOOST_TEST((sorted(three_.works_for) == names{"osaka", "seoul"}));
    BOOST_TEST(shared.lease_of("osaka")->number == 3);
}

// Late, and nobody was there to take over.
BOOST_AUTO_TEST_CASE(a_lapse_that_nobody_used_ends)
{
    auto shared = a_database();
    bridge b(shared, "bridge-1");
    run({&b}, 0ms, 3000ms);
    const auto p = b.k.permits().front();
    BOOST_TEST(!p->may_write(at(40s)));
    BOOST_TEST(b.k.lapsed(at(40s)).size() == 6u);
    b.renew(40s);
    BOOST_TEST(p->may_write(at(40s)));
    BOOST_TEST(p->number() == 1);
    BOOST_TEST(shared.lease_of(p->master())->number == 1);
    BOOST_TEST(b.k.counted().lapsed == 6);
    BOOST_TEST(b.told_lost.empty());
}

BOOST_AUTO_TEST_CASE(of_two_that_race_for_a_lease_one_wins)
{
    auto shared = a_database();
    // Neither sees the other.
    bridge a(shared, "a", 0ms, "sa", {"frankfurt"}), b(shared, "b", 0ms, "sb", {"frankfurt"});
    a.renew(0ms);
    b.renew(0ms);
    snapshot free;
    free.now = db(3000ms);
    const names asked = {"frankfurt"};
    a.k.seen(at(3000ms), at(3000ms), asked, free);
    b.k.seen(at(3000ms), at(3000ms), asked, free);
    const auto of_a = a.k.seen(at(3100ms), at(3100ms), asked, free).claims;
    const auto of_b = b.k.seen(at(3100ms), at(3100ms), asked, free).claims;
    BOOST_TEST_REQUIRE(of_a.size() == 1u);
    BOOST_TEST_REQUIRE(of_b.size() == 1u);
    a.take(a.k.acquired(at(3200ms), of_a, shared.try_acquire(a.k.me(), of_a, db(3200ms))));
    b.take(b.k.acquired(at(3200ms), of_b, shared.try_acquire(b.k.me(), of_b, db(3200ms))));
    BOOST_TEST(a.k.may_write("frankfurt", at(3200ms)));
    BOOST_TEST(!b.k.may_write("frankfurt", at(3200ms)));
    BOOST_TEST(b.k.counted().beaten == 1);
    // Not even when the lease has expired since: the number is old.
    BOOST_TEST(shared.try_acquire(b.k.me(), of_b, db(60s)).empty());
    BOOST_TEST(shared.fence("frankfurt", "a/sa", 1));
    BOOST_TEST(!shared.fence("frankfurt", "b/sb", 1));
}

BOOST_AUTO_TEST_CASE(a_claim_whose_answer_was_lost_is_found)
{
    auto shared = a_database();
    bridge b(shared, "b", 0ms, "s", {"frankfurt"});
    b.renew(0ms);
    run({&b}, 100ms, 2900ms);
    const std::vector<claim> claims = {{"frankfurt", 0}};
    shared.try_acquire(b.k.me(), claims, db(2950ms));  // the answer never came
    b.look(3000ms);
    BOOST_TEST(b.k.held() == 0u);  // not asked for yet: the plan is new
    b.look(3010ms);
    BOOST_TEST(b.k.held() == 1u);
    // Its lease was given at 2950 and ends at 12950.
    BOOST_TEST(b.k.may_write("frankfurt", at(9949ms)));
    BOOST_TEST(!b.k.may_write("frankfurt", at(9950ms)));
    BOOST_TEST(shared.lease_of("frankfurt")->number == 1);
}

// It was done long after it was given up, and meanwhile the master is to be another bridge's.
BOOST_FIXTURE_TEST_CASE(a_claim_that_was_done_too_late_is_released, three)
{
    one.k.leave(at(4000ms));
    one.stop({"tokyo"});
    const std::vector<claim> late = {{"tokyo", 1}};
    BOOST_TEST(shared.try_acquire(three_.k.me(), late, db(4100ms)).size() == 1u);
    three_.look(4200ms);
    BOOST_TEST(!three_.k.may_write("tokyo", at(4200ms)));
    BOOST_TEST((three_.k.to_release() == std::vector<lease_number>{{"tokyo", 2}}));
}

// The statement that frees it may be done at any time after: what was given up is never held again under its
// number.
BOOST_AUTO_TEST_CASE(a_release_whose_answer_was_lost_is_repeated)
{
    auto shared = a_database();
    bridge b(shared, "b", 0ms, "s", {"frankfurt"});
    run({&b}, 0ms, 3000ms);
    b.k.stopped("frankfurt");
    BOOST_TEST(!b.k.may_write("frankfurt", at(3100ms)));
    const auto release = b.k.to_release();
    BOOST_TEST((release == std::vector<lease_number>{{"frankfurt", 1}}));
    b.look(6000ms);  // still ours there
    BOOST_TEST(b.k.held() == 0u);
    BOOST_TEST((b.k.to_release() == release));
    shared.release(b.k.me(), release);
    b.renew(7000ms);
    b.look(9000ms);  // now it is free, and wanted: a new number
    BOOST_TEST(b.k.held() == 1u);
    BOOST_TEST(b.k.to_release().empty());
    BOOST_TEST(shared.lease_of("frankfurt")->number == 2);
    shared.release(b.k.me(), release);  // once more, late
    BOOST_TEST(shared.fence("frankfurt", "b/s", 2));
}

BOOST_FIXTURE_TEST_CASE(a_clean_stop_hands_over_within_a_round, three)
{
    const auto stop = three_.k.leave(at(4000ms)).stop;
    BOOST_TEST((stop == names{"osaka", "seoul"}));
    BOOST_TEST((three_.k.due().renew == at(4000ms)));
    three_.round(4000ms);  // tells them; still works
    BOOST_TEST(three_.k.may_write("osaka", at(4000ms)));
    BOOST_TEST(!three_.k.has_left());
    three_.stop(stop);
    BOOST_TEST(three_.k.has_left());
    shared.release_all(three_.k.me());
    run({&one, &two}, 4100ms, 6000ms);  // their next looks are at 6000
    BOOST_TEST((sorted(one.works_for) == names{"seoul", "tokyo"}));
    BOOST_TEST((sorted(two.works_for) == names{"frankfurt", "london", "osaka", "paris"}));
    BOOST_TEST(one.k.counted().takeovers == 0);
    BOOST_TEST(shared.renew(three_.k.to_renew(at(6000ms)), db(6000ms)).superseded);  // brings nothing back
}

BOOST_FIXTURE_TEST_CASE(who_waits_for_a_bridge_that_stops_looks_often, three)
{
    const auto stop = three_.k.leave(at(5900ms)).stop;
    three_.round(5900ms);
    run({&one, &two}, 6000ms, 7000ms);
    BOOST_TEST(shared.lease_of("osaka")->owner.name == "bridge-3");
    BOOST_TEST((two.k.due().look == at(7500ms)));
    three_.renew(7000ms);
    three_.stop(stop);
    run({&one, &two}, 7100ms, 7500ms);
    BOOST_TEST(shared.lease_of("osaka")->owner.name == "bridge-2");
}

BOOST_AUTO_TEST_CASE(a_bridge_that_comes_is_given_its_share_a_few_at_a_time)
{
    names many;
    for (int i = 0; i < 100; ++i)
        many.push_back("m" + std::to_string(i));
    auto shared = a_database();
    bridge a(shared, "a", 0ms, "sa", many), b(shared, "b", 0ms, "sb", many);
    run({&a}, 0ms, 3000ms);
    BOOST_TEST(a.k.held() == 100u);
    b.renew(3000ms);
    BOOST_TEST(a.look(3500ms).empty());  // it takes nothing yet
    b.renew(6000ms);
    BOOST_TEST(a.look(6499ms).empty());  // the others may not have seen it
    const auto first = a.look(6500ms);
    BOOST_TEST(first.size() == 10u);
    BOOST_TEST(a.look(6600ms).empty());  // those are still being stopped
    for (const auto& m : first)
        BOOST_TEST(a.k.may_write(m, at(6700ms)));  // what is on the wire may be finished
    a.stop(first);
    for (const auto& m : first)
        BOOST_TEST(!a.k.may_write(m, at(6700ms)));
    BOOST_TEST(a.look(6700ms).size() == 10u);
    BOOST_TEST(a.k.held() == 90u);
}

// A restart while another bridge leaves: nothing waits for who has just come.
BOOST_FIXTURE_TEST_CASE(the_established_do_not_wait_for_who_joins, three)
{
    run({&one, &two, &three_}, 3100ms, 16000ms);
    bridge four(shared, "bridge-4", 16100ms);
    four.renew(16100ms);
    three_.stop(three_.k.leave(at(16200ms)).stop);
    shared.release_all(three_.k.me());
    run({&one, &two}, 16300ms, 18100ms);
    BOOST_TEST((one.k.planned().bridges == names{"bridge-1", "bridge-2"}));
    for (const auto& m : masters)
        BOOST_TEST(!shared.lease_of(m)->owner.name.empty());
    four.renew(19100ms);  // serves
    one.look(19200ms);
    BOOST_TEST((one.k.planned().bridges == names{"bridge-1", "bridge-2", "bridge-4"}));
}

BOOST_AUTO_TEST_CASE(two_bridges_end_with_an_even_share)
{
    names many;
    for (int i = 0; i < 100; ++i)
        many.push_back("m" + std::to_string(i));
    auto shared = a_database();
    bridge a(shared, "a", 0ms, "sa", many), b(shared, "b", 5000ms, "sb", many);
    run({&a}, 0ms, 4900ms);
    run({&a, &b}, 5000ms, 40000ms);
    BOOST_TEST(a.k.held() + b.k.held() == 100u);
    BOOST_TEST(a.k.held() >= 49u);
    BOOST_TEST(b.k.held() >= 49u);
    BOOST_TEST(a.told_lost.empty());
    BOOST_TEST(a.k.counted().handed_over == std::int64_t(b.k.held()));
    BOOST_TEST(b.k.counted().takeovers == 0);
}

// systemd starts it again after a crash: the same name, another process.
BOOST_FIXTURE_TEST_CASE(a_later_process_of_the_same_name_is_the_bridge, three)
{
    bridge again(shared, "bridge-3", 4000ms, "2");
    run({&one, &two, &again}, 4000ms, 12900ms);
    BOOST_TEST(again.k.held() == 0u);  // the earlier one's leases are honoured to their end
    run({&one, &two, &again}, 13000ms, 13200ms);
    BOOST_TEST((sorted(again.works_for) == names{"osaka", "seoul"}));
    BOOST_TEST((sorted(one.works_for) == names{"tokyo"}));  // nothing else has moved
    // And the earlier one was only paused.
    three_.renew(14000ms);
    BOOST_TEST(three_.k.superseded());
    BOOST_TEST((three_.told_lost == names{"osaka", "seoul"}));
    BOOST_TEST(three_.k.held() == 0u);
    BOOST_TEST(!shared.fence("osaka", "bridge-3/1", 1));
    BOOST_TEST(shared.fence("osaka", "bridge-3/2", 2));
}

// All leases expired while the database was away. Who comes back first leaves them to their owners for a
// while.
BOOST_FIXTURE_TEST_CASE(after_the_database_was_away_each_keeps_its_own, three)
{
    std::vector<bridge*> all = {&one, &two, &three_};
    for (auto* b : all)
    {
        b->k.renew_failed(at(8000ms));
        b->k.look_failed(at(8000ms));
    }
    for (auto* b : all)
        b->k.renew_failed(at(40000ms));
    one.round(40500ms);
    BOOST_TEST((sorted(one.works_for) == names{"tokyo"}));
    two.round(41700ms);
    three_.round(43900ms);
    run(all, 44000ms, 50000ms);
    BOOST_TEST((sorted(one.works_for) == names{"tokyo"}));
    BOOST_TEST((sorted(three_.works_for) == names{"osaka", "seoul"}));
    for (const auto& m : masters)
        BOOST_TEST(shared.lease_of(m)->number == 1);
}

// One statement that is lost says nothing of the database.
BOOST_FIXTURE_TEST_CASE(one_renewal_that_failed_stops_no_takeover, three)
{
    one.round(6000ms);
    two.round(6000ms);
    run({&two}, 9000ms, 9000ms);
    one.k.renew_failed(at(11000ms));
    BOOST_TEST((one.k.due().renew == at(11500ms)));
    run({&one, &two}, 11500ms, 13200ms);
    BOOST_TEST(shared.lease_of("seoul")->owner.name == "bridge-1");
    one.k.renew_failed(at(16500ms));
    one.k.renew_failed(at(19000ms));
    BOOST_TEST((one.k.to_renew(at(19500ms)).state == bridge_state::joining));
}

// The standby that took over has a clock that is a minute ahead, by which every lease has expired.
BOOST_FIXTURE_TEST_CASE(a_jump_of_the_databases_clock_takes_nothing_from_the_living, three)
{
    const auto asked = one.k.interest();
    auto s = shared.read(one.k.me(), asked, db(6000ms) + 60'000);
    const auto c = one.k.seen(at(6000ms), at(6000ms), asked, s);
    BOOST_TEST(c.claims.empty());
    BOOST_TEST((one.k.planned().bridges == names{"bridge-1", "bridge-2", "bridge-3"}));
}

BOOST_FIXTURE_TEST_CASE(a_reload_changes_the_masters, three)
{
    const auto c = two.k.set_masters(std::make_shared<planner>(names{"frankfurt", "oslo"}), at(4000ms));
    BOOST_TEST((c.stop == names{"london", "paris"}));
    BOOST_TEST((two.k.due().look == at(4000ms)));
    two.stop(c.stop);
    BOOST_TEST((sorted(two.works_for) == names{"frankfurt"}));
    BOOST_TEST(shared.lease_of("london")->owner.name.empty());
    BOOST_TEST(shared.lease_of("london")->number == 1);
}

BOOST_AUTO_TEST_CASE(permits_end_with_their_keeper)
{
    auto shared = a_database();
    std::shared_ptr<const permit> p;
    {
        bridge b(shared, "b", 0ms, "s", {"frankfurt"});
        run({&b}, 0ms, 3000ms);
        p = b.k.permits().front();
        BOOST_TEST(p->may_write(at(3000ms)));
    }
    BOOST_TEST(!p->may_write(at(3000ms)));
}

BOOST_AUTO_TEST_SUITE_END()
