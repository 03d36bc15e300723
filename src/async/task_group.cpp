#include <dtbridge/async/task_group.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/assert.hpp>
#include <boost/system/system_error.hpp>

#include <algorithm>
#include <utility>
#include <vector>

namespace dtbridge
{

namespace
{

// So that now() + limit cannot overflow, however large the limit of a caller is.
constexpr std::chrono::hours longest_wait(24 * 365);

bool is_cancellation(const std::exception_ptr& error)
{
    try
    {
        std::rethrow_exception(error);
    }
    catch (const boost::system::system_error& e)
    {
        return e.code() == asio::error::operation_aborted;
    }
    catch (...)
    {
        return false;
    }
}

}  // namespace

task_group::task_group(asio::any_io_executor ex, on_failure failed)
    : ex_(std::move(ex)), failed_(std::move(failed))
{}

void task_group::spawn(std::string name, awaitable<void> task)
{
    auto which = children_.insert(children_.end(), std::make_shared<child>());
    (*which)->name = std::move(name);
    auto done = [this, which](std::exception_ptr error) { ended(which, error); };
    asio::co_spawn(
        ex_, std::move(task), asio::bind_cancellation_slot((*which)->stop.slot(), std::move(done)));
}

void task_group::ended(children::iterator which, std::exception_ptr error)
{
    auto task = *which;
    children_.erase(which);
    for (auto* timer : waiting_)
        timer->cancel();
    if (error && failed_ && !(task->cancelled && is_cancellation(error)))
        failed_(task->name, error);
}

void task_group::emit(const std::string* name)
{
    // A copy, and shared: a task may end, or start another one, inside emit().
    std::vector<std::shared_ptr<child>> chosen;
    std::copy_if(children_.begin(), children_.end(), std::back_inserter(chosen), [name](const auto& c) {
        return !name || c->name == *name;
    });
    for (const auto& c : chosen)
    {
        c->cancelled = true;
        c->stop.emit(asio::cancellation_type::terminal);
    }
}

void task_group::cancel()
{
    emit(nullptr);
}

void task_group::cancel(const std::string& name)
{
    emit(&name);
}

bool task_group::has(const std::string& name) const
{
    return std::any_of(
        children_.begin(), children_.end(), [&name](const auto& c) { return c->name == name; });
}

awaitable<bool> task_group::wait(const std::string* name, std::chrono::steady_clock::duration limit)
{
    struct registration
    {
        registration(std::list<asio::steady_timer*>& l, asio::steady_timer& t)
            : list(l), at(l.insert(l.end(), &t))
        {}
        registration(const registration&) = delete;
        registration& operator=(const registration&) = delete;
        ~registration() { list.erase(at); }
        std::list<asio::steady_timer*>& list;
        std::list<asio::steady_timer*>::iterator at;
    };
    const auto deadline =
        std::chrono::steady_clock::now() + std::min<std::chrono::steady_clock::duration>(limit, longest_wait);
    asio::steady_timer timer(co_await asio::this_coro::executor, deadline);
    registration registered(waiting_, timer);
    // The timer is cancelled whenever any task ends, and by a cancellation of the caller: then the next wait
    // throws.
    while (name ? has(*name) : !children_.empty())
    {
        if (std::chrono::steady_clock::now() >= deadline)
            co_return false;
        timer.expires_at(deadline);
        co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
    }
    co_return true;
}

awaitable<bool> task_group::join(std::chrono::steady_clock::duration limit)
{
    const bool all = co_await wait(nullptr, limit);
    co_return all;
}

awaitable<bool> task_group::join(std::string name, std::chrono::steady_clock::duration limit)
{
    const bool all = co_await wait(&name, limit);
    co_return all;
}

}  // namespace dtbridge
