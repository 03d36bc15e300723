#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace dtbridge
{

/// A block is closed before it would pass this; one element alone may be longer.
inline constexpr std::size_t block_target_bytes = 256u << 10;

/// One zstd frame with its size and a checksum in it.
std::string compress_block(std::string_view bytes);

/// The frame's content, which must be exactly size bytes. Throws db::error with errc::archive_damaged, naming
/// path and block. size comes from the file and is not trusted: at most limit, and what the frame says must
/// agree before a byte is allocated.
std::string expand_block(std::string_view frame,
                         std::int64_t size,
                         std::size_t limit,
                         const std::string& path,
                         std::int64_t block);

/// The same for a remembered text, whose size is only in the frame.
std::string expand_text(std::string_view frame,
                        std::size_t limit,
                        const std::string& path,
                        const std::string& hash);

/// Throws what expand_block throws.
[[noreturn]] void raise_damaged_block(const std::string& path, std::int64_t block, std::string_view what);

}  // namespace dtbridge
