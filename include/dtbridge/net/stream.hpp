#pragma once

/// A connected byte stream, plain or TLS, so that HTTP and the collectors' transports need neither OpenSSL
/// nor Beast. Everything has a deadline; nothing throws but operation_aborted after a cancellation, nothing
/// blocks the thread, and nothing raises SIGPIPE. All calls from the thread that runs the executor. Tested
/// against servers of the tests' own.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
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
/// A host is a name (letters, digits, '-', '_', '.', at most 253) or an address; an IPv6 address with a port
/// needs brackets.
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

/// Asked right before each piece is handed to the kernel. After false nothing more is: the connection is
/// reset at once (reset()), and the write ends with errc::lease_lost. Must not throw; empty: always.
using may_write = std::function<bool()>;

/// One read and one write (or finish) may be pending at once, from two coroutines. Limits of any length are
/// taken. A stream may be destroyed while an operation is pending, as close() describes.
class stream
{
public:
    virtual ~stream() = default;
    /// Some bytes; 0 at the peer's orderly end (FIN, or close_notify under TLS). into must not be empty.
    /// A TLS peer that closes without close_notify is an error for which is_truncated() is true: after the
    /// last answer many peers do so, and the caller knows whether more was expected. errc::timed_out after
    /// limit: nothing is lost and the stream may be read again. Under TLS the refusal of this side's
    /// certificate, or of its absence, arrives here as an error, because a TLS 1.3 client has finished its
    /// handshake by then; describe() has the words.
    virtual awaitable<result<std::size_t>> read_some(asio::mutable_buffer into, duration limit) = 0;
    /// All of from, or an error. After an error, errc::timed_out included, part of it may have left, so that
    /// every further write fails with broken_pipe; reading goes on, because what the peer said last often
    /// tells why.
    virtual awaitable<result<std::size_t>> write(asio::const_buffer from, duration limit, may_write may) = 0;
    awaitable<result<std::size_t>> write(asio::const_buffer from, duration limit)
    {
        return write(from, limit, may_write());
    }
    /// Half-closes: FIN, under TLS close_notify before it. Reading may go on. Errors are of no interest:
    /// false when it could not be sent.
    virtual awaitable<bool> finish(duration limit) = 0;
    /// At once, without a closing handshake; pending operations end with operation_aborted as an error.
    virtual void close() = 0;
    /// The same, and what the kernel has not sent yet is never sent: the peer sees a reset.
    virtual void reset() = 0;
    virtual bool is_open() const = 0;
    virtual const peer_facts& peer() const = 0;
    /// Bytes that this side has put into the kernel below TLS (handshake and proxy request included), and how
    /// many of them the peer's kernel has not yet acknowledged (SIOCOUTQ; a FIN is not counted). acknowledged
    /// = handed - outstanding. After close() outstanding stays at what was last known.
    virtual std::uint64_t bytes_handed() const = 0;
    virtual std::uint64_t bytes_outstanding() const = 0;
    /// -1 after close().
    virtual int native_handle() const = 0;
};

/// True when a TLS peer ended the connection without close_notify.
bool is_truncated(const error_code& ec);
/// Plain words for an error of a stream, for a log line or a page: TLS alerts say what to do about them.
std::string describe(const error_code& ec);

/// What a TLS client needs, made once per master or destination and again when its files change. The key
/// never leaves OpenSSL.
class tls_client
{
public:
    virtual ~tls_client() = default;
};
/// TLS 1.2 or later, AEAD with forward secrecy only, no renegotiation, no 0-RTT, no resumption: every
/// connection checks the peer anew. Reads the files at once. Fails with the file and what is wrong with it:
/// errc::not_found for one that cannot be read, else errc::malformed.
outcome<std::shared_ptr<tls_client>> make_tls_client(const tls_options& o);

/// CONNECT proxy, product.md 2: http://user@host:port.
struct proxy_options
{
    endpoint_name address;
    std::string user;
    secret password;
    bool operator==(const proxy_options&) const = default;
};

struct connect_report;  // connect_report.hpp

struct connect_options
{
    endpoint_name peer;
    std::shared_ptr<tls_client> tls;            ///< null: plain
    std::string server_name;                    ///< "" peer.host
    std::shared_ptr<proxy_options> proxy;       ///< null: direct
    duration limit = std::chrono::seconds(10);  ///< resolve, connect, proxy and handshake together
    int user_timeout_ms = 30000;                ///< TCP_USER_TIMEOUT; keepalive is tuned to the same bound
    std::shared_ptr<connect_report> report;     ///< filled in on the way, also by a failure; null: not wanted
};

/// Resolves, connects (v6 and v4 in the order given, each address a share of the limit), goes through the
/// proxy, shakes hands. The failure names host, address and step in plain words ("certificate of
/// siem.example:6514 (192.0.2.1) expired on 2026-01-02"). Codes: errc::resolve_failed,
/// errc::tls_refused, errc::proxy_refused, errc::malformed (a host that no name can be), or Asio's
/// (timed_out, connection_refused, connection_reset, ..). Cancelling the caller ends it with
/// operation_aborted, thrown or as the failure's code.
awaitable<outcome<std::unique_ptr<stream>>> connect(connect_options o);

/// The addresses of host, without ports, in the order of RFC 6724 and at most 16. A literal is answered as it
/// is. Lookups run on eight threads of the process's own, started when first needed, one lookup per name at a
/// time; after 2 s the last good addresses are used while the lookup goes on, and also when no name server
/// answers. The threads are detached: getaddrinfo cannot be interrupted, so the process ends without waiting
/// for them. The caller must have ended (by the limit or a cancellation) before its io_context is destroyed,
/// as a joined task has.
awaitable<outcome<std::vector<std::string>>> resolve(std::string host, duration limit);

}  // namespace dtbridge::net
