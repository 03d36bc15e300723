#include <boost/asio/error.hpp>
#include <boost/asio/steady_timer.hpp>

#include <sys/socket.h>

#include <array>
#include <atomic>
#include <fstream>
#include <mutex>

#include "unit/net/support.hpp"

using namespace dtbridge;
using namespace dtbridge::net;
using namespace dtbridge::net::test;

namespace
{

struct tls_fixture
{
    pki keys;
    asio::io_context ctx;
    peer_server::script answer = [](peer_connection& c) {
        c.write("hello");
        c.read_all();
    };

    /// "" when the stream worked, else what connect() said.
    std::string try_peer(const peer_tls& tls,
                         tls_options o,
                         const std::string& name = {},
                         error_code* code = nullptr)
    {
        peer_server server(answer, tls);
        auto options = to(server, keys.client(std::move(o)));
        options.server_name = name;
        auto made = run_coro(ctx, connect(options), 10s);
        if (made)
        {
            auto hear = [](stream& s) -> awaitable<std::string> {
                auto text = co_await read_text(s);
                co_return text;
            };
            const auto text = run_coro(ctx, hear(*made.value()), 10s);
            BOOST_TEST(text == "hello");
            facts = made.value()->peer();
            return {};
        }
        if (code)
            *code = made.error().code;
        BOOST_TEST((made.error().code == make_error_code(errc::tls_refused)));
        BOOST_TEST(has(made.error().detail, "127.0.0.1:" + std::to_string(server.port())));
        return made.error().detail;
    }
    peer_facts facts;

