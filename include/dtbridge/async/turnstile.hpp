#pragma once

#include <chrono>
#include <cstddef>
#include <list>
#include <memory>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>

namespace dtbridge
{

namespace asio = boost::asio;
using asio::awaitable;

/// Lets a bounded number through at once, first come first served: who has much to do queues behind the
/// others after each of its turns. One thread.
class turnstile
{
    struct waiter
    {
        explicit waiter(const asio::any_io_executor& ex) : timer(ex) {}
        asio::steady_timer timer;
        bool admitted = false;
    };
    struct queue;

public:
    /// A place inside, or in the queue; leaving is its destruction.
    class turn
    {
    public:
        turn() = default;
        turn(turn&&) noexcept = default;
        turn& operator=(turn&& other) noexcept;
        ~turn() { leave(); }
        void leave();
        /// While the holder waits for something slow, its place may be given away; nothing if it is given
        /// back within limit. The holder is then one too many, which is the lesser evil against a hung disk
        /// holding up everybody.
        void lend_after(std::chrono::steady_clock::duration limit);
        void keep();

    private:
        friend class turnstile;
        std::shared_ptr<queue> queue_;
        std::list<std::shared_ptr<waiter>>::iterator place_;
        std::shared_ptr<asio::steady_timer> lending_;
        std::shared_ptr<bool> lent_;
    };

    turnstile(asio::any_io_executor ex, std::size_t capacity);
    /// Waits for a place. Cancelling throws operation_aborted and leaves the queue.
    awaitable<turn> enter();

private:
    struct queue
    {
        std::size_t capacity, inside = 0;
        std::list<std::shared_ptr<waiter>> all;  // those inside and those waiting, in the order they came
        void admit();
    };
    asio::any_io_executor ex_;
    std::shared_ptr<queue> queue_;
};

}  // namespace dtbridge
