#include <transport/stream_end.hpp>

#include <boost/asio/error.hpp>
#include <boost/asio/ssl/error.hpp>

#include <openssl/err.h>
#include <openssl/ssl.h>

namespace dtbridge::transport
{

namespace asio = boost::asio;

bool is_orderly(const error_code& e)
{
    // A FIN without close_notify is an orderly end too: "a peer that answers no close_notify is no error"
    // (formats.md 5.3), and the contract counts FINs.
    return e == asio::error::eof || e == asio::ssl::error::stream_truncated;
}

std::string_view advice(const error_code& e)
{
    if (e.category() != asio::error::get_ssl_category())
        return "";
    switch (ERR_GET_REASON(static_cast<unsigned long>(e.value())))
    {
        case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
            return "; the collector asks for a client certificate: set tls.cert_file and tls.key_file";
        case SSL_AD_REASON_OFFSET + SSL_AD_BAD_CERTIFICATE:
        case SSL_AD_REASON_OFFSET + SSL_AD_UNSUPPORTED_CERTIFICATE:
        case SSL_AD_REASON_OFFSET + SSL_AD_CERTIFICATE_REVOKED:
        case SSL_AD_REASON_OFFSET + SSL_AD_CERTIFICATE_EXPIRED:
        case SSL_AD_REASON_OFFSET + SSL_AD_CERTIFICATE_UNKNOWN:
        case SSL_AD_REASON_OFFSET + SSL_AD_UNKNOWN_CA:
        case SSL_AD_REASON_OFFSET + SSL_AD_ACCESS_DENIED:
        case SSL_AD_REASON_OFFSET + SSL_AD_DECRYPT_ERROR:
            return "; the collector refused the client certificate: check tls.cert_file, its issuer, purpose "
                   "and dates";
        default:
            return "";
    }
}

}  // namespace dtbridge::transport
