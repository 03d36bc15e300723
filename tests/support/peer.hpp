#pragma once

/// A scripted server on 127.0.0.1, plain or TLS, on a thread of its own with blocking sockets: as unlike the
/// code under test as it can be. Nothing waits longer than ten seconds, and the object's end ends everything.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include <openssl/ssl.h>

#include "support/pki.hpp"

namespace dtbridge::test
{

struct peer_tls
{
    certificate own;
    int min_version = TLS1_2_VERSION;
    int max_version = TLS1_3_VERSION;
    std::string ciphers = "DEFAULT@SECLEVEL=0";
    /// Requires a client certificate of this issuer.
    std::optional<certificate> client_issuer = {};
};

class peer_connection
{
public:
    peer_connection(int fd, SSL* ssl) : fd_(fd), ssl_(ssl) {}
    /// "" at the end of the stream, whatever kind.
    std::string read_some();
    /// Until delimiter (included) or the end.
    std::string read_until(std::string_view delimiter);
    std::string read_exactly(std::size_t n);
    /// Everything to the end.
    std::string read_all();
    /// The peer's close_notify was read.
    bool saw_close_notify() const { return saw_close_notify_; }
    bool write(std::string_view bytes);
    /// FIN; under TLS close_notify before it.
    void finish();
    /// FIN without close_notify.
    void cut();
    /// RST.
    void reset();
    std::string server_name() const;
    int fd() const { return fd_; }
    SSL* ssl() const { return ssl_; }

private:
    int fd_;
    SSL* ssl_;
    bool saw_close_notify_ = false;
};

class peer_server
{
public:
    using script = std::function<void(peer_connection&)>;

    /// what runs for each connection in turn, after the handshake; the connection is closed after it.
    explicit peer_server(script what, std::optional<peer_tls> tls = std::nullopt);
    ~peer_server();
    peer_server(const peer_server&) = delete;
    peer_server& operator=(const peer_server&) = delete;

    std::uint16_t port() const { return port_; }
    /// Accepted so far, and those of them whose handshake failed.
    int connections() const { return connections_; }
    int failed_handshakes() const { return failed_handshakes_; }

private:
    void run();

    script what_;
    SSL_CTX* ctx_ = nullptr;
    int listener_ = -1;
    std::uint16_t port_ = 0;
    std::atomic<int> current_ = -1;
    std::atomic<bool> stopping_ = false;
    std::atomic<int> connections_ = 0;
    std::atomic<int> failed_handshakes_ = 0;
    std::thread thread_;
};

/// A port of 127.0.0.1 on which nothing listens.
std::uint16_t closed_port();

}  // namespace dtbridge::test
