#pragma once

/// One kept-alive HTTP/1.1 connection to a master. Requests go one after the other; the body is handed on as
/// it streams in.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dtbridge/net/stream.hpp>

namespace dtbridge::net
{

struct http_request
{
    std::string target;  ///< path and query exactly as signed
    std::vector<std::pair<std::string, std::string>>
        headers;  ///< Host, User-Agent, Accept-Encoding: gzip are added
};

struct http_response
{
    unsigned status = 0;
    std::string content_type;
    std::string location;
    std::string retry_after;
    std::string date;
    std::uint64_t body_bytes = 0;  ///< after decoding
    std::uint64_t wire_bytes = 0;  ///< before decoding
    bool complete = false;         ///< the body arrived whole (length, chunks or gzip trailer said so)
};

/// Takes the decoded body in pieces. Answering a failure ends the exchange with it and closes the connection.
class body_sink
{
public:
    virtual ~body_sink() = default;
    /// Called once, before any body. The texts are the peer's bytes (bounded, without controls but TAB): not
    /// for a page or a log as they are.
    virtual void head(const http_response& r) = 0;
    virtual awaitable<outcome<bool>> body(std::string_view piece) = 0;
};

struct http_limits
{
    std::size_t max_header = 64u << 10;
    std::uint64_t max_body = 64u << 20;  ///< decoded bytes; over it errc::over_limit
    unsigned max_gzip_ratio = 200;       ///< decoded to wire, beyond the first 1 MiB
};

class http_client
{
public:
    http_client(connect_options peer, std::string host_header, std::string user_agent);
    ~http_client();
    http_client(const http_client&) = delete;
    http_client& operator=(const http_client&) = delete;

    /// One GET. limit is from connecting to the last byte, the sink's time included; connecting has the
    /// shorter one of it and connect_options::limit. A kept-alive connection that the peer had closed is
    /// opened again once, silently, as long as no byte of an answer came. No redirect is followed. A body
    /// whose end is the end of the connection is answered with complete = false. A cut answer is a failure
    /// (the sink has had what came). After a failure or a cancellation the connection is closed. sink must
    /// outlive the call; one get at a time. Codes of the failure:
    ///   those of connect(), of them asio::error::timed_out when there was no connection in time
    ///   errc::timed_out       connected, but the answer was not whole in time
    ///   asio::error::eof      the connection ended before the answer was whole, or before it began
    ///   errc::over_limit      header, body or gzip ratio
    ///   errc::http_protocol   no HTTP, or an encoding that was not asked for
    ///   errc::malformed       the request cannot be written as HTTP
    ///   the sink's own
    awaitable<outcome<http_response>> get(http_request request,
                                          body_sink& sink,
                                          http_limits bounds,
                                          duration limit);
    void close();
    /// Facts of the last connection; empty before the first.
    const peer_facts& peer() const;
    /// For the next connection; the present one is closed.
    void reconfigure(connect_options peer);

private:
    struct impl;
    std::unique_ptr<impl> impl_;
};

}  // namespace dtbridge::net
