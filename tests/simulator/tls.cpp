#include "tls.hpp"

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <filesystem>
#include <memory>
#include <stdexcept>

namespace simulator
{

namespace
{

[[noreturn]] void fail(const std::string& what)
{
    char text[256] = "";
    ERR_error_string_n(ERR_get_error(), text, sizeof text);
    throw std::runtime_error(what + ": " + text);
}

void add_extension(X509* cert, int nid, const std::string& value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, cert, cert, nullptr, nullptr, 0);
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
    if (!extension || X509_add_ext(cert, extension, -1) != 1)
        fail("cannot add an extension to the certificate");
    X509_EXTENSION_free(extension);
}

void make_pair(const std::string& cert_file, const std::string& key_file, const std::string& fqdn)
{
    std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(EVP_EC_gen("P-256"), &EVP_PKEY_free);
    std::unique_ptr<X509, decltype(&X509_free)> cert(X509_new(), &X509_free);
    if (!key || !cert)
        fail("cannot make a key");
    X509_set_version(cert.get(), X509_VERSION_3);
    std::int64_t serial = 0;
    RAND_bytes(reinterpret_cast<unsigned char*>(&serial), 7);
    ASN1_INTEGER_set_int64(X509_get_serialNumber(cert.get()), serial < 0 ? -serial : serial);
    X509_gmtime_adj(X509_getm_notBefore(cert.get()), -86'400);
    X509_gmtime_adj(X509_getm_notAfter(cert.get()), 86'400L * 3650);
    X509_set_pubkey(cert.get(), key.get());
    auto* name = X509_get_subject_name(cert.get());
    std::string common = fqdn.empty() ? "localhost" : fqdn;
    X509_NAME_add_entry_by_txt(
        name, "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(common.c_str()), -1, -1, 0);
    X509_set_issuer_name(cert.get(), name);
    add_extension(cert.get(), NID_basic_constraints, "critical,CA:TRUE");
    add_extension(cert.get(), NID_ext_key_usage, "serverAuth");
    add_extension(cert.get(),
                  NID_subject_alt_name,
                  "DNS:localhost,IP:127.0.0.1,IP:::1" + (fqdn.empty() ? "" : ",DNS:" + fqdn));
    if (!X509_sign(cert.get(), key.get(), EVP_sha256()))
        fail("cannot sign the certificate");
    std::unique_ptr<BIO, decltype(&BIO_free)> key_out(BIO_new_file(key_file.c_str(), "w"), &BIO_free);
    std::filesystem::permissions(key_file,
                                 std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
    std::unique_ptr<BIO, decltype(&BIO_free)> cert_out(BIO_new_file(cert_file.c_str(), "w"), &BIO_free);
    if (!key_out || !cert_out ||
        !PEM_write_bio_PrivateKey(key_out.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) ||
        !PEM_write_bio_X509(cert_out.get(), cert.get()))
        fail("cannot write " + cert_file);
}

}  // namespace

SSL_CTX* server_context(const std::string& folder, const std::string& fqdn)
{
    auto cert = folder + "/server.pem";
    auto key = folder + "/server.key";
    if (!std::filesystem::exists(cert))
    {
        std::filesystem::create_directories(folder);
        make_pair(cert, key, fqdn);
    }
    SSL_CTX* context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    if (SSL_CTX_use_certificate_chain_file(context, cert.c_str()) != 1)
        fail("cannot use " + cert);
    if (SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM) != 1)
        fail("cannot use " + key);
    return context;
}

std::string fingerprint(SSL_CTX* context)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    X509_digest(SSL_CTX_get0_certificate(context), EVP_sha256(), digest, &size);
    std::string hex;
    for (unsigned i = 0; i < size; ++i)
    {
        hex += "0123456789abcdef"[digest[i] >> 4];
        hex += "0123456789abcdef"[digest[i] & 15];
    }
    return hex;
}

}  // namespace simulator
