#pragma once

#include <array>
#include <memory>

#include <transport/confirmation.hpp>
#include <transport/linked_connection.hpp>

namespace dtbridge::transport
{

/// TCP and TLS. One read is always pending, so that the peer's end or alert is known before the next write; a
/// second task looks at the kernel's acknowledgements while something is outstanding.
class stream_connection final : public linked_connection
{
public:
    stream_connection(asio::any_io_executor ex,
                      std::unique_ptr<net::stream> s,
                      std::string name,
                      timing t,
                      connector::notify changed);

    awaitable<outcome<send_report>> send(const batch& b) override;
    std::size_t unconfirmed() const override { return tracker_.unconfirmed(); }
    awaitable<void> finish(duration limit) override;

private:
    awaitable<void> read_until_end();
    awaitable<void> look_at_acknowledgements();
    void look();
    void peer_ended();
    bool was_reset() const;

    confirmation_tracker tracker_;
    std::array<char, 4096> unread_;
    std::uint64_t reads_ = 0, reads_at_look_ = 0;
    bool finishing_ = false;
    bool write_failed_ = false;
    std::chrono::steady_clock::time_point ended_at_{};
    std::uint64_t acknowledged_ = 0;  // bytes, at the last look
    std::chrono::steady_clock::time_point progress_at_{};
};

}  // namespace dtbridge::transport
