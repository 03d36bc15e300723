#include <dtbridge/archive/leases.hpp>

#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

#include <chrono>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dtbridge/async/doorbell.hpp>
#include <dtbridge/db/postgres.hpp>

#include "archive/pg_schema.hpp"

namespace dtbridge
{

namespace
{

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

constexpr auto answer_limit = 2s;
constexpr auto schema_limit = 30s;
constexpr int most_tries = 3;

cluster::bridge_state state_of(std::string_view name)
{
    if (const auto known = cluster::bridge_state_of(name))
        return *known;
    throw db::error(fail(errc::malformed, "a bridge has a state that this version does not know"));
}

/// Of leases or claims.
template <class Numbered>
void add_numbers(db::parameters& to, const std::vector<Numbered>& of)
{
    std::vector<std::string> masters;
    std::vector<std::int64_t> numbers;
    for (const auto& n : of)
    {
        masters.push_back(n.master);
        numbers.push_back(n.number);
    }
    to.add(masters).add(numbers);
}

// ---- the statements
// -------------------------------------------------------------------------------------------------

/// Each begins with it: now, in ms, when the server got the statement.
constexpr const char* with_clock =
    "WITH clock AS (SELECT floor(extract(epoch FROM statement_timestamp()) * 1000)::bigint AS now)";

constexpr const char* joins =
    ", old AS (DELETE FROM dtbridge.bridge USING clock WHERE name <> $1 AND expires < now - 86400000)"
    ", beat AS (INSERT INTO dtbridge.bridge(name, session, expires, state) SELECT $1, $2, now + $3, $4 FROM "
    "clock ON CONFLICT (name) DO UPDATE SET session = excluded.session, expires = excluded.expires, state = "
    "excluded.state RETURNING name)";

// A renewal that the server held up, by a lock say, does not take back what a later one has given; an end
// further ahead is of before the server's clock was set back, and stays for nobody.
constexpr const char* beats =
    ", beat AS (UPDATE dtbridge.bridge SET expires = CASE WHEN expires <= now + $3 + $3 THEN "
    "greatest(expires, now + $3) ELSE now + $3 END, state = $4 FROM clock WHERE name = $1 AND "
    "session = $2 RETURNING name)";

constexpr const char* renews =
    ", renewed AS (UPDATE dtbridge.lease AS l SET expires = CASE WHEN expires <= now + $3 + $3 THEN "
    "greatest(expires, now + $3) ELSE now + $3 END FROM clock, unnest($5, $6) AS n(master, "
    "number) WHERE l.master = n.master AND l.number = n.number AND l.session = $2 AND EXISTS(SELECT 1 FROM "
    "beat) RETURNING l.master, l.number)"
    // The row without a master says whether the session still has the name.
    " SELECT NULL::text, count(*) FROM beat UNION ALL SELECT master, number FROM renewed";

/// Time, bridges and leases in one answer: which a row is shows in what is null.
constexpr const char* reads =
    " SELECT NULL::text AS master, NULL::text AS name, NULL::text AS session, NULL::text AS state, 0::bigint "
    "AS number, now AS expires FROM clock"
    " UNION ALL SELECT NULL, name, session, state, 0, expires FROM dtbridge.bridge"
    " UNION ALL SELECT master, coalesce(owner, ''), coalesce(session, ''), NULL, number, expires FROM "
    "dtbridge.lease";

/// Rows that a writer holds are skipped, so that it holds up its own master alone. A row that another
/// statement changed meanwhile is looked at as it is then: READ COMMITTED checks the conditions again once it
/// has the lock. In order, so that of two bridges that add rows neither waits for the other in a circle.
constexpr const char* acquires =
    ", me AS (SELECT 1 FROM dtbridge.bridge WHERE name = $1 AND session = $2 AND state <> 'leaving' FOR "
    "SHARE)"
    ", asked AS (SELECT * FROM unnest($4, $5) AS a(master, number))"
    ", added AS (INSERT INTO dtbridge.lease(master, owner, session, number, expires) SELECT master, $1, $2, "
    "1, now + $3 FROM asked, clock WHERE number = 0 AND EXISTS(SELECT 1 FROM me) ORDER BY master ON CONFLICT "
    "DO NOTHING RETURNING master, number)"
    ", free AS (SELECT l.master, l.number FROM dtbridge.lease AS l, asked, clock WHERE l.master = "
    "asked.master AND l.number = asked.number AND (l.owner IS NULL OR l.expires <= now) AND EXISTS(SELECT 1 "
    "FROM me) FOR UPDATE OF l SKIP LOCKED)"
    ", taken AS (UPDATE dtbridge.lease AS l SET owner = $1, session = $2, number = l.number + 1, expires = "
    "now + $3 FROM free, clock WHERE l.master = free.master AND l.number = free.number RETURNING l.master, "
    "l.number)"
    " SELECT master, number FROM added UNION ALL SELECT master, number FROM taken";

constexpr const char* releases =
    "UPDATE dtbridge.lease AS l SET owner = NULL, session = NULL, expires = 0 FROM unnest($2, $3) AS "
    "n(master, number) WHERE l.master = n.master AND l.number = n.number AND l.session = $1";

constexpr const char* releases_all =
    "WITH gone AS (DELETE FROM dtbridge.bridge WHERE name = $1 AND session = $2), freed AS (UPDATE "
    "dtbridge.lease SET owner = NULL, session = NULL, expires = 0 WHERE session = $2 RETURNING master) "
    "SELECT count(*) FROM freed";

std::vector<cluster::lease_number> numbers_in(const db::rows& r)
{
    std::vector<cluster::lease_number> out;
    for (int i = 0; i < r.size(); ++i)
        if (!r.is_null(i, 0))
            out.push_back({std::string(r.bytes(i, 0)), r.integer(i, 1)});
    return out;
}

cluster::renewal_answer renewal_in(const db::rows& r)
{
    cluster::renewal_answer out;
    out.superseded = true;
    for (int i = 0; i < r.size(); ++i)
        if (r.is_null(i, 0))
            out.superseded = r.integer(i, 1) == 0;
    out.renewed = numbers_in(r);
    return out;
}

cluster::snapshot snapshot_in(const db::rows& r)
{
    cluster::snapshot out;
    for (int i = 0; i < r.size(); ++i)
    {
        const cluster::identity who = {std::string(r.bytes(i, 1)), std::string(r.bytes(i, 2))};
        const auto expires = r.integer(i, 5);
        if (!r.is_null(i, 0))
            out.leases.push_back({std::string(r.bytes(i, 0)), who, r.integer(i, 4), expires});
        else if (!r.is_null(i, 3))
            out.members.push_back({who, expires, state_of(r.bytes(i, 3))});
        else
            out.now = expires;
    }
    return out;
}

// ---- the store
// ------------------------------------------------------------------------------------------------------

class pg_lease_store : public cluster::lease_store
{
public:
    pg_lease_store(const archive_database& database, cluster::options timing) : lease_(timing.lease.count())
    {
        options_.url = database.url;
        options_.password = database.password;
        auto url = db::read_postgres_url(database.url);
        if (!url)
            throw db::error(url.error());
        place_ = std::move(url->place);
    }
    ~pg_lease_store() override { thread_.join(); }

