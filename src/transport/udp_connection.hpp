#pragma once

#include <array>
#include <memory>

#include <boost/asio/ip/udp.hpp>

#include <dtbridge/async/doorbell.hpp>
#include <dtbridge/async/task_group.hpp>
#include <dtbridge/transport/transport.hpp>

#include <transport/confirmation.hpp>

namespace dtbridge::transport
{

/// A connected UDP socket: the kernel then reports ICMP errors on it. A batch counts when none came for a
/// while.
class udp_connection final : public connection
{
public:
    udp_connection(asio::ip::udp::socket s, std::string name, timing t, connector::notify changed);

    const std::string& peer() const override { return name_; }
    awaitable<outcome<send_report>> send(const batch& b) override;
    std::uint64_t confirmed() const override { return confirmed_; }
    std::size_t unconfirmed() const override { return tracker_.unconfirmed(); }
    state now() const override { return reason_ ? state::over : state::up; }
    const std::optional<failure>& reason() const override { return reason_; }
    awaitable<void> finish(duration limit) override;
    void lapse() override;
    awaitable<void> close() override;

private:
    awaitable<void> read_errors();
    awaitable<void> look_at_time();
    void over(error_code e);
    void over(failure why);
    void tell();

    asio::ip::udp::socket socket_;
    std::string name_;
    timing timing_;
    connector::notify changed_;
    task_group tasks_;
    doorbell work_;
    doorbell settled_;
    confirmation_tracker tracker_;
    std::array<char, 2048> unread_;
    std::uint64_t sent_ = 0;
    std::uint64_t confirmed_ = 0;
    std::optional<failure> reason_;
};

}  // namespace dtbridge::transport
