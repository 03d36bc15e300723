#pragma once

/// A syslog collector on loopback with bad habits, on threads of its own and with plain sockets, so that it
/// shares no code with what it tests.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace dtbridge::test
{

/// What a TCP or TLS collector does with one connection.
struct habit
{
    enum class then {
        read_on,  ///< takes everything until the peer ends, then closes too
        close,    ///< closes in order after `after` messages were taken (0: at once)
        reset,    ///< closes with RST after `after` messages were taken
        stall,    ///< takes nothing at all
    } what = then::read_on;
    std::size_t after = 0;
    std::size_t read_at_once = 4096;  ///< bytes of one recv()
    bool open_end = false;            ///< answers the peer's FIN only when the test ends
    std::chrono::milliseconds before_reading{0};
};

class stream_collector
{
public:
    struct tls_files
    {
        std::string cert, key, client_ca;  ///< client_ca: client certificates are required
        bool only_tls12 = false;
    };
    /// habits: what to do with the n-th connection, from 0. port 0: any.
    explicit stream_collector(std::function<habit(std::size_t)> habits = {},
                              bool octet_counting = false,
                              std::uint16_t port = 0);
    stream_collector(tls_files tls,
                     std::function<habit(std::size_t)> habits = {},
                     bool octet_counting = true);
    ~stream_collector();
    stream_collector(const stream_collector&) = delete;
    stream_collector& operator=(const stream_collector&) = delete;

    std::uint16_t port() const { return port_; }
    /// Whole messages of all connections, in the order they were taken.
    std::vector<std::string> messages() const;
    std::size_t count() const;
    std::size_t connections() const { return accepted_; }
    /// Bytes that were no message when their connection ended: half of one.
    std::size_t halves() const { return halves_; }
    /// Frames that are not as RFC 6587 wants them.
    std::size_t malformed() const { return malformed_; }

private:
    void listen(std::uint16_t port);
    void accept_all();
    void serve(int fd, habit h);

    std::function<habit(std::size_t)> habits_;
    bool octet_counting_;
    std::shared_ptr<void> tls_;
    int listener_ = -1;
    std::uint16_t port_ = 0;
    std::atomic<bool> stop_{false};
    std::atomic<std::size_t> accepted_{0}, halves_{0}, malformed_{0};
    mutable std::mutex mutex_;
    std::vector<std::string> messages_;
    std::vector<std::thread> threads_;
    std::thread acceptor_;
};

class datagram_collector
{
public:
    explicit datagram_collector(std::uint16_t port = 0);
    ~datagram_collector();
    datagram_collector(const datagram_collector&) = delete;
    datagram_collector& operator=(const datagram_collector&) = delete;
    std::uint16_t port() const { return port_; }
    std::vector<std::string> messages() const;
    std::size_t count() const;

private:
    int socket_ = -1;
    std::uint16_t port_ = 0;
    std::atomic<bool> stop_{false};
    mutable std::mutex mutex_;
    std::vector<std::string> messages_;
    std::thread reader_;
};

/// A port of loopback on which nobody listens (TCP and UDP), as far as that can be known.
std::uint16_t unused_port();

}  // namespace dtbridge::test
