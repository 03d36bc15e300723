#include <dtbridge/transport/kafka.hpp>

#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <functional>
#include <map>

#include <dtbridge/net/connect_report.hpp>
#include <dtbridge/transport/transport.hpp>

#include <transport/kafka_settings.hpp>

#include "support/collector.hpp"
#include "support/kafka_cluster.hpp"
#include "support/run_coro.hpp"

using namespace dtbridge;
namespace asio = boost::asio;
using asio::awaitable;
using namespace std::chrono_literals;
using test::kafka_cluster;
using test::run_coro;
using clock_type = std::chrono::steady_clock;

BOOST_AUTO_TEST_SUITE(kafka, *boost::unit_test::enable_if<test::kafka_can_run>())

namespace
{

constexpr int partitions = 4;

transport::options options_to(const kafka_cluster& c)
{
    transport::options o;
    o.kind = transport::protocol::kafka;
    o.addresses = c.addresses();
    o.kafka.topic = "breaches";
    o.max_message = 64u << 10;
    return o;
}

transport::message_label label(const std::string& key, int pbid)
{
    transport::message_label l;
    l.key = key;
    l.master = "acme";
    l.pbid = std::to_string(pbid);
    l.format = "json";
    return l;
}

/// What one connection was like from its making to its end.
struct seen
{
    std::uint64_t confirmed = 0;
    std::size_t unconfirmed = 0;
    std::vector<std::size_t> undeliverable;
    std::vector<transport::refused_message> refused;
    std::optional<failure> reason;
    std::string peer;
    clock_type::duration connected_in{};
};

using batches = std::vector<std::vector<std::pair<std::string, transport::message_label>>>;

/// Sends all batches and waits until they are confirmed or the connection is over. between: after the first,
/// or with none to send at once.
awaitable<seen> send_all(transport::connector& connector, batches all, std::function<void()> between)
{
    auto ex = co_await asio::this_coro::executor;
    seen s;
    const auto from = clock_type::now();
    transport::connector::notify nobody;
    auto opened = co_await connector.connect(nobody);
    s.connected_in = clock_type::now() - from;
    if (!opened)
    {
        s.reason = opened.error();
        co_return s;
    }
    auto& c = **opened;
    s.peer = c.peer();
    transport::batch b(transport::wire::kafka);
    std::uint64_t number = 0;
    for (const auto& messages : all)
    {
        b.clear();
        for (const auto& [text, l] : messages)
            b.add(text, l);
        auto report = co_await c.send(b);
        if (report)
            s.undeliverable.insert(
                s.undeliverable.end(), report->undeliverable.begin(), report->undeliverable.end());
        ++number;
        if (number == 1 && between)
            between();
    }
    if (all.empty() && between)
        between();
    asio::steady_timer timer(ex);
    const auto until = clock_type::now() + 20s;
    while (c.now() != transport::connection::state::over && clock_type::now() < until &&
           (number == 0 || c.confirmed() < number))
    {
        timer.expires_after(1ms);
        co_await timer.async_wait(asio::use_awaitable);
    }
    s.confirmed = c.confirmed();
    s.unconfirmed = c.unconfirmed();
    s.refused = c.take_refused();
    s.reason = c.reason();
    co_await c.close();
    co_return s;
}

class way
{
public:
    explicit way(transport::options o, transport::timing t = {})
        : connector_(ctx_.get_executor(), std::move(o), t)
    {}
    seen send(batches all, std::function<void()> between = {})
    {
        return run_coro(ctx_, send_all(connector_, std::move(all), std::move(between)), 40s);
    }
    /// As `check --connect` does.
    void only_look(std::shared_ptr<net::connect_report> r) { connector_.report_to(std::move(r)); }

private:
    asio::io_context ctx_;
    transport::connector connector_;
};

/// Batches of ten for five devices.
batches many(int count)
{
    batches all;
    for (int i = 0; i < count; ++i)
    {
        if (i % 10 == 0)
            all.emplace_back();
        all.back().emplace_back("message " + std::to_string(i),
                                label("acme/did " + std::to_string(i % 5), i));
    }
    return all;
}

/// Each once, in order by key, one partition for a key; with what was said beside it.
void check_many(const std::vector<test::kafka_record>& got, int count)
{
    BOOST_TEST(got.size() == static_cast<std::size_t>(count));
    std::map<std::string, std::vector<int>> by_key;
    std::map<std::string, std::int32_t> partition_of;
    std::size_t wrong = 0;
    for (const auto& r : got)
    {
        const int i = std::stoi(r.value.substr(8));
        by_key[r.key].push_back(i);
        const auto at = partition_of.emplace(r.key, r.partition).first;
        wrong += at->second != r.partition;
        wrong += r.key != "acme/did " + std::to_string(i % 5);
        wrong += r.headers != std::vector<std::pair<std::string, std::string>>{
                                  {"master", "acme"}, {"pbid", std::to_string(i)}, {"format", "json"}};
    }
    BOOST_TEST(wrong == 0u);
    BOOST_TEST(by_key.size() == 5u);
    for (const auto& [key, numbers] : by_key)
    {
        std::vector<int> expected;
        for (int i = 0; i < count; ++i)
            if (key == "acme/did " + std::to_string(i % 5))
                expected.push_back(i);
        BOOST_TEST((numbers == expected));
    }
}

std::map<std::string, std::string> dumped(const transport::options& o, bool one_by_one = false)
{
    auto library = transport::kafka_library::get();
    BOOST_REQUIRE(library);
    auto conf = transport::make_kafka_conf(**library, o, {}, one_by_one);
    BOOST_REQUIRE(conf);
    std::size_t count = 0;
    const char** texts = rd_kafka_conf_dump(conf->get(), &count);
    std::map<std::string, std::string> out;
    for (std::size_t i = 0; i + 1 < count; i += 2)
        out[texts[i]] = texts[i + 1];
    rd_kafka_conf_dump_free(texts, count);
    // The dump hides it.
    std::array<char, 64> password{};
    std::size_t size = password.size();
    if (rd_kafka_conf_get(conf->get(), "sasl.password", password.data(), &size) == RD_KAFKA_CONF_OK)
        out["sasl.password"] = password.data();
    return out;
}

}  // namespace

