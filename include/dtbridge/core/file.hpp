#pragma once

/// Files that an operator names: read whole and within bounds.

#include <cstddef>
#include <string>

#include <dtbridge/core/failure.hpp>

namespace dtbridge
{

struct file_text
{
    std::string bytes;
    bool world_readable = false;
};

enum class file_kind {
    regular,  ///< anything else is refused without waiting for it
    any       ///< pipes too, so that a shell's <(...) can be given where a mapping file is; reading may wait
};

/// The file's bytes, at most max. The failure is a phrase to put after the path ("is missing").
outcome<file_text> read_file(const std::string& path, std::size_t max, file_kind kind = file_kind::regular);

}  // namespace dtbridge
