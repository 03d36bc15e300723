#pragma once

#include <array>
#include <memory>

#include <dtbridge/async/doorbell.hpp>
#include <dtbridge/async/task_group.hpp>
#include <dtbridge/transport/transport.hpp>

#include <transport/relp_session.hpp>

namespace dtbridge::transport
{

/// RELP on a stream, plain or TLS. One task reads answers, a second one watches that they come; what they
/// mean is the session's.
class relp_connection final : public connection
{
public:
    using time_point = std::chrono::steady_clock::time_point;

    /// Opens a session on a fresh stream; the collector's answer must come until then.
    static awaitable<outcome<std::unique_ptr<connection>>> open(asio::any_io_executor ex,
                                                                std::unique_ptr<net::stream> s,
                                                                std::string name,
                                                                timing t,
                                                                time_point until,
                                                                connector::notify changed);

    relp_connection(asio::any_io_executor ex,
                    std::unique_ptr<net::stream> s,
                    relp_session session,
                    std::string name,
                    timing t,
                    connector::notify changed);

    const std::string& peer() const override { return name_; }
    awaitable<outcome<send_report>> send(const batch& b) override;
    std::uint64_t confirmed() const override { return confirmed_; }
    std::size_t unconfirmed() const override { return session_.unconfirmed(); }
    state now() const override { return state_; }
    std::int64_t certificate_expires() const override { return certificate_expires_; }
    const std::optional<failure>& reason() const override { return reason_; }
    awaitable<void> finish(duration limit) override;
    awaitable<void> close() override;

private:
    awaitable<void> read_answers();
    awaitable<void> watch();
    void take(std::string_view bytes);
    void ended(const result<std::size_t>& got);
    bool is_readable() const;
    duration until_late(time_point now);
    duration until_end(time_point now);
    void over(failure why);
    void tell();

    std::unique_ptr<net::stream> stream_;
    relp_session session_;
    std::string name_;
    std::int64_t certificate_expires_;
    timing timing_;
    connector::notify changed_;
    task_group tasks_;
    doorbell work_;  // for the watching task
    doorbell news_;  // for a failed write, which waits for the reader's reason; and for finish()
    std::array<char, 16384> bytes_;
    std::string frames_;  // of the batch that is being written
    std::uint64_t confirmed_ = 0;
    state state_ = state::up;
    std::optional<failure> reason_;
    bool reading_ = true;
    time_point ended_at_{}, progress_at_{};
    std::optional<time_point> patience_;  // for answers that have arrived and were not read
};

}  // namespace dtbridge::transport
