#include <dtbridge/transport/window.hpp>

#include <algorithm>

namespace dtbridge::transport
{

send_window::send_window(bounds b) : bounds_(b), limit_(std::max<std::size_t>(1, b.messages))
{
    bounds_.messages = limit_;
}

std::size_t send_window::messages_free() const
{
    return limit_ > unconfirmed_ ? limit_ - unconfirmed_ : 0;
}

std::size_t send_window::bytes_free() const
{
    return bounds_.bytes > unconfirmed_bytes_ ? bounds_.bytes - unconfirmed_bytes_ : 0;
}

void send_window::sent(std::size_t messages, std::size_t bytes)
{
    unconfirmed_ += messages;
    unconfirmed_bytes_ += bytes;
}

void send_window::confirmed(std::size_t messages, std::size_t bytes)
{
    unconfirmed_ -= std::min(messages, unconfirmed_);
    unconfirmed_bytes_ -= std::min(bytes, unconfirmed_bytes_);
    if (messages > 0)
        limit_ = limit_ > bounds_.messages / 2 ? bounds_.messages : limit_ * 2;
}

void send_window::broken()
{
    // Half of what really was unconfirmed, not of the limit: a collector that breaks at the tenth message
    // would otherwise be asked to take thousands a dozen times over.
    if (unconfirmed_ > 0)
        limit_ = std::max<std::size_t>(1, std::min(limit_, unconfirmed_) / 2);
    unconfirmed_ = 0;
    unconfirmed_bytes_ = 0;
}

}  // namespace dtbridge::transport
