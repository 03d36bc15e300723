/// A hundred bridges and ten thousand masters, minutes of failures in seconds: the real keeper of every
/// bridge against a model of the shared database, in virtual time, the same for the same seed. What must hold
/// is checked all the way; figures of every second are printed as JSON. `simulation [--bridges N] [--masters
/// N] [--seed N] [--out FILE]`; exit status 1 when something did not hold.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <random>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <dtbridge/cluster/keeper.hpp>

#include "cluster/model_database.hpp"

namespace
{

using namespace dtbridge::cluster;
using namespace std::chrono_literals;
using true_time = std::chrono::microseconds;  // since the start; no bridge and no database sees it

double in_seconds(true_time t)
{
    return std::chrono::duration<double>(t).count();
}

struct setting
{
    int bridges = 100, masters = 10'000;
    std::uint64_t seed = 1;
    std::string out;
};

/// What happens in between two marks.
struct phase
{
    std::string what;
    true_time from = {};
    true_time bound = 15s;  ///< longer than that no master may be without an owner
    std::int64_t takeovers = 0, acquired = 0, handed_over = 0, lost = 0, lapsed = 0;
    true_time longest_gap = {};           ///< that a master was without an owner who may write
    std::int64_t gaps = 0;                ///< how many there were
    std::optional<true_time> whole = {};  ///< when no master was without an owner any more, after one was
};

class world
{
public:
    explicit world(const setting& s)
        : setting_(s),
          random_(s.seed),
          shared_(10'000),
          masters_(names("master-", s.masters)),
          serving_(masters_.size())
    {
        for (std::size_t m = 0; m < masters_.size(); ++m)
            index_[masters_[m]] = m;
        planner_ = std::make_shared<planner>(masters_);
        bridges_.resize(std::size_t(s.bridges));
        for (std::size_t b = 0; b < bridges_.size(); ++b)
        {
            bridges_[b].name = "bridge-" + std::to_string(b + 1);
            bridges_[b].drift = 1 + (unit() - 0.5) * 2e-4;  // up to 100 millionths either way
            bridges_[b].booted = std::chrono::microseconds(static_cast<std::int64_t>(unit() * 1e12));
        }
    }

    bool run();
    void print(std::ostream& to) const;

private:
    struct bridge
    {
        std::string name;
        double drift = 1;
        std::chrono::microseconds booted = {};
        std::unique_ptr<keeper> k;
        int session = 0;  ///< also tells what belongs to an earlier process
        bool paused = false, cut_off = false, leaving = false, release_now = false;
        bool busy = false;            ///< a statement is under way
        std::uint64_t statement = 0;  ///< the one that is waited for
        std::vector<claim> claims;
        std::vector<std::function<void()>> inbox;  ///< what happened while it was paused
        std::optional<true_time> wakes;
        counters counted;  ///< of earlier processes
    };
    struct event
    {
        true_time at;
        std::uint64_t order;
        std::function<void()> what;
        bool operator>(const event& o) const { return at != o.at ? at > o.at : order > o.order; }
    };
    /// Who may write for a master, as far as anybody was seen to.
    struct service
    {
        std::size_t bridge = 0;
        std::shared_ptr<const permit> by;
        true_time last = {};  ///< when somebody was last able to
        bool ever = false, gap = false;
    };

    static std::vector<std::string> names(const std::string& stem, int count)
    {
        std::vector<std::string> out;
        for (int i = 1; i <= count; ++i)
            out.push_back(stem + std::to_string(i));
        std::sort(out.begin(), out.end());
        return out;
    }
    double unit() { return static_cast<double>(random_() >> 11) * 0x1p-53; }
    std::size_t below(std::size_t n) { return random_() % n; }
    true_time between(true_time a, true_time b)
    {
        return a + true_time(static_cast<std::int64_t>(unit() * double((b - a).count())));
    }

    void at(true_time t, std::function<void()> what) { events_.push({t, order_++, std::move(what)}); }
    /// For a process of a bridge: nothing happens once it is dead, and later while it is paused.
    void at(true_time t, std::size_t b, std::function<void()> what)
    {
        at(t, [this, b, session = bridges_[b].session, what = std::move(what)] {
            auto& of = bridges_[b];
            if (!of.k || of.session != session)
                return;
            if (of.paused)
                of.inbox.push_back(what);
            else
                what();
        });
    }

    boot_time local(const bridge& b, true_time t) const
    {
        return boot_time(b.booted +
                         std::chrono::microseconds(static_cast<std::int64_t>(double(t.count()) * b.drift)));
    }
    boot_time local(const bridge& b) const { return local(b, now_); }
    true_time when(const bridge& b, boot_time t) const
    {
        const auto since =
            std::chrono::duration_cast<std::chrono::microseconds>(t.time_since_epoch()) - b.booted;
        return true_time(static_cast<std::int64_t>(double(since.count()) / b.drift) + 1);
    }
    std::int64_t database_now() const
    {
        return 1'700'000'000'000 +
               std::chrono::duration_cast<std::chrono::milliseconds>(now_ + database_ahead_).count();
    }

    template <class Answer>
    void ask(std::size_t b, std::function<Answer()> job, std::function<void(boot_time, const Answer*)> then);
    void pump(std::size_t b);
    void take(std::size_t b, const changes& c);
    void check(std::size_t b);
    void write_something(std::size_t b);
    void send_write(std::size_t b,
                    const std::string& session,
                    const std::string& master,
                    std::int64_t number);
    void tick();
    void second();
    void mark(std::string what, true_time bound);
    void wrong(const std::string& what);

    void start(std::size_t b);
    void kill(std::size_t b);
    void pause(std::size_t b, true_time how_long);
    void leave(std::size_t b);
    void script();
    counters total() const;

    setting setting_;
    std::mt19937_64 random_;
    model_database shared_;
    std::vector<std::string> masters_;
    std::unordered_map<std::string, std::size_t> index_;
    std::shared_ptr<planner> planner_;
    std::vector<bridge> bridges_;
    std::vector<service> serving_;

    std::priority_queue<event, std::vector<event>, std::greater<>> events_;
    std::uint64_t order_ = 0;
    true_time now_ = {}, ends_ = {};

    bool database_up_ = true;
    true_time database_ahead_ = {};
    true_time trip_ = 1ms, trip_more_ = 4ms;  ///< one way to the database: at least, and up to so much more
    double lost_ = 0.0005;                    ///< of requests and, as many, of answers
    true_time excused_until_ = 20s;  ///< no bound on gaps before: the start, and while the database is away

    std::map<std::pair<std::string, std::int64_t>, std::string> granted_;  ///< whose a number is
    std::unordered_map<std::string, std::int64_t> written_;                ///< highest number that wrote
    std::int64_t writes_ = 0, refused_ = 0, problems_ = 0, checks_ = 0;
    std::vector<phase> phases_;
    counters at_mark_;
    model_database::work at_second_;
    counters counted_at_second_;
    std::vector<std::string> seconds_;
    double most_statements_ = 0;
};

// ---- the loop around a keeper
// ------------------------------------------------------------------------------------------------

/// One statement: to the database, done there, and back; or not, and then after two seconds that is known.
template <class Answer>
void world::ask(std::size_t b,
                std::function<Answer()> job,
                std::function<void(boot_time, const Answer*)> then)
{
    auto& of = bridges_[b];
    of.busy = true;
    const auto number = ++of.statement;
    const auto sent = local(of);
    const auto there =
        now_ + trip_ + true_time(static_cast<std::int64_t>(unit() * double(trip_more_.count())));
    const auto finish = [this, b, number, sent, then](const Answer* a) {
        auto& mine = bridges_[b];
        if (mine.statement != number || !mine.busy)
            return;
        mine.busy = false;
        then(sent, a);
        check(b);
        pump(b);
    };
    at(now_ + 2s, b, [finish] { finish(nullptr); });
    if (of.cut_off || !database_up_)
        return;
    if (unit() < lost_)
    {
        // Some that were given up as lost are done in the end: by then nobody expects it.
        if (unit() < 0.5)
            at(now_ + between(2s, 20s), [this, job] {
                if (database_up_)
                    job();
            });
        return;
    }
    const auto session = of.session;
    at(there, [this, b, session, job, finish] {
        if (!database_up_)
            return;
        auto answer = std::make_shared<Answer>(job());
        auto& mine = bridges_[b];
        if (mine.session != session || mine.cut_off || unit() < lost_)
            return;
        const auto back =
            now_ + trip_ + true_time(static_cast<std::int64_t>(unit() * double(trip_more_.count())));
        at(back, b, [finish, answer] { finish(answer.get()); });
    });
}

void world::take(std::size_t b, const changes& c)
{
    for (const auto& p : c.gained)
    {
        const auto [known, fresh] =
            granted_.try_emplace({p->master(), p->number()}, bridges_[b].k->me().session);
        if (!fresh && known->second != bridges_[b].k->me().session)
            wrong("number " + std::to_string(p->number()) + " of " + p->master() + " was given twice");
    }
    // Deliveries finish what is on the wire.
    for (const auto& m : c.stop)
        at(now_ + between(50ms, 800ms), b, [this, b, m] {
            auto& of = bridges_[b];
            of.k->stopped(m);
            of.release_now = true;
            pump(b);
        });
    for (const auto& claim : c.claims)
        bridges_[b].claims.push_back(claim);
}

/// What a bridge does next, as keeper.hpp has it.
void world::pump(std::size_t b)
{
    auto& of = bridges_[b];
    if (of.busy || !of.k || of.paused)
        return;
    auto& k = *of.k;
    const auto now = local(of);
    const auto me = k.me();
    if (k.superseded())
    {
        kill(b);
        return;
    }
    if (of.leaving && k.has_left())
    {
        ask<std::int64_t>(
            b,
            [this, me] { return shared_.release_all(me); },
            [this, b](boot_time, const std::int64_t* freed) {
                if (freed)
                    kill(b);  // it has ended
            });
        return;
    }
    if (const auto leases = k.to_release(); of.release_now && !leases.empty())
    {
        of.release_now = false;
        ask<std::int64_t>(
            b,
            [this, me, leases] { return shared_.release(me, leases); },
            [this, b, leases](boot_time, const std::int64_t* freed) {
                if (freed)
                    bridges_[b].k->released(leases);
            });
        return;
    }
    if (k.due().renew <= now)
    {
        const auto asked = k.to_renew(now);
        ask<renewal_answer>(
            b,
            [this, asked] { return shared_.renew(asked, database_now()); },
            [this, b, asked](boot_time sent, const renewal_answer* a) {
                auto& mine = bridges_[b];
                if (!a)
                {
                    mine.k->renew_failed(local(mine));
                    return;
                }
                take(b, mine.k->renewed(sent, asked, *a));
                mine.release_now = true;
            });
        return;
    }
    if (!of.claims.empty())
    {
        const auto claims = std::exchange(of.claims, {});
        ask<std::vector<lease_number>>(
            b,
            [this, me, claims] {
                auto won = shared_.try_acquire(me, claims, database_now());
                for (const auto& l : won)
                    if (!granted_.try_emplace({l.master, l.number}, me.session).second)
                        wrong("number " + std::to_string(l.number) + " of " + l.master + " was given twice");
                return won;
            },
            [this, b, claims](boot_time sent, const std::vector<lease_number>* won) {
                auto& mine = bridges_[b];
                if (won)
                    take(b, mine.k->acquired(sent, claims, *won));
                else
                    mine.k->claims_failed(local(mine));
            });
        return;
    }
    if (k.due().look <= now)
    {
        const auto asked = k.interest();
        ask<snapshot>(
            b,
            [this, me, asked] { return shared_.read(me, asked, database_now()); },
            [this, b, asked](boot_time sent, const snapshot* s) {
                auto& mine = bridges_[b];
                if (s)
                    take(b, mine.k->seen(sent, local(mine), asked, *s));
                else
                    mine.k->look_failed(local(mine));
                mine.release_now = true;
            });
        return;
    }
    auto next = std::min(k.due().renew, k.due().look);
    if (const auto lapses = k.lapses())
    {
        if (*lapses <= now)
            k.lapsed(now);
        else
            next = std::min(next, *lapses);
    }
    const auto wakes = std::max(when(of, next), now_ + 1us);
    if (of.wakes && *of.wakes > now_ && *of.wakes <= wakes)
        return;
    of.wakes = wakes;
    at(wakes, b, [this, b] {
        check(b);
        pump(b);
    });
}

// ---- what must hold
// ----------------------------------------------------------------------------------------------------------

void world::wrong(const std::string& what)
{
    if (++problems_ <= 20)
        std::fprintf(stderr,
                     "at %.3f s (seed %llu): %s\n",
                     in_seconds(now_),
                     (unsigned long long)setting_.seed,
                     what.c_str());
}

/// Of every master that this bridge says it may write for, nobody else says so at this instant: paused
/// bridges too, because that is what they would say if they went on now.
void world::check(std::size_t b)
{
    const auto& of = bridges_[b];
    if (!of.k)
        return;
    const auto here = local(of);
    for (const auto& p : of.k->permits())
    {
        if (!p->may_write(here))
            continue;
        ++checks_;
        auto& s = serving_[index_.at(p->master())];
        if (s.by && s.by != p && s.bridge != b && s.by->may_write(local(bridges_[s.bridge])))
            wrong(of.name + " and " + bridges_[s.bridge].name + " both may write for " + p->master());
        if (s.by == p)
            continue;
        s.by = p;
        s.bridge = b;
    }
}

/// Every 100 ms: who is without an owner that may write and runs, and for how long.
void world::tick()
{
    for (std::size_t m = 0; m < serving_.size(); ++m)
    {
        auto& s = serving_[m];
        const bool served = s.by && !bridges_[s.bridge].paused && bridges_[s.bridge].k &&
                            s.by->may_write(local(bridges_[s.bridge]));
        if (!served)
        {
            if (s.ever && now_ - s.last > phases_.back().bound && now_ > excused_until_)
            {
                wrong(masters_[m] + " has had no owner for too long");
                s.last = now_;
            }
            s.gap = s.ever;
            continue;
        }
        if (s.gap)
        {
            auto& p = phases_.back();
            ++p.gaps;
            p.longest_gap = std::max(p.longest_gap, now_ - s.last);
            p.whole = now_;
        }
        s.ever = true;
        s.gap = false;
        s.last = now_;
    }
    at(now_ + 100ms, [this] { tick(); });
}

/// Each bridge writes to the archive all the time, for masters it has and, if nothing told it, had.
void world::write_something(std::size_t b)
{
    const auto permits = bridges_[b].k->permits();
    for (std::size_t i = 0; i < 3 && !permits.empty(); ++i)
    {
        const auto& p = permits[below(permits.size())];
        send_write(b, bridges_[b].k->me().session, p->master(), p->number());
    }
    at(now_ + between(200ms, 800ms), b, [this, b] { write_something(b); });
}

void world::send_write(std::size_t b,
                       const std::string& session,
                       const std::string& master,
                       std::int64_t number)
{
    if (bridges_[b].cut_off)
        return;
    // Some take long, on the way or behind others.
    const auto takes = unit() < 0.02 ? between(1s, 40s) : between(1ms, 50ms);
    at(now_ + takes, [this, session, master, number] {
        if (!database_up_)
            return;
        if (!shared_.fence(master, session, number))
        {
            ++refused_;
            return;
        }
        ++writes_;
        if (granted_.at({master, number}) != session)
            wrong("a write for " + master + " went through with another's number");
        auto& highest = written_[master];
        if (number < highest)
            wrong("a write for " + master + " went through after one with a later number");
        highest = number;
    });
}

// ---- figures
// -----------------------------------------------------------------------------------------------------------------

counters world::total() const
{
    counters sum;
    const auto add = [&sum](const counters& c) {
        sum.acquired += c.acquired;
        sum.takeovers += c.takeovers;
        sum.beaten += c.beaten;
        sum.handed_over += c.handed_over;
        sum.lost += c.lost;
        sum.lapsed += c.lapsed;
    };
    for (const auto& b : bridges_)
    {
        add(b.counted);
        if (b.k)
            add(b.k->counted());
    }
    return sum;
}

void world::second()
{
    std::vector<std::size_t> held;
    for (const auto& b : bridges_)
        if (b.k && !b.paused && !b.cut_off)
            held.push_back(b.k->held());
    std::sort(held.begin(), held.end());
    true_time stalest = {};
    int unowned = 0;
    for (const auto& s : serving_)
    {
        if (!s.ever)
        {
            ++unowned;
            continue;
        }
        stalest = std::max(stalest, now_ - s.last);
        unowned += now_ - s.last > 100ms;
    }
    const auto sum = total();
    const auto& done = shared_.done();
    const auto statements = done.statements - at_second_.statements;
    most_statements_ = std::max(most_statements_, double(statements));
    char line[400];
    std::snprintf(
        line,
        sizeof line,
        R"({"t": %.0f, "bridges": %zu, "min": %zu, "median": %zu, "max": %zu, "takeovers": %lld, )"
        R"("handed_over": %lld, "unowned": %d, "stalest": %.1f, "statements": %lld, "rows_read": %lld, )"
        R"("rows_written": %lld})",
        in_seconds(now_),
        held.size(),
        held.empty() ? 0 : held.front(),
        held.empty() ? 0 : held[held.size() / 2],
        held.empty() ? 0 : held.back(),
        (long long)(sum.takeovers - counted_at_second_.takeovers),
        (long long)(sum.handed_over - counted_at_second_.handed_over),
        unowned,
        in_seconds(stalest),
        (long long)statements,
        (long long)(done.rows_read - at_second_.rows_read),
        (long long)(done.rows_written - at_second_.rows_written));
    seconds_.emplace_back(line);
    at_second_ = done;
    counted_at_second_ = sum;
    at(now_ + 1s, [this] { second(); });
}

void world::mark(std::string what, true_time bound)
{
    const auto sum = total();
    if (!phases_.empty())
    {
        auto& p = phases_.back();
        p.takeovers = sum.takeovers - at_mark_.takeovers;
        p.acquired = sum.acquired - at_mark_.acquired;
        p.handed_over = sum.handed_over - at_mark_.handed_over;
        p.lost = sum.lost - at_mark_.lost;
        p.lapsed = sum.lapsed - at_mark_.lapsed;
    }
    at_mark_ = sum;
    phases_.push_back({std::move(what), now_, bound});
}

void world::print(std::ostream& to) const
{
    char line[600];
    std::snprintf(
        line,
        sizeof line,
        R"({"bridges": %d, "masters": %d, "seed": %llu, "seconds": %.0f, "problems": %lld, "checks": %lld, )"
        R"("writes": %lld, "refused_writes": %lld, "most_statements": %.0f,)",
        setting_.bridges,
        setting_.masters,
        (unsigned long long)setting_.seed,
        in_seconds(now_),
        (long long)problems_,
        (long long)checks_,
        (long long)writes_,
        (long long)refused_,
        most_statements_);
    to << line << "\n\"phases\": [\n";
    for (std::size_t i = 0; i + 1 < phases_.size(); ++i)
    {
        const auto& p = phases_[i];
        std::snprintf(
            line,
            sizeof line,
            R"({"t": %.0f, "what": "%s", "takeovers": %lld, "acquired": %lld, "handed_over": %lld, "lost": %lld, )"
            R"("lapsed": %lld, "gaps": %lld, "longest_gap": %.1f, "whole_after": %.1f}%s)",
            in_seconds(p.from),
            p.what.c_str(),
            (long long)p.takeovers,
            (long long)p.acquired,
            (long long)p.handed_over,
            (long long)p.lost,
            (long long)p.lapsed,
            (long long)p.gaps,
            in_seconds(p.longest_gap),
            p.whole ? in_seconds(*p.whole - p.from) : 0.0,
            i + 2 < phases_.size() ? "," : "");
        to << line << "\n";
    }
    to << "],\n\"every_second\": [\n";
    for (std::size_t i = 0; i < seconds_.size(); ++i)
        to << seconds_[i] << (i + 1 < seconds_.size() ? ",\n" : "\n");
    to << "]}\n";
}

// ---- failures
// ----------------------------------------------------------------------------------------------------------------

void world::start(std::size_t b)
{
    auto& of = bridges_[b];
    if (of.k)
        return;
    ++of.session;
    of.paused = of.leaving = of.busy = of.release_now = false;
    of.claims.clear();
    of.inbox.clear();
    of.wakes.reset();
    of.k = std::make_unique<keeper>(
        identity{of.name, of.name + "/" + std::to_string(of.session)}, options{}, planner_, local(of));
    at(now_, b, [this, b] { pump(b); });
    at(now_ + between(200ms, 800ms), b, [this, b] { write_something(b); });
}

void world::kill(std::size_t b)
{
    auto& of = bridges_[b];
    if (!of.k)
        return;
    const auto& c = of.k->counted();
    of.counted.acquired += c.acquired;
    of.counted.takeovers += c.takeovers;
    of.counted.beaten += c.beaten;
    of.counted.handed_over += c.handed_over;
    of.counted.lost += c.lost;
    of.counted.lapsed += c.lapsed;
    of.k.reset();
    of.paused = false;
}

/// SIGSTOP, and SIGCONT later: everything that came meanwhile is there at once, in whatever order.
void world::pause(std::size_t b, true_time how_long)
{
    auto& of = bridges_[b];
    if (!of.k)
        return;
    of.paused = true;
    at(now_ + how_long, [this, b, session = of.session] {
        auto& mine = bridges_[b];
        if (!mine.k || mine.session != session)
            return;
        mine.paused = false;
        check(b);
        // Writes that it was about to do when it was stopped.
        for (const auto& p : mine.k->permits())
            send_write(b, mine.k->me().session, p->master(), p->number());
        auto inbox = std::exchange(mine.inbox, {});
        if (unit() < 0.5)
            std::reverse(inbox.begin(), inbox.end());
        for (auto& what : inbox)
            if (mine.k && mine.session == session)
                what();
        pump(b);
    });
}

void world::leave(std::size_t b)
{
    auto& of = bridges_[b];
    if (!of.k)
        return;
    of.leaving = true;
    take(b, of.k->leave(local(of)));
    pump(b);
}

void world::script()
{
    const auto count = bridges_.size();
    const auto early = count - std::max<std::size_t>(1, count / 10);
    const auto few = std::max<std::size_t>(1, count / 20);
    const auto some = [this, count](std::size_t n, true_time t, std::function<void(std::size_t)> what) {
        at(t, [this, n, count, what] {
            const auto first = below(count);
            for (std::size_t i = 0; i < n; ++i)
                what((first + i * 7) % count);
        });
    };
    auto t = 0s;
    const auto next = [this, &t](const char* what, std::chrono::seconds lasts, true_time bound = 15s) {
        const auto from = t;
        at(from, [this, what, bound] { mark(what, bound); });
        t += lasts;
        return from;
    };

    // Of bridges that come and go in good order: a round of three seconds, and two statements that are lost.
    const true_time in_good_order = 8s;

    auto from = next("start", 60s);
    for (std::size_t b = 0; b < early; ++b)
        at(from + between(0s, 2s), [this, b] { start(b); });

    from = next("a tenth more bridges come", 90s, in_good_order);
    for (auto b = early; b < count; ++b)
        at(from + between(0s, 2s), [this, b] { start(b); });

    from = next("one bridge is killed, and restarted after 60 s", 90s);
    some(1, from, [this](std::size_t b) {
        kill(b);
        at(now_ + 60s, [this, b] { start(b); });
    });

    from = next("a twentieth is killed, and restarted at once", 60s);
    some(few, from, [this](std::size_t b) {
        kill(b);
        at(now_ + between(200ms, 2s), [this, b] { start(b); });
    });

    from = next("a twentieth is killed, and restarted after 30 s", 90s);
    some(few, from, [this](std::size_t b) {
        kill(b);
        at(now_ + 30s, [this, b] { start(b); });
    });

    from = next("a twentieth is stopped for 8 to 40 s, and goes on", 120s);
    some(few, from, [this](std::size_t b) { pause(b, between(8s, 40s)); });

    from = next("a twentieth is cut off from the database for 30 s", 90s);
    some(few, from, [this](std::size_t b) {
        bridges_[b].cut_off = true;
        at(now_ + 30s, [this, b] { bridges_[b].cut_off = false; });
    });

    // Who is to have a master may be the next to go, and the one after that, too.
    from = next("the database is slow and loses one statement in fifty; bridges come and go", 90s, 30s);
    at(from, [this] {
        trip_ = 100ms;
        trip_more_ = 400ms;
        lost_ = 0.01;
    });
    for (int i = 0; i < 8; ++i)
        some(1, from + 5s * i, [this](std::size_t b) {
            leave(b);
            at(now_ + 10s, [this, b] { start(b); });
        });
    at(from + 60s, [this] {
        trip_ = 1ms;
        trip_more_ = 4ms;
        lost_ = 0.0005;
    });

    from = next("the database's clock is set 30 s ahead", 60s);
    at(from, [this] { database_ahead_ += 30s; });

    from = next("the database fails over in 5 s to a clock 20 s behind", 60s);
    at(from, [this] { database_up_ = false; });
    at(from + 5s, [this] {
        database_up_ = true;
        database_ahead_ -= 20s;
    });

    from = next("the database is away for 45 s", 120s);
    at(from, [this] {
        database_up_ = false;
        excused_until_ = now_ + 45s + 15s;
    });
    at(from + 45s, [this] { database_up_ = true; });

    from = next("rolling restart, one bridge after the other", 0s, in_good_order);
    for (std::size_t b = 0; b < count; ++b)
    {
        at(from + 8s * int(b), [this, b] { leave(b); });
        at(from + 8s * int(b) + 3s, [this, b] { start(b); });
    }
    t += 8s * int(count) + 60s;

    from = next("a tenth of the bridges stops for good", 60s, in_good_order);
    some(count - early, from, [this](std::size_t b) { leave(b); });
    next("end", 0s);
    ends_ = t;
}

bool world::run()
{
    script();
    at(0s, [this] { tick(); });
    at(1s, [this] { second(); });
    while (!events_.empty() && events_.top().at <= ends_)
    {
        const auto e = events_.top();
        events_.pop();
        now_ = e.at;
        e.what();
    }
    const auto last = total();
    // That the failures were there, and were found.
    if (last.takeovers == 0 || last.lost == 0 || last.lapsed == 0 || last.handed_over == 0 || refused_ == 0 ||
        writes_ == 0)
        wrong("a failure that should have been simulated was not");
    for (std::size_t m = 0; m < serving_.size(); ++m)
        if (serving_[m].gap || !serving_[m].ever)
            wrong(masters_[m] + " has no owner at the end");
    std::size_t least = SIZE_MAX, most = 0, live = 0;
    for (const auto& b : bridges_)
    {
        if (!b.k)
            continue;
        ++live;
        least = std::min(least, b.k->held());
        most = std::max(most, b.k->held());
    }
    if (most > capacity(live, masters_.size()))
        wrong("a bridge has " + std::to_string(most) + " masters at the end");
    std::fprintf(stderr,
                 "%zu bridges have %zu to %zu masters; %lld takeovers, %lld handed over, %lld lapsed; %lld "
                 "writes, %lld refused; "
                 "%lld problems\n",
                 live,
                 least,
                 most,
                 (long long)last.takeovers,
                 (long long)last.handed_over,
                 (long long)last.lapsed,
                 (long long)writes_,
                 (long long)refused_,
                 (long long)problems_);
    return problems_ == 0;
}

}  // namespace

int main(int argc, char** argv)
{
    setting s;
    for (int i = 1; i + 1 < argc; i += 2)
    {
        const std::string key = argv[i], value = argv[i + 1];
        if (key == "--bridges")
            s.bridges = std::stoi(value);
        else if (key == "--masters")
            s.masters = std::stoi(value);
        else if (key == "--seed")
            s.seed = std::stoull(value);
        else if (key == "--out")
            s.out = value;
    }
    world w(s);
    const bool good = w.run();
    if (!s.out.empty())
    {
        std::ofstream file(s.out);
        w.print(file);
    }
    return good ? 0 : 1;
}
