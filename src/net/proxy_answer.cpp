#include "net/proxy_answer.hpp"

#include <algorithm>

namespace dtbridge::net
{

namespace
{

// "HTTP/1.1 200"
constexpr std::string_view beginning = "HTTP/1.";
constexpr std::size_t status_at = 9;
constexpr std::size_t shortest = status_at + 3;

/// The status of "HTTP/1.1 200 Connection established", or 0.
unsigned status_of(std::string_view answer)
{
    if (!answer.starts_with(beginning) || answer.size() < shortest || answer[status_at - 1] != ' ')
        return 0;
    unsigned status = 0;
    for (const char c : answer.substr(status_at, 3))
    {
        if (c < '0' || c > '9')
            return 0;
        status = status * 10 + static_cast<unsigned>(c - '0');
    }
    if (answer.size() > shortest && answer[shortest] != ' ' && answer[shortest] != '\r')
        return 0;
    return status < 100 ? 0 : status;
}

}  // namespace

proxy_answer::state proxy_answer::take(std::string_view piece)
{
    constexpr std::string_view header_end = "\r\n\r\n";
    if (state_ != state::more)
        return state_;
    // The end may lie across two pieces.
    const auto from = bytes_.size() - std::min(bytes_.size(), header_end.size() - 1);
    bytes_.append(piece);
    const auto end = bytes_.find(header_end, from);
    if (bytes_.size() > shortest && (status_ = status_of(bytes_)) == 0)
        return state_ = state::not_http;
    if (end == std::string::npos)
        return state_ = bytes_.size() > most_bytes ? state::endless : state::more;
    if (status_ == 0)
        return state_ = state::not_http;
    end_ = end + header_end.size();
    return state_ = state::whole;
}

}  // namespace dtbridge::net
