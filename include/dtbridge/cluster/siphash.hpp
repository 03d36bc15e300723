#pragma once

#include <cstdint>
#include <string_view>

namespace dtbridge::cluster
{

struct siphash_key
{
    std::uint64_t k0 = 0, k1 = 0;
};

/// SipHash-2-4 with 64 bits (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012). Chosen because
/// it is the same on every machine and in every version, cannot be steered by names, and takes some 20 ns a
/// name.
std::uint64_t siphash(siphash_key key, std::string_view bytes);

}  // namespace dtbridge::cluster
