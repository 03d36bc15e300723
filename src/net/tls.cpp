#include "net/tls.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/ssl/error.hpp>

#include <dtbridge/core/text.hpp>
#include <dtbridge/core/time.hpp>
#include <dtbridge/net/trusted_file.hpp>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <utility>

#include "net/endpoint.hpp"

namespace dtbridge::net
{

namespace
{

constexpr std::size_t max_names_told = 5;
constexpr int max_chain_told = 10;

std::int64_t to_ms(const ASN1_TIME* t)
{
    std::tm tm{};
    if (!t || ASN1_TIME_to_tm(t, &tm) != 1)
        return 0;
    return static_cast<std::int64_t>(timegm(&tm)) * 1000;
}

std::string day(std::int64_t ms)
{
    return rfc3339_ms(ms).substr(0, 10);
}

std::string name_text(const X509_NAME* name)
{
    BIO* out = BIO_new(BIO_s_mem());
    if (!out)
        return {};
    X509_NAME_print_ex(out, name, 0, XN_FLAG_RFC2253 & ~static_cast<unsigned long>(ASN1_STRFLGS_ESC_MSB));
    char* data = nullptr;
    const long size = BIO_get_mem_data(out, &data);
    std::string text = text::printable(std::string_view(data, static_cast<std::size_t>(size)));
    BIO_free(out);
    return text;
}

std::string digest(const X509* cert)
{
    std::array<unsigned char, EVP_MAX_MD_SIZE> md{};
    unsigned size = 0;
    if (X509_digest(cert, EVP_sha256(), md.data(), &size) != 1)
        return {};
    return std::string(reinterpret_cast<const char*>(md.data()), size);
}

/// "siem.example, *.siem.example, 192.0.2.1": what a certificate is for.
std::string alternative_names(X509* cert)
{
    auto* names = static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(cert, NID_subject_alt_name, nullptr, nullptr));
    if (!names)
        return {};
    std::string text;
    std::size_t told = 0;
    const int count = sk_GENERAL_NAME_num(names);
    for (int i = 0; i < count; ++i)
    {
        const GENERAL_NAME* n = sk_GENERAL_NAME_value(names, i);
        std::string one;
        if (n->type == GEN_DNS)
            one = text::printable(
                std::string_view(reinterpret_cast<const char*>(ASN1_STRING_get0_data(n->d.dNSName)),
                                 static_cast<std::size_t>(ASN1_STRING_length(n->d.dNSName))));
        else if (n->type == GEN_IPADD)
        {
            char buffer[INET6_ADDRSTRLEN] = "";
            const int size = ASN1_STRING_length(n->d.iPAddress);
            const auto* bytes = ASN1_STRING_get0_data(n->d.iPAddress);
            if (size == 4 || size == 16)
                inet_ntop(size == 4 ? AF_INET : AF_INET6, bytes, buffer, sizeof buffer);
            one = buffer;
        }
        if (one.empty())
            continue;
        if (told == max_names_told)
        {
            text += ", ..";
            break;
        }
        if (told++ > 0)
            text += ", ";
        text += one;
    }
    GENERAL_NAMES_free(names);
    return text;
}

void note_leaf(certificate_report& r, X509* cert)
{
    r.fingerprint = text::hex(digest(cert));
    r.subject = name_text(X509_get_subject_name(cert));
    r.issuer = name_text(X509_get_issuer_name(cert));
    r.names = alternative_names(cert);
    r.not_before = to_ms(X509_get0_notBefore(cert));
    r.not_after = to_ms(X509_get0_notAfter(cert));
}

certificate_facts facts_of(X509* cert)
{
    certificate_report r;
    note_leaf(r, cert);
    return {r.subject, r.issuer, r.names, r.fingerprint, r.not_before, r.not_after};
}

void note_chain(connect_report& to, X509* leaf, const STACK_OF(X509) * sent)
{
    to.chain.clear();
    to.self_signed = X509_NAME_cmp(X509_get_subject_name(leaf), X509_get_issuer_name(leaf)) == 0;
    to.chain.push_back(facts_of(leaf));
    for (int i = 0; i < sk_X509_num(sent) && i < max_chain_told; ++i)
        if (X509* next = sk_X509_value(sent, i); X509_cmp(next, leaf) != 0)
            to.chain.push_back(facts_of(next));
}

/// The check of the peer's certificate, in place of OpenSSL's own: the same for a chain, the digest and the
/// dates for a pin. Notes what it saw, because nothing of it is left after a handshake that failed.
int check_certificate(X509_STORE_CTX* store, void*)
{
    auto* ssl = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
    auto* report = static_cast<certificate_report*>(SSL_get_app_data(ssl));
    const auto* profile = static_cast<const tls_profile*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
    X509* leaf = X509_STORE_CTX_get0_cert(store);
    if (!leaf)
        return 0;
    note_leaf(*report, leaf);
    if (report->wanted)
        note_chain(*report->wanted, leaf, X509_STORE_CTX_get0_untrusted(store));
    if (profile->pin.empty())
    {
        const int ok = X509_verify_cert(store);
        report->error = X509_STORE_CTX_get_error(store);
        report->depth = X509_STORE_CTX_get_error_depth(store);
        if (X509* failed = X509_STORE_CTX_get_current_cert(store))
        {
            report->failed_subject = name_text(X509_get_subject_name(failed));
            report->failed_not_before = to_ms(X509_get0_notBefore(failed));
            report->failed_not_after = to_ms(X509_get0_notAfter(failed));
        }
        return ok == 1 ? 1 : 0;
    }
    // The pin replaces chain and name, not dates (product.md 2).
    int error = X509_V_OK;
    const std::string seen = digest(leaf);
    if (seen.size() != profile->pin.size() ||
        CRYPTO_memcmp(seen.data(), profile->pin.data(), seen.size()) != 0)
    {
        report->pin_mismatch = true;
        error = X509_V_ERR_APPLICATION_VERIFICATION;
    }
    else if (X509_cmp_current_time(X509_get0_notBefore(leaf)) >= 0)
        error = X509_V_ERR_CERT_NOT_YET_VALID;
    else if (X509_cmp_current_time(X509_get0_notAfter(leaf)) <= 0)
        error = X509_V_ERR_CERT_HAS_EXPIRED;
    report->error = error;
    report->failed_subject = report->subject;
    report->failed_not_before = report->not_before;
    report->failed_not_after = report->not_after;
    X509_STORE_CTX_set_error(store, error);
    return error == X509_V_OK ? 1 : 0;
}

int note_request_for_ours(SSL* ssl, X509**, EVP_PKEY**)
{
    static_cast<certificate_report*>(SSL_get_app_data(ssl))->asked_for_ours = true;
    return 0;  // none to offer
}

/// A key that is encrypted must not make the service ask on a terminal.
int no_passphrase(char*, int, int, void*)
{
    return -1;
}

std::string last_reason()
{
    const unsigned long e = ERR_peek_last_error();
    const char* reason = e ? ERR_reason_error_string(e) : nullptr;
    return reason ? reason : "unknown reason";
}

/// Nothing when the file can be read; otherwise why not.
std::string unreadable(const std::string& file)
{
    struct stat st
    {
    };
    if (stat(file.c_str(), &st) != 0)
        return std::strerror(errno);
    if (!S_ISREG(st.st_mode))
        return "not a file";
    FILE* f = std::fopen(file.c_str(), "re");
    if (!f)
        return std::strerror(errno);
    std::fclose(f);
    return {};
}

bool from_hex(std::string_view hex, std::string& out)
{
    if (hex.size() != 64 || text::lower(hex) != hex)
        return false;
    for (std::size_t i = 0; i < hex.size(); i += 2)
    {
        const int high = text::hex_digit(hex[i]);
        const int low = text::hex_digit(hex[i + 1]);
        if (high < 0 || low < 0)
            return false;
        out.push_back(static_cast<char>(high * 16 + low));
    }
    return true;
}

/// What an alert of the peer or a failure of our own means for whoever runs the bridge. Null for what
/// OpenSSL's own text says as well.
const char* ssl_words(int reason)
{
    switch (reason)
    {
        case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
            return "the peer requires a client certificate: set tls.cert_file and tls.key_file";
        case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
            return "the peer refused our client certificate as bad; check tls.cert_file and what the peer "
                   "expects";
        case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
            return "the peer refused our client certificate's type; it must allow client authentication";
        case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
            return "the peer says that our client certificate is revoked; have a new one issued";
        case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
            return "the peer says that our client certificate has expired; have it renewed";
        case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
            return "the peer refused our client certificate without saying why; its log knows";
        case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
            return "the peer does not know the CA of our client certificate";
        case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
            return "the peer denied access to our client certificate";
        case SSL_R_TLSV1_ALERT_DECRYPT_ERROR:
            return "the peer could not check our signature; do tls.cert_file and tls.key_file belong "
                   "together?";
        case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
        case SSL_R_UNSUPPORTED_PROTOCOL:
        case SSL_R_WRONG_SSL_VERSION:
            return "the peer speaks only versions of TLS before 1.2, which are not secure; have TLS 1.2 or "
                   "1.3 enabled "
                   "there";
        case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
        case SSL_R_TLSV1_ALERT_INSUFFICIENT_SECURITY:
        case SSL_R_NO_CIPHERS_AVAILABLE:
            return "the peer agreed to no cipher: it must offer TLS 1.3, or TLS 1.2 with ECDHE and AES-GCM "
                   "or "
                   "ChaCha20-Poly1305";
        case SSL_R_DH_KEY_TOO_SMALL:
        case SSL_R_EE_KEY_TOO_SMALL:
        case SSL_R_CA_KEY_TOO_SMALL:
            return "the peer's key is too short to be secure (RSA needs 2048 bits)";
        case SSL_R_CA_MD_TOO_WEAK:
            return "the peer's certificate is signed with a hash that is broken; have it issued anew with "
                   "SHA-256";
        case SSL_R_WRONG_VERSION_NUMBER:
        case SSL_R_HTTP_REQUEST:
        case SSL_R_RECORD_LENGTH_MISMATCH:
        case SSL_R_PACKET_LENGTH_TOO_LONG:
            return "the peer does not speak TLS on this port; check the port and whether plain TCP is meant";
        case SSL_R_TLSV1_UNRECOGNIZED_NAME:
            return "the peer does not serve this server name; set tls.server_name";
        case SSL_R_TLSV1_ALERT_INTERNAL_ERROR:
            return "the peer had an internal error in the TLS handshake; its log knows";
        default:
            return nullptr;
    }
}

}  // namespace

