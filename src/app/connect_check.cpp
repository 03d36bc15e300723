#include "app/connect_check.hpp"

#include <algorithm>
#include <cstdio>

#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <dtbridge/archive/probe.hpp>
#include <dtbridge/async/doorbell.hpp>
#include <dtbridge/async/offload.hpp>
#include <dtbridge/core/time.hpp>
#include <dtbridge/net/connect_report.hpp>
#include <dtbridge/poll/probe.hpp>
#include <dtbridge/transport/transport.hpp>

#include "app/version.hpp"

namespace dtbridge::app
{

namespace
{

using namespace std::chrono_literals;
using std::chrono::steady_clock;

constexpr std::size_t most_at_once = 32;
constexpr auto master_limit = 20s;
// A collector that refuses the client certificate says so after the handshake (TLS 1.3): this long it may
// take.
constexpr steady_clock::duration after_handshake = 3s;
constexpr std::int64_t day = 24 * 3'600'000LL;
constexpr std::int64_t soon = 30;               // days
constexpr std::int64_t skew_worth_a_word = 60;  // seconds

void note(boost::json::object& o, std::string words)
{
    auto& notes = o["notes"];
    if (!notes.is_array())
        notes = boost::json::array();
    notes.as_array().push_back(boost::json::value(std::move(words)));
}

/// Whole days, towards the past: -1 has expired within the last day.
std::int64_t days_until(std::int64_t ms)
{
    const auto left = ms - now_ms();
    return left >= 0 ? left / day : -1 - (-left - 1) / day;
}

boost::json::object to_json(const net::certificate_facts& c)
{
    boost::json::object o;
    o["subject"] = c.subject;
    o["issuer"] = c.issuer;
    o["names"] = c.names;
    o["fingerprint_sha256"] = c.fingerprint_sha256;
    o["not_before"] = rfc3339_ms(c.not_before);
    o["not_after"] = rfc3339_ms(c.not_after);
    o["days_left"] = days_until(c.not_after);
    return o;
}

std::string expiry_words(std::int64_t days)
{
    if (days < 0)
        return "has expired";
    return days == 0 ? "expires within a day" : "expires in " + std::to_string(days) + " days";
}

void add_connection(boost::json::object& o, const net::connect_report& r, const net::tls_options& tls)
{
    boost::json::array addresses;
    for (const auto& a : r.addresses)
        addresses.push_back(boost::json::value(a));
    o["resolves_to"] = std::move(addresses);
    o["connected_to"] = r.address;
    o["step"] = r.step;
    if (r.server_name.empty() && r.chain.empty())
        return;
    boost::json::object t;
    t["version"] = r.protocol;
    t["cipher"] = r.cipher;
    t["server_name"] = r.server_name;
    t["self_signed"] = r.self_signed;
    t["verified_by"] = !tls.verify                       ? "nothing"
                       : !tls.fingerprint_sha256.empty() ? "fingerprint"
                       : tls.ca_file.empty()             ? "system"
                                                         : "ca_file";
    boost::json::array chain;
    for (const auto& c : r.chain)
        chain.push_back(to_json(c));
    if (!r.chain.empty())
    {
        t["fingerprint_sha256"] = r.chain.front().fingerprint_sha256;
        const auto days = days_until(r.chain.front().not_after);
        t["days_left"] = days;
        if (days < soon && r.step == "done")
            note(o, "the peer's certificate " + expiry_words(days) + ": have it renewed");
    }
    t["chain"] = std::move(chain);
    o["tls"] = std::move(t);
    if (!tls.verify)
        note(o, "verify = false: nothing of this certificate is checked; pin it with fingerprint_sha256");
}

void add_skew(boost::json::object& o, const poll::probe_report& r)
{
    if (!r.skew_seconds)
        return;
    o["skew_seconds"] = *r.skew_seconds;
    if (r.date_was_refused && r.said.kind == poll::answer_kind::ok)
        note(o,
             "the master refused a date by this host's clock and took one by its own: the clocks are too far "
             "apart; synchronise both (NTP)");
    else if (std::abs(*r.skew_seconds) > skew_worth_a_word)
        note(o,
             "the clocks of the master and of this host differ; polling follows the master's, but "
             "synchronise both (NTP)");
}

std::string proxy_text(const poll::master_options& m)
{
    return m.proxy ? m.proxy->address.text() : "";
}

awaitable<boost::json::object> check_master(const connect_target& target)
{
    const auto& m = target.master;
    const auto limit = std::min<steady_clock::duration>(m.timeout, master_limit);
    std::string agent = program_agent;
    const auto time = now_ms() + target.master_skew;
    const auto r = co_await poll::probe(m, std::move(agent), time, limit);
    boost::json::object o;
    o["kind"] = "master";
    o["name"] = m.name;
    o["address"] = m.url;
    o["ok"] = r.said.kind == poll::answer_kind::ok;
    o["outcome"] = poll::name_of(r.said.kind);
    o["problem"] = r.said.words;
    if (m.proxy)
        o["proxy"] = proxy_text(m);
    add_connection(o, r.connection, m.tls);
    o["answer_ms"] = r.answer_ms;
    add_skew(o, r);
    if (r.said.kind != poll::answer_kind::ok)
        co_return o;
    if (r.newest)
    {
        o["newest_breach"] = rfc3339_ms(*r.newest);
        const auto age = now_ms() + r.skew_seconds.value_or(0) * 1000 - *r.newest;
        o["newest_breach_age_seconds"] = std::max<std::int64_t>(age, 0) / 1000;
    }
    else
    {
        o["newest_breach"] = nullptr;
        if (r.newest_error.empty())
            note(o,
                 "no breach in the last " + std::to_string(r.looked_back / day) +
                     " days: is that true of this appliance? A token of a user sees what that user may see");
    }
    if (!r.newest_error.empty())
        note(o, "looking for the newest breach: " + r.newest_error);
    if (r.sees_pbscore)
        note(o, "breaches carry pbscore: their scores are those of devices; see [master.query]");
    co_return o;
}

std::string_view name_of(transport::protocol p)
{
    switch (p)
    {
        case transport::protocol::udp:
            return "udp";
        case transport::protocol::tcp:
            return "tcp";
        case transport::protocol::tls:
            return "tls";
        case transport::protocol::relp:
            return "relp";
        case transport::protocol::relp_tls:
            return "relp+tls";
        case transport::protocol::kafka:
            return "kafka";
    }
    return "other";
}

void add_own_certificate(boost::json::object& o, const net::tls_options& tls)
{
    if (tls.cert_file.empty())
        return;
    const auto mine = net::read_certificate(tls.cert_file);
    if (!mine)
        return;  // connecting has said so
    auto facts = to_json(*mine);
    facts["file"] = tls.cert_file;
    if (const auto days = days_until(mine->not_after); days < soon)
        note(o, tls.cert_file + ", which the collector sees, " + expiry_words(days) + ": have it renewed");
    o["client_certificate"] = std::move(facts);
}

/// What can be known without sending anything, in words.
std::string verdict_of(const transport::options& options, bool own, bool asked)
{
    const auto kind = options.kind;
    if (kind == transport::protocol::kafka)
        return "a broker " +
               std::string(options.kafka.sasl_mechanism.empty() ? "answered" : "took the sign-in") +
               ", and the topic " + options.kafka.topic +
               " exists; that this user may write to it is shown by `dtbridge test`";
    if (kind == transport::protocol::udp)
        return "UDP shakes no hands: the name resolves and there is a route, more is not known; `dtbridge "
               "test` "
               "sends an event and notices a closed port";
    if (kind == transport::protocol::tcp)
        return "the collector accepts the connection; that it reads this framing is shown by `dtbridge test`";
    if (kind == transport::protocol::relp)
        return "the collector opened a RELP session and offers to take messages";
    std::string words = "both sides agreed";
    if (kind == transport::protocol::relp_tls)
        words += ", the collector opened a RELP session and offers to take messages";
    if (own)
        words += ", and the collector did not refuse the client certificate within three seconds";
    else if (asked)
        words += "; the collector asks for a client certificate and does without one";
    return words;
}

/// Watches for an end that comes soon after connecting: the refusal of a client certificate, an
/// access list that closes what it does not know.
awaitable<void> watch(transport::connection& c, doorbell& changed)
{
    const auto until = steady_clock::now() + after_handshake;
    while (c.now() == transport::connection::state::up)
    {
        const auto left = until - steady_clock::now();
        if (left <= steady_clock::duration::zero())
            break;
        co_await changed.wait(left);
    }
}

awaitable<boost::json::object> check_destination(const connect_target& target)
{
    auto options = target.destination.transport;
    std::string name;
    if (options.kind == transport::protocol::kafka)
        for (const auto& a : options.addresses)
            name += (name.empty() ? "" : ", ") + a.text();
    else
    {
        const auto peer = options.addresses[target.address];
        options.addresses.assign(1, peer);
        name = peer.text();
    }
    boost::json::object o;
    o["kind"] = "destination";
    o["name"] = target.destination.name;
    o["address"] = name;
    o["transport"] = name_of(options.kind);
    auto ex = co_await asio::this_coro::executor;
    const auto began = steady_clock::now();
    auto report = std::make_shared<net::connect_report>();
    auto changed = std::make_shared<doorbell>(ex);
    transport::connector connector(ex, options);
    connector.report_to(report);
    transport::connector::notify ring = [changed] { changed->ring(); };
    auto opened = co_await connector.connect(ring);
    o["connect_ms"] =
        std::chrono::duration_cast<std::chrono::milliseconds>(steady_clock::now() - began).count();
    std::string problem;
    if (opened)
    {
        auto& c = **opened;
        std::exception_ptr stopped;
        try
        {
            if (options.kind != transport::protocol::udp && options.kind != transport::protocol::kafka)
                co_await watch(c, *changed);
        }
        catch (...)
        {
            stopped = std::current_exception();
        }
        if (stopped)
        {
            // The service stops: the connection is closed all the same, because it has tasks of its own.
            const auto shield = asio::disable_cancellation();
            co_await asio::this_coro::reset_cancellation_state(shield);
        }
        if (c.now() == transport::connection::state::ending)
            problem = c.peer() +
                      ": the collector closed the connection as soon as it was made; does it "
                      "allow this host, and does it expect TLS (or none) on this port?";
        else if (c.now() == transport::connection::state::over)
            problem = c.reason() ? c.reason()->detail : c.peer() + ": the connection ended";
        co_await c.close();
        if (stopped)
            std::rethrow_exception(stopped);
    }
    else
        problem = opened.error().detail;
    o["ok"] = problem.empty();
    add_connection(o, *report, options.tls);
    add_own_certificate(o, options.tls);
    if (problem.empty())
        o["verdict"] = verdict_of(options, !options.tls.cert_file.empty(), report->asked_for_ours);
    o["problem"] = std::move(problem);
    co_return o;
}

std::string kind_of(const connect_target& t)
{
    if (!t.database.url.empty())
        return "database";
    return t.is_master ? "master" : "destination";
}

std::string name_of(const connect_target& t)
{
    if (!t.database.url.empty())
        return "archive";
    return t.is_master ? t.master.name : t.destination.name;
}

double milliseconds(std::int64_t us)
{
    return static_cast<double>(us) / 1000;
}

boost::json::object to_json(const database_report& r)
{
    boost::json::object o;
    o["kind"] = "database";
    o["name"] = "archive";
    o["address"] = r.place;
    o["ok"] = r.problem.empty();
    o["problem"] = r.problem;
    o["step"] = r.step;
    o["connected_to"] = r.address;
    if (r.address.empty())
        return o;
    o["connect_ms"] = milliseconds(r.connect_us);
    o["server_version"] = r.server_version;
    o["socket"] = r.is_socket;
    if (!r.tls_version.empty())
    {
        boost::json::object tls;
        tls["version"] = r.tls_version;
        tls["cipher"] = r.cipher;
        o["tls"] = std::move(tls);
    }
    if (r.step == "connect")
        return o;
    o["standby"] = r.is_standby;
    o["read_write"] = !r.is_read_only;
    o["round_trip_ms"] = milliseconds(r.round_trip_us);
    if (r.newest_schema_version == 0)
        return o;
    o["schema_version"] = r.schema_version;
    o["newest_schema_version"] = r.newest_schema_version;
    return o;
}

awaitable<boost::json::object> check_database(const connect_target& target)
{
    // One of its own: what archives wait for may be what is wrong.
    asio::thread_pool thread(1);
    auto job = [database = target.database] { return probe_database(database); };
    const auto report = co_await offload(thread.get_executor(), std::move(job));
    co_return to_json(report);
}

/// Shared by the tasks: who asked may be gone before they are.
struct check_run
{
    explicit check_run(asio::any_io_executor ex) : ended(std::move(ex)) {}
    std::vector<connect_target> targets;
    std::vector<boost::json::object> results;
    std::size_t next = 0, running = 0;
    doorbell ended;
};

awaitable<void> work(std::shared_ptr<check_run> run)
{
    struct counted
    {
        explicit counted(check_run& r) : run(r) { ++run.running; }
        counted(const counted&) = delete;
        counted& operator=(const counted&) = delete;
        ~counted()
        {
            if (--run.running == 0)
                run.ended.ring();
        }
        check_run& run;
    };
    const counted here(*run);
    while (run->next < run->targets.size())
    {
        const auto mine = run->next++;
        const auto& target = run->targets[mine];
        if (!target.database.url.empty())
        {
            auto found = co_await check_database(target);
            run->results[mine] = std::move(found);
        }
        else if (target.is_master)
        {
            auto found = co_await check_master(target);
            run->results[mine] = std::move(found);
        }
        else
        {
            auto found = co_await check_destination(target);
            run->results[mine] = std::move(found);
        }
    }
}

}  // namespace

std::vector<connect_target> connect_targets(const archive_database& database,
                                            const std::vector<poll::master_options>& masters,
                                            const std::vector<config::destination>& destinations)
{
    std::vector<connect_target> out;
    if (!database.url.empty())
    {
        connect_target t;
        t.key = "0";
        t.database = database;
        out.push_back(std::move(t));
    }
    for (const auto& m : masters)
    {
        connect_target t;
        t.key = "1/" + m.name;
        t.is_master = true;
        t.master = m;
        out.push_back(std::move(t));
    }
    for (const auto& d : destinations)
    {
        // Brokers are one target: any of them tells of the whole cluster.
        const auto& way = d.options.transport;
        const auto count = way.kind == transport::protocol::kafka ? 1 : way.addresses.size();
        for (std::size_t i = 0; i < count; ++i)
        {
            connect_target t;
            char number[32];
            std::snprintf(number, sizeof number, "%03zu", i);
            t.key = "2/" + d.options.name + "/" + number;
            t.destination = d.options;
            t.address = i;
            out.push_back(std::move(t));
        }
    }
    std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.key < b.key; });
    return out;
}

awaitable<boost::json::array> check_connections(task_group& tasks, std::vector<connect_target> targets)
{
    auto ex = co_await asio::this_coro::executor;
    auto run = std::make_shared<check_run>(ex);
    const auto count = targets.size();
    run->targets = std::move(targets);
    run->results.resize(count);
    for (std::size_t i = 0; i < std::min(count, most_at_once); ++i)
        tasks.spawn("check", work(run));
    const auto rounds = static_cast<int>((count + most_at_once - 1) / most_at_once);
    const auto until = steady_clock::now() + (master_limit + 5s) * rounds;
    while ((run->next < count || run->running > 0) && steady_clock::now() < until)
        co_await run->ended.wait(1s);
    boost::json::array out;
    for (std::size_t i = 0; i < count; ++i)
    {
        auto& found = run->results[i];
        if (found.empty())
        {
            const auto& t = run->targets[i];
            found["kind"] = kind_of(t);
            found["name"] = name_of(t);
            found["ok"] = false;
            found["problem"] = "the check did not end in time";
        }
        out.push_back(std::move(found));
    }
    co_return out;
}

}  // namespace dtbridge::app
