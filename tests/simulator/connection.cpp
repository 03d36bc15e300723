#include "connection.hpp"

#include <linux/sockios.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstring>
#include <string>
#include <thread>
#include <utility>

namespace simulator
{

connection::connection(int fd) : fd_(fd)
{
    int on = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    // A client that falls silent for good does not hold its thread for ever.
    timeval limit{600, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

connection::~connection()
{
    if (fd_ >= 0)
        drop();
    if (ssl_)
        SSL_free(ssl_);
}

bool connection::handshake(SSL_CTX* context)
{
    ssl_ = SSL_new(context);
    SSL_set_fd(ssl_, fd_);
    return SSL_accept(ssl_) == 1;
}

void connection::refuse_handshake()
{
    char hello[4096];
    if (::recv(fd_, hello, sizeof hello, 0) > 0)
    {
        constexpr char alert[] = {
            0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x28};  // RFC 8446 6.2: fatal, handshake_failure
        (void)!::send(fd_, alert, sizeof alert, MSG_NOSIGNAL);
    }
    drop();
}

std::size_t connection::read_some(char* data, std::size_t size)
{
    while (fd_ >= 0)
    {
        auto wanted = static_cast<int>(std::min<std::size_t>(size, INT_MAX));
        auto n = ssl_ ? SSL_read(ssl_, data, wanted)
                      : static_cast<int>(::recv(fd_, data, static_cast<std::size_t>(wanted), 0));
        if (n > 0)
            return static_cast<std::size_t>(n);
        if (n < 0 && errno == EINTR)
            continue;
        return 0;
    }
    return 0;
}

void connection::write(std::string_view data)
{
    while (!data.empty())
    {
        auto size = std::min<std::size_t>(data.size(), 1u << 20);
        auto n = ssl_ ? SSL_write(ssl_, data.data(), static_cast<int>(size))
                      : static_cast<int>(::send(fd_, data.data(), size, MSG_NOSIGNAL));
        if (n <= 0)
        {
            if (n < 0 && errno == EINTR)
                continue;
            throw connection_lost("the client went away while it was answered");
        }
        data.remove_prefix(static_cast<std::size_t>(n));
    }
}

void connection::wait_for_end()
{
    char unused[4096];
    while (read_some(unused, sizeof unused) > 0)
    {}
}

void connection::reset()
{
    // RST throws away what the kernel has not sent yet, so let it send first.
    for (int i = 0; i < 1000; ++i)
    {
        int unsent = 0;
        if (ioctl(fd_, SIOCOUTQ, &unsent) != 0 || unsent == 0)
            break;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    linger now{1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    ::close(std::exchange(fd_, -1));
}

void connection::drop()
{
    ::shutdown(fd_, SHUT_WR);
    ::close(std::exchange(fd_, -1));
}

void connection::close_orderly()
{
    if (fd_ < 0)
        return;
    if (ssl_)
        SSL_shutdown(ssl_);
    drop();
}

int listen_on(std::string_view address, unsigned& port)
{
    auto colon = address.rfind(':');
    if (colon == std::string_view::npos)
        throw std::runtime_error("an address is host:port, not \"" + std::string(address) + "\"");
    std::string host(address.substr(0, colon));
    std::string service(address.substr(colon + 1));
    if (host.starts_with('[') && host.ends_with(']'))
        host = host.substr(1, host.size() - 2);
    addrinfo hints{};
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (int e = getaddrinfo(host.empty() ? nullptr : host.c_str(), service.c_str(), &hints, &found))
        throw std::runtime_error(std::string(address) + ": " + gai_strerror(e));
    int fd = ::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    bool bound = fd >= 0 && ::bind(fd, found->ai_addr, found->ai_addrlen) == 0 && ::listen(fd, 4096) == 0;
    int error = errno;
    freeaddrinfo(found);
    if (!bound)
        throw std::runtime_error("cannot listen on " + std::string(address) + ": " + std::strerror(error));
    sockaddr_storage own{};
    socklen_t size = sizeof own;
    getsockname(fd, reinterpret_cast<sockaddr*>(&own), &size);
    port = ntohs(own.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&own)->sin6_port
                                           : reinterpret_cast<sockaddr_in*>(&own)->sin_port);
    return fd;
}

}  // namespace simulator