    asio::awaitable<outcome<cluster::renewal_answer>> renew(cluster::renewal r) override
    {
        auto work = [lease = lease_, r = std::move(r)](db::postgres& on) {
            auto values =
                db::parameters().add(r.who.name).add(r.who.session).add(lease).add(name_of(r.state));
            add_numbers(values, r.leases);
            return renewal_in(on.run(std::string(with_clock) + (r.join ? joins : beats) + renews, values));
        };
        return ask<cluster::renewal_answer>(std::move(work));
    }

    asio::awaitable<outcome<cluster::snapshot>> read(cluster::identity who,
                                                     std::vector<std::string> masters) override
    {
        auto work = [who = std::move(who), masters = std::move(masters)](db::postgres& on) {
            const auto sql = std::string(with_clock) + reads + " WHERE master = ANY($1) OR session = $2";
            return snapshot_in(on.run(sql, db::parameters().add(masters).add(who.session)));
        };
        return ask<cluster::snapshot>(std::move(work));
    }

    asio::awaitable<outcome<cluster::snapshot>> read_all() override
    {
        auto work = [](db::postgres& on) { return snapshot_in(on.run(std::string(with_clock) + reads)); };
        return ask<cluster::snapshot>(std::move(work));
    }

    asio::awaitable<outcome<std::vector<cluster::lease_number>>> try_acquire(
        cluster::identity who, std::vector<cluster::claim> claims) override
    {
        auto work = [lease = lease_, who = std::move(who), claims = std::move(claims)](db::postgres& on) {
            auto values = db::parameters().add(who.name).add(who.session).add(lease);
            add_numbers(values, claims);
            return numbers_in(on.run(std::string(with_clock) + acquires, values));
        };
        return ask<std::vector<cluster::lease_number>>(std::move(work));
    }

