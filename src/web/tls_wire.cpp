// The only file of this module that knows OpenSSL.

#include <ctime>

#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <dtbridge/async/use_tuple.hpp>
#include <dtbridge/core/time.hpp>

#include <web/wire.hpp>

namespace dtbridge::web
{

namespace
{

using asio::ip::tcp;

struct openssl_server final : tls_server
{
    openssl_server() : context(asio::ssl::context::tls_server) {}
    std::int64_t expires() const override { return not_after; }

    asio::ssl::context context;
    std::int64_t not_after = 0;
};

std::string last_reason()
{
    const char* reason = ERR_reason_error_string(ERR_peek_last_error());
    ERR_clear_error();
    return reason ? reason : "unknown reason";
}

/// A key with a passphrase is refused instead of asked for on the terminal.
int no_passphrase(char*, int, int, void*)
{
    return 0;
}

std::int64_t not_after_of(const X509* certificate)
{
    std::tm t{};
    if (!certificate || ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &t) != 1)
        return 0;
    return from_calendar(t.tm_year + 1900, t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec);
}

class tls_wire final : public wire
{
public:
    tls_wire(tcp::socket socket, std::shared_ptr<openssl_server> tls)
        : tls_(std::move(tls)), stream_(std::move(socket), tls_->context)
    {}

    awaitable<bool> open() override
    {
        auto [ec] = co_await stream_.async_handshake(asio::ssl::stream_base::server, use_tuple);
        co_return !ec;
    }
    awaitable<result<std::size_t>> read_some(asio::mutable_buffer into) override
    {
        auto [ec, size] = co_await stream_.async_read_some(into, use_tuple);
        if (ec)
            co_return ec;
        co_return size;
    }
    awaitable<bool> write(asio::const_buffer from) override
    {
        auto [ec, size] = co_await asio::async_write(stream_, from, use_tuple);
        co_return !ec;
    }
    awaitable<void> finish() override
    {
        co_await stream_.async_shutdown(use_tuple);
        error_code ignored;
        stream_.next_layer().shutdown(tcp::socket::shutdown_both, ignored);
    }
    void close() override
    {
        error_code ec;
        stream_.next_layer().close(ec);
    }
    bool is_open() const override { return stream_.next_layer().is_open(); }

private:
    std::shared_ptr<openssl_server> tls_;  // a renewed one takes the place in new connections only
    asio::ssl::stream<tcp::socket> stream_;
};

}  // namespace

outcome<std::shared_ptr<tls_server>> make_tls_server(const std::string& cert_file,
                                                     const std::string& key_file)
{
    auto made = std::make_shared<openssl_server>();
    SSL_CTX* ctx = made->context.native_handle();
    ERR_clear_error();
    // As on the client's side: AEAD with forward secrecy (RFC 9325 4.1, 4.2); TLS 1.3 has nothing else.
    const bool ready =
        SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
        SSL_CTX_set_max_proto_version(ctx, 0) == 1 &&
        SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!PSK:!SRP") == 1 &&
        SSL_CTX_set_ciphersuites(
            ctx, "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256") == 1;
    if (!ready)
        return fail(errc::unsupported, "OpenSSL cannot be set up for TLS: " + last_reason());
    if (SSL_CTX_get_security_level(ctx) < 2)
        SSL_CTX_set_security_level(ctx, 2);
    SSL_CTX_set_options(
        ctx,
        SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    if (SSL_CTX_use_certificate_chain_file(ctx, cert_file.c_str()) != 1)
        return fail(errc::malformed,
                    cert_file + ": no certificate in PEM form can be read from it (" + last_reason() + ")");
    if (SSL_CTX_use_PrivateKey_file(ctx, key_file.c_str(), SSL_FILETYPE_PEM) != 1)
    {
        if (ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH)
        {
            ERR_clear_error();
            return fail(errc::malformed,
                        key_file + ": the key does not belong to the certificate in " + cert_file);
        }
        return fail(errc::malformed,
                    key_file + ": no key in PEM form without a passphrase can be read from it (" +
                        last_reason() + ")");
    }
    if (SSL_CTX_check_private_key(ctx) != 1)
    {
        ERR_clear_error();
        return fail(errc::malformed,
                    key_file + ": the key does not belong to the certificate in " + cert_file);
    }
    made->not_after = not_after_of(SSL_CTX_get0_certificate(ctx));
    return std::shared_ptr<tls_server>(std::move(made));
}

std::unique_ptr<wire> make_tls_wire(tcp::socket socket, std::shared_ptr<tls_server> tls)
{
    // make_tls_server() makes no other kind.
    return std::make_unique<tls_wire>(std::move(socket),
                                      std::static_pointer_cast<openssl_server>(std::move(tls)));
}

}  // namespace dtbridge::web