    std::string write_file(const std::string& name, const std::string& text)
    {
        const auto path = keys.folder / name;
        std::ofstream(path) << text;
        return path;
    }
};

failure error_of(const outcome<std::shared_ptr<tls_client>>& o)
{
    BOOST_REQUIRE(o.has_error());
    return o.error();
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(tls_test, tls_fixture)

BOOST_AUTO_TEST_CASE(a_known_ca_and_the_right_name)
{
    BOOST_TEST(try_peer({.own = keys.server}, {}) == "");  // 127.0.0.1 is among its addresses
    BOOST_TEST(facts.protocol == "TLSv1.3");
    BOOST_TEST(facts.fingerprint_sha256 == keys.server.fingerprint());
    BOOST_TEST(facts.subject == "CN=server");
    BOOST_TEST(facts.expires % 1000 == 0);
    BOOST_TEST(facts.expires > 1'700'000'000'000);
    BOOST_TEST(try_peer({.own = keys.server}, {}, "siem.test") == "");
    BOOST_TEST(try_peer({.own = keys.server}, {}, "SIEM.test.") == "");
    BOOST_TEST(try_peer({.own = keys.server}, {.server_name = "siem.test"}) == "");
}

BOOST_AUTO_TEST_CASE(tls_1_2_with_a_cipher_of_rfc_9662)
{
    BOOST_TEST(
        try_peer(
            {.own = keys.server, .max_version = TLS1_2_VERSION, .ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256"},
            {}) == "");
    BOOST_TEST(facts.protocol == "TLSv1.2");
    BOOST_TEST(facts.cipher == "ECDHE-ECDSA-AES128-GCM-SHA256");
}

BOOST_AUTO_TEST_CASE(old_versions_and_ciphers_are_refused)
{
    const auto old = try_peer({.own = keys.server,
                               .min_version = TLS1_VERSION,
                               .max_version = TLS1_1_VERSION,
                               .ciphers = "ALL:@SECLEVEL=0"},
                              {});
    BOOST_TEST(has(old, "only versions of TLS before 1.2"));
    // CBC with HMAC, though with forward secrecy.
    const auto cbc = try_peer({.own = keys.server,
                               .max_version = TLS1_2_VERSION,
                               .ciphers = "ECDHE-ECDSA-AES128-SHA256:@SECLEVEL=0"},
                              {});
    BOOST_TEST(has(cbc, "agreed to no cipher"));
    BOOST_TEST(has(cbc, "AES-GCM"));
}

BOOST_AUTO_TEST_CASE(nothing_but_ecdhe_with_aead_on_an_rsa_key)
{
    const auto rsa = make_certificate({.names = {"IP:127.0.0.1"}, .rsa_bits = 2048}, &keys.ca);
    const auto with = [&](const std::string& cipher) {
        return try_peer({.own = rsa, .max_version = TLS1_2_VERSION, .ciphers = cipher + ":@SECLEVEL=0"}, {});
    };
    BOOST_TEST(with("ECDHE-RSA-AES128-GCM-SHA256") == "");
    BOOST_TEST(facts.cipher == "ECDHE-RSA-AES128-GCM-SHA256");
    BOOST_TEST(with("ECDHE-RSA-CHACHA20-POLY1305") == "");
    // The key exchange without forward secrecy, AEAD or not; CBC; CCM is AEAD, yet not among what RFC
    // 9325 4.2 recommends.
    for (const auto* cipher : {"AES128-GCM-SHA256",
                               "AES256-GCM-SHA384",
                               "AES128-SHA256",
                               "AES128-SHA",
                               "ECDHE-RSA-AES256-SHA384",
                               "ECDHE-RSA-AES128-SHA"})
        BOOST_TEST(has(with(cipher), "agreed to no cipher"), cipher);
}

BOOST_AUTO_TEST_CASE(a_short_key_is_refused)
{
    const auto weak = make_certificate({.names = {"IP:127.0.0.1"}, .rsa_bits = 1024}, &keys.ca);
    BOOST_TEST(try_peer({.own = weak}, {}) != "");
}

BOOST_AUTO_TEST_CASE(addresses_are_compared_with_addresses)
{
    const auto other = make_certificate({.names = {"IP:127.0.0.2", "IP:::1"}}, &keys.ca);
    BOOST_TEST(has(try_peer({.own = other}, {}), "is for 127.0.0.2, ::1, not for 127.0.0.1"));
    BOOST_TEST(try_peer({.own = other}, {}, "127.0.0.2") == "");
    BOOST_TEST(try_peer({.own = other}, {}, "::1") == "");
    // RFC 9525 6.4: an address in a DNS name, or in the common name, is none.
    const auto dotted = make_certificate({.common_name = "127.0.0.1", .names = {"DNS:127.0.0.1"}}, &keys.ca);
    BOOST_TEST(has(try_peer({.own = dotted}, {}), "not for 127.0.0.1"));
}

namespace
{

/// Counts the ClientHello messages that a server reads.
void count_hellos(int write, int, int type, const void* data, std::size_t size, SSL*, void* counter)
{
    if (write == 0 && type == SSL3_RT_HANDSHAKE && size > 0 &&
        *static_cast<const unsigned char*>(data) == SSL3_MT_CLIENT_HELLO)
        ++*static_cast<std::atomic<int>*>(counter);
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_server_that_wants_to_renegotiate_is_not_followed)
{
    std::atomic<int> hellos{0}, asked{0};
    answer = [&](peer_connection& c) {
        SSL_set_msg_callback(c.ssl(), count_hellos);
        SSL_set_msg_callback_arg(c.ssl(), &hellos);
        c.write("hel");
        if (SSL_renegotiate(c.ssl()) == 1 && SSL_do_handshake(c.ssl()) == 1)
            ++asked;  // HelloRequest was sent
        c.write("lo");
        c.read_all();
    };
    peer_server server(answer, peer_tls{.own = keys.server, .max_version = TLS1_2_VERSION});
    auto made = run_coro(ctx, connect(to(server, keys.client())), 10s);
    BOOST_REQUIRE(made.has_value());
    auto hear = [](stream& s) -> awaitable<std::size_t> {
        std::array<char, 64> buffer{};
        std::size_t all = 0;
        for (int i = 0; i < 4; ++i)
        {
            const auto into = asio::buffer(buffer);
            const auto got = co_await s.read_some(into, 500ms);
            if (got)
                all += *got;
        }
        co_return all;
    };
    const auto read = run_coro(ctx, hear(*made.value()), 10s);
    BOOST_TEST(read >= 3u);
    BOOST_TEST(asked == 1);
    BOOST_TEST(hellos == 0);
}

BOOST_AUTO_TEST_CASE(key_updates_whose_answers_nobody_reads_end_the_connection)
{
    std::atomic<int> asked{0};
    answer = [&](peer_connection& c) {
        const int little = 4096;
        setsockopt(c.fd(), SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
        // More than the kernels' buffers and the bound together; the answer to each is 27 bytes long.
        while (asked < 100'000 && SSL_key_update(c.ssl(), SSL_KEY_UPDATE_REQUESTED) == 1 &&
               SSL_do_handshake(c.ssl()) == 1)
            ++asked;
        c.write("done");
        c.read_all();
    };
    peer_server server(answer, peer_tls{.own = keys.server});
    auto made = run_coro(ctx, connect(to(server, keys.client())), 10s);
    BOOST_REQUIRE(made.has_value());
    BOOST_REQUIRE(made.value()->peer().protocol == "TLSv1.3");
    const int little = 4096;
    setsockopt(made.value()->native_handle(), SOL_SOCKET, SO_SNDBUF, &little, sizeof little);
    auto hear = [](stream& s) -> awaitable<error_code> {
        std::array<char, 64> buffer{};
        const asio::mutable_buffer into = asio::buffer(buffer);
        const auto got = co_await s.read_some(into, 20s);
        // It stays so.
        const auto again = co_await s.read_some(into, 1s);
        BOOST_TEST(again.has_error());
        co_return got ? error_code() : got.error();
    };
    const auto why = run_coro(ctx, hear(*made.value()), 30s);
    BOOST_TEST((why == make_error_code(errc::over_limit)));
    BOOST_TEST(has(describe(why), "does not read the answers"));
    made.value()->reset();
    BOOST_TEST(asked > 9'000);
}

BOOST_AUTO_TEST_CASE(a_port_that_does_not_speak_tls)
{
    peer_server server([](peer_connection& c) {
        c.read_some();
        c.write("HTTP/1.1 400 Bad Request\r\n\r\n");
        c.finish();
        c.read_all();
    });
    const auto made = run_coro(ctx, connect(to(server, keys.client())), 10s);
    BOOST_REQUIRE(made.has_error());
    BOOST_TEST(has(made.error().detail, "does not speak TLS on this port"));
    peer_server silent([](peer_connection& c) {
        c.read_some();
        c.finish();
    });
    const auto closed = run_coro(ctx, connect(to(silent, keys.client())), 10s);
    BOOST_REQUIRE(closed.has_error());
    BOOST_TEST(has(closed.error().detail, "in the TLS handshake"));
}

BOOST_AUTO_TEST_CASE(an_expired_certificate)
{
    // Two days ago by any clock of this test.
    const auto expired = make_certificate(
        {.names = {"IP:127.0.0.1"}, .valid_from_s = -10 * 86400, .valid_until_s = -2 * 86400}, &keys.ca);
    const auto words = try_peer({.own = expired}, {});
    BOOST_TEST(has(words, " expired on 20"));
    BOOST_TEST(has(words, "have it renewed"));
    const auto early = make_certificate({.names = {"IP:127.0.0.1"}, .valid_from_s = 2 * 86400}, &keys.ca);
    BOOST_TEST(has(try_peer({.own = early}, {}), "is valid only from 20"));
    BOOST_TEST(try_peer({.own = expired}, {.verify = false}) == "");
}

BOOST_AUTO_TEST_CASE(an_expired_ca)
{
    const auto old_ca = make_certificate(
        {.common_name = "Old CA", .valid_from_s = -10 * 86400, .valid_until_s = -2 * 86400, .is_ca = true});
    const auto file = keys.folder / "old_ca.pem";
    old_ca.write_cert(file);
    const auto leaf = make_certificate({.names = {"IP:127.0.0.1"}}, &old_ca);
    const auto words = try_peer({.own = leaf}, {.ca_file = file});
    BOOST_TEST(has(words, "hangs on the CA certificate \"CN=Old CA\", which expired on 20"));
}

BOOST_AUTO_TEST_CASE(a_wrong_name)
{
    const auto words = try_peer({.own = keys.server}, {}, "other.test");
    BOOST_TEST(has(words, "is for localhost, siem.test, 127.0.0.1, not for other.test"));
    BOOST_TEST(has(words, "server_name"));
    const auto named = make_certificate({.names = {"DNS:siem.test"}}, &keys.ca);
    BOOST_TEST(has(try_peer({.own = named}, {}), "is for siem.test, not for 127.0.0.1"));
    // RFC 9525 6.3: only the whole left-most label.
    const auto wild = make_certificate({.names = {"DNS:*.siem.test"}}, &keys.ca);
    BOOST_TEST(try_peer({.own = wild}, {}, "a.siem.test") == "");
    BOOST_TEST(try_peer({.own = wild}, {}, "siem.test") != "");
    BOOST_TEST(try_peer({.own = wild}, {}, "a.b.siem.test") != "");
    // The common name is no host name.
    const auto old_style = make_certificate({.common_name = "siem.test"}, &keys.ca);
    const auto none = try_peer({.own = old_style}, {}, "siem.test");
    BOOST_TEST(has(none, "names no host at all"));
    BOOST_TEST(has(none, old_style.fingerprint()));
}

BOOST_AUTO_TEST_CASE(an_unknown_ca)
{
    const auto other_ca = make_certificate({.common_name = "Other CA", .is_ca = true});
    const auto leaf = make_certificate({.names = {"IP:127.0.0.1"}}, &other_ca);
    const auto words = try_peer({.own = leaf}, {});
    BOOST_TEST(has(words, "issued by a CA that is not in " + keys.ca_file));
    BOOST_TEST(has(words, "(issuer \"CN=Other CA\")"));
    BOOST_TEST(has(words, "fingerprint_sha256 = \"" + leaf.fingerprint() + "\""));
    // A CA of the same name with another key.
    const auto impostor = make_certificate({.common_name = "Test CA", .is_ca = true});
    BOOST_TEST(try_peer({.own = make_certificate({.names = {"IP:127.0.0.1"}}, &impostor)}, {}) != "");
    // The system's store, which knows neither.
    peer_server server(answer, peer_tls{.own = keys.server});
    const auto made = run_coro(ctx, connect(to(server, make_tls_client({}).value())), 10s);
    BOOST_REQUIRE(made.has_error());
    BOOST_TEST(has(made.error().detail, "not in the system's store"));
}

BOOST_AUTO_TEST_CASE(a_self_signed_certificate)
{
    const auto own = make_certificate({.common_name = "appliance", .names = {"IP:127.0.0.1"}});
    const auto words = try_peer({.own = own}, {});
    BOOST_TEST(has(words, "is self-signed (subject \"CN=appliance\"); give it as ca_file"));
    BOOST_TEST(has(words, own.fingerprint()));
    const auto file = keys.folder / "own.pem";
    own.write_cert(file);
    BOOST_TEST(try_peer({.own = own}, {.ca_file = file}) == "");
    // A certificate in ca_file is trusted though its issuer is not there.
    const auto other_ca = make_certificate({.common_name = "Other CA", .is_ca = true});
    const auto leaf = make_certificate({.names = {"IP:127.0.0.1"}}, &other_ca);
    leaf.write_cert(file);
    BOOST_TEST(try_peer({.own = leaf}, {.ca_file = file}) == "");
}

BOOST_AUTO_TEST_CASE(a_pin_replaces_chain_and_name_but_not_dates)
{
    const auto own = make_certificate({.common_name = "appliance"});
    BOOST_TEST(try_peer({.own = own}, {.fingerprint_sha256 = own.fingerprint()}) == "");
    BOOST_TEST(try_peer({.own = own}, {.fingerprint_sha256 = own.fingerprint()}, "any.test") == "");
    const auto wrong = try_peer({.own = own}, {.fingerprint_sha256 = keys.server.fingerprint()});
    BOOST_TEST(has(wrong, "has the fingerprint " + own.fingerprint()));
    // A good chain and name do not help against another pin.
    BOOST_TEST(has(
        try_peer({.own = keys.server}, {.ca_file = keys.ca_file, .fingerprint_sha256 = own.fingerprint()}),
        "has the fingerprint"));
    const auto expired = make_certificate({.valid_from_s = -10 * 86400, .valid_until_s = -86400});
    BOOST_TEST(
        has(try_peer({.own = expired}, {.fingerprint_sha256 = expired.fingerprint()}), " expired on 20"));
    const auto early = make_certificate({.valid_from_s = 86400});
    BOOST_TEST(
        has(try_peer({.own = early}, {.fingerprint_sha256 = early.fingerprint()}), "is valid only from"));
}

BOOST_AUTO_TEST_CASE(without_verification_everything_but_the_protocol_goes)
{
    const auto own =
        make_certificate({.common_name = "x", .valid_from_s = -10 * 86400, .valid_until_s = -86400});
    BOOST_TEST(try_peer({.own = own}, {.verify = false}, "wrong.test") == "");
    BOOST_TEST(facts.fingerprint_sha256 == own.fingerprint());
    BOOST_TEST(try_peer({.own = own,
                         .min_version = TLS1_VERSION,
                         .max_version = TLS1_1_VERSION,
                         .ciphers = "ALL:@SECLEVEL=0"},
                        {.verify = false}) != "");
}

BOOST_AUTO_TEST_CASE(the_server_name_is_sent_unless_it_is_an_address)
{
    std::mutex mutex;
    std::string seen;
    answer = [&mutex, &seen](peer_connection& c) {
        const std::lock_guard lock(mutex);
        seen = c.server_name();
        c.write("hello");
        c.read_all();
    };
    try_peer({.own = keys.server}, {}, "siem.test.");
    BOOST_TEST(seen == "siem.test");
    try_peer({.own = keys.server}, {});
    BOOST_TEST(seen == "");
}

BOOST_AUTO_TEST_CASE(a_client_certificate_that_is_required)
{
    const auto mine = make_certificate({.common_name = "bridge", .usage = "clientAuth"}, &keys.ca);
    const auto foreign_ca = make_certificate({.common_name = "Foreign CA", .is_ca = true});
    const auto foreign = make_certificate({.common_name = "bridge", .usage = "clientAuth"}, &foreign_ca);
    const auto cert = keys.folder / "client.pem";
    const auto key = keys.folder / "client.key";
    mine.write_cert(cert);
    mine.write_key(key);
    const auto foreign_cert = keys.folder / "foreign.pem";
    const auto foreign_key = keys.folder / "foreign.key";
    foreign.write_cert(foreign_cert);
    foreign.write_key(foreign_key);

    const peer_tls wants_12{.own = keys.server, .max_version = TLS1_2_VERSION, .client_issuer = keys.ca};
    const peer_tls wants_13{.own = keys.server, .min_version = TLS1_3_VERSION, .client_issuer = keys.ca};
    BOOST_TEST(try_peer(wants_12, {.cert_file = cert, .key_file = key}) == "");
    BOOST_TEST(try_peer(wants_13, {.cert_file = cert, .key_file = key}) == "");
    BOOST_TEST(facts.protocol == "TLSv1.3");

    BOOST_TEST(has(try_peer(wants_12, {}), "requires a client certificate: set tls.cert_file"));
    BOOST_TEST(has(try_peer(wants_12, {.cert_file = foreign_cert, .key_file = foreign_key}),
                   "does not know the CA of our client certificate"));

    // With TLS 1.3 the handshake is done before the server has looked: the refusal comes with the next read.
    auto refused = [](connect_options o) -> awaitable<std::string> {
        auto s = co_await open(std::move(o));
        char c = 0;
        const asio::mutable_buffer into(&c, 1);
        const auto n = co_await s->read_some(into, 5s);
        co_return n.has_error() ? describe(n.error()) : "no error";
    };
    peer_server server(answer, wants_13);
    BOOST_TEST(has(run_coro(ctx, refused(to(server, keys.client())), 10s),
                   "requires a client certificate: set tls.cert_file"));
    BOOST_TEST(has(
        run_coro(
            ctx, refused(to(server, keys.client({.cert_file = foreign_cert, .key_file = foreign_key}))), 10s),
        "does not know the CA of our client certificate"));
}

BOOST_AUTO_TEST_CASE(files_that_cannot_be_used_are_named)
{
    const auto cert = keys.folder / "client.pem";
    const auto key = keys.folder / "client.key";
    keys.server.write_cert(cert);
    keys.server.write_key(key);
    const auto missing = keys.folder / "missing.pem";
    const auto junk = write_file("junk.pem", "no certificate");
    const auto empty = write_file("empty.pem", "");

    BOOST_TEST(make_tls_client({.cert_file = cert, .key_file = key}).has_value());
    BOOST_TEST(error_of(make_tls_client({.ca_file = missing})).detail ==
               missing + ": No such file or directory");
    BOOST_TEST((error_of(make_tls_client({.ca_file = missing})).code == make_error_code(errc::not_found)));
    BOOST_TEST(has(error_of(make_tls_client({.ca_file = keys.folder.path()})).detail, ": not a file"));
    for (const auto& file : {junk, empty})
    {
        BOOST_TEST(has(error_of(make_tls_client({.ca_file = file})).detail, file + ": holds no certificate"));
        BOOST_TEST(has(error_of(make_tls_client({.cert_file = file, .key_file = key})).detail,
                       file + ": no client cert"));
        BOOST_TEST(
            has(error_of(make_tls_client({.cert_file = cert, .key_file = file})).detail, file + ": no key"));
    }
    const auto other = keys.folder / "other.key";
    keys.ca.write_key(other);
    BOOST_TEST(
        has(error_of(make_tls_client({.cert_file = cert, .key_file = other})).detail, "does not belong to"));
    // No question on a terminal.
    const auto locked = keys.folder / "locked.key";
    keys.server.write_key(locked, "secret words");
    BOOST_TEST(has(error_of(make_tls_client({.cert_file = cert, .key_file = locked})).detail,
                   "without a passphrase"));
    for (const auto* pin : {"12", "AB", "zz"})
        BOOST_TEST(error_of(make_tls_client({.fingerprint_sha256 = pin})).detail ==
                   "fingerprint_sha256 must be 64 lower-case hex digits");
    BOOST_TEST(make_tls_client({.fingerprint_sha256 = std::string(64, 'A')}).has_error());
}

BOOST_AUTO_TEST_SUITE_END()