BOOST_AUTO_TEST_CASE(what_librdkafka_is_set_to)
{
    transport::options o;
    o.kind = transport::protocol::kafka;
    o.addresses = {{"b1.example", 9092}, {"2001:db8::1", 9093}};
    o.kafka.topic = "breaches";
    auto s = dumped(o);
    BOOST_TEST(s["metadata.broker.list"] == "b1.example:9092,[2001:db8::1]:9093");
    BOOST_TEST(s["security.protocol"] == "plaintext");
    BOOST_TEST(s["enable.idempotence"] == "true");
    BOOST_TEST(s["compression.codec"] == "lz4");
    BOOST_TEST(s["message.max.bytes"] == "1000000");
    BOOST_TEST(s["queue.buffering.max.messages"] == "32768");
    BOOST_TEST(s["queue.buffering.max.kbytes"] == "65536");
    BOOST_TEST(s["batch.size"] == "65536");
    BOOST_TEST(s["batch.num.messages"] == "10000");
    BOOST_TEST(s.contains("sasl.username") == false);

    o.kafka.compression = "zstd";
    o.kafka.sasl_mechanism = "SCRAM-SHA-512";
    o.kafka.sasl_username = "bridge";
    o.kafka.sasl_password = secret("pass word");
    o.kafka.tls = true;
    o.tls.ca_file = "/pki/ca.pem";
    o.tls.cert_file = "/pki/client.pem";
    o.tls.key_file = "/pki/client.key";
    o.max_message = 2u << 20;
    s = dumped(o, true);
    BOOST_TEST(s["security.protocol"] == "sasl_ssl");
    BOOST_TEST(s["sasl.mechanisms"] == "SCRAM-SHA-512");
    BOOST_TEST(s["sasl.username"] == "bridge");
    BOOST_TEST(s["sasl.password"] == "pass word");
    BOOST_TEST(s["ssl.ca.location"] == "/pki/ca.pem");
    BOOST_TEST(s["ssl.certificate.location"] == "/pki/client.pem");
    BOOST_TEST(s["ssl.key.location"] == "/pki/client.key");
    BOOST_TEST(s["enable.ssl.certificate.verification"] == "true");
    BOOST_TEST(s["ssl.endpoint.identification.algorithm"] == "https");
    BOOST_TEST(s["compression.codec"] == "zstd");
    BOOST_TEST(s["message.max.bytes"] == std::to_string((2u << 20) + 4096u));
    BOOST_TEST(s["batch.num.messages"] == "1");

    o.tls = {};
    o.tls.verify = false;
    o.kafka.sasl_mechanism = "";
    s = dumped(o);
    BOOST_TEST(s["security.protocol"] == "ssl");
    BOOST_TEST(s["enable.ssl.certificate.verification"] == "false");
    BOOST_TEST(s["ssl.endpoint.identification.algorithm"] == "none");
    BOOST_TEST(s.contains("ssl.ca.location") == false);

    o.tls.verify = true;
    o.kafka.tls = false;
    o.kafka.sasl_mechanism = "PLAIN";
    s = dumped(o);
    BOOST_TEST(s["security.protocol"] == "sasl_plaintext");
    BOOST_TEST(s["sasl.mechanisms"] == "PLAIN");
}

