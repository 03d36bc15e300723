#include "app/ownership.hpp"

#include <algorithm>
#include <array>
#include <random>
#include <utility>

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <dtbridge/core/log.hpp>
#include <dtbridge/core/text.hpp>

namespace dtbridge::app
{

namespace
{

using namespace std::chrono_literals;
using cluster::boot_clock;
using cluster::boot_time;

/// Timers do not go on while the machine sleeps, and boot_clock does: no wait is longer.
constexpr auto longest_wait = 1s;
constexpr auto refresh_limit = 1s;
constexpr const char* statement_task = "statement";

/// What a statement answered, once it has: whoever asked may have gone on by then.
template <class T>
struct answer_slot
{
    explicit answer_slot(asio::any_io_executor ex) : bell(std::move(ex)) {}
    std::optional<outcome<T>> answer;
    doorbell bell;
};

template <class T>
awaitable<void> fill(std::shared_ptr<answer_slot<T>> slot, awaitable<outcome<T>> statement)
{
    try
    {
        auto answer = co_await std::move(statement);
        slot->answer.emplace(std::move(answer));
    }
    catch (const std::exception& e)
    {
        slot->answer.emplace(fail(errc::refused, e.what()));
    }
    slot->bell.ring();
}

}  // namespace

ownership::ownership(asio::any_io_executor ex,
                     std::unique_ptr<cluster::lease_store> store,
                     std::string name,
                     std::vector<std::string> masters,
                     ownership_hooks hooks,
                     cluster::options timing,
                     limits l)
    : ex_(std::move(ex)),
      store_(std::move(store)),
      hooks_(std::move(hooks)),
      timing_(timing),
      limits_(l),
      planner_(std::make_shared<cluster::planner>(std::move(masters))),
      keeper_(std::in_place, new_session(std::move(name)), timing, planner_, boot_clock::now()),
      tasks_(ex_, [](const std::string&, std::exception_ptr) {}),  // none of them lets an exception out
      bell_(ex_)
{}

ownership::ownership(asio::any_io_executor ex,
                     std::unique_ptr<cluster::lease_store> store,
                     std::string name,
                     std::vector<std::string> masters,
                     ownership_hooks hooks)
    : ownership(std::move(ex),
                std::move(store),
                std::move(name),
                std::move(masters),
                std::move(hooks),
                cluster::options(),
                limits())
{}

cluster::identity ownership::new_session(std::string name)
{
    std::random_device random;
    std::array<char, 16> bytes;
    for (auto& b : bytes)
        b = static_cast<char>(random());
    return cluster::identity{std::move(name), text::hex({bytes.data(), bytes.size()})};
}

// ---- the rounds

awaitable<void> ownership::run()
{
    tasks_.spawn("lapses", watch_lapses());
    std::exception_ptr error;
    try
    {
        co_await do_rounds();
    }
    catch (...)
    {
        error = std::current_exception();
    }
    auto shield = asio::disable_cancellation();
    co_await asio::this_coro::reset_cancellation_state(shield);
    tasks_.cancel();
    for (bool ended = false; !ended;)
        ended = co_await tasks_.join(10s);
    if (error)
        std::rethrow_exception(error);
}

awaitable<void> ownership::do_rounds()
{
    while (!keeper_->has_left())
    {
        tell_lapses();
        const auto now = boot_clock::now();
        const auto due = keeper_->due();
        if (keeper_->superseded())
            co_await wait_for_name();
        else if (due.renew <= now)
            co_await renew();
        else if (release_at_ <= now && !keeper_->to_release().empty())
            co_await release();
        else if (due.look <= now)
            co_await look();
        else if (all_wanted_)
            co_await look_at_all();
        else
            co_await wait_for_due();
    }
    co_await release_all();
}

awaitable<void> ownership::wait_for_due()
{
    const auto due = keeper_->due();
    auto until = std::min(due.renew, due.look);
    if (!keeper_->to_release().empty())
        until = std::min(until, release_at_);
    const auto left = until - boot_clock::now();
    const duration wait = std::clamp<boot_clock::duration>(left, 0s, longest_wait);
    co_await bell_.wait(wait);
}

/// One statement at a time, also where an earlier one was given up and is still under way.
template <class T>
awaitable<outcome<T>> ownership::ask(awaitable<outcome<T>> statement)
{
    std::string task(statement_task);
    const bool idle = co_await tasks_.join(std::move(task), limits_.statement);
    if (!idle)
        co_return fail(errc::timed_out, "the database has not answered an earlier statement");
    auto slot = std::make_shared<answer_slot<T>>(ex_);
    tasks_.spawn(statement_task, fill(slot, std::move(statement)));
    co_await slot->bell.wait(limits_.statement);
    if (!slot->answer)
        co_return fail(errc::timed_out, "the database did not answer in time");
    co_return std::move(*slot->answer);
}

awaitable<void> ownership::renew()
{
    const auto sent = boot_clock::now();
    const auto asked = keeper_->to_renew(sent);
    auto statement = store_->renew(asked);
    auto answer = co_await ask(std::move(statement));
    if (!answer)
    {
        failed(answer.error());
        keeper_->renew_failed(boot_clock::now());
        co_return;
    }
    worked();
    joined_ = true;
    act_on(keeper_->renewed(sent, asked, *answer));
}

awaitable<void> ownership::look()
{
    const auto asked = keeper_->interest();
    const auto sent = boot_clock::now();
    auto statement = store_->read(keeper_->me(), asked);
    auto answer = co_await ask(std::move(statement));
    const auto received = boot_clock::now();
    if (!answer)
    {
        failed(answer.error());
        keeper_->look_failed(received);
        co_return;
    }
    learn(*answer, received);
    auto c = keeper_->seen(sent, received, asked, *answer);
    act_on(c);
    if (!c.claims.empty())
        co_await claim(std::move(c.claims));
}

awaitable<void> ownership::claim(std::vector<cluster::claim> claims)
{
    const auto sent = boot_clock::now();
    auto statement = store_->try_acquire(keeper_->me(), claims);
    auto won = co_await ask(std::move(statement));
    if (!won)
    {
        failed(won.error());
        keeper_->claims_failed(boot_clock::now());
        co_return;
    }
    act_on(keeper_->acquired(sent, claims, *won));
}

awaitable<void> ownership::release()
{
    const auto asked = keeper_->to_release();
    auto statement = store_->release(keeper_->me(), asked);
    auto freed = co_await ask(std::move(statement));
    if (freed)
    {
        keeper_->released(asked);
        co_return;
    }
    failed(freed.error());
    release_at_ =
        std::max(boot_clock::now() + timing_.retry, std::min(keeper_->due().renew, keeper_->due().look));
}

awaitable<void> ownership::release_all()
{
    if (!joined_)
        co_return;
    auto statement = store_->release_all(keeper_->me());
    auto freed = co_await ask(std::move(statement));
    if (!freed)
        failed(freed.error());
}

/// Two processes under one name are a mistake in a configuration, or a predecessor that hangs: whoever came
/// later has the name, and this one takes part again when that is gone.
awaitable<void> ownership::wait_for_name()
{
    joined_ = false;
    if (!std::exchange(name_is_taken_, true))
        log::error("cluster", "", trouble());
    co_await bell_.wait(limits_.name_taken);
    if (keeper_->has_left())
        co_return;
    std::vector<std::string> no_masters;
    auto statement = store_->read(keeper_->me(), std::move(no_masters));
    auto answer = co_await ask(std::move(statement));
    if (!answer)
        co_return;
    learn(*answer, boot_clock::now());
    const auto has_name = [this](const member& m) { return m.name == name(); };
    const auto alive = members();
    if (std::any_of(alive.begin(), alive.end(), has_name) || keeper_->has_left())
        co_return;
    name_is_taken_ = false;
    log::info("cluster", "", "the name is free again", {{"bridge", name()}});
    keeper_.emplace(new_session(name()), timing_, planner_, boot_clock::now());
}

void ownership::act_on(const cluster::changes& c)
{
    for (const auto& m : c.lost)
        hooks_.lost(m);
    for (const auto& p : c.gained)
    {
        // A reload did not see what was only claimed then.
        const auto& named = planner_->masters();
        if (std::binary_search(named.begin(), named.end(), p->master()))
            hooks_.gained(p);
        else
            stopped(p->master());
    }
    for (const auto& m : c.stop)
        hooks_.stop(m);
}

// ---- leases that end

awaitable<void> ownership::watch_lapses()
{
    asio::basic_waitable_timer<boot_clock> timer(ex_);
    for (;;)
    {
        tell_lapses();
        auto until = boot_clock::now() + longest_wait;
        if (const auto first = keeper_->lapses())
            until = std::min(until, *first);
        timer.expires_at(until);
        co_await timer.async_wait(asio::use_awaitable);
    }
}

void ownership::tell_lapses()
{
    const auto now = boot_clock::now();
    const auto first = keeper_->lapses();
    if (!first || *first > now)
        return;
    const auto masters = keeper_->lapsed(now);
    if (masters.empty())
        return;
    log::warning("cluster",
                 "",
                 "leases could not be renewed in time; nothing is sent of these masters until they are",
                 {{"masters", std::to_string(masters.size())}});
    hooks_.lapsed(masters);
}

// ---- what the service says

void ownership::stopped(std::string_view master)
{
    keeper_->stopped(master);
    release_at_ = {};
    bell_.ring();
}

void ownership::set_masters(std::vector<std::string> masters)
{
    planner_ = std::make_shared<cluster::planner>(std::move(masters));
    act_on(keeper_->set_masters(planner_, boot_clock::now()));
    bell_.ring();
}

void ownership::leave()
{
    act_on(keeper_->leave(boot_clock::now()));
    bell_.ring();
}

void ownership::give_up()
{
    for (const auto& p : keeper_->permits())
        keeper_->stopped(p->master());
    bell_.ring();
}

// ---- what there is to see

void ownership::failed(const failure& why)
{
    auto words = text::printable(why.detail, 500);
    if (error_.empty())
        log::warning("cluster",
                     "",
                     "leases cannot be looked after; what is held goes on for some seconds",
                     {{"error", words}});
    error_ = std::move(words);
}

void ownership::worked()
{
    if (!error_.empty())
        log::info("cluster", "", "the database of leases answers again");
    error_.clear();
}

std::string ownership::trouble() const
{
    using cluster::bridge_state;
    if (keeper_->superseded())
        return "another process works under the name " + name() +
               " with the same database: give each bridge a name of its own ([archive] bridge)";
    if (!error_.empty())
        return "leases cannot be renewed: " + error_;
    if (!joined_)
        return "the database of leases has not answered yet";
    if (keeper_->to_renew(boot_clock::now()).state == bridge_state::joining)
        return "this bridge has just joined the others and takes masters in a few seconds";
    return {};
}

void ownership::learn(const cluster::snapshot& s, boot_time received)
{
    const auto in_time = [&s, received](std::int64_t expires) {
        return received + std::chrono::milliseconds(expires - s.now);
    };
    members_.clear();
    for (const auto& m : s.members)
        members_.push_back({m.who.name, m.state, in_time(m.expires)});
    for (const auto& l : s.leases)
        owners_[l.master] = {l.owner.name, in_time(l.expires)};
}

awaitable<void> ownership::look_at_all()
{
    all_wanted_ = false;
    auto statement = store_->read_all();
    auto answer = co_await ask(std::move(statement));
    if (answer)
    {
        const auto received = boot_clock::now();
        owners_.clear();
        learn(*answer, received);
        all_seen_ = received;
    }
    else
        failed(answer.error());
    for (auto* w : waiting_for_all_)
        w->ring();
}

awaitable<void> ownership::refresh(duration max_age)
{
    if (!error_.empty() || (all_seen_ && boot_clock::now() - *all_seen_ <= max_age))
        co_return;
    struct waiting
    {
        waiting(std::list<doorbell*>& all, const asio::any_io_executor& ex) : list(all), bell(ex)
        {
            list.push_back(&bell);
        }
        waiting(const waiting&) = delete;
        waiting& operator=(const waiting&) = delete;
        ~waiting() { list.remove(&bell); }
        std::list<doorbell*>& list;
        doorbell bell;
    };
    waiting here(waiting_for_all_, ex_);
    all_wanted_ = true;
    bell_.ring();
    co_await here.bell.wait(refresh_limit);
}

std::vector<ownership::member> ownership::members() const
{
    const auto now = boot_clock::now();
    std::vector<member> out;
    for (const auto& m : members_)
        if (m.expires > now)
            out.push_back(m);
    std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    return out;
}

std::string ownership::owner_of(const std::string& master) const
{
    if (keeper_->may_write(master, boot_clock::now()))
        return name();
    const auto at = owners_.find(master);
    if (at == owners_.end() || at->second.expires <= boot_clock::now())
        return {};
    return at->second.name;
}

}  // namespace dtbridge::app
