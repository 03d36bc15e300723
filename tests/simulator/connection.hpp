#pragma once

/// One accepted connection with blocking calls, plain or TLS. Plain sockets and not Asio's: the faults need
/// the kernel's own behaviour (a reset in the middle of an answer, a close without TLS's goodbye), and a
/// thread per connection keeps "slow" and "drip" to a sleep.

#include <openssl/ssl.h>

#include <cstddef>
#include <stdexcept>
#include <string_view>

namespace simulator
{

struct connection_lost : std::runtime_error
{
    using std::runtime_error::runtime_error;
};

class connection
{
public:
    explicit connection(int fd);
    ~connection();
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;

    /// False when the client gave up or does not speak TLS.
    bool handshake(SSL_CTX* context);
    /// Reads the client's first bytes and refuses with a fatal alert (handshake_failure).
    void refuse_handshake();
    /// 0 at the end, whether orderly or not.
    std::size_t read_some(char* data, std::size_t size);
    /// Throws connection_lost.
    void write(std::string_view data);
    /// Blocks until the client closes.
    void wait_for_end();

    void reset();  ///< what was written is delivered, then RST
    void drop();   ///< FIN without TLS's close_notify
    void close_orderly();

private:
    int fd_;
    SSL* ssl_ = nullptr;
};

/// Listens on "host:port", port 0 for a free one; answers the socket and sets port. Throws
/// std::runtime_error.
int listen_on(std::string_view address, unsigned& port);

}  // namespace simulator
