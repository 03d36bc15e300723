#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <dtbridge/archive/archive.hpp>

#include "archive/block_codec.hpp"

/// What an archive holds and answers at most, the same in files and in PostgreSQL.
namespace dtbridge
{

inline constexpr std::size_t keys_at_open = 1024;
inline constexpr std::int64_t most_windows = 10000;
inline constexpr std::int64_t most_differences = 10000;
inline constexpr std::int64_t most_set_aside = 100000;
inline constexpr std::int64_t most_lost_spans = 1000;
inline constexpr std::int64_t most_unused_texts = 1024;
inline constexpr std::int64_t blocks_per_step = 16;
inline constexpr std::size_t most_found = 1000;
/// Uncompressed: one element of the longest may fill a block alone.
inline constexpr std::size_t block_limit_bytes = std::max(block_target_bytes, max_element_bytes);
/// Longer ones are not kept in memory for the next reader.
inline constexpr std::size_t worth_keeping_bytes = 2 * block_target_bytes;

}  // namespace dtbridge
