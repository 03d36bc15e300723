#pragma once

/// The bounded HTTP server of `listen` (product.md 9), plain or TLS: GET and HEAD of registered paths,
/// nothing that changes anything. A slow, greedy or lying client costs itself its connection and nobody else
/// anything. What is answered is left to the handlers. Tested in tests/unit/web with raw sockets.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <dtbridge/core/failure.hpp>
#include <dtbridge/core/secret.hpp>

namespace dtbridge::web
{

namespace asio = boost::asio;
using asio::awaitable;

struct request
{
    std::string path;    ///< without the query, as sent
    std::string query;   ///< without '?'
    secret bearer;       ///< of "Authorization: Bearer ..", empty where there is none
    bool local = false;  ///< the client is on this host (its address is a loopback one)
};

/// A body that is made while it is sent. One call at a time.
class body_source
{
public:
    virtual ~body_source() = default;
    /// The next piece, "" at the end. A failure cuts the connection, so that the client sees that it has not
    /// got everything. Cancelling the caller throws operation_aborted.
    virtual awaitable<outcome<std::string>> next() = 0;
};

struct response
{
    unsigned status = 200;
    std::string content_type = "text/plain; charset=utf-8";
    std::string body;
    std::shared_ptr<body_source> rest;  ///< follows body, in chunks; null: body is all
    /// What a page of this answer may load and do; the default is nothing at all.
    std::string content_security_policy = "default-src 'none'; frame-ancestors 'none'";
    std::vector<std::pair<std::string, std::string>> headers;  ///< more of them, well-formed
};

/// {"error": words} with that status; 401 asks for a bearer token.
response refusal(unsigned status, std::string_view words);

struct limits
{
    std::size_t header = 16u << 10;  ///< bytes of a request's head; beyond: 431
    std::size_t connections = 64;    ///< at once; beyond, the longest idle one is closed
    unsigned requests = 100;         ///< per connection
    std::chrono::steady_clock::duration request = std::chrono::seconds(
        10);  ///< for the head, handshake included, and for each piece of the answer to be taken
    std::chrono::steady_clock::duration idle = std::chrono::seconds(30);    ///< between requests
    std::chrono::steady_clock::duration answer = std::chrono::seconds(75);  ///< for a handler
    std::chrono::steady_clock::duration stream = std::chrono::minutes(5);   ///< for a whole body in pieces
};

/// Certificate and key of the listening side.
class tls_server
{
public:
    virtual ~tls_server() = default;
    virtual std::int64_t expires() const = 0;  ///< of the certificate, ms since 1970
};
/// TLS 1.2 or later, AEAD with forward secrecy only, no renegotiation, no resumption. Reads the files (a
/// chain and its key, PEM without passphrase) at once. The failure names the file and what is wrong with it.
outcome<std::shared_ptr<tls_server>> make_tls_server(const std::string& cert_file,
                                                     const std::string& key_file);

class server
{
public:
    /// Answers one request; must not throw and not block.
    using handler = std::function<response(const request&)>;
    /// The same where the answer has to be waited for. May throw operation_aborted after a cancellation.
    using slow_handler = std::function<awaitable<response>(request)>;

    explicit server(asio::any_io_executor ex, limits bounds = {});
    ~server();
    server(const server&) = delete;
    server& operator=(const server&) = delete;

    void handle(std::string path, handler h);
    void handle_slow(std::string path, slow_handler h);
    /// Binds "address:port" (port 0: any). Fails with the address and what to do. tls null: plain HTTP.
    outcome<bool> listen(const std::string& address, std::shared_ptr<tls_server> tls = nullptr);
    /// For the connections from now on.
    void renew(std::shared_ptr<tls_server> tls);
    std::uint16_t port() const;
    std::size_t connections() const;
    /// Accepts until cancelled; owned by a task_group.
    awaitable<void> run();

private:
    struct impl;
    std::unique_ptr<impl> impl_;
};

}  // namespace dtbridge::web
