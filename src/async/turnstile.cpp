#include <dtbridge/async/turnstile.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

#include <algorithm>
#include <utility>

namespace dtbridge
{

void turnstile::queue::admit()
{
    for (auto& w : all)
    {
        if (inside >= capacity)
            return;
        if (w->admitted)
            continue;
        w->admitted = true;
        ++inside;
        w->timer.cancel();
    }
}

turnstile::turn& turnstile::turn::operator=(turn&& other) noexcept
{
    if (this != &other)
    {
        leave();
        queue_ = std::move(other.queue_);
        place_ = other.place_;
        lending_ = std::move(other.lending_);
        lent_ = std::move(other.lent_);
    }
    return *this;
}

void turnstile::turn::leave()
{
    if (!queue_)
        return;
    keep();
    if ((*place_)->admitted)
        --queue_->inside;
    queue_->all.erase(place_);
    queue_->admit();
    queue_.reset();
}

void turnstile::turn::lend_after(std::chrono::steady_clock::duration limit)
{
    if (!queue_)
        return;
    keep();
    lent_ = std::make_shared<bool>(false);
    lending_ = std::make_shared<asio::steady_timer>((*place_)->timer.get_executor(), limit);
    // The queue and the flag are shared: the handler may run after the turn was left.
    lending_->async_wait([q = queue_, lent = lent_, timer = lending_](boost::system::error_code ec) {
        if (ec || *lent)
            return;
        *lent = true;
        --q->inside;
        q->admit();
    });
}

void turnstile::turn::keep()
{
    if (!lending_)
        return;
    if (*lent_)
        ++queue_->inside;
    *lent_ = true;  // a handler that is already queued does nothing
    lending_->cancel();
    lending_.reset();
    lent_.reset();
}

turnstile::turnstile(asio::any_io_executor ex, std::size_t capacity)
    : ex_(std::move(ex)), queue_(std::make_shared<queue>())
{
    queue_->capacity = std::max<std::size_t>(1, capacity);
}

awaitable<turnstile::turn> turnstile::enter()
{
    turn mine;
    auto me = std::make_shared<waiter>(ex_);
    me->timer.expires_at(asio::steady_timer::time_point::max());
    mine.queue_ = queue_;
    mine.place_ = queue_->all.insert(queue_->all.end(), me);
    queue_->admit();
    if (!me->admitted)
    {
        auto token = asio::as_tuple(asio::use_awaitable);
        co_await me->timer.async_wait(token);
        if (!me->admitted)  // cancelled; leaving the queue is the destructor's
            throw boost::system::system_error(asio::error::operation_aborted);
    }
    co_return mine;
}

}  // namespace dtbridge
