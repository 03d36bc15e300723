#include "app/reload.hpp"

#include <memory>

#include <openssl/evp.h>

#include <dtbridge/core/file.hpp>
#include <dtbridge/core/text.hpp>
#include <dtbridge/net/trusted_file.hpp>

namespace dtbridge::app
{

namespace
{

/// Of a certificate's or a key's file, bundles of every public CA included.
constexpr std::size_t most_bytes = 16u << 20;

}  // namespace

std::string files_digest(const std::vector<std::string>& files)
{
    const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
    if (!context || EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) != 1)
        return {};
    for (const auto& name : files)
    {
        if (name.empty())
            continue;
        const auto file = read_file(name, most_bytes);
        const std::string& content = file ? file->bytes : file.error().detail;
        // Length first, so that bytes moving from one file to the next are a change.
        const std::string head = name + '\0' + std::to_string(content.size()) + '\0';
        EVP_DigestUpdate(context.get(), head.data(), head.size());
        EVP_DigestUpdate(context.get(), content.data(), content.size());
    }
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    if (EVP_DigestFinal_ex(context.get(), hash, &size) != 1)
        return {};
    return text::hex({reinterpret_cast<const char*>(hash), size});
}

bool same_poller(const poll::master_options& a, const poll::master_options& b)
{
    const bool same_proxy = a.proxy && b.proxy ? *a.proxy == *b.proxy : a.proxy == b.proxy;
    return same_proxy && a.name == b.name && a.url == b.url && a.https == b.https && a.address == b.address &&
           a.public_token == b.public_token && a.private_token == b.private_token &&
           a.interval == b.interval && a.backfill == b.backfill && a.overlap == b.overlap &&
           a.window == b.window && a.times == b.times && a.date == b.date &&
           a.reconcile_interval == b.reconcile_interval && a.reconcile_span == b.reconcile_span &&
           a.reconcile_deep == b.reconcile_deep && a.timeout == b.timeout && a.tls == b.tls &&
           a.query == b.query;
}

std::vector<std::string> connection_files(const poll::master_options& m)
{
    return {net::trusted_file(m.tls), m.tls.cert_file, m.tls.key_file};
}

}  // namespace dtbridge::app