std::string trusted_file(const tls_options& o)
{
    if (!o.ca_file.empty() || !o.verify || !o.fingerprint_sha256.empty())
        return o.ca_file;
    const char* const named = std::getenv(X509_get_default_cert_file_env());
    return named != nullptr ? named : X509_get_default_cert_file();
}

outcome<std::shared_ptr<tls_client>> make_tls_client(const tls_options& o)
{
    auto profile = std::make_shared<tls_profile>();
    profile->options = o;
    if (!o.fingerprint_sha256.empty() && !from_hex(o.fingerprint_sha256, profile->pin))
        return fail(errc::malformed, "fingerprint_sha256 must be 64 lower-case hex digits");
    for (const auto* file : {&o.ca_file, &o.cert_file, &o.key_file})
        if (!file->empty())
            if (const auto why = unreadable(*file); !why.empty())
                return fail(errc::not_found, *file + ": " + why);

    ERR_clear_error();
    profile->context.reset(SSL_CTX_new(TLS_client_method()));
    SSL_CTX* ctx = profile->context.get();
    // AEAD with forward secrecy (formats.md 5.3; RFC 9325 4.1 and 4.2, which also advises against DHE).
    // TLS 1.3 has nothing else. Level 2 as the least: a lower one of the system's configuration would let
    // short keys pass.
    const bool ready =
        ctx && SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
        SSL_CTX_set_max_proto_version(ctx, 0) == 1 &&
        SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!PSK:!SRP") == 1 &&
        SSL_CTX_set_ciphersuites(
            ctx, "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256") == 1;
    if (!ready)
    {
        const auto why = last_reason();
        ERR_clear_error();
        return fail(errc::unsupported, "OpenSSL cannot be set up for TLS: " + why);
    }
    if (SSL_CTX_get_security_level(ctx) < 2)
        SSL_CTX_set_security_level(ctx, 2);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
    // Without resumption every connection is verified anew, and there is no ticket that early data could use.
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(
        ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    SSL_CTX_set_app_data(ctx, profile.get());
    SSL_CTX_set_client_cert_cb(ctx, note_request_for_ours);
    SSL_CTX_set_cert_verify_callback(ctx, check_certificate, nullptr);
    SSL_CTX_set_verify(ctx, o.verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);

    if (o.verify && profile->pin.empty())
    {
        if (o.ca_file.empty())
        {
            if (SSL_CTX_set_default_verify_paths(ctx) != 1)
                return fail(errc::not_found,
                            "the system's store of CA certificates cannot be used; give a ca_file");
        }
        else
        {
            if (SSL_CTX_load_verify_file(ctx, o.ca_file.c_str()) != 1)
            {
                ERR_clear_error();
                return fail(errc::malformed, o.ca_file + ": holds no certificate in PEM form");
            }
            // Whatever the file holds is trusted: a root, the CA below it, or the peer's certificate itself.
            X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_PARTIAL_CHAIN);
        }
    }
    if (!o.cert_file.empty() || !o.key_file.empty())
    {
        // One file may hold both.
        const std::string& cert = o.cert_file.empty() ? o.key_file : o.cert_file;
        const std::string& key = o.key_file.empty() ? o.cert_file : o.key_file;
        if (SSL_CTX_use_certificate_chain_file(ctx, cert.c_str()) != 1)
        {
            const auto why = last_reason();
            ERR_clear_error();
            return fail(errc::malformed,
                        cert + ": no client certificate in PEM form can be read from it (" + why + ")");
        }
        if (SSL_CTX_use_PrivateKey_file(ctx, key.c_str(), SSL_FILETYPE_PEM) != 1)
        {
            const bool mismatch = ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH;
            const auto why = last_reason();
            ERR_clear_error();
            if (mismatch)
                return fail(errc::malformed, key + ": the key does not belong to the certificate in " + cert);
            return fail(errc::malformed,
                        key + ": no key in PEM form without a passphrase can be read from it (" + why + ")");
        }
        if (SSL_CTX_check_private_key(ctx) != 1)
        {
            ERR_clear_error();
            return fail(errc::malformed, key + ": the key does not belong to the certificate in " + cert);
        }
    }
    return std::shared_ptr<tls_client>(std::move(profile));
}

