#include "app/progress_view.hpp"

#include <cstdint>
#include <iostream>

#include <unistd.h>

#include <dtbridge/core/time.hpp>

namespace dtbridge::app
{

progress_view::progress_view() : terminal_(::isatty(STDERR_FILENO) == 1) {}

progress_view::~progress_view()
{
    clear();
}

void progress_view::show(const std::string& line)
{
    const auto now = now_ms();
    if (!terminal_ || (now >= shown_ && now - shown_ < 100))
        return;
    shown_ = now;
    const auto before = width_;
    width_ = line.size();
    std::cerr << '\r' << line << std::string(before > width_ ? before - width_ : 0, ' ') << std::flush;
}

void progress_view::clear()
{
    if (width_ > 0)
        std::cerr << '\r' << std::string(width_, ' ') << '\r' << std::flush;
    width_ = 0;
}

}  // namespace dtbridge::app
