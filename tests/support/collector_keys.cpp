#include "support/collector_keys.hpp"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>

namespace dtbridge::test
{

namespace
{

using key_ptr = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using cert_ptr = std::unique_ptr<X509, decltype(&X509_free)>;
using file_ptr = std::unique_ptr<std::FILE, decltype(&std::fclose)>;

void extension(X509* cert, X509* issuer, int nid, const char* value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, nullptr, nullptr, 0);
    X509_EXTENSION* e = X509V3_EXT_conf_nid(nullptr, &ctx, nid, value);
    if (!e)
        throw std::runtime_error("cannot make an extension");
    X509_add_ext(cert, e, -1);
    X509_EXTENSION_free(e);
}

struct identity
{
    key_ptr key{nullptr, EVP_PKEY_free};
    cert_ptr cert{nullptr, X509_free};
};

identity make(const char* name, const identity* issuer, const char* usage)
{
    static long serial = 1;
    identity made;
    made.key.reset(EVP_EC_gen("P-256"));
    made.cert.reset(X509_new());
    auto* c = made.cert.get();
    X509_set_version(c, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(c), serial++);
    X509_gmtime_adj(X509_getm_notBefore(c), -3600);
    X509_gmtime_adj(X509_getm_notAfter(c), 24 * 3600);
    X509_set_pubkey(c, made.key.get());
    X509_NAME_add_entry_by_txt(X509_get_subject_name(c),
                               "CN",
                               MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(name),
                               -1,
                               -1,
                               0);
    X509* by = issuer ? issuer->cert.get() : c;
    X509_set_issuer_name(c, X509_get_subject_name(by));
    if (issuer)
    {
        extension(c, by, NID_basic_constraints, "CA:FALSE");
        extension(c, by, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
        extension(c, by, NID_ext_key_usage, usage);
    }
    else
    {
        extension(c, by, NID_basic_constraints, "critical,CA:TRUE");
        extension(c, by, NID_key_usage, "critical,keyCertSign,cRLSign");
    }
    X509_sign(c, issuer ? issuer->key.get() : made.key.get(), EVP_sha256());
    return made;
}

file_ptr open(const std::string& path)
{
    file_ptr f(std::fopen(path.c_str(), "w"), std::fclose);
    if (!f)
        throw std::runtime_error("cannot write " + path);
    return f;
}

void save(const identity& i, const std::string& stem)
{
    auto cert = open(stem + ".pem");
    PEM_write_X509(cert.get(), i.cert.get());
    auto key = open(stem + ".key");
    PEM_write_PrivateKey(key.get(), i.key.get(), nullptr, nullptr, 0, nullptr, nullptr);
}

}  // namespace

keys_folder::keys_folder()
{
    auto pattern = (std::filesystem::temp_directory_path() / "dtbridge-test-XXXXXX").string();
    if (!::mkdtemp(pattern.data()))
        throw std::runtime_error("cannot make a temporary folder");
    path_ = pattern;
}

keys_folder::~keys_folder()
{
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

collector_keys::collector_keys()
{
    const auto ca = make("Test CA", nullptr, "");
    const auto other_ca = make("Other CA", nullptr, "");
    save(ca, file("ca"));
    save(make("server.test", &ca, "serverAuth"), file("server"));
    save(make("client.test", &ca, "clientAuth"), file("client"));
    save(make("other.test", &other_ca, "clientAuth"), file("other"));
}

}  // namespace dtbridge::test
