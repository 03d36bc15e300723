#pragma once

/// Plausible breaches out of a seed. Breach number i is a pure function of (seed, i) and its times, so that
/// any number of them needs no memory and two runs with one seed agree. Names and wording are our own in the
/// folders of real models; addresses, hosts and MACs are documentation values.

#include <cstdint>
#include <string>

namespace simulator
{

/// What the store must know of a generated breach without writing it.
struct traits
{
    std::int64_t pbid = 0;
    std::int64_t lag = 0;  ///< creation minus time in ms: 5 to 40 s, one in 200 up to 2 h, health models -1 s
    std::int64_t did = 0;
    std::int64_t pid = 0;
    int score = 0;  ///< in thousandths
    unsigned model = 0;
    bool acknowledged = false, suppressed = false, saas = false;
};

class generator
{
public:
    /// Bounds of traits::lag.
    static constexpr std::int64_t least_lag = -1'000, most_lag = 7'200'000;

    explicit generator(std::uint64_t seed, std::int64_t first_pbid) : seed_(seed), first_pbid_(first_pbid) {}

    traits of(std::uint64_t i) const;
    /// Appends the whole breach as one JSON object: then and now, device at top, no breachUrl.
    void write(std::uint64_t i, std::int64_t created, std::int64_t time, std::string& out) const;

    static std::string_view uuid(unsigned model);
    static std::string_view name(unsigned model);

private:
    std::uint64_t seed_;
    std::int64_t first_pbid_;
};

}  // namespace simulator
