#pragma once

/// What becomes of one datagram that is handed to a connected socket. Pure but for the call that it is given.

#include <cerrno>

namespace dtbridge::transport
{

struct datagram_verdict
{
    enum class fate {
        gone,
        wait,   ///< the kernel takes nothing now
        never,  ///< no datagram can carry it
        broken  ///< problem came for what went before, or for the socket as a whole
    } what = fate::gone;
    int problem = 0;  ///< errno of broken
};

/// send: hands the datagram over once; 0 or errno.
template <typename Send>
datagram_verdict hand_over(const Send& send)
{
    using fate = datagram_verdict::fate;
    const auto once = [&send] {
        int problem = EINTR;
        while (problem == EINTR)
            problem = send();
        return problem;
    };
    const int problem = once();
    if (problem == 0)
        return {};
    if (problem == EAGAIN || problem == EWOULDBLOCK)
        return {fate::wait, problem};
    // EMSGSIZE is also what an ICMP error "fragmentation needed" leaves on the socket: it came for an earlier
    // datagram, and telling of it clears it. Only what the datagram at hand earned comes twice.
    if (problem == EMSGSIZE && once() == EMSGSIZE)
        return {fate::never, problem};
    return {fate::broken, problem};
}

}  // namespace dtbridge::transport
