#pragma once

/// One side of a TLS connection that sees no socket: bytes go in and come out (OpenSSL on memory BIOs). So
/// reading and writing never hinder each other, close_notify can be sent without waiting for the peer's, and
/// what reaches the kernel can be counted by who hands it over.

#include <openssl/ssl.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <dtbridge/net/connect_report.hpp>
#include <dtbridge/net/stream.hpp>

namespace dtbridge::net
{

struct ssl_deleter
{
    void operator()(SSL_CTX* p) const { SSL_CTX_free(p); }
    void operator()(SSL* p) const { SSL_free(p); }
    void operator()(X509* p) const { X509_free(p); }
};
using ssl_context_ptr = std::unique_ptr<SSL_CTX, ssl_deleter>;
using ssl_ptr = std::unique_ptr<SSL, ssl_deleter>;

/// What make_tls_client() makes.
struct tls_profile : tls_client
{
    ssl_context_ptr context;
    tls_options options;
    std::string pin;  ///< 32 bytes or empty
};

/// The verdict over the peer's certificate, as the check of the chain saw it.
struct certificate_report
{
    std::string fingerprint;  ///< lower-case hex; empty before a certificate was seen
    std::string subject;
    std::string issuer;
    std::string names;  ///< of the subjectAltName, printable
    std::int64_t not_before = 0;
    std::int64_t not_after = 0;
    long error = 0;  ///< X509_V_..
    int depth = 0;
    std::string failed_subject;  ///< of the certificate at depth
    std::int64_t failed_not_before = 0;
    std::int64_t failed_not_after = 0;
    bool pin_mismatch = false;
    bool asked_for_ours = false;             ///< the peer wanted a client certificate and none is configured
    std::shared_ptr<connect_report> wanted;  ///< gets the chain; null: nobody asks
};

class tls_engine
{
public:
    enum class want {
        nothing,  ///< done
        input,    ///< more bytes of the peer's are needed
        failed    ///< error() says why
    };

    /// name: for SNI (unless it is an address) and the check of the name.
    /// report: gets what the handshake saw; may be null.
    tls_engine(std::shared_ptr<const tls_profile> profile,
               const std::string& name,
               std::shared_ptr<connect_report> report = nullptr);
    tls_engine(const tls_engine&) = delete;
    tls_engine& operator=(const tls_engine&) = delete;

    want handshake();
    /// Encrypts all of from, which is held in memory until take().
    want write(std::string_view from);
    struct read_answer
    {
        want state = want::nothing;
        std::size_t size = 0;  ///< 0 with want::nothing: the peer sent close_notify
    };
    read_answer read(void* into, std::size_t size);
    /// Puts close_notify into the output.
    void finish();

    void feed(std::string_view from_peer);
    /// Bytes that take() has to give.
    std::size_t output() const;
    /// Takes up to size bytes of output.
    std::size_t take(void* into, std::size_t size);

    const error_code& error() const { return error_; }
    /// Why the handshake failed, in words; who names the peer ("siem.example:6514 (192.0.2.1)").
    std::string explain(const std::string& who) const;
    void fill(peer_facts& facts) const;
    /// Into the report, at the end of a handshake whichever it was.
    void report() const;

private:
    want judge(int rc);

    std::shared_ptr<const tls_profile> profile_;
    std::string name_;
    certificate_report report_;
    ssl_ptr ssl_;
    error_code error_;
};

}  // namespace dtbridge::net
