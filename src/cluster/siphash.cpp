#include <dtbridge/cluster/siphash.hpp>

#include <bit>
#include <cstddef>

namespace dtbridge::cluster
{

namespace
{

struct state
{
    std::uint64_t v0, v1, v2, v3;

    void round()
    {
        v0 += v1;
        v2 += v3;
        v1 = std::rotl(v1, 13) ^ v0;
        v3 = std::rotl(v3, 16) ^ v2;
        v0 = std::rotl(v0, 32);
        v2 += v1;
        v0 += v3;
        v1 = std::rotl(v1, 17) ^ v2;
        v3 = std::rotl(v3, 21) ^ v0;
        v2 = std::rotl(v2, 32);
    }

    void take(std::uint64_t word)
    {
        v3 ^= word;
        round();
        round();
        v0 ^= word;
    }
};

/// Up to eight bytes, the first of them the lowest, whatever the machine's order is.
std::uint64_t word_of(std::string_view bytes)
{
    std::uint64_t word = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i)
        word |= std::uint64_t(static_cast<unsigned char>(bytes[i])) << (8 * i);
    return word;
}

}  // namespace

std::uint64_t siphash(siphash_key key, std::string_view bytes)
{
    // The paper, section 2: the constants are "somepseudorandomlygeneratedbytes".
    state s{key.k0 ^ 0x736f6d6570736575u,
            key.k1 ^ 0x646f72616e646f6du,
            key.k0 ^ 0x6c7967656e657261u,
            key.k1 ^ 0x7465646279746573u};
    const auto length = std::uint64_t(bytes.size()) << 56;
    for (; bytes.size() >= 8; bytes.remove_prefix(8))
        s.take(word_of(bytes.substr(0, 8)));
    s.take(length | word_of(bytes));
    s.v2 ^= 0xff;
    for (int i = 0; i < 4; ++i)
        s.round();
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

}  // namespace dtbridge::cluster
