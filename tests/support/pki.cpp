#include "support/pki.hpp"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <array>
#include <stdexcept>

namespace dtbridge::test
{

namespace
{

void require(bool ok, const char* what)
{
    if (!ok)
        throw std::runtime_error(std::string("test PKI: ") + what);
}

void extend(X509* cert, X509* issuer, int nid, const std::string& value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, nullptr, nullptr, 0);
    X509_EXTENSION* e = X509V3_EXT_conf_nid(nullptr, &ctx, nid, value.c_str());
    require(e, "extension");
    X509_add_ext(cert, e, -1);
    X509_EXTENSION_free(e);
}

struct file_closer
{
    void operator()(FILE* f) const { std::fclose(f); }
};
std::unique_ptr<FILE, file_closer> open(const std::filesystem::path& file)
{
    std::unique_ptr<FILE, file_closer> f(std::fopen(file.c_str(), "we"));
    require(f != nullptr, "file");
    return f;
}

}  // namespace

std::string certificate::fingerprint() const
{
    std::array<unsigned char, EVP_MAX_MD_SIZE> md{};
    unsigned size = 0;
    require(X509_digest(cert.get(), EVP_sha256(), md.data(), &size) == 1, "digest");
    std::string hex;
    for (unsigned i = 0; i < size; ++i)
    {
        hex.push_back("0123456789abcdef"[md[i] >> 4]);
        hex.push_back("0123456789abcdef"[md[i] & 15]);
    }
    return hex;
}

void certificate::write_cert(const std::filesystem::path& file) const
{
    require(PEM_write_X509(open(file).get(), cert.get()) == 1, "certificate file");
}

void certificate::write_key(const std::filesystem::path& file, const std::string& passphrase) const
{
    const auto f = open(file);
    const EVP_CIPHER* cipher = passphrase.empty() ? nullptr : EVP_aes_256_cbc();
    require(PEM_write_PrivateKey(f.get(),
                                 key.get(),
                                 cipher,
                                 reinterpret_cast<const unsigned char*>(passphrase.data()),
                                 static_cast<int>(passphrase.size()),
                                 nullptr,
                                 nullptr) == 1,
            "key file");
}

certificate make_certificate(const certificate_wish& wish, const certificate* issuer)
{
    certificate made;
    made.key.reset(wish.rsa_bits > 0 ? EVP_RSA_gen(wish.rsa_bits) : EVP_EC_gen("P-256"), EVP_PKEY_free);
    made.cert.reset(X509_new(), X509_free);
    require(made.key && made.cert, "key");
    X509* x = made.cert.get();
    X509_set_version(x, 2);
    std::uint64_t serial = 0;
    require(RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial) == 1, "serial");
    ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), serial >> 1);
    X509_gmtime_adj(X509_getm_notBefore(x), wish.valid_from_s);
    X509_gmtime_adj(X509_getm_notAfter(x), wish.valid_until_s);
    X509_set_pubkey(x, made.key.get());
    X509_NAME* name = X509_get_subject_name(x);
    X509_NAME_add_entry_by_txt(name,
                               "CN",
                               MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(wish.common_name.data()),
                               static_cast<int>(wish.common_name.size()),
                               -1,
                               0);
    X509* by = issuer ? issuer->cert.get() : x;
    X509_set_issuer_name(x, X509_get_subject_name(by));
    extend(x, by, NID_basic_constraints, wish.is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
    if (wish.is_ca)
        extend(x, by, NID_key_usage, "critical,keyCertSign,cRLSign");
    else if (!wish.usage.empty())
        extend(x, by, NID_ext_key_usage, wish.usage);
    std::string names;
    for (const auto& n : wish.names)
        names += (names.empty() ? "" : ",") + n;
    if (!names.empty())
        extend(x, by, NID_subject_alt_name, names);
    require(X509_sign(x, issuer ? issuer->key.get() : made.key.get(), EVP_sha256()) > 0, "signature");
    return made;
}

}  // namespace dtbridge::test