BOOST_AUTO_TEST_CASE(the_password_is_in_no_list_and_no_failure)
{
    transport::options o;
    o.kafka.sasl_mechanism = "PLAIN";
    o.kafka.sasl_password = secret("swordfish");
    for (const auto& [name, value] : transport::kafka_settings(o, {}, false))
        BOOST_TEST((name + value).find("swordfish") == std::string::npos);
    BOOST_TEST(transport::check_kafka(o).has_value());
    o.kafka.compression = "brotli";
    const auto refused = transport::check_kafka(o);
    BOOST_REQUIRE(!refused);
    BOOST_TEST(refused.error().detail.find("does not take compression.codec = brotli") != std::string::npos);
    BOOST_TEST(refused.error().detail.find("swordfish") == std::string::npos);
}

BOOST_DATA_TEST_CASE(each_once_in_order_by_key_with_headers,
                     boost::unit_test::data::make({"none", "gzip", "snappy", "lz4", "zstd"}),
                     compression)
{
    kafka_cluster brokers(3);
    brokers.create("breaches", partitions);
    auto o = options_to(brokers);
    o.kafka.compression = compression;
    const auto s = way(o).send(many(500));
    BOOST_TEST(s.confirmed == 50u);
    BOOST_TEST(s.unconfirmed == 0u);
    BOOST_TEST(!s.reason);
    BOOST_TEST(s.peer == o.addresses[0].text() + ", " + o.addresses[1].text() + ", " + o.addresses[2].text() +
                             " (topic breaches)");
    check_many(brokers.read("breaches", partitions), 500);
}

BOOST_AUTO_TEST_CASE(broker_errors_repeat_and_lose_nothing)
{
    kafka_cluster brokers(3);
    brokers.create("breaches", partitions);
    brokers.fail_next_writes({RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
                              RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
                              RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
                              RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION});
    const auto s = way(options_to(brokers)).send(many(500));
    BOOST_TEST(s.confirmed == 50u);
    BOOST_TEST(!s.reason);
    check_many(brokers.read("breaches", partitions), 500);
}

