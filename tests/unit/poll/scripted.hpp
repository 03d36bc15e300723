#pragma once

/// A master, a clock and a wire without sockets and without sleeping: the loop of days runs in milliseconds.

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <dtbridge/core/time.hpp>
#include <dtbridge/poll/exchange.hpp>
#include <dtbridge/poll/poller.hpp>

#include "support/memory_archive.hpp"
#include "support/run_coro.hpp"

namespace dtbridge::poll::test
{

/// Thrown by the clock when the time of the scenario is over.
struct scenario_over
{
};

class fake_time : public timekeeper
{
public:
    explicit fake_time(asio::io_context& io, std::int64_t wall) : io_(io)
    {
        now_.wall = wall;
        now_.steady = 1'000'000;
        end_ = now_.steady;
    }
    instant now() const override { return now_; }
    awaitable<void> wait(std::int64_t ms) override
    {
        waits.push_back(ms);
        advance(ms);
        if (now_.steady >= end_)
            throw scenario_over{};
        co_await asio::post(io_, asio::use_awaitable);
    }
    double jitter() override { return dice; }

    void advance(std::int64_t ms)
    {
        now_.wall += ms;
        now_.steady += ms;
    }
    /// This host's clock is set.
    void set_wall(std::int64_t wall) { now_.wall = wall; }
    void until(std::int64_t ms_from_now) { end_ = now_.steady + ms_from_now; }

    std::vector<std::int64_t> waits;
    double dice = 0.5;

private:
    asio::io_context& io_;
    instant now_;
    std::int64_t end_;
};

struct question
{
    std::string path;
    std::multimap<std::string, std::string> query;
    std::map<std::string, std::string> headers;
    std::string target;
    std::uint64_t max_body = 0;
    std::int64_t wall = 0;

    std::string get(const std::string& name) const
    {
        const auto at = query.find(name);
        return at == query.end() ? std::string() : at->second;
    }
    std::int64_t number(const std::string& name) const
    {
        return query.contains(name) ? std::stoll(get(name)) : 0;
    }
    window asked() const { return {number("starttime"), number("endtime")}; }
};

struct reply
{
    unsigned status = 200;
    std::string body = "[]";
    std::string retry_after;
    std::string location;
    std::string content_type = "application/json";
    std::optional<std::string> date;  ///< default: the master's time
    std::optional<failure> breaks;    ///< after the body
    bool headless = false;            ///< breaks before the head
    std::int64_t takes = 50;          ///< ms
};

struct fake_breach
{
    std::int64_t pbid = 0;
    std::int64_t time = 0;
    std::int64_t creation = 0;
    std::int64_t visible = 0;  ///< by the master's clock, from when on the API shows it
    std::string extra;         ///< further members, ",..."
    std::string left_out;      ///< the same, but minimal answers do not have them

    std::string text(bool minimal) const
    {
        return "{\"pbid\":" + std::to_string(pbid) + ",\"time\":" + std::to_string(time) +
               ",\"creationTime\":" + std::to_string(creation) +
               (minimal ? "" : ",\"model\":{\"name\":\"M\"}" + left_out) + extra + "}";
    }
};

/// Serves its breaches as a real one does; a test puts other answers before that.
class fake_master : public exchange
{
public:
    explicit fake_master(std::shared_ptr<fake_time> time) : time_(std::move(time)) {}

    std::vector<fake_breach> breaches;
    std::int64_t ahead = 0;  ///< of its clock, ms
    bool ignores_creation = false;
    std::vector<question> questions;
    /// Asked first; nothing: the real answer.
    std::function<std::optional<reply>(const question&)> instead;
    /// Called after the question is noted.
    std::function<void(std::size_t)> at_question;

    std::int64_t clock() const { return time_->now().wall + ahead; }

    reply answer(const question& q) const
    {
        reply r;
        const bool minimal = q.get("minimal") == "true";
        if (q.query.contains("pbid"))
        {
            for (const auto& b : breaches)
            {
                if (b.pbid == q.number("pbid"))
                    r.body = b.text(false);
            }
            return r;
        }
        const bool by_creation = q.get("creationtime") == "true" && !ignores_creation;
        r.body = "[";
        for (const auto& b : breaches)
        {
            if (b.visible <= clock() && q.asked().holds(by_creation ? b.creation : b.time))
                r.body += (r.body.size() > 1 ? "," : "") + b.text(minimal);
        }
        r.body += "]";
        return r;
    }

