#include "archive/digest.hpp"

#include <openssl/evp.h>

#include <new>

namespace dtbridge
{

std::string sha256(std::string_view bytes)
{
    std::string out(32, '\0');
    unsigned int size = 0;
    auto* to = reinterpret_cast<unsigned char*>(out.data());
    if (EVP_Digest(bytes.data(), bytes.size(), to, &size, EVP_sha256(), nullptr) != 1 || size != out.size())
        throw std::bad_alloc();
    return out;
}

}  // namespace dtbridge