BOOST_AUTO_TEST_CASE(a_broker_that_goes_down_and_comes_back_is_waited_for)
{
    kafka_cluster brokers;
    brokers.create("breaches", partitions);
    int at = 0;
    const auto s = way(options_to(brokers)).send(many(500), [&] {
        ++at;
        brokers.set_down();
        brokers.set_up();
    });
    BOOST_TEST(at == 1);
    BOOST_TEST(s.confirmed == 50u);
    BOOST_TEST(!s.reason);
    check_many(brokers.read("breaches", partitions), 500);
}

BOOST_AUTO_TEST_CASE(a_dead_cluster_is_noticed_and_named)
{
    kafka_cluster brokers;
    brokers.create("breaches", partitions);
    transport::timing t;
    t.answer = 700ms;
    way w(options_to(brokers), t);
    const auto s = w.send(many(100), [&] { brokers.set_down(); });
    BOOST_REQUIRE(s.reason);
    BOOST_TEST((s.reason->code == errc::timed_out));
    BOOST_TEST(s.reason->detail.find("confirmed nothing for 1 s") != std::string::npos);
    BOOST_TEST(s.confirmed + s.unconfirmed == 10u);
    BOOST_TEST(s.unconfirmed > 0u);
    // Down: said at once, with the reason. Up: the same connector goes on.
    const auto refused = w.send(many(10));
    BOOST_REQUIRE(refused.reason);
    BOOST_TEST(refused.reason->detail.find("Connection refused") != std::string::npos);
    BOOST_TEST((refused.connected_in < 5s));
    brokers.set_up();
    BOOST_TEST(w.send(many(10)).confirmed == 1u);
}

