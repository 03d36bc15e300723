#include <transport/relp_connection.hpp>

#include <boost/asio/error.hpp>

#include <poll.h>

#include <algorithm>
#include <utility>

#include <transport/stream_end.hpp>
#include <transport/waits.hpp>

namespace dtbridge::transport
{

namespace
{

using clock = std::chrono::steady_clock;

/// For answers that have arrived and were not read yet, because this process was stopped or busy.
constexpr duration reading_time = std::chrono::seconds(1);
/// The usual bound of imrelp (maxDataSize), which cuts longer messages or closes without a word.
constexpr std::size_t usual_bound = 8192;

/// Why a session did not begin.
failure not_opened(const std::string& name, const error_code& e, duration limit)
{
    if (e == errc::timed_out)
        return fail(e,
                    name + ": no answer to the RELP \"open\" within " + in_seconds(limit) +
                        "; does it speak RELP on this port?");
    if (is_orderly(e))
        return fail(asio::error::eof,
                    name +
                        ": closed by the collector without an answer to the RELP \"open\"; does it speak "
                        "RELP on this port?");
    return broken(name, e);
}

}  // namespace

awaitable<outcome<std::unique_ptr<connection>>> relp_connection::open(asio::any_io_executor ex,
                                                                      std::unique_ptr<net::stream> s,
                                                                      std::string name,
                                                                      timing t,
                                                                      time_point until,
                                                                      connector::notify changed)
{
    using answer = outcome<std::unique_ptr<connection>>;
    relp_session session;
    std::string hello;
    session.say_open(hello);
    auto from = asio::buffer(hello.data(), hello.size());
    const duration for_writing = std::max<duration>(until - clock::now(), duration::zero());
    auto written = co_await s->write(from, for_writing);
    // A write that failed is looked behind: an alert of the peer says more than "broken pipe".
    std::array<char, 4096> bytes{};
    while (session.now() == relp_session::phase::opening)
    {
        const duration left = std::max<duration>(until - clock::now(), duration::zero());
        auto into = asio::buffer(bytes);
        auto got = co_await s->read_some(into, left);
        if (!got || *got == 0)
        {
            error_code e = asio::error::eof;
            if (!got)
                e = got.error();
            else if (!written)
                e = written.error();
            co_return answer(not_opened(name, e, t.connect));
        }
        const std::string_view part(bytes.data(), *got);
        auto fine = session.take(part);
        if (!fine)
            co_return answer(fail(fine.error().code, name + ": the collector " + fine.error().detail));
        if (session.is_server_closing())
            co_return answer(
                fail(asio::error::eof, name + ": the collector is closing its sessions (serverclose)"));
    }
    co_return answer(std::unique_ptr<connection>(std::make_unique<relp_connection>(
        ex, std::move(s), std::move(session), std::move(name), t, std::move(changed))));
}

relp_connection::relp_connection(asio::any_io_executor ex,
                                 std::unique_ptr<net::stream> s,
                                 relp_session session,
                                 std::string name,
                                 timing t,
                                 connector::notify changed)
    : linked_connection(
          std::move(ex), std::move(s), std::move(name), t, std::move(changed), "reading answers"),
      session_(std::move(session))
{
    tasks_.spawn("read", read_answers());
    tasks_.spawn("watch", watch());
}

bool relp_connection::is_readable() const
{
    const int fd = stream_->native_handle();
    pollfd p{fd, POLLIN, 0};
    return fd >= 0 && ::poll(&p, 1, 0) > 0;
}

awaitable<void> relp_connection::read_answers()
{
    for (;;)
    {
        auto into = asio::buffer(bytes_);
        auto got = co_await stream_->read_some(into, no_deadline);
        if (state_ == state::over)
            break;
        if (!got && got.error() == errc::timed_out)
            continue;
        if (!got || *got == 0)
        {
            reading_ = false;
            ended(got);
            break;
        }
        take(std::string_view(bytes_.data(), *got));
        if (state_ == state::over)
            break;
    }
    reading_ = false;
    news_.ring();
}

void relp_connection::take(std::string_view bytes)
{
    const auto answers = session_.answers();
    auto fine = session_.take(bytes);
    if (session_.answers() != answers)
    {
        progress_at_ = clock::now();
        patience_.reset();
    }
    const bool more = std::exchange(confirmed_, session_.confirmed()) != session_.confirmed();
    if (!fine)
    {
        over(fail(fine.error().code, name_ + ": the collector " + fine.error().detail));
        return;
    }
    const bool is_closed = session_.now() == relp_session::phase::closed;
    if (state_ == state::up && (is_closed || session_.is_server_closing()))
    {
        state_ = state::ending;
        ended_at_ = clock::now();
        work_.ring();
        news_.ring();
        tell();
    }
    else if (more)
        tell();
    if (state_ == state::ending && !is_closed && session_.unconfirmed() == 0)
        over(fail(asio::error::eof, name_ + ": closed by the collector (serverclose)"));
}

void relp_connection::ended(const result<std::size_t>& got)
{
    if (!got && !is_orderly(got.error()))
    {
        over(broken(name_, got.error()));
        return;
    }
    std::string words = name_ + ": closed by the collector";
    // No counts: a log tells the same words once a minute.
    if (session_.unanswered() > 0)
        words += ", which had not answered every message";
    // At the first message of a session, as it is with one that is sent again and again.
    if (const auto size = session_.oldest_size(); size > usual_bound && session_.answers() <= 1)
        words += "; the oldest of them has " + std::to_string(size) +
                 " bytes: if that is more than the collector takes (imrelp: maxDataSize), raise its bound or "
                 "lower max_message";
    over(fail(asio::error::eof, std::move(words)));
}

/// How long the collector may go on without an answer; ends the connection when that is over.
duration relp_connection::until_late(time_point now)
{
    if (session_.unanswered() == 0)
        return no_deadline;
    const auto left = progress_at_ + timing_.answer - now;
    if (left > duration::zero())
        return left;
    if (!patience_ && is_readable())
        patience_ = now + reading_time;
    if (patience_ && now < *patience_)
        return *patience_ - now;
    over(fail(errc::timed_out, name_ + ": the collector answered nothing for " + in_seconds(timing_.answer)));
    return no_deadline;
}

/// The same for what it still has to say when it has announced its end.
duration relp_connection::until_end(time_point now)
{
    const auto left = ended_at_ + timing_.last_acknowledgements - now;
    if (left > duration::zero())
        return left;
    over(fail(asio::error::eof, name_ + ": closed by the collector before it had answered everything"));
    return no_deadline;
}

awaitable<void> relp_connection::watch()
{
    while (state_ != state::over)
    {
        // What was answered before its write returned is told of here: never before send() did.
        if (std::exchange(confirmed_, session_.confirmed()) != session_.confirmed())
            tell();
        const auto now = clock::now();
        duration wait = no_deadline;
        if (state_ == state::ending)
            wait = until_end(now);
        else
            wait = until_late(now);
        if (state_ == state::over)
            break;
        co_await work_.wait(wait);
    }
}

awaitable<outcome<send_report>> relp_connection::send(const batch& b)
{
    if (state_ != state::up || session_.now() != relp_session::phase::open)
        co_return reason_.value_or(fail(asio::error::eof, name_ + ": closed by the collector"));
    whole_write guard(*this);
    if (session_.unanswered() == 0)
    {
        progress_at_ = clock::now();
        patience_.reset();
    }
    frames_.clear();
    session_.say_messages(b, frames_);
    work_.ring();
    auto from = asio::buffer(frames_.data(), frames_.size());
    auto may = gate_of(b);
    auto written = co_await stream_->write(from, timing_.write, std::move(may));
    guard.answered = written.has_value();  // else a cancellation may still meet the wait for the reason
    if (!written)
    {
        if (written.error() == errc::lease_lost)
            over(lease_ended(name_));
        // The peer's alert, refusal or end says more than "broken pipe", and it is waiting in the other
        // direction.
        const auto give_up = clock::now() + std::chrono::milliseconds(100);
        while (reading_ && state_ != state::over && written.error() != errc::timed_out &&
               clock::now() < give_up)
            co_await news_.wait(std::chrono::milliseconds(100));
        if (written.error() == errc::timed_out || written.error() == asio::error::timed_out)
            takes_nothing(written.error());
        else
            over(broken(name_, written.error()));
        guard.answered = true;
        co_return *reason_;
    }
    if (state_ == state::over)
        co_return *reason_;
    session_.written();
    work_.ring();
    co_return send_report{};
}

awaitable<void> relp_connection::finish(duration limit)
{
    const auto until = clock::now() + limit;
    if (state_ == state::up && session_.now() == relp_session::phase::open)
    {
        frames_.clear();
        session_.say_close(frames_);
        progress_at_ = clock::now();
        auto from = asio::buffer(frames_.data(), frames_.size());
        auto written = co_await stream_->write(from, limit);
        if (!written)
            over(broken(name_, written.error()));
    }
    bool half_closed = false;
    while (state_ != state::over)
    {
        const duration left = until - clock::now();
        if (left <= duration::zero())
            break;
        if (session_.now() == relp_session::phase::closed && !half_closed)
        {
            half_closed = true;
            co_await stream_->finish(left);
            continue;
        }
        co_await news_.wait(left);
    }
}

}  // namespace dtbridge::transport
