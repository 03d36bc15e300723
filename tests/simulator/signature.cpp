#include "signature.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>

namespace simulator
{

std::string sign(std::string_view private_token,
                 std::string_view public_token,
                 std::string_view date,
                 std::string_view target)
{
    std::string text(target);
    text += '\n';
    text += public_token;
    text += '\n';
    text += date;
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    HMAC(EVP_sha1(),
         private_token.data(),
         static_cast<int>(private_token.size()),
         reinterpret_cast<const unsigned char*>(text.data()),
         text.size(),
         mac,
         &size);
    std::string hex;
    for (unsigned i = 0; i < size; ++i)
    {
        hex += "0123456789abcdef"[mac[i] >> 4];
        hex += "0123456789abcdef"[mac[i] & 15];
    }
    return hex;
}

}  // namespace simulator
