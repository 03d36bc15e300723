#pragma once

/// A connected byte stream, plain or TLS, so that HTTP and the collectors' transports need neither
/// asio/ssl.hpp nor Beast. Everything has a deadline; nothing throws but operation_aborted after a
/// cancellation.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>

#include <dtbridge/core/failure.hpp>
#include <dtbridge/core/secret.hpp>
#include <dtbridge/net/tls_options.hpp>

namespace dtbridge::net
{

namespace asio = boost::asio;
using asio::awaitable;
using duration = std::chrono::steady_clock::duration;

/// "host:port", "[v6]:port", host without port. The host has no brackets.
struct endpoint_name
{
    std::string host;
    std::uint16_t port = 0;
    std::string text() const;
    bool operator==(const endpoint_name&) const = default;
};
/// errc::malformed says what is wrong. default_port where none is written; port 0 is refused.
outcome<endpoint_name> parse_endpoint(std::string_view text, std::uint16_t default_port);

/// What a finished handshake or connection looked like, for status, errors and check --connect.
struct peer_facts
{
    std::string address;   ///< "192.0.2.1:6514"
    std::string protocol;  ///< "TLSv1.3", "" for plain
    std::string cipher;
    std::string fingerprint_sha256;  ///< of the leaf, lower-case hex
    std::string subject;
    std::int64_t expires = 0;  ///< ms since 1970; 0 unknown
};

class stream
{
public:
    virtual ~stream() = default;
    /// Some bytes; 0 at the peer's orderly end (FIN, or close_notify under TLS). A TLS peer that closes
    /// without close_notify is stream_truncated, an error, unless nothing else was outstanding: the caller
    /// decides.
    virtual awaitable<result<std::size_t>> read_some(asio::mutable_buffer into, duration limit) = 0;
    /// All of from, or an error.
    virtual awaitable<result<std::size_t>> write(asio::const_buffer from, duration limit) = 0;
    /// Half-closes: FIN, under TLS close_notify before it. Reading may go on. Errors are of no interest.
    virtual awaitable<bool> finish(duration limit) = 0;
    /// At once, without a closing handshake; pending operations end with operation_aborted as an error.
    virtual void close() = 0;
    virtual bool is_open() const = 0;
    virtual const peer_facts& peer() const = 0;
    /// Bytes that this side has put into the kernel below TLS, and how many of them the peer's kernel has not
    /// yet acknowledged (SIOCOUTQ). acknowledged = handed - outstanding.
    virtual std::uint64_t bytes_handed() const = 0;
    virtual std::uint64_t bytes_outstanding() const = 0;
    virtual int native_handle() const = 0;
};

/// What a TLS client needs, made once per master or destination and again when its files change. The key
/// never leaves OpenSSL.
class tls_client
{
public:
    virtual ~tls_client() = default;
};
/// TLS 1.2 or later, AEAD with forward secrecy only, no renegotiation, no 0-RTT (formats.md 5.3). Fails with
/// the file and what is wrong with it.
outcome<std::shared_ptr<tls_client>> make_tls_client(const tls_options& o);

/// CONNECT proxy, product.md 2: http://user@host:port.
struct proxy_options
{
    endpoint_name address;
    std::string user;
    secret password;
    bool operator==(const proxy_options&) const = default;
};

struct connect_options
{
    endpoint_name peer;
    std::shared_ptr<tls_client> tls;            ///< null: plain
    std::string server_name;                    ///< "" peer.host
    std::shared_ptr<proxy_options> proxy;       ///< null: direct
    duration limit = std::chrono::seconds(10);  ///< resolve, connect, proxy and handshake together
    int user_timeout_ms = 30000;                ///< TCP_USER_TIMEOUT; keepalive is tuned to the same bound
};

/// Resolves, connects (v6 and v4 in the order given, each address a share of the limit), shakes hands. The
/// failure names host, address and step in plain words ("certificate of siem.example (192.0.2.1:6514) expired
/// 2026-01-02").
awaitable<outcome<std::unique_ptr<stream>>> connect(connect_options o);

/// Name lookups on a pool of eight threads, one per name at a time; after 2 s the last good addresses are
/// used. Answers "address:port" literals as they are. Shared by everything in the process.
awaitable<outcome<std::vector<std::string>>> resolve(std::string host, duration limit);

}  // namespace dtbridge::net
