#include "unit/config/certificate.hpp"

#include <memory>
#include <stdexcept>

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

namespace config_test
{

namespace
{

template <auto Free>
struct freed
{
    template <class T>
    void operator()(T* p) const
    {
        Free(p);
    }
};

std::string text_of(BIO* memory)
{
    char* bytes = nullptr;
    const long size = BIO_get_mem_data(memory, &bytes);
    return std::string(bytes, static_cast<std::size_t>(size));
}

void require(bool done)
{
    if (!done)
        throw std::runtime_error("OpenSSL cannot make a certificate");
}

}  // namespace

certificate make_certificate()
{
    std::unique_ptr<EVP_PKEY, freed<EVP_PKEY_free>> key(EVP_EC_gen("P-256"));
    std::unique_ptr<X509, freed<X509_free>> cert(X509_new());
    require(key && cert);
    require(X509_set_version(cert.get(), X509_VERSION_3) == 1);
    require(ASN1_INTEGER_set(X509_get_serialNumber(cert.get()), 1) == 1);
    require(X509_gmtime_adj(X509_getm_notBefore(cert.get()), 0) != nullptr);
    require(X509_gmtime_adj(X509_getm_notAfter(cert.get()), 3600) != nullptr);
    require(X509_set_pubkey(cert.get(), key.get()) == 1);
    X509_NAME* name = X509_get_subject_name(cert.get());
    const auto* common = reinterpret_cast<const unsigned char*>("siem.example");
    require(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, common, -1, -1, 0) == 1);
    require(X509_set_issuer_name(cert.get(), name) == 1);
    require(X509_sign(cert.get(), key.get(), EVP_sha256()) > 0);
    std::unique_ptr<BIO, freed<BIO_free_all>> cert_text(BIO_new(BIO_s_mem())), key_text(BIO_new(BIO_s_mem()));
    require(PEM_write_bio_X509(cert_text.get(), cert.get()) == 1);
    require(PEM_write_bio_PrivateKey(key_text.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1);
    return {text_of(cert_text.get()), text_of(key_text.get())};
}

}  // namespace config_test