    asio::awaitable<outcome<std::int64_t>> release(cluster::identity who,
                                                   std::vector<cluster::lease_number> leases) override
    {
        auto work = [who = std::move(who), leases = std::move(leases)](db::postgres& on) {
            auto values = db::parameters().add(who.session);
            add_numbers(values, leases);
            return on.run(releases, values).changed();
        };
        return ask<std::int64_t>(std::move(work));
    }

    asio::awaitable<outcome<std::int64_t>> release_all(cluster::identity who) override
    {
        auto work = [who = std::move(who)](db::postgres& on) {
            return on.run(releases_all, db::parameters().add(who.name).add(who.session)).integer(0, 0);
        };
        return ask<std::int64_t>(std::move(work));
    }

private:
    template <class T>
    struct question
    {
        explicit question(asio::any_io_executor home) : answered(std::move(home)) {}
        doorbell answered;
        std::optional<outcome<T>> answer = {};
    };

    /// Runs work(connection) on the thread. What is not answered in time is not waited for, and not begun
    /// once its time is over: a name server may keep the thread busy for longer.
    template <class T, class F>
    asio::awaitable<outcome<T>> ask(F work)
    {
        auto home = co_await asio::this_coro::executor;
        auto asked = std::make_shared<question<T>>(home);
        const auto until = clock::now() + answer_limit;
        auto job = [this, asked, home, until, work = std::move(work)]() mutable {
            auto answer = answer_to<T>(work, until);
            asio::post(home, [asked, answer = std::move(answer)]() mutable {
                asked->answer = std::move(answer);
                asked->answered.ring();
            });
        };
        asio::post(thread_, std::move(job));
        co_await asked->answered.wait(answer_limit);
        if (!asked->answer)
            co_return too_late();
        co_return std::move(*asked->answer);
    }

    template <class T, class F>
    outcome<T> answer_to(F& work, clock::time_point until)
    {
        try
        {
            for (int tries = 1;; ++tries)
            {
                auto& on = connected(until);
                on.limit_to(left(until));
                try
                {
                    return work(on);
                }
                catch (const db::postgres_error& e)
                {
                    if (!e.may_succeed_again() || tries >= most_tries)
                        throw;
                }
            }
        }
        catch (const db::error& e)
        {
            // Another server may be the right one by now.
            connection_.reset();
            return e.reason();
        }
        catch (const std::bad_alloc&)
        {
            connection_.reset();
            return fail(errc::over_limit, place_ + ": out of memory");
        }
    }

    db::postgres& connected(clock::time_point until)
    {
        if (connection_ && connection_->is_idle())
            return *connection_;
        connection_.reset();
        options_.connect_limit = left(until);
        connection_ = std::make_unique<db::postgres>(options_);
        connection_->limit_to(schema_limit);
        pg_migrate(*connection_);
        return *connection_;
    }

    std::chrono::milliseconds left(clock::time_point until) const
    {
        const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(until - clock::now());
        if (ms <= 0ms)
            throw db::error(too_late());
        return ms;
    }
    failure too_late() const { return fail(errc::timed_out, place_ + " does not answer within 2 s"); }

    const std::int64_t lease_;
    db::postgres_options options_;
    std::string place_;
    std::unique_ptr<db::postgres> connection_;  // the thread's
    asio::thread_pool thread_{1};
};

}  // namespace

std::unique_ptr<cluster::lease_store> open_lease_store(const archive_database& database,
                                                       cluster::options timing)
{
    return std::make_unique<pg_lease_store>(database, timing);
}

}  // namespace dtbridge
