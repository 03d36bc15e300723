#include "http.hpp"

#include <zlib.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <cstdio>
#include <thread>

#include "dates.hpp"

namespace simulator
{

namespace http = boost::beast::http;

namespace
{

constexpr std::size_t block = 64 * 1024;

std::string_view reason(int status)
{
    auto text = http::obsolete_reason(static_cast<http::status>(status));
    return status == 302 ? "Found" : std::string_view(text.data(), text.size());
}

}  // namespace

bool http_request::accepts_gzip() const
{
    auto found = headers.find("accept-encoding");
    return found != headers.end() && found->second.find("gzip") != std::string::npos;
}

std::optional<http_request> read_request(connection& from, std::string& left_over)
{
    http::request_parser<http::string_body> parser;
    parser.eager(true);
    parser.header_limit(64 * 1024);
    parser.body_limit(std::uint64_t(1) << 30);
    char data[16384];
    while (!parser.is_done())
    {
        if (!left_over.empty())
        {
            boost::beast::error_code ec;
            auto used = parser.put(boost::asio::buffer(left_over), ec);
            left_over.erase(0, used);
            if (ec && ec != http::error::need_more)
                return std::nullopt;
            if (parser.is_done())
                break;
            if (!ec && used > 0 && !left_over.empty())
                continue;
        }
        auto n = from.read_some(data, sizeof data);
        if (n == 0)
            return std::nullopt;
        left_over.append(data, n);
    }
    const auto& message = parser.get();
    http_request request;
    request.method = std::string(message.method_string());
    request.target = std::string(message.target());
    request.body = message.body();
    request.http11 = message.version() == 11;
    request.keep_alive = message.keep_alive();
    for (const auto& field : message)
    {
        std::string name(field.name_string());
        std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) {
            return static_cast<char>(std::tolower(c));
        });
        request.headers.emplace(std::move(name), std::string(field.value()));
    }
    return request;
}

struct answer::deflater
{
    z_stream z{};
    deflater() { deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY); }
    ~deflater() { deflateEnd(&z); }
    std::string run(std::string_view in, int mode)
    {
        std::string out;
        char data[block];
        z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
        z.avail_in = static_cast<uInt>(in.size());
        do
        {
            z.next_out = reinterpret_cast<Bytef*>(data);
            z.avail_out = sizeof data;
            deflate(&z, mode);
            out.append(data, sizeof data - z.avail_out);
        } while (z.avail_out == 0);
        return out;
    }
};

answer::answer(connection& to, const http_request& request, const fault_plan& plan, std::int64_t date_ms)
    : to_(to),
      plan_(plan),
      date_ms_(date_ms),
      http11_(request.http11),
      keep_alive_(request.keep_alive),
      head_only_(request.method == "HEAD"),
      gzip_(request.accepts_gzip()),
      cut_at_(plan.cut_bytes)
{}

answer::~answer() = default;

void answer::start(int status,
                   std::string_view content_type,
                   const std::vector<std::pair<std::string, std::string>>& headers)
{
    status_line_ = "HTTP/1.1 " + std::to_string(status) + " " + std::string(reason(status)) + "\r\n";
    headers_ = "Content-Type: " + std::string(content_type) + "\r\nDate: " + http_date(date_ms_) +
               "\r\nCache-Control: no-store\r\n";
    for (const auto& [name, value] : headers)
        headers_ += name + ": " + value + "\r\n";
}

std::string answer::head(std::string_view framing) const
{
    std::string text = status_line_ + headers_;
    if (gzip_ && (streaming_ || plain_ > 0))
        text += "Content-Encoding: gzip\r\n";
    text += framing;
    if (!keep_alive_)
        text += "Connection: close\r\n";
    else if (!http11_)
        text += "Connection: keep-alive\r\n";
    return text + "\r\n";
}

void answer::send_raw(std::string_view data)
{
    if (plan_.bytes_per_second <= 0)
    {
        to_.write(data);
        return;
    }
    // Ten writes a second, or one byte at a time where that is still too much.
    auto slice = std::max<std::size_t>(1, static_cast<std::size_t>(plan_.bytes_per_second / 10));
    while (!data.empty())
    {
        auto part = data.substr(0, slice);
        to_.write(part);
        data.remove_prefix(part.size());
        std::this_thread::sleep_for(
            std::chrono::duration<double>(static_cast<double>(part.size()) / plan_.bytes_per_second));
    }
}

void answer::send_chunk(std::string_view data)
{
    if (data.empty())
        return;
    if (!http11_)
    {
        send_raw(data);
        return;
    }
    char size[24];
    std::snprintf(size, sizeof size, "%zx\r\n", data.size());
    send_raw(std::string(size) + std::string(data) + "\r\n");
}

void answer::flush()
{
    if (!streaming_)
    {
        streaming_ = true;
        if (!http11_)
            keep_alive_ = false;  // the end of the connection is the end of the body
        if (gzip_)
            deflater_ = std::make_unique<deflater>();
        to_.write(head(http11_ ? "Transfer-Encoding: chunked\r\n" : ""));
    }
    std::string_view data = buffer_;
    bool last = false;
    if (cut_at_ && flushed_ + static_cast<std::int64_t>(data.size()) >= *cut_at_)
    {
        data = data.substr(0, static_cast<std::size_t>(*cut_at_ - flushed_));
        last = true;
    }
    flushed_ += static_cast<std::int64_t>(data.size());
    if (deflater_)
        send_chunk(deflater_->run(data, last ? Z_SYNC_FLUSH : Z_NO_FLUSH));
    else
        send_chunk(data);
    buffer_.clear();
    if (last && !plan_.cut_complete)
        throw answer_dropped{plan_.cut_reset};
    ended_ = last;
}

void answer::write(std::string_view body)
{
    plain_ += static_cast<std::int64_t>(body.size());
    if (ended_ || head_only_)
        return;
    buffer_ += body;
    if (buffer_.size() >= block)
        flush();
}

void answer::finish()
{
    if (streaming_)
    {
        if (!ended_)
            flush();
        if (deflater_)
            send_chunk(deflater_->run({}, Z_FINISH));
        if (http11_)
            to_.write("0\r\n\r\n");
        return;
    }
    std::string_view plain = buffer_;
    bool cut = cut_at_ && *cut_at_ < static_cast<std::int64_t>(plain.size());
    if (cut && plan_.cut_complete)
    {
        plain = plain.substr(0, static_cast<std::size_t>(*cut_at_));
        plain_ = static_cast<std::int64_t>(plain.size());
    }
    std::string packed;
    std::string_view payload = plain;
    if (gzip_ && !plain.empty())
    {
        packed = deflater().run(plain, Z_FINISH);
        payload = packed;
    }
    to_.write(head("Content-Length: " + std::to_string(payload.size()) + "\r\n"));
    if (cut && !plan_.cut_complete)
    {
        auto part =
            payload.size() * static_cast<std::size_t>(*cut_at_) / std::max<std::size_t>(1, plain.size());
        send_raw(payload.substr(0, part));
        throw answer_dropped{plan_.cut_reset};
    }
    if (!head_only_)
        send_raw(payload);
}

void answer::send(int status,
                  std::string_view content_type,
                  std::string_view body,
                  const std::vector<std::pair<std::string, std::string>>& headers)
{
    start(status, content_type, headers);
    write(body);
    finish();
}

}  // namespace simulator
