#pragma once

/// What is logged while it lives, which is not shown. One at a time.

#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <string_view>

namespace dtbridge::test
{

class captured_log
{
public:
    captured_log() : file_(std::tmpfile()), before_(::dup(STDERR_FILENO))
    {
        if (file_ == nullptr || before_ < 0 || ::dup2(::fileno(file_), STDERR_FILENO) < 0)
            throw std::runtime_error("standard error cannot be captured");
    }
    ~captured_log()
    {
        ::dup2(before_, STDERR_FILENO);
        ::close(before_);
        std::fclose(file_);
    }
    captured_log(const captured_log&) = delete;
    captured_log& operator=(const captured_log&) = delete;

    std::string text() const
    {
        std::string out;
        char piece[4096];
        ::off_t at = 0;
        for (;;)
        {
            const auto got = ::pread(::fileno(file_), piece, sizeof piece, at);
            if (got <= 0)
                return out;
            out.append(piece, static_cast<std::size_t>(got));
            at += got;
        }
    }
    /// Lines with these words in them.
    std::size_t lines_with(std::string_view words) const
    {
        const std::string all = text();
        std::size_t count = 0;
        for (std::size_t begin = 0; begin < all.size();)
        {
            const auto end = std::min(all.find('\n', begin), all.size());
            if (std::string_view(all).substr(begin, end - begin).find(words) != std::string_view::npos)
                ++count;
            begin = end + 1;
        }
        return count;
    }

private:
    std::FILE* file_;
    int before_;
};

}  // namespace dtbridge::test
