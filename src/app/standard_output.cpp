#include "app/standard_output.hpp"

#include <cerrno>
#include <cstring>

#include <unistd.h>

#include "app/command.hpp"
#include "app/host.hpp"

namespace dtbridge::app
{

namespace
{

constexpr std::size_t piece = 256u << 10;

}  // namespace

standard_output::standard_output()
{
    ignore_broken_pipes();
}

bool standard_output::write(std::string_view text)
{
    buffer_ += text;
    return buffer_.size() < piece ? !closed_ : flush();
}

bool standard_output::flush()
{
    std::string_view rest = buffer_;
    while (!rest.empty() && !closed_)
    {
        const auto n = ::write(STDOUT_FILENO, rest.data(), rest.size());
        if (n >= 0)
            rest.remove_prefix(static_cast<std::size_t>(n));
        else if (errno == EPIPE)
            closed_ = true;
        else if (errno != EINTR)
            throw action_error(std::string("standard output cannot be written: ") + std::strerror(errno));
    }
    buffer_.clear();
    return !closed_;
}

}  // namespace dtbridge::app
