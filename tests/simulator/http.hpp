#pragma once

/// HTTP/1.1 over a connection: requests read with Beast's parser, answers written by hand so that the faults
/// can break them where they like.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "connection.hpp"
#include "faults.hpp"

namespace simulator
{

struct http_request
{
    std::string method, target, body;
    std::map<std::string, std::string, std::less<>> headers;  ///< names in lower case
    bool http11 = true, keep_alive = true;
    bool accepts_gzip() const;
};

/// Nothing at the end of the connection or after something that is no HTTP. left_over holds what came after
/// the request.
std::optional<http_request> read_request(connection& from, std::string& left_over);

/// An answer that a fault ended early.
struct answer_dropped
{
    bool reset;
};

/// Up to 64 KiB are held back and sent with Content-Length; what is longer goes out in chunks while it is
/// written.
class answer
{
public:
    answer(connection& to, const http_request& request, const fault_plan& plan, std::int64_t date_ms);
    ~answer();
    void start(int status,
               std::string_view content_type,
               const std::vector<std::pair<std::string, std::string>>& headers = {});
    void write(std::string_view body);
    void finish();
    /// The whole body at once.
    void send(int status,
              std::string_view content_type,
              std::string_view body,
              const std::vector<std::pair<std::string, std::string>>& headers = {});
    void cut_at(std::int64_t bytes) { cut_at_ = bytes; }
    bool keep_alive() const { return keep_alive_; }
    bool gzip() const { return gzip_; }
    std::int64_t bytes() const { return plain_; }

private:
    struct deflater;
    void flush();
    void send_chunk(std::string_view data);
    void send_raw(std::string_view data);
    std::string head(std::string_view framing) const;

    connection& to_;
    const fault_plan& plan_;
    std::int64_t date_ms_;
    bool http11_, keep_alive_, head_only_, gzip_, streaming_ = false, ended_ = false;
    std::string status_line_, headers_, buffer_;
    std::optional<std::int64_t> cut_at_;
    std::int64_t plain_ = 0, flushed_ = 0;
    std::unique_ptr<deflater> deflater_;
};

}  // namespace simulator
