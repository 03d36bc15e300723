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
/// it is the same on every machine and in every version, spreads names that differ in a digit, and is fast on
/// short ones. The keys are known, so it keeps no secret.
std::uint64_t siphash(siphash_key key, std::string_view bytes);

}  // namespace dtbridge::cluster
