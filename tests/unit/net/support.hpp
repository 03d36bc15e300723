#pragma once

#include <boost/asio/this_coro.hpp>
#include <boost/test/unit_test.hpp>

#include <dtbridge/net/stream.hpp>

#include <chrono>
#include <memory>
#include <string>

#include "support/peer.hpp"
#include "support/pki.hpp"
#include "support/run_coro.hpp"
#include "support/temp_dir.hpp"

namespace dtbridge::net::test
{

using namespace std::chrono_literals;
using dtbridge::test::certificate;
using dtbridge::test::make_certificate;
using dtbridge::test::peer_connection;
using dtbridge::test::peer_server;
using dtbridge::test::peer_tls;
using dtbridge::test::run_coro;
using dtbridge::test::temp_dir;

inline bool has(const std::string& text, const std::string& part)
{
    return text.find(part) != std::string::npos;
}

/// A CA, a server certificate for localhost and 127.0.0.1, and the CA's file.
struct pki
{
    temp_dir folder;
    certificate ca = make_certificate({.common_name = "Test CA", .is_ca = true});
    certificate server = make_certificate(
        {.common_name = "server", .names = {"DNS:localhost", "DNS:siem.test", "IP:127.0.0.1"}}, &ca);
    std::string ca_file = folder / "ca.pem";
    pki() { ca.write_cert(ca_file); }

    std::shared_ptr<tls_client> client(tls_options o = {}) const
    {
        if (o.ca_file.empty() && o.fingerprint_sha256.empty() && o.verify)
            o.ca_file = ca_file;
        return make_tls_client(o).value();
    }
};

inline connect_options to(const peer_server& s, std::shared_ptr<tls_client> tls = nullptr)
{
    connect_options o;
    o.peer = {"127.0.0.1", s.port()};
    o.tls = std::move(tls);
    return o;
}

/// A coroutine that fails the test where it cannot connect.
inline awaitable<std::unique_ptr<stream>> open(connect_options o)
{
    auto made = co_await connect(std::move(o));
    if (!made)
        throw std::runtime_error(made.error().detail);
    co_return std::move(made.value());
}

inline awaitable<std::string> read_text(stream& s, duration limit = 5s)
{
    std::string text(65536, '\0');
    const asio::mutable_buffer into = asio::buffer(text);
    const auto n = co_await s.read_some(into, limit);
    text.resize(n.value());
    co_return text;
}

}  // namespace dtbridge::net::test
