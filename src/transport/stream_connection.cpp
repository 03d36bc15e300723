#include <transport/stream_connection.hpp>

#include <boost/asio/error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include <transport/stream_end.hpp>
#include <transport/waits.hpp>

namespace dtbridge::transport
{

stream_connection::stream_connection(asio::any_io_executor ex,
                                     std::unique_ptr<net::stream> s,
                                     std::string name,
                                     timing t,
                                     connector::notify changed)
    : linked_connection(
          std::move(ex), std::move(s), std::move(name), t, std::move(changed), "watching the connection"),
      tracker_(t.stay_up)
{
    tasks_.spawn("read", read_until_end());
    tasks_.spawn("look", look_at_acknowledgements());
}

bool stream_connection::was_reset() const
{
    // A reset is told once: the failed write has it, and the read behind it sees what looks like an orderly
    // end. The kernel knows better: after a FIN the state is CLOSE_WAIT. (After our own FIN the closed state
    // is the regular end.)
    const int fd = stream_->native_handle();
    if (write_failed_ || fd < 0)
        return write_failed_;
    tcp_info info{};
    socklen_t size = sizeof info;
    return !finishing_ && ::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
           info.tcpi_state == TCP_CLOSE;
}

void stream_connection::peer_ended()
{
    if (state_ != state::up)
        return;
    if (was_reset())
    {
        if (!write_failed_)  // else the writer is about to say why
            over(fail(asio::error::connection_reset,
                      name_ + ": " + error_code(asio::error::connection_reset).message()));
        return;
    }
    state_ = state::ending;
    ended_at_ = std::chrono::steady_clock::now();
    news_.ring();
    look();
    work_.ring();
    tell();
}

awaitable<void> stream_connection::read_until_end()
{
    for (;;)
    {
        auto into = asio::buffer(unread_);
        auto got = co_await stream_->read_some(into, no_deadline);
        if (state_ == state::over)
            break;
        if (got && *got > 0)
        {
            // Collectors say nothing; what one says is read away so that its alert or end behind it is seen.
            ++reads_;
            continue;
        }
        if (!got && got.error() == errc::timed_out)
            continue;
        reading_ = false;
        if (got || is_orderly(got.error()))
            peer_ended();
        else
            over(broken(name_, got.error()));
        break;
    }
    reading_ = false;
    news_.ring();
}

awaitable<void> stream_connection::look_at_acknowledgements()
{
    while (state_ != state::over)
    {
        look();
        if (state_ == state::over)
            break;
        auto wait = no_deadline;  // nothing outstanding: no timer, no system call
        if (tracker_.unconfirmed() > 0 || state_ == state::ending)
            wait = timing_.look_every;
        if (tracker_.unconfirmed() > 0)
            wait = tracker_.next_look(std::chrono::steady_clock::now(), timing_.look_every);
        co_await work_.wait(wait);
    }
}

void stream_connection::look()
{
    if (state_ == state::over || write_failed_)
        return;
    const auto now = std::chrono::steady_clock::now();
    if (tracker_.unconfirmed() == 0)
    {
        if (state_ == state::ending)
            over(fail(asio::error::eof, name_ + ": closed by the collector"));
        return;
    }
    // A reset or alert that has arrived but was not read yet (the bridge was stopped, or busy) must come
    // before the timer's verdict.
    bool fin = true;
    if (const int fd = stream_->native_handle(); fd >= 0)
    {
        pollfd p{fd, POLLIN | POLLRDHUP, 0};
        if (::poll(&p, 1, 0) < 0)
            p.revents = 0;
        if ((p.revents & POLLERR) != 0)
        {
            if (!reading_)
                over(fail(asio::error::connection_reset,
                          name_ + ": reset by the collector after it had closed its side"));
            return;  // else the pending read reports it, with its reason
        }
        fin = (p.revents & POLLRDHUP) != 0;
        if (reading_ && (p.revents & POLLIN) != 0 && std::exchange(reads_at_look_, reads_) == reads_)
            return;
    }
    if (was_reset())
    {
        if (!reading_)
            over(fail(asio::error::connection_reset,
                      name_ + ": " + error_code(asio::error::connection_reset).message()));
        return;
    }
    const auto handed = stream_->bytes_handed();
    const auto outstanding = std::min(stream_->bytes_outstanding(), handed);
    const auto acknowledged = handed - outstanding;
    tracker_.acknowledged(acknowledged, now);
    // With all of the window in the kernel's buffer no write is pending that could run into its deadline.
    // (The kernel's own one is TCP_USER_TIMEOUT.)
    if (acknowledged != acknowledged_ || tracker_.all_acknowledged())
        progress_at_ = now;
    acknowledged_ = acknowledged;
    if (now - progress_at_ >= timing_.write)
    {
        takes_nothing(make_error_code(errc::timed_out));
        return;
    }
    // close_notify alone is not the end of the connection: a reset may follow it. The FIN says that all was
    // read.
    if (const auto done = tracker_.settle(now, state_ == state::ending && fin); done > 0)
    {
        confirmed_ += done;
        tell();
    }
    if (state_ != state::ending)
        return;
    if (tracker_.unconfirmed() == 0)
        over(fail(asio::error::eof, name_ + ": closed by the collector"));
    else if (now - ended_at_ >= timing_.last_acknowledgements)
        over(fail(asio::error::eof,
                  name_ + ": closed by the collector before it had acknowledged everything"));
}

awaitable<outcome<send_report>> stream_connection::send(const batch& b)
{
    if (state_ != state::up)
        co_return reason_.value_or(fail(asio::error::eof, name_ + ": closed by the collector"));
    whole_write guard(*this);
    const auto bytes = b.bytes();
    auto from = asio::buffer(bytes.data(), bytes.size());
    auto may = gate_of(b);
    auto written = co_await stream_->write(from, timing_.write, std::move(may));
    guard.answered = written.has_value();  // else a cancellation may still meet the wait for the reason
    if (!written)
    {
        if (written.error() == errc::lease_lost)
            over(lease_ended(name_));
        write_failed_ = true;  // from here on nothing is confirmed any more
        // The peer's alert or end says more than "broken pipe", and it is waiting in the other direction.
        const auto give_up = std::chrono::steady_clock::now() + std::chrono::milliseconds(100);
        while (reading_ && state_ == state::up && written.error() != errc::timed_out &&
               std::chrono::steady_clock::now() < give_up)
            co_await news_.wait(std::chrono::milliseconds(100));
        if (written.error() == errc::timed_out || written.error() == asio::error::timed_out)
            takes_nothing(written.error());
        else
            over(fail(written.error(), name_ + ": " + written.error().message()));
        guard.answered = true;
        co_return *reason_;
    }
    if (state_ == state::over)
        co_return *reason_;
    if (tracker_.all_acknowledged())
        progress_at_ = std::chrono::steady_clock::now();
    tracker_.sent(stream_->bytes_handed());
    work_.ring();
    co_return send_report{};
}

awaitable<void> stream_connection::finish(duration limit)
{
    const auto until = std::chrono::steady_clock::now() + limit;
    if (state_ == state::up)
    {
        finishing_ = true;
        const bool said = co_await stream_->finish(limit);
        if (!said)
            over(fail(asio::error::connection_reset, name_ + ": broken before the bridge could close it"));
    }
    while (state_ != state::over)
    {
        const auto left = until - std::chrono::steady_clock::now();
        if (left <= duration::zero())
            break;
        co_await news_.wait(left);
    }
}

}  // namespace dtbridge::transport
