#include <transport/udp_connection.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <dtbridge/async/within.hpp>

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include <transport/datagram.hpp>
#include <transport/linked_connection.hpp>
#include <transport/waits.hpp>

namespace dtbridge::transport
{

namespace
{

awaitable<result<std::size_t>> wait_writable(asio::ip::udp::socket& socket)
{
    auto token = asio::as_tuple(asio::use_awaitable);
    auto [ec] = co_await socket.async_wait(asio::ip::udp::socket::wait_write, token);
    if (ec)
        co_return ec;
    co_return std::size_t(0);
}

}  // namespace

udp_connection::udp_connection(asio::ip::udp::socket s, std::string name, timing t, connector::notify changed)
    : socket_(std::move(s)),
      name_(std::move(name)),
      timing_(t),
      changed_(std::move(changed)),
      tasks_(socket_.get_executor(),
             [this](const std::string&, std::exception_ptr) { over(asio::error::fault); }),
      work_(socket_.get_executor()),
      settled_(socket_.get_executor()),
      tracker_(t.udp_quiet)
{
    tasks_.spawn("read", read_errors());
    tasks_.spawn("look", look_at_time());
}

void udp_connection::tell()
{
    settled_.ring();
    if (changed_)
        changed_();
}

void udp_connection::over(error_code e)
{
    std::string words = name_ + ": " + e.message();
    if (e == asio::error::connection_refused)
        words = name_ + ": nobody listens on that UDP port (ICMP port unreachable)";
    else if (e == asio::error::message_size)
        words = name_ + ": a datagram was too long for the way there (ICMP fragmentation needed)";
    over(fail(e, std::move(words)));
}

void udp_connection::over(failure why)
{
    if (reason_)
        return;
    reason_ = std::move(why);
    error_code ignored;
    socket_.close(ignored);
    work_.ring();
    tell();
}

awaitable<void> udp_connection::read_errors()
{
    // Datagrams that come back are thrown away; what matters are ICMP errors, which end the receive.
    while (!reason_)
    {
        auto into = asio::buffer(unread_);
        auto token = asio::as_tuple(asio::use_awaitable);
        auto [ec, size] = co_await socket_.async_receive(into, token);
        if (ec && !reason_)
            over(ec);
    }
}

awaitable<void> udp_connection::look_at_time()
{
    while (!reason_)
    {
        const auto now = std::chrono::steady_clock::now();
        // An ICMP error that waits to be read comes before the clock's verdict.
        pollfd p{socket_.native_handle(), 0, 0};
        const bool error_waits = ::poll(&p, 1, 0) > 0 && (p.revents & POLLERR) != 0;
        if (!error_waits)
        {
            if (const auto done = tracker_.settle(now, false); done > 0)
            {
                confirmed_ += done;
                tell();
            }
        }
        auto wait = no_deadline;
        if (tracker_.unconfirmed() > 0)
            wait = error_waits ? timing_.look_every : tracker_.next_look(now, timing_.look_every);
        co_await work_.wait(wait);
    }
}

awaitable<outcome<send_report>> udp_connection::send(const batch& b)
{
    send_report report;
    const auto may = gate_of(b);
    std::size_t next = 0;
    while (next < b.count())
    {
        if (reason_)
            co_return *reason_;
        if (may && !may())
        {
            lapse();
            co_return *reason_;
        }
        // One datagram to a call: sendmmsg() answers how many went before an ICMP error and clears that.
        const auto piece = b.piece(next);
        const auto send_it = [&] {
            const auto sent = ::send(socket_.native_handle(), piece.data(), piece.size(), MSG_DONTWAIT);
            return sent >= 0 ? 0 : errno;
        };
        const auto verdict = hand_over(send_it);
        if (verdict.what == datagram_verdict::fate::gone)
        {
            ++next;
            continue;
        }
        if (verdict.what == datagram_verdict::fate::never)
        {
            // Counted and passed over, not a loop.
            report.undeliverable.push_back(next++);
            continue;
        }
        if (verdict.what == datagram_verdict::fate::wait)
        {
            const result<std::size_t> late = make_error_code(errc::timed_out);
            auto waiting = wait_writable(socket_);
            auto ready = co_await within(timing_.write, std::move(waiting), late);
            if (!ready)
            {
                over(ready.error());
                co_return *reason_;
            }
            continue;
        }
        over(error_code(verdict.problem, boost::system::system_category()));
        co_return *reason_;
    }
    if (reason_)
        co_return *reason_;
    tracker_.sent(++sent_);
    tracker_.acknowledged(sent_, std::chrono::steady_clock::now());
    work_.ring();
    co_return report;
}

awaitable<void> udp_connection::finish(duration limit)
{
    const auto until = std::chrono::steady_clock::now() + limit;
    while (!reason_ && tracker_.unconfirmed() > 0)
    {
        const auto left = until - std::chrono::steady_clock::now();
        if (left <= duration::zero())
            break;
        co_await settled_.wait(left);
    }
}

void udp_connection::lapse()
{
    over(lease_ended(name_));
}

awaitable<void> udp_connection::close()
{
    changed_ = nullptr;
    if (!reason_)
        over(asio::error::operation_aborted);
    tasks_.cancel();
    co_await tasks_.join(std::chrono::seconds(5));
}

}  // namespace dtbridge::transport
