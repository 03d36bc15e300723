#include "support/peer.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>

#include <array>
#include <stdexcept>

#include "support/broken_pipes.hpp"

namespace dtbridge::test
{

namespace
{

int listen_on_loopback(std::uint16_t& port)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof a;
    if (fd < 0 || bind(fd, reinterpret_cast<sockaddr*>(&a), sizeof a) != 0 || listen(fd, 16) != 0 ||
        getsockname(fd, reinterpret_cast<sockaddr*>(&a), &size) != 0)
        throw std::runtime_error("test server: no socket");
    port = ntohs(a.sin_port);
    return fd;
}

}  // namespace

std::string peer_connection::read_some()
{
    std::array<char, 65536> buffer{};
    if (ssl_)
    {
        const int n = SSL_read(ssl_, buffer.data(), static_cast<int>(buffer.size()));
        if (n <= 0)
        {
            saw_close_notify_ = SSL_get_error(ssl_, n) == SSL_ERROR_ZERO_RETURN;
            ERR_clear_error();
            return {};
        }
        return std::string(buffer.data(), static_cast<std::size_t>(n));
    }
    const auto n = recv(fd_, buffer.data(), buffer.size(), 0);
    return n > 0 ? std::string(buffer.data(), static_cast<std::size_t>(n)) : std::string();
}

std::string peer_connection::read_until(std::string_view delimiter)
{
    std::string all;
    while (all.find(delimiter) == std::string::npos)
    {
        const auto piece = read_some();
        if (piece.empty())
            break;
        all += piece;
    }
    return all;
}

std::string peer_connection::read_exactly(std::size_t n)
{
    std::string all;
    while (all.size() < n)
    {
        const auto piece = read_some();
        if (piece.empty())
            break;
        all += piece;
    }
    return all;
}

std::string peer_connection::read_all()
{
    std::string all;
    for (auto piece = read_some(); !piece.empty(); piece = read_some())
        all += piece;
    return all;
}

bool peer_connection::write(std::string_view bytes)
{
    while (!bytes.empty())
    {
        long n = 0;
        if (ssl_)
        {
            n = SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size()));
            ERR_clear_error();
        }
        else
            n = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
}

void peer_connection::finish()
{
    if (ssl_)
        SSL_shutdown(ssl_);
    cut();
}

void peer_connection::cut()
{
    shutdown(fd_, SHUT_WR);
}

void peer_connection::reset()
{
    const linger now{1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

std::string peer_connection::server_name() const
{
    const char* name = ssl_ ? SSL_get_servername(ssl_, TLSEXT_NAMETYPE_host_name) : nullptr;
    return name ? name : "";
}

peer_server::peer_server(script what, std::optional<peer_tls> tls) : what_(std::move(what))
{
    if (tls)
    {
        ctx_ = SSL_CTX_new(TLS_server_method());
        SSL_CTX_set_security_level(ctx_, 0);
        SSL_CTX_set_cipher_list(ctx_, tls->ciphers.c_str());
        SSL_CTX_set_min_proto_version(ctx_, tls->min_version);
        SSL_CTX_set_max_proto_version(ctx_, tls->max_version);
        SSL_CTX_use_certificate(ctx_, tls->own.cert.get());
        SSL_CTX_use_PrivateKey(ctx_, tls->own.key.get());
        if (tls->client_issuer)
        {
            X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx_), tls->client_issuer->cert.get());
            SSL_CTX_set_verify(ctx_, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
        }
    }
    listener_ = listen_on_loopback(port_);
    thread_ = std::thread([this] { run(); });
}

peer_server::~peer_server()
{
    stopping_ = true;
    if (const int fd = current_; fd >= 0)
        shutdown(fd, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
    SSL_CTX_free(ctx_);
}

void peer_server::run()
{
    bear_broken_pipes();
    while (!stopping_)
    {
        pollfd ready{listener_, POLLIN, 0};
        if (poll(&ready, 1, 10) != 1)
            continue;
        const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        const timeval bound{10, 0};
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof bound);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof bound);
        current_ = fd;
        if (stopping_)
            shutdown(fd, SHUT_RDWR);
        ++connections_;
        SSL* ssl = nullptr;
        bool ready_to_talk = true;
        if (ctx_)
        {
            ssl = SSL_new(ctx_);
            SSL_set_fd(ssl, fd);
            ready_to_talk = SSL_accept(ssl) == 1;
            ERR_clear_error();
            if (!ready_to_talk)
                ++failed_handshakes_;
        }
        if (ready_to_talk)
        {
            peer_connection c(fd, ssl);
            what_(c);
        }
        SSL_free(ssl);
        current_ = -1;
        ::close(fd);
    }
}

std::uint16_t closed_port()
{
    std::uint16_t port = 0;
    ::close(listen_on_loopback(port));
    return port;
}

}  // namespace dtbridge::test
