#pragma once

#include <array>
#include <memory>

#include <dtbridge/async/doorbell.hpp>
#include <dtbridge/async/task_group.hpp>
#include <dtbridge/transport/transport.hpp>

#include <transport/confirmation.hpp>

namespace dtbridge::transport
{

/// TCP and TLS. One read is always pending, so that the peer's end or alert is known before the next write; a
/// second task looks at the kernel's acknowledgements while something is outstanding.
class stream_connection final : public connection
{
public:
    stream_connection(asio::any_io_executor ex,
                      std::unique_ptr<net::stream> s,
                      std::string name,
                      timing t,
                      connector::notify changed);

    const std::string& peer() const override { return name_; }
    awaitable<outcome<send_report>> send(const batch& b) override;
    std::uint64_t confirmed() const override { return confirmed_; }
    std::size_t unconfirmed() const override { return tracker_.unconfirmed(); }
    state now() const override { return state_; }
    std::int64_t certificate_expires() const override { return certificate_expires_; }
    const std::optional<failure>& reason() const override { return reason_; }
    awaitable<void> finish(duration limit) override;
    awaitable<void> close() override;

private:
    awaitable<void> read_until_end();
    awaitable<void> look_at_acknowledgements();
    void look();
    void peer_ended();
    bool was_reset() const;
    void over(failure why);
    void tell();
    void takes_nothing(error_code e);

    std::unique_ptr<net::stream> stream_;
    std::string name_;
    std::int64_t certificate_expires_;
    timing timing_;
    connector::notify changed_;
    task_group tasks_;
    doorbell work_;        // for the looking task
    doorbell reader_end_;  // for a failed write, which waits for the reader's reason; and for finish()
    confirmation_tracker tracker_;
    std::array<char, 4096> unread_;
    std::uint64_t confirmed_ = 0;
    std::uint64_t reads_ = 0, reads_at_look_ = 0;
    state state_ = state::up;
    std::optional<failure> reason_;
    bool reading_ = true;
    bool finishing_ = false;
    bool write_failed_ = false;
    std::chrono::steady_clock::time_point ended_at_{};
    std::uint64_t acknowledged_ = 0;  // bytes, at the last look
    std::chrono::steady_clock::time_point progress_at_{};
};

}  // namespace dtbridge::transport
