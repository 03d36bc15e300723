#include <transport/linked_connection.hpp>

#include <boost/asio/error.hpp>

#include <cmath>
#include <utility>

#include <transport/stream_end.hpp>

namespace dtbridge::transport
{

linked_connection::linked_connection(asio::any_io_executor ex,
                                     std::unique_ptr<net::stream> s,
                                     std::string name,
                                     timing t,
                                     connector::notify changed,
                                     std::string doing)
    : stream_(std::move(s)),
      name_(std::move(name)),
      certificate_expires_(stream_->peer().expires),
      timing_(t),
      changed_(std::move(changed)),
      tasks_(ex,
             [this, doing = std::move(doing)](const std::string&, std::exception_ptr) {
                 over(fail(errc::refused, name_ + ": internal error while " + doing));
             }),
      work_(ex),
      news_(ex)
{}

linked_connection::whole_write::~whole_write()
{
    if (!answered)
        owner.over(fail(asio::error::operation_aborted, owner.name_ + ": a write was cancelled"));
}

void linked_connection::tell()
{
    if (changed_)
        changed_();
}

void linked_connection::over(failure why)
{
    if (state_ == state::over)
        return;
    state_ = state::over;
    reason_ = std::move(why);
    stream_->close();
    work_.ring();
    news_.ring();
    tell();
}

void linked_connection::takes_nothing(error_code e)
{
    over(fail(e, name_ + ": the collector took nothing for " + in_seconds(timing_.write)));
}

void linked_connection::lapse()
{
    stream_->reset();
    over(lease_ended(name_));
}

awaitable<void> linked_connection::close()
{
    changed_ = nullptr;
    over(fail(asio::error::operation_aborted, name_ + ": closed"));
    tasks_.cancel();
    co_await tasks_.join(std::chrono::seconds(5));
}

failure lease_ended(const std::string& name)
{
    return fail(errc::lease_lost, name + ": closed, as a master's lease has ended");
}

net::may_write gate_of(const batch& b)
{
    if (b.lease() == nullptr)
        return {};
    return [lease = b.lease()] { return lease->may_write(cluster::boot_clock::now()); };
}

failure broken(const std::string& name, const error_code& e)
{
    std::string words = name + ": " + e.message();
    words += advice(e);
    return fail(e, std::move(words));
}

std::string in_seconds(duration d)
{
    return std::to_string(std::lround(std::chrono::duration<double>(d).count())) + " s";
}

}  // namespace dtbridge::transport
