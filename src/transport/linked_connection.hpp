#pragma once

#include <memory>
#include <optional>
#include <string>

#include <dtbridge/async/doorbell.hpp>
#include <dtbridge/async/task_group.hpp>
#include <dtbridge/transport/transport.hpp>

namespace dtbridge::transport
{

/// What connections on a stream have in common: what they are called, how they end and who is told of it.
/// When something counts as confirmed is the derived class's, which starts its tasks when it is whole.
class linked_connection : public connection
{
public:
    const std::string& peer() const override { return name_; }
    std::uint64_t confirmed() const override { return confirmed_; }
    state now() const override { return state_; }
    std::int64_t certificate_expires() const override { return certificate_expires_; }
    const std::optional<failure>& reason() const override { return reason_; }
    void lapse() override;
    awaitable<void> close() override;

protected:
    /// doing: of its tasks, for the words about one that failed.
    linked_connection(asio::any_io_executor ex,
                      std::unique_ptr<net::stream> s,
                      std::string name,
                      timing t,
                      connector::notify changed,
                      std::string doing);

    /// A write that is cancelled half-way has left half a message behind: nothing may follow it. Ends the
    /// connection unless answered.
    struct whole_write
    {
        explicit whole_write(linked_connection& c) : owner(c) {}
        whole_write(const whole_write&) = delete;
        whole_write& operator=(const whole_write&) = delete;
        ~whole_write();
        linked_connection& owner;
        bool answered = false;
    };

    void over(failure why);
    void takes_nothing(error_code e);
    void tell();

    std::unique_ptr<net::stream> stream_;
    std::string name_;
    std::int64_t certificate_expires_;
    timing timing_;
    connector::notify changed_;
    task_group tasks_;
    doorbell work_;  // for the task that watches what is outstanding
    doorbell news_;  // for a failed write, which waits for the reader's reason; and for finish()
    std::uint64_t confirmed_ = 0;
    state state_ = state::up;
    std::optional<failure> reason_;
    bool reading_ = true;
};

/// The end of a connection whose lease has ended.
failure lease_ended(const std::string& name);
/// Who is asked before each piece of b is sent; b outlives it.
net::may_write gate_of(const batch& b);
/// The peer's way to break a connection, with what the operator can do about it.
failure broken(const std::string& name, const error_code& e);
/// "30 s", rounded.
std::string in_seconds(duration d);

}  // namespace dtbridge::transport