    awaitable<outcome<net::http_response>> get(net::http_request request,
                                               net::body_sink& sink,
                                               net::http_limits bounds,
                                               net::duration) override
    {
        question q = parse(request);
        q.max_body = bounds.max_body;
        questions.push_back(q);
        if (at_question)
            at_question(questions.size());
        std::optional<reply> scripted;
        if (instead)
            scripted = instead(q);
        const reply r = scripted ? *scripted : answer(q);
        time_->advance(r.takes);
        const auto ex = co_await asio::this_coro::executor;
        co_await asio::post(ex, asio::use_awaitable);
        net::http_response h;
        h.status = r.status;
        h.content_type = r.content_type;
        h.location = r.location;
        h.retry_after = r.retry_after;
        h.date = r.date ? *r.date : rfc1123_time(clock());
        if (!r.headless)
        {
            sink.head(h);
            for (std::size_t at = 0; at < r.body.size(); at += 16'384)
            {
                const std::string piece = r.body.substr(at, 16'384);
                const outcome<bool> taken = co_await sink.body(piece);
                if (!taken)
                    co_return taken.error();
            }
        }
        if (r.breaks)
            co_return *r.breaks;
        h.body_bytes = r.body.size();
        h.complete = true;
        co_return h;
    }
    void close() override {}
    const net::peer_facts& peer() const override { return facts_; }

private:
    question parse(const net::http_request& r) const
    {
        question q;
        q.wall = time_->now().wall;
        q.target = r.target;
        for (const auto& [name, value] : r.headers)
            q.headers[name] = value;
        const auto mark = r.target.find('?');
        q.path = r.target.substr(0, mark);
        std::size_t at = mark == std::string::npos ? r.target.size() : mark + 1;
        while (at < r.target.size())
        {
            const auto end = std::min(r.target.find('&', at), r.target.size());
            const std::string pair = r.target.substr(at, end - at);
            const auto eq = pair.find('=');
            q.query.emplace(pair.substr(0, eq), pair.substr(eq + 1));
            at = end + 1;
        }
        return q;
    }

    std::shared_ptr<fake_time> time_;
    net::peer_facts facts_;
};

/// Everything of one master, at Mon, 01 Jan 2024 01:00:00 GMT.
struct world
{
    static constexpr std::int64_t start = 1'704'070'800'000;

    world()
    {
        options.name = "acme";
        options.public_token = secret("public");
        options.private_token = secret("private");
        options.query = {{"includeacknowledged", "true"}, {"includesuppressed", "true"}};
        options.reconcile_interval = std::chrono::milliseconds(0);
        store->on_add = [this](const archive_block&) { store->clock = time->now().wall; };
    }

    poller& make()
    {
        poller_parts parts;
        parts.options = options;
        parts.wire = master;
        parts.store = store;
        parts.time = time;
        parts.clock = clock;
        parts.on_news = [this](std::int64_t seq) { rings.push_back(seq); };
        parts.on_changes = [this](const std::vector<noted_change>& c) {
            changes.insert(changes.end(), c.begin(), c.end());
        };
        loop = std::make_unique<poller>(std::move(parts));
        return *loop;
    }
    /// Polls for so long; a new poller first where there is none.
    void run(std::int64_t ms)
    {
        if (!loop)
            make();
        time->until(ms);
        try
        {
            dtbridge::test::run_coro(io, loop->run(), std::chrono::seconds(60));
        }
        catch (const scenario_over&)
        {}
    }
    /// Stops and starts anew on the same archive.
    void restart() { loop.reset(); }
    /// The same with what is known of the master's clock, as a reload does it.
    void reload()
    {
        clock = loop->clock();
        restart();
    }
    void add(std::int64_t pbid, std::int64_t created, std::int64_t visible = 0, std::int64_t lag = 20'000)
    {
        fake_breach b;
        b.pbid = pbid;
        b.time = created - lag;
        b.creation = created;
        b.visible = visible == 0 ? created : visible;
        master->breaches.push_back(b);
    }
    const master_status& status() const { return loop->status(); }
    std::uint64_t outcomes(answer_kind k) const
    {
        return loop->status().outcomes[static_cast<std::size_t>(k)];
    }

    asio::io_context io;
    master_options options;
    std::shared_ptr<fake_time> time = std::make_shared<fake_time>(io, start);
    std::shared_ptr<fake_master> master = std::make_shared<fake_master>(time);
    std::shared_ptr<dtbridge::test::memory_archive> store =
        std::make_shared<dtbridge::test::memory_archive>();
    master_clock clock;
    std::vector<std::int64_t> rings;
    std::vector<noted_change> changes;
    std::unique_ptr<poller> loop;
};

}  // namespace dtbridge::poll::test
