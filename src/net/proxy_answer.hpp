#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace dtbridge::net
{

/// A proxy's answer to CONNECT, as far as its header's end (RFC 9112 4, RFC 9110 9.3.6). Bounded; pure.
class proxy_answer
{
public:
    static constexpr std::size_t most_bytes = 16u << 10;

    enum class state {
        more,      ///< the header is not whole yet
        whole,     ///< status() and rest() count
        not_http,  ///< it does not begin as an answer of HTTP/1 does
        endless,   ///< no end within most_bytes
    };
    /// All of piece is taken. What is said after whole, not_http or endless changes nothing.
    state take(std::string_view piece);
    /// 100 to 999.
    unsigned status() const { return status_; }
    /// What came behind the header: the peer's first bytes.
    std::string_view rest() const { return std::string_view(bytes_).substr(end_); }

private:
    std::string bytes_;
    std::size_t end_ = 0;
    unsigned status_ = 0;
    state state_ = state::more;
};

}  // namespace dtbridge::net
