#pragma once

#include <array>
#include <memory>

#include <transport/linked_connection.hpp>
#include <transport/relp_session.hpp>

namespace dtbridge::transport
{

/// RELP on a stream, plain or TLS. One task reads answers, a second one watches that they come; what they
/// mean is the session's.
class relp_connection final : public linked_connection
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

    awaitable<outcome<send_report>> send(const batch& b) override;
    std::size_t unconfirmed() const override { return session_.unconfirmed(); }
    awaitable<void> finish(duration limit) override;

private:
    awaitable<void> read_answers();
    awaitable<void> watch();
    void take(std::string_view bytes);
    void ended(const result<std::size_t>& got);
    bool is_readable() const;
    duration until_late(time_point now);
    duration until_end(time_point now);

    relp_session session_;
    std::array<char, 16384> bytes_;
    std::string frames_;  // of the batch that is being written
    time_point ended_at_{}, progress_at_{};
    std::optional<time_point> patience_;  // for answers that have arrived and were not read
};

}  // namespace dtbridge::transport