tls_engine::tls_engine(std::shared_ptr<const tls_profile> profile,
                       const std::string& name,
                       std::shared_ptr<connect_report> report)
    : profile_(std::move(profile)), name_(name), ssl_(SSL_new(profile_->context.get()))
{
    report_.wanted = std::move(report);
    if (!ssl_)
        throw std::bad_alloc();
    BIO* in = BIO_new(BIO_s_mem());
    BIO* out = BIO_new(BIO_s_mem());
    if (!in || !out)
    {
        BIO_free(in);
        BIO_free(out);
        throw std::bad_alloc();
    }
    BIO_set_mem_eof_return(in, -1);  // empty means "not yet"; the socket knows when it is the end
    BIO_set_mem_eof_return(out, -1);
    SSL_set_bio(ssl_.get(), in, out);
    SSL_set_connect_state(ssl_.get());
    SSL_set_app_data(ssl_.get(), &report_);
    // "siem.example." and "siem.example" are one name, but certificates and SNI have it without the dot (RFC
    // 6066 3).
    while (name_.ends_with('.'))
        name_.pop_back();
    X509_VERIFY_PARAM* param = SSL_get0_param(ssl_.get());
    if (is_ip_literal(name_))
    {
        // RFC 6066 3: no SNI for addresses.
        X509_VERIFY_PARAM_set1_ip_asc(param, name_.substr(0, name_.find('%')).c_str());
    }
    else
    {
        SSL_set_tlsext_host_name(ssl_.get(), name_.c_str());
        // RFC 9525 6.3 (and 6125 6.4.3): a wildcard is a whole label; the common name is no host name.
        X509_VERIFY_PARAM_set_hostflags(
            param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
        X509_VERIFY_PARAM_set1_host(param, name_.c_str(), name_.size());
    }
}

tls_engine::want tls_engine::judge(int rc)
{
    const int e = SSL_get_error(ssl_.get(), rc);
    if (e == SSL_ERROR_WANT_READ)
        return want::input;
    const unsigned long code = ERR_peek_error();
    if (code)
        error_ = error_code(static_cast<int>(code), asio::error::get_ssl_category());
    else
        error_ = asio::ssl::error::make_error_code(asio::ssl::error::unexpected_result);
    ERR_clear_error();
    return want::failed;
}

tls_engine::want tls_engine::handshake()
{
    ERR_clear_error();
    const int rc = SSL_do_handshake(ssl_.get());
    return rc == 1 ? want::nothing : judge(rc);
}

tls_engine::want tls_engine::write(std::string_view from)
{
    while (!from.empty())
    {
        ERR_clear_error();
        std::size_t taken = 0;
        const int rc = SSL_write_ex(ssl_.get(), from.data(), from.size(), &taken);
        if (rc != 1)
            return judge(rc);
        from.remove_prefix(taken);
    }
    return want::nothing;
}

tls_engine::read_answer tls_engine::read(void* into, std::size_t size)
{
    ERR_clear_error();
    read_answer a;
    const int rc = SSL_read_ex(ssl_.get(), into, size, &a.size);
    if (rc == 1)
        return a;
    a.size = 0;
    if (SSL_get_error(ssl_.get(), rc) == SSL_ERROR_ZERO_RETURN)
        return a;
    a.state = judge(rc);
    return a;
}

void tls_engine::finish()
{
    ERR_clear_error();
    SSL_shutdown(ssl_.get());
    ERR_clear_error();
}

void tls_engine::feed(std::string_view from_peer)
{
    BIO* in = SSL_get_rbio(ssl_.get());
    while (!from_peer.empty())
    {
        const int n = BIO_write(
            in, from_peer.data(), static_cast<int>(std::min<std::size_t>(from_peer.size(), INT_MAX)));
        if (n <= 0)
            throw std::bad_alloc();  // a memory BIO fails for no other reason
        from_peer.remove_prefix(static_cast<std::size_t>(n));
    }
}

std::size_t tls_engine::output() const
{
    return BIO_ctrl_pending(SSL_get_wbio(ssl_.get()));
}

std::size_t tls_engine::take(void* into, std::size_t size)
{
    const int n =
        BIO_read(SSL_get_wbio(ssl_.get()), into, static_cast<int>(std::min<std::size_t>(size, INT_MAX)));
    return n > 0 ? static_cast<std::size_t>(n) : 0;
}

void tls_engine::fill(peer_facts& facts) const
{
    facts.protocol = SSL_get_version(ssl_.get());
    const char* cipher = SSL_get_cipher_name(ssl_.get());
    facts.cipher = cipher ? cipher : "";
    // With verify = false nothing has looked at the certificate yet.
    certificate_report r;
    if (const std::unique_ptr<X509, ssl_deleter> cert{SSL_get1_peer_certificate(ssl_.get())})
        note_leaf(r, cert.get());
    facts.fingerprint_sha256 = r.fingerprint;
    facts.subject = r.subject;
    facts.expires = r.not_after;
}

void tls_engine::report() const
{
    if (!report_.wanted)
        return;
    auto& to = *report_.wanted;
    to.asked_for_ours = report_.asked_for_ours;
    if (!SSL_is_init_finished(ssl_.get()))
        return;
    to.protocol = SSL_get_version(ssl_.get());
    const char* cipher = SSL_get_cipher_name(ssl_.get());
    to.cipher = cipher ? cipher : "";
    if (const std::unique_ptr<X509, ssl_deleter> cert{SSL_get1_peer_certificate(ssl_.get())})
        note_chain(to, cert.get(), SSL_get_peer_cert_chain(ssl_.get()));
}

std::string tls_engine::explain(const std::string& who) const
{
    const auto& r = report_;
    const auto pin = "pin the certificate with fingerprint_sha256 = \"" + r.fingerprint + "\"";
    const bool ours_refused = profile_->options.verify && r.error != X509_V_OK;
    if (!ours_refused)
    {
        // An old peer says no more than "handshake failure" when it misses a client certificate.
        if (r.asked_for_ours && error_.category() == asio::error::get_ssl_category() &&
            ERR_GET_REASON(static_cast<unsigned long>(static_cast<unsigned>(error_.value()))) ==
                SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE)
            return who + ": the peer requires a client certificate: set tls.cert_file and tls.key_file";
        return who + ": " + describe(error_);
    }
    const std::string certificate = "the certificate of " + who;
    if (r.pin_mismatch)
        return certificate + " (" + r.subject + ") has the fingerprint " + r.fingerprint +
               ", not the one that fingerprint_sha256 names; if it was renewed, set the new one";
    switch (r.error)
    {
        case X509_V_ERR_CERT_HAS_EXPIRED:
            if (r.depth > 0)
                return certificate + " hangs on the CA certificate \"" + r.failed_subject +
                       "\", which expired on " + day(r.failed_not_after) +
                       "; have it renewed there, or replace it in ca_file";
            return certificate + " expired on " + day(r.failed_not_after) + "; have it renewed";
        case X509_V_ERR_CERT_NOT_YET_VALID:
            return certificate + " is valid only from " + day(r.failed_not_before) +
                   "; check this host's clock and the peer's certificate";
        case X509_V_ERR_HOSTNAME_MISMATCH:
        case X509_V_ERR_IP_ADDRESS_MISMATCH:
            if (r.names.empty())
                return certificate + " names no host at all (subject \"" + r.subject + "\"), so not " +
                       name_ + "; " + pin;
            return certificate + " is for " + r.names + ", not for " + name_ +
                   "; correct the address or set server_name to one of these";
        case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
            return certificate + " is self-signed (subject \"" + r.subject + "\"); give it as ca_file, or " +
                   pin;
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
        case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        case X509_V_ERR_CERT_UNTRUSTED:
            return certificate + " is issued by a CA that is not in " +
                   (profile_->options.ca_file.empty() ? std::string("the system's store")
                                                      : profile_->options.ca_file) +
                   " (issuer \"" + r.issuer + "\"); give that CA's certificate as ca_file, or " + pin;
        default:
            return certificate + " cannot be trusted: " + X509_verify_cert_error_string(r.error) +
                   "; have it replaced, or " + pin;
    }
}

outcome<certificate_facts> read_certificate(const std::string& file)
{
    if (const auto why = unreadable(file); !why.empty())
        return fail(errc::not_found, file + ": " + why);
    BIO* in = BIO_new_file(file.c_str(), "r");
    const std::unique_ptr<X509, ssl_deleter> cert{in ? PEM_read_bio_X509(in, nullptr, no_passphrase, nullptr)
                                                     : nullptr};
    BIO_free(in);
    ERR_clear_error();
    if (!cert)
        return fail(errc::malformed, file + ": holds no certificate in PEM form");
    return facts_of(cert.get());
}

bool is_truncated(const error_code& ec)
{
    return ec == asio::ssl::error::stream_truncated;
}

std::string describe(const error_code& ec)
{
    if (!ec)
        return "no error";
    if (is_truncated(ec))
        return "the peer closed the connection without closing TLS";
    if (ec == make_error_code(errc::timed_out) || ec == asio::error::timed_out)
        return "timed out";
    if (ec == make_error_code(errc::over_limit))
        return "the peer asks for new TLS keys over and over and does not read the answers";
    if (ec == asio::error::eof)
        return "the peer closed the connection";
    if (ec == asio::error::connection_reset)
        return "the peer reset the connection";
    if (ec == asio::error::broken_pipe)
        return "the connection is closed for writing";
    if (ec == asio::error::connection_refused)
        return "connection refused: nothing listens there, or a firewall rejects it";
    if (ec == asio::error::host_unreachable || ec == asio::error::network_unreachable)
        return "there is no route to it";
    if (ec == asio::error::operation_aborted)
        return "cancelled";
    if (ec.category() == asio::error::get_ssl_category())
    {
        const auto code = static_cast<unsigned long>(static_cast<unsigned>(ec.value()));
        if (const char* words = ERR_GET_LIB(code) == ERR_LIB_SSL ? ssl_words(ERR_GET_REASON(code)) : nullptr)
            return words;
        const char* reason = ERR_reason_error_string(code);
        return std::string("TLS failed: ") + (reason ? reason : "unknown reason");
    }
    return text::printable(ec.message());
}

}  // namespace dtbridge::net
