#include "support/collector.hpp"

#include <openssl/ssl.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <optional>
#include <stdexcept>
#include <utility>

#include "support/broken_pipes.hpp"

namespace dtbridge::test
{

namespace
{

sockaddr_in loopback(std::uint16_t port)
{
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_port = htons(port);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

std::uint16_t bind_to(int fd, std::uint16_t port)
{
    auto a = loopback(port);
    socklen_t size = sizeof a;
    if (::bind(fd, reinterpret_cast<sockaddr*>(&a), size) != 0)
        throw std::runtime_error("cannot bind a collector");
    ::getsockname(fd, reinterpret_cast<sockaddr*>(&a), &size);
    return ntohs(a.sin_port);
}

bool readable(int fd, int ms)
{
    pollfd p{fd, POLLIN, 0};
    return ::poll(&p, 1, ms) > 0;
}

/// Takes whole messages off the front of bytes.
std::optional<std::string> next_message(std::string& bytes,
                                        bool octet_counting,
                                        std::atomic<std::size_t>& malformed)
{
    if (!octet_counting)
    {
        const auto end = bytes.find('\n');
        if (end == std::string::npos)
            return {};
        auto m = bytes.substr(0, end);
        bytes.erase(0, end + 1);
        return m;
    }
    const auto space = bytes.find(' ');
    if (space == std::string::npos || space == 0)
        return {};
    const auto digits = bytes.substr(0, space);
    if (digits.size() > 8 || digits.front() == '0' ||
        digits.find_first_not_of("0123456789") != std::string::npos)
    {
        ++malformed;
        bytes.clear();
        return {};
    }
    const auto size = static_cast<std::size_t>(std::stoul(digits));
    if (bytes.size() < space + 1 + size)
        return {};
    auto m = bytes.substr(space + 1, size);
    bytes.erase(0, space + 1 + size);
    return m;
}

}  // namespace

stream_collector::stream_collector(std::function<habit(std::size_t)> habits,
                                   bool octet_counting,
                                   std::uint16_t port)
    : habits_(std::move(habits)), octet_counting_(octet_counting)
{
    listen(port);
}

stream_collector::stream_collector(tls_files tls,
                                   std::function<habit(std::size_t)> habits,
                                   bool octet_counting)
    : habits_(std::move(habits)), octet_counting_(octet_counting)
{
    SSL_CTX* ctx = SSL_CTX_new(TLS_server_method());
    tls_ = std::shared_ptr<void>(ctx, [](void* c) { SSL_CTX_free(static_cast<SSL_CTX*>(c)); });
    if (SSL_CTX_use_certificate_chain_file(ctx, tls.cert.c_str()) != 1 ||
        SSL_CTX_use_PrivateKey_file(ctx, tls.key.c_str(), SSL_FILETYPE_PEM) != 1)
        throw std::runtime_error("the collector's certificate cannot be used");
    if (!tls.client_ca.empty())
    {
        SSL_CTX_load_verify_locations(ctx, tls.client_ca.c_str(), nullptr);
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    }
    if (tls.only_tls12)
        SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    listen(0);
}

void stream_collector::listen(std::uint16_t port)
{
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    port_ = bind_to(listener_, port);
    ::listen(listener_, 64);
    acceptor_ = std::thread([this] { accept_all(); });
}

stream_collector::~stream_collector()
{
    stop_ = true;
    acceptor_.join();
    ::close(listener_);
    for (auto& t : threads_)
        t.join();
}

void stream_collector::accept_all()
{
    bear_broken_pipes();
    while (!stop_)
    {
        if (!readable(listener_, 20))
            continue;
        const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        auto h = habits_ ? habits_(accepted_) : habit{};
        ++accepted_;
        threads_.emplace_back([this, fd, h] { serve(fd, h); });
    }
}

void stream_collector::serve(int fd, habit h)
{
    SSL* ssl = nullptr;
    bool usable = true;
    if (tls_)
    {
        const timeval limit{5, 0};
        ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        ssl = SSL_new(static_cast<SSL_CTX*>(tls_.get()));
        SSL_set_fd(ssl, fd);
        usable = SSL_accept(ssl) == 1;
    }
    std::string bytes;
    std::vector<char> buffer(h.read_at_once);
    std::size_t taken = 0;
    bool ended = false;
    const bool ends = h.what == habit::then::close || h.what == habit::then::reset;
    std::this_thread::sleep_for(h.before_reading);
    while (usable && !stop_ && !ended && !(ends && taken >= h.after))
    {
        if (h.what == habit::then::stall)
        {
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
            continue;
        }
        if (!(ssl && SSL_pending(ssl) > 0) && !readable(fd, 20))
            continue;
        const auto n = ssl ? SSL_read(ssl, buffer.data(), static_cast<int>(buffer.size()))
                           : static_cast<int>(::recv(fd, buffer.data(), buffer.size(), 0));
        if (n <= 0)
        {
            ended = true;
            break;
        }
        bytes.append(buffer.data(), static_cast<std::size_t>(n));
        while (auto m = next_message(bytes, octet_counting_, malformed_))
        {
            const std::lock_guard lock(mutex_);
            messages_.push_back(std::move(*m));
            ++taken;
            if (ends && taken >= h.after)
                break;
        }
    }
    while (h.open_end && !stop_)
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    if (ended && !bytes.empty())
        ++halves_;
    if (h.what == habit::then::reset)
    {
        const linger now{1, 0};
        ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
    else if (ssl && usable)
        SSL_shutdown(ssl);
    if (ssl)
        SSL_free(ssl);
    ::close(fd);
}

std::vector<std::string> stream_collector::messages() const
{
    const std::lock_guard lock(mutex_);
    return messages_;
}

std::size_t stream_collector::count() const
{
    const std::lock_guard lock(mutex_);
    return messages_.size();
}

datagram_collector::datagram_collector(std::uint16_t port)
{
    socket_ = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const int space = 8 << 20;
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &space, sizeof space);
    port_ = bind_to(socket_, port);
    reader_ = std::thread([this] {
        std::vector<char> buffer(70000);
        while (!stop_)
        {
            if (!readable(socket_, 20))
                continue;
            const auto n = ::recv(socket_, buffer.data(), buffer.size(), 0);
            if (n < 0)
                continue;
            const std::lock_guard lock(mutex_);
            messages_.emplace_back(buffer.data(), static_cast<std::size_t>(n));
        }
    });
}

datagram_collector::~datagram_collector()
{
    stop_ = true;
    reader_.join();
    ::close(socket_);
}

std::vector<std::string> datagram_collector::messages() const
{
    const std::lock_guard lock(mutex_);
    return messages_;
}

std::size_t datagram_collector::count() const
{
    const std::lock_guard lock(mutex_);
    return messages_.size();
}

std::uint16_t unused_port()
{
    for (;;)
    {
        const int tcp = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const int udp = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        const auto port = bind_to(tcp, 0);
        auto a = loopback(port);
        const bool both = ::bind(udp, reinterpret_cast<sockaddr*>(&a), sizeof a) == 0;
        ::close(tcp);
        ::close(udp);
        if (both)
            return port;
    }
}

}  // namespace dtbridge::test
