#pragma once

/// What a block of a PostgreSQL archive says of its breaches, beside their bytes: per breach, in order of
/// seq, 33 bytes, numbers big-endian:
///
///     pbid 8, created 8, time 8, begins 4, length 4, flags 1 (1: there is a time)

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <dtbridge/core/breach.hpp>

namespace dtbridge
{

inline constexpr std::size_t directory_entry_bytes = 33;

struct directory_entry
{
    breach_key key;
    std::optional<std::int64_t> time;
    std::uint32_t begins = 0, length = 0;
};

void append_entry(std::string& directory, const directory_entry& e);
/// Of the n-th breach; n < directory.size() / directory_entry_bytes.
directory_entry entry_at(std::string_view directory, std::size_t n);

}  // namespace dtbridge
