/// bench-sink [--tls CERT KEY]: a collector that does as little as a collector can: takes connections on
/// 127.0.0.1, tells frames apart (RFC 6587, counted or by line), and remembers the pbid of each message and
/// when it came. Prints "port N" and then answers lines of standard input: "count" with "COUNT MESSAGES
/// BYTES", "dump FILE" writes "pbid epoch_us" lines and answers "done". Ends when standard input does.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace
{

struct arrival
{
    std::int64_t pbid, us;
};

std::mutex lock;
std::vector<arrival> arrivals;
std::uint64_t all_bytes = 0;

std::int64_t now_us()
{
    using namespace std::chrono;
    return duration_cast<microseconds>(system_clock::now().time_since_epoch()).count();
}

/// The digits behind the first of these names that a message of ours has.
std::int64_t pbid_of(std::string_view message)
{
    for (const std::string_view name : {"\"pbid\":", "externalId="})
        if (const auto at = message.find(name); at != message.npos)
        {
            std::int64_t n = -1;
            std::from_chars(message.data() + at + name.size(), message.data() + message.size(), n);
            return n;
        }
    return -1;
}

/// Takes whole frames from the front of held; answers how many bytes that were.
std::size_t take_frames(std::string_view held, std::vector<arrival>& out, std::int64_t at)
{
    std::size_t done = 0;
    for (;;)
    {
        const auto rest = held.substr(done);
        if (rest.empty())
            return done;
        std::string_view message;
        if (rest[0] >= '0' && rest[0] <= '9')
        {
            std::size_t size = 0;
            const auto [end, _] = std::from_chars(rest.data(), rest.data() + rest.size(), size);
            const auto start = static_cast<std::size_t>(end - rest.data()) + 1;
            if (rest.size() < start + size)
                return done;
            message = rest.substr(start, size);
            done += start + size;
        }
        else
        {
            const auto end = rest.find('\n');
            if (end == rest.npos)
                return done;
            message = rest.substr(0, end);
            done += end + 1;
        }
        out.push_back({pbid_of(message), at});
    }
}

void serve(int fd, SSL* ssl)
{
    std::string held;
    std::vector<char> buffer(256u << 10);
    std::vector<arrival> fresh;
    for (;;)
    {
        const auto n = ssl != nullptr ? SSL_read(ssl, buffer.data(), static_cast<int>(buffer.size()))
                                      : static_cast<int>(::recv(fd, buffer.data(), buffer.size(), 0));
        if (n <= 0)
            break;
        held.append(buffer.data(), static_cast<std::size_t>(n));
        fresh.clear();
        held.erase(0, take_frames(held, fresh, now_us()));
        const std::lock_guard guard(lock);
        arrivals.insert(arrivals.end(), fresh.begin(), fresh.end());
        all_bytes += static_cast<std::uint64_t>(n);
    }
    if (ssl != nullptr)
    {
        SSL_shutdown(ssl);
        SSL_free(ssl);
    }
    ::close(fd);
}

void accept_all(int listener, SSL_CTX* tls)
{
    for (;;)
    {
        const int fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
        if (fd < 0)
            return;
        std::thread([fd, tls] {
            SSL* ssl = nullptr;
            if (tls != nullptr)
            {
                ssl = SSL_new(tls);
                SSL_set_fd(ssl, fd);
                if (SSL_accept(ssl) != 1)
                {
                    SSL_free(ssl);
                    ::close(fd);
                    return;
                }
            }
            serve(fd, ssl);
        }).detach();
    }
}

SSL_CTX* server_context(const char* certificate, const char* key)
{
    SSL_CTX* c = SSL_CTX_new(TLS_server_method());
    if (SSL_CTX_use_certificate_chain_file(c, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(c, key, SSL_FILETYPE_PEM) != 1)
    {
        std::cerr << "bench-sink: the certificate or its key cannot be used\n";
        std::exit(2);
    }
    return c;
}

int listen_on_loopback(std::uint16_t& port)
{
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in own{};
    own.sin_family = AF_INET;
    own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof own;
    if (fd < 0 || ::bind(fd, reinterpret_cast<sockaddr*>(&own), size) != 0 || ::listen(fd, 128) != 0 ||
        ::getsockname(fd, reinterpret_cast<sockaddr*>(&own), &size) != 0)
    {
        std::perror("bench-sink");
        std::exit(2);
    }
    port = ntohs(own.sin_port);
    return fd;
}

void answer(const std::string& line)
{
    if (line == "count")
    {
        const std::lock_guard guard(lock);
        std::cout << "count " << arrivals.size() << ' ' << all_bytes << std::endl;
        return;
    }
    if (line.starts_with("dump "))
    {
        std::ofstream out(line.substr(5));
        const std::lock_guard guard(lock);
        for (const auto& a : arrivals)
            out << a.pbid << ' ' << a.us << '\n';
        out.close();
        std::cout << (out ? "done" : "failed") << std::endl;
        return;
    }
    std::cout << "count or dump FILE" << std::endl;
}

}  // namespace

int main(int argc, char** argv)
{
    std::signal(SIGPIPE, SIG_IGN);
    SSL_CTX* tls = nullptr;
    if (argc == 4 && std::string_view(argv[1]) == "--tls")
        tls = server_context(argv[2], argv[3]);
    else if (argc != 1)
    {
        std::cerr << "bench-sink [--tls CERT KEY]\n";
        return 2;
    }
    std::uint16_t port = 0;
    const int listener = listen_on_loopback(port);
    std::thread([listener, tls] { accept_all(listener, tls); }).detach();
    std::cout << "port " << port << std::endl;
    for (std::string line; std::getline(std::cin, line);)
        answer(line);
    std::_Exit(0);  // connections' threads may be reading
}
