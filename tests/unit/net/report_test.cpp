/// What connect() notes on its way, also where it fails: the certificate is needed exactly then.

#include <fstream>

#include <dtbridge/net/connect_report.hpp>

#include "unit/net/support.hpp"

using namespace dtbridge;
using namespace dtbridge::net;
using namespace dtbridge::net::test;

namespace
{

struct report_fixture
{
    pki keys;
    asio::io_context ctx;

    connect_report try_peer(const peer_tls& tls, tls_options o, bool works)
    {
        peer_server server([](peer_connection& c) { c.read_all(); }, tls);
        auto options = to(server, keys.client(std::move(o)));
        options.report = std::make_shared<connect_report>();
        auto report = options.report;
        const auto made = run_coro(ctx, connect(options), 10s);
        BOOST_TEST(made.has_value() == works);
        BOOST_TEST(report->address == "127.0.0.1:" + std::to_string(server.port()));
        return *report;
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(report_test, report_fixture)

BOOST_AUTO_TEST_CASE(a_good_connection)
{
    const auto r = try_peer({.own = keys.server}, {}, true);
    BOOST_TEST(r.step == "done");
    BOOST_TEST(r.protocol == "TLSv1.3");
    BOOST_TEST(r.server_name == "127.0.0.1");
    BOOST_TEST(r.addresses == std::vector<std::string>{"127.0.0.1"}, boost::test_tools::per_element());
    BOOST_TEST(!r.self_signed);
    BOOST_TEST(!r.asked_for_ours);
    BOOST_REQUIRE(r.chain.size() == 1u);
    BOOST_TEST(r.chain[0].subject == "CN=server");
    BOOST_TEST(r.chain[0].issuer == "CN=Test CA");
    BOOST_TEST(r.chain[0].names == "localhost, siem.test, 127.0.0.1");
    BOOST_TEST(r.chain[0].fingerprint_sha256 == keys.server.fingerprint());
    BOOST_TEST(r.chain[0].not_after - r.chain[0].not_before == (30 * 86400 + 3600) * 1000LL);
}

BOOST_AUTO_TEST_CASE(a_certificate_that_is_refused)
{
    const auto self = make_certificate({.common_name = "self", .names = {"IP:127.0.0.1"}});
    const auto r = try_peer({.own = self}, {}, false);
    BOOST_TEST(r.step == "tls");
    BOOST_TEST(r.protocol == "");
    BOOST_TEST(r.self_signed);
    BOOST_REQUIRE(r.chain.size() == 1u);
    BOOST_TEST(r.chain[0].fingerprint_sha256 == self.fingerprint());
    const auto pinned = try_peer({.own = self}, {.fingerprint_sha256 = self.fingerprint()}, true);
    BOOST_TEST(pinned.step == "done");
    BOOST_TEST(pinned.chain.size() == 1u);
    const auto other = try_peer({.own = self}, {.fingerprint_sha256 = keys.server.fingerprint()}, false);
    BOOST_REQUIRE(other.chain.size() == 1u);
    BOOST_TEST(other.chain[0].fingerprint_sha256 == self.fingerprint());
    const auto unchecked = try_peer({.own = self}, {.verify = false}, true);
    BOOST_REQUIRE(unchecked.chain.size() == 1u);
    BOOST_TEST(unchecked.chain[0].fingerprint_sha256 == self.fingerprint());
}

BOOST_AUTO_TEST_CASE(a_peer_that_asks_for_ours)
{
    // TLS 1.3: the client's handshake is done before the peer has missed anything.
    const auto r = try_peer({.own = keys.server, .client_issuer = keys.ca}, {}, true);
    BOOST_TEST(r.step == "done");
    BOOST_TEST(r.asked_for_ours);
}

BOOST_AUTO_TEST_CASE(nobody_there)
{
    connect_options o;
    {
        peer_server gone([](peer_connection&) {});
        o = to(gone, keys.client());
    }
    o.report = std::make_shared<connect_report>();
    auto report = o.report;
    BOOST_TEST(run_coro(ctx, connect(o), 10s).has_error());
    BOOST_TEST(report->step == "connect");
    BOOST_TEST(report->chain.empty());
    o.peer.host = "no-such-host.invalid";
    o.report = std::make_shared<connect_report>();
    report = o.report;
    BOOST_TEST(run_coro(ctx, connect(o), 10s).has_error());
    BOOST_TEST(report->step == "resolve");
    BOOST_TEST(report->addresses.empty());
}

BOOST_AUTO_TEST_CASE(ones_own_certificate)
{
    const auto file = keys.folder / "server.pem";
    keys.server.write_cert(file);
    const auto facts = read_certificate(file);
    BOOST_REQUIRE(facts.has_value());
    BOOST_TEST(facts->fingerprint_sha256 == keys.server.fingerprint());
    BOOST_TEST(
        (read_certificate(keys.folder / "missing.pem").error().code == make_error_code(errc::not_found)));
    const auto text = keys.folder / "text.pem";
    std::ofstream(text) << "no certificate\n";
    BOOST_TEST((read_certificate(text).error().code == make_error_code(errc::malformed)));
}

BOOST_AUTO_TEST_SUITE_END()
