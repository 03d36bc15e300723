#include "archive/block_codec.hpp"

#include <zstd.h>

#include <memory>
#include <new>
#include <optional>

#include <dtbridge/db/connection.hpp>

namespace dtbridge
{

namespace
{

// Level 1: the CPU per breach is what is short; 3 makes blocks a tenth smaller for half as much again.
constexpr int level = 1;

struct free_context
{
    void operator()(ZSTD_CCtx* c) const { ZSTD_freeCCtx(c); }
    void operator()(ZSTD_DCtx* c) const { ZSTD_freeDCtx(c); }
};

// One context per worker thread: an archive's own would cost 64 times its half megabyte.
ZSTD_CCtx* compressor()
{
    thread_local std::unique_ptr<ZSTD_CCtx, free_context> context(ZSTD_createCCtx());
    if (!context)
        throw std::bad_alloc();
    return context.get();
}

ZSTD_DCtx* expander()
{
    thread_local std::unique_ptr<ZSTD_DCtx, free_context> context(ZSTD_createDCtx());
    if (!context)
        throw std::bad_alloc();
    return context.get();
}

}  // namespace

std::string compress_block(std::string_view bytes)
{
    ZSTD_CCtx* context = compressor();
    ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
    // A fresh buffer for each block would be fresh pages for each block, of which most stay unused.
    thread_local std::vector<char> usual(ZSTD_compressBound(block_target_bytes));
    std::vector<char> large(bytes.size() > block_target_bytes ? ZSTD_compressBound(bytes.size()) : 0);
    auto& room = large.empty() ? usual : large;
    std::size_t n = ZSTD_compress2(context, room.data(), room.size(), bytes.data(), bytes.size());
    if (ZSTD_isError(n))
        throw std::bad_alloc();  // the only failure with room for the bound (zstd.h)
    return std::string(room.data(), n);
}

void raise_damaged_block(const std::string& path, std::int64_t block, std::string_view what)
{
    throw db::error(fail(errc::archive_damaged,
                         path + ": the file is damaged: block " + std::to_string(block) + " " +
                             std::string(what) + "; `dtbridge recover` saves what is readable"));
}

namespace
{

/// Nothing where the frame is not what it should be.
std::optional<std::string> expand(std::string_view frame, unsigned long long size)
{
    std::string bytes(static_cast<std::size_t>(size), '\0');
    std::size_t n = ZSTD_decompressDCtx(expander(), bytes.data(), bytes.size(), frame.data(), frame.size());
    if (ZSTD_isError(n) || n != bytes.size())
        return std::nullopt;
    return bytes;
}

}  // namespace

std::string expand_block(
    std::string_view frame, std::int64_t size, std::size_t limit, const std::string& path, std::int64_t block)
{
    if (size < 0 || static_cast<std::uint64_t>(size) > limit)
        raise_damaged_block(path, block, "claims a size that no block has");
    auto wanted = static_cast<unsigned long long>(size);
    if (ZSTD_getFrameContentSize(frame.data(), frame.size()) != wanted)
        raise_damaged_block(path, block, "does not have the size it should have");
    auto bytes = expand(frame, wanted);
    if (!bytes)
        raise_damaged_block(path, block, "cannot be decompressed");
    return std::move(*bytes);
}

std::string expand_text(std::string_view frame,
                        std::size_t limit,
                        const std::string& path,
                        const std::string& hash)
{
    auto size =
        ZSTD_getFrameContentSize(frame.data(), frame.size());  // unknown and error are the highest numbers
    std::optional<std::string> bytes;
    if (size <= limit)
        bytes = expand(frame, size);
    if (!bytes)
        throw db::error(
            fail(errc::archive_damaged, path + ": the file is damaged: the text " + hash + " is unreadable"));
    return std::move(*bytes);
}

}  // namespace dtbridge