BOOST_AUTO_TEST_CASE(brokers_that_leave_an_idle_connection_end_it_in_order)
{
    kafka_cluster brokers;
    brokers.create("breaches", partitions);
    const auto s = way(options_to(brokers)).send({}, [&] { brokers.set_down(); });
    BOOST_REQUIRE(s.reason);
    BOOST_TEST((s.reason->code == asio::error::eof));
    BOOST_TEST(s.reason->detail.find("closed by the brokers") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(who_is_not_there_is_said_within_the_limit)
{
    transport::options o;
    o.kind = transport::protocol::kafka;
    o.kafka.topic = "breaches";
    o.addresses = {{"127.0.0.1", test::unused_port()}};
    const auto s = way(o).send(many(10));
    BOOST_REQUIRE(s.reason);
    BOOST_TEST(s.reason->detail.find("Connection refused") != std::string::npos);
    BOOST_TEST(s.reason->detail.find("(after ") == std::string::npos);
    BOOST_TEST((s.connected_in < 5s));
}

BOOST_AUTO_TEST_CASE(a_topic_that_is_not_there_is_named)
{
    kafka_cluster brokers;
    brokers.create("others", 1);
    // Looking creates nothing.
    for (int i = 0; i < 2; ++i)
    {
        way w(options_to(brokers));
        w.only_look(std::make_shared<net::connect_report>());
        const auto s = w.send({});
        BOOST_REQUIRE(s.reason);
        BOOST_TEST(s.reason->detail.find("(topic breaches): the topic does not exist") != std::string::npos);
    }
    brokers.create("breaches", 1);
    auto report = std::make_shared<net::connect_report>();
    way w(options_to(brokers));
    w.only_look(report);
    BOOST_TEST(w.send(many(10)).confirmed == 1u);
    BOOST_TEST(report->step == "done");
    BOOST_TEST(report->address.find(brokers.addresses()[0].text()) == 0u);
    brokers.set_error("breaches", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    const auto s = way(options_to(brokers)).send(many(10));
    BOOST_REQUIRE(s.reason);
    BOOST_TEST(s.reason->detail.find("the topic does not exist") != std::string::npos);
    brokers.set_error("breaches", RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    const auto denied = way(options_to(brokers)).send(many(10));
    BOOST_REQUIRE(denied.reason);
    BOOST_TEST(denied.reason->detail.find("this user may not see the topic") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(what_a_user_may_not_do_is_named)
{
    kafka_cluster brokers;
    brokers.create("breaches", 1);
    brokers.fail_next_writes({RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED});
    const auto s = way(options_to(brokers)).send(many(10));
    BOOST_REQUIRE(s.reason);
    BOOST_TEST((s.reason->code == errc::refused));
    BOOST_TEST(s.reason->detail.find("may not write to the topic") != std::string::npos);
    BOOST_TEST(s.confirmed == 0u);
}

BOOST_AUTO_TEST_CASE(a_message_that_the_topic_does_not_take_is_refused_alone)
{
    kafka_cluster brokers;
    brokers.create("breaches", 1);
    brokers.fail_next_writes({RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE});
    const std::string large(70'000, 'x');
    const auto s = way(options_to(brokers))
                       .send({{{large, label("a", 1)}, {"small", label("a", 2)}}, {{"last", label("a", 3)}}});
    BOOST_TEST(s.confirmed == 2u);
    BOOST_TEST(!s.reason);
    BOOST_REQUIRE(s.refused.size() == 1u);
    BOOST_TEST(s.refused[0].batch == 1u);
    BOOST_TEST(s.refused[0].place == 0u);
    BOOST_TEST(s.refused[0].size == large.size());
    std::vector<std::string> got;
    for (const auto& r : brokers.read("breaches", 1))
        got.push_back(r.value);
    BOOST_TEST((got == std::vector<std::string>{"small", "last"}));
}

BOOST_AUTO_TEST_CASE(a_batch_that_the_topic_does_not_take_is_sent_again_one_by_one)
{
    kafka_cluster brokers;
    brokers.create("breaches", 1);
    brokers.fail_next_writes({RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE});
    way w(options_to(brokers));
    auto s = w.send({{{"one", label("a", 1)}, {"two", label("a", 2)}}});
    BOOST_REQUIRE(s.reason);
    BOOST_TEST((s.reason->code == errc::over_limit));
    BOOST_TEST(s.confirmed == 0u);
    BOOST_TEST(s.refused.empty());
    // Now it is known which of them is meant.
    brokers.fail_next_writes({RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE});
    s = w.send({{{"one", label("a", 1)}, {"two", label("a", 2)}}});
    BOOST_TEST(!s.reason);
    BOOST_TEST(s.confirmed == 1u);
    BOOST_REQUIRE(s.refused.size() == 1u);
    BOOST_TEST(s.refused[0].place == 0u);
    const auto got = brokers.read("breaches", 1);
    BOOST_REQUIRE(got.size() == 1u);
    BOOST_TEST(got[0].value == "two");
}

BOOST_AUTO_TEST_CASE(what_no_request_can_carry_is_named_before_it_is_sent)
{
    kafka_cluster brokers;
    brokers.create("breaches", 1);
    const std::string huge(1'100'000, 'x');
    const auto s = way(options_to(brokers))
                       .send({{{"first", label("a", 1)}, {huge, label("a", 2)}, {"last", label("a", 3)}},
                              {{huge, label("a", 4)}}});
    BOOST_TEST((s.undeliverable == std::vector<std::size_t>{1, 0}));
    BOOST_TEST(s.confirmed == 2u);
    BOOST_TEST(brokers.read("breaches", 1).size() == 2u);
}

BOOST_AUTO_TEST_CASE(a_message_without_key_and_pbid_goes_too)
{
    kafka_cluster brokers;
    brokers.create("breaches", 1);
    transport::message_label l;
    l.format = "cef";
    BOOST_TEST(way(options_to(brokers)).send({{{"a line\nand \0 more", l}}}).confirmed == 1u);
    const auto got = brokers.read("breaches", 1);
    BOOST_REQUIRE(got.size() == 1u);
    BOOST_TEST(got[0].value == "a line\nand ");
    BOOST_TEST(got[0].key == "");
    BOOST_TEST((got[0].headers == std::vector<std::pair<std::string, std::string>>{{"format", "cef"}}));
}

BOOST_AUTO_TEST_SUITE_END()
