#pragma once

#include <chrono>
#include <string_view>

#include <poll.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>

namespace dtbridge::test
{

/// Sends text a byte at a time, so long after one another, until the peer closes, and answers how long that
/// took; at_most where it did not. What the peer sends meanwhile is left unread and ends nothing.
inline std::chrono::steady_clock::duration time_of_drip(boost::asio::ip::tcp::socket& s,
                                                        std::string_view text,
                                                        std::chrono::milliseconds between,
                                                        std::chrono::steady_clock::duration at_most)
{
    const auto start = std::chrono::steady_clock::now();
    const auto passed = [start] { return std::chrono::steady_clock::now() - start; };
    while (passed() < at_most)
    {
        boost::system::error_code ec;
        if (!text.empty())
            boost::asio::write(s, boost::asio::buffer(text.substr(0, 1)), ec);
        text.remove_prefix(text.empty() ? 0 : 1);
        pollfd end = {s.native_handle(), POLLRDHUP, 0};
        if (ec || (::poll(&end, 1, static_cast<int>(between.count())) > 0 && end.revents != 0))
            return passed();
    }
    return at_most;
}

}  // namespace dtbridge::test
