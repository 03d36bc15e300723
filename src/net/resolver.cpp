#include "net/resolver.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

#include <dtbridge/core/text.hpp>

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "net/endpoint.hpp"

namespace dtbridge::net
{

namespace
{

constexpr std::size_t max_addresses = 16;
constexpr std::size_t max_names = 4096;  ///< names come from the configuration; the bound is for mistakes
constexpr std::size_t max_queue = 1024;
constexpr auto longest_wait = std::chrono::hours(24);

/// One coroutine that waits. Only its own thread touches it, but for ex.
struct waiter
{
    explicit waiter(const asio::any_io_executor& e) : ex(e), timer(e) {}
    asio::any_io_executor ex;
    asio::steady_timer timer;
    std::optional<resolver::answer> got;
};

struct job
{
    std::list<std::shared_ptr<waiter>> waiters;
};

}  // namespace

struct resolver::state
{
    lookup how;
    std::size_t max_threads = 0;
    duration patience{};

    std::mutex mutex;
    std::condition_variable wake;
    bool stopped = false;
    std::size_t threads = 0;
    std::size_t idle = 0;
    std::deque<std::string> queue;
    std::map<std::string, job> running;  ///< queued ones too
    std::map<std::string, addresses> last_good;

    static void work(const std::shared_ptr<state>& s);
    void finish(const std::string& host, const answer& a);
};

void resolver::state::finish(const std::string& host, const answer& a)
{
    const std::lock_guard lock(mutex);
    if (a.found)
    {
        if (last_good.size() >= max_names && !last_good.contains(host))
            last_good.erase(last_good.begin());
        last_good[host] = a.found.value();
    }
    // Posted under the lock: a waiter that left is no longer in the list, so its context is never touched
    // again.
    for (const auto& w : running[host].waiters)
        asio::post(w->ex, [w, a] {
            w->got = a;
            w->timer.cancel();
        });
    running.erase(host);
}

void resolver::state::work(const std::shared_ptr<state>& s)
{
    for (;;)
    {
        std::string host;
        {
            std::unique_lock lock(s->mutex);
            ++s->idle;
            while (s->queue.empty() && !s->stopped)
                s->wake.wait_for(lock,
                                 std::chrono::seconds(60));  // wait() needs a newer libstdc++ than EL 9's
            --s->idle;
            if (s->stopped)
                return;
            host = std::move(s->queue.front());
            s->queue.pop_front();
        }
        answer a;
        try
        {
            a = s->how(host);
        }
        catch (const std::exception& e)
        {
            a.found = fail(errc::resolve_failed, "the lookup of " + host + " failed: " + e.what());
        }
        s->finish(host, a);
    }
}

resolver::resolver(lookup how, std::size_t threads, duration patience) : state_(std::make_shared<state>())
{
    state_->how = std::move(how);
    state_->max_threads = threads;
    state_->patience = patience;
}

resolver::~resolver()
{
    const std::lock_guard lock(state_->mutex);
    state_->stopped = true;
    state_->wake.notify_all();
}

awaitable<outcome<resolver::addresses>> resolver::resolve(std::string host, duration limit)
{
    if (is_ip_literal(host))
        co_return addresses{host};
    if (!is_host(host))
        co_return fail(errc::malformed, "\"" + text::printable(host, 80) + "\" is no host name");

    /// Leaves the list whatever ends the coroutine.
    struct registration
    {
        registration(std::shared_ptr<state> st, std::string h, std::shared_ptr<waiter> who)
            : s(std::move(st)), name(std::move(h)), w(std::move(who))
        {}
        registration(const registration&) = delete;
        registration& operator=(const registration&) = delete;
        ~registration()
        {
            const std::lock_guard lock(s->mutex);
            if (const auto it = s->running.find(name); it != s->running.end())
                it->second.waiters.remove(w);
        }
        std::shared_ptr<state> s;
        std::string name;
        std::shared_ptr<waiter> w;
    };

    auto s = state_;
    const auto began = std::chrono::steady_clock::now();
    limit = std::clamp<duration>(limit, duration::zero(), longest_wait);
    auto ex = co_await asio::this_coro::executor;
    auto w = std::make_shared<waiter>(ex);
    std::optional<addresses> old;
    {
        const std::lock_guard lock(s->mutex);
        if (const auto it = s->last_good.find(host); it != s->last_good.end())
            old = it->second;
        auto it = s->running.find(host);
        if (it == s->running.end())
        {
            if (s->queue.size() >= max_queue)
                co_return fail(errc::over_limit,
                               "too many names wait to be looked up; " + host + " is not tried");
            it = s->running.try_emplace(host).first;
            s->queue.push_back(host);
            if (s->idle < s->queue.size() && s->threads < s->max_threads)
            {
                // No other way to leave one: getaddrinfo cannot be interrupted, and the end of the process
                // must not wait for a dead name server. The thread owns its share of the state.
                try
                {
                    std::thread([s] { state::work(s); }).detach();
                    ++s->threads;
                }
                catch (const std::system_error&)
                {
                    if (s->threads == 0)
                    {
                        s->queue.pop_back();
                        s->running.erase(host);
                        co_return fail(errc::over_limit,
                                       "this host allows no further thread for name lookups");
                    }
                }
            }
            s->wake.notify_one();
        }
        it->second.waiters.push_back(w);
    }
    registration registered(s, host, w);
    auto until = began + (old ? std::min(s->patience, limit) : limit);
    while (!w->got && std::chrono::steady_clock::now() < until)
    {
        w->timer.expires_at(until);
        co_await w->timer.async_wait(asio::as_tuple(asio::use_awaitable));
        const auto cancelled = co_await asio::this_coro::cancellation_state;
        if (cancelled.cancelled() != asio::cancellation_type::none)
            throw boost::system::system_error(asio::error::operation_aborted);
    }
    if (w->got && (w->got->found || !(w->got->temporary && old)))
        co_return std::move(w->got->found);
    if (old)
        co_return std::move(*old);
    const auto seconds = std::chrono::duration_cast<std::chrono::milliseconds>(limit).count();
    co_return fail(errc::resolve_failed,
                   "no name server answered for " + host + " within " + std::to_string(seconds) +
                       " ms; check the name servers of this host");
}

resolver::answer system_lookup(const std::string& host)
{
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    const int rc = getaddrinfo(host.c_str(), nullptr, &hints, &list);
    resolver::answer a;
    if (rc != 0)
    {
        a.temporary = rc == EAI_AGAIN || rc == EAI_SYSTEM || rc == EAI_MEMORY;
        std::string why;
        if (rc == EAI_NONAME || rc == EAI_NODATA)
            why = "the name " + host + " does not exist; check the address and the name servers of this host";
        else if (rc == EAI_AGAIN)
            why = "no name server answered for " + host + "; check the name servers of this host";
        else
            why = "the lookup of " + host + " failed: " + gai_strerror(rc);
        a.found = fail(errc::resolve_failed, std::move(why));
        return a;
    }
    resolver::addresses found;
    for (const addrinfo* i = list; i && found.size() < max_addresses; i = i->ai_next)
    {
        char text[NI_MAXHOST];
        if (getnameinfo(i->ai_addr, i->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST) != 0)
            continue;
        if (std::find(found.begin(), found.end(), text) == found.end())
            found.emplace_back(text);
    }
    freeaddrinfo(list);
    if (found.empty())
        a.found = fail(errc::resolve_failed, "the name " + host + " has no address");
    else
        a.found = std::move(found);
    return a;
}

awaitable<outcome<std::vector<std::string>>> resolve(std::string host, duration limit)
{
    // Never destroyed: its threads may outlive every other object of the process.
    static auto* const shared = new resolver(system_lookup, 8, std::chrono::seconds(2));
    return shared->resolve(std::move(host), limit);
}

}  // namespace dtbridge::net
