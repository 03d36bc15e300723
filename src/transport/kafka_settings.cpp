#include <transport/kafka_settings.hpp>

#include <string.h>

#include <algorithm>
#include <array>

#include <dtbridge/transport/kafka.hpp>

namespace dtbridge::transport
{

namespace
{

/// What librdkafka adds to a record's value: key, headers and their lengths.
constexpr std::size_t record_overhead = 4096;
/// Its own default, which is what brokers take unless told otherwise.
constexpr std::size_t usual_request = 1'000'000;
/// Its least.
constexpr auto least_timeout = std::chrono::milliseconds(10);

std::string in_ms(duration d)
{
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(d);
    return std::to_string(std::max(ms, least_timeout).count());
}

std::string joined(const std::vector<net::endpoint_name>& addresses, std::string_view between)
{
    std::string out;
    for (const auto& a : addresses)
        out += (out.empty() ? std::string() : std::string(between)) + a.text();
    return out;
}

std::string protocol_of(const kafka_options& k)
{
    if (k.sasl_mechanism.empty())
        return k.tls ? "ssl" : "plaintext";
    return k.tls ? "sasl_ssl" : "sasl_plaintext";
}

}  // namespace

std::vector<std::pair<std::string, std::string>> kafka_settings(const options& o,
                                                                const timing& t,
                                                                bool one_by_one)
{
    const auto& k = o.kafka;
    std::vector<std::pair<std::string, std::string>> s = {
        {"client.id", "dtbridge"},
        {"bootstrap.servers", joined(o.addresses, ",")},
        {"security.protocol", protocol_of(k)},
        // Every in-sync replica has it, once and in order, whatever a broker answers in between.
        {"enable.idempotence", "true"},
        {"acks", "all"},
        {"compression.codec", k.compression},
        // Keys go to the partitions that the clients of the Java world would choose.
        {"partitioner", "murmur2_random"},
        {"linger.ms", "5"},
        {"batch.size", std::to_string(kafka_batch_bytes)},
        {"message.max.bytes", std::to_string(std::max(o.max_message + record_overhead, usual_request))},
        // More than the window lets out (deliver::limits), so that it is the window that bounds.
        {"queue.buffering.max.messages", "32768"},
        {"queue.buffering.max.kbytes", "65536"},
        {"message.timeout.ms", in_ms(t.answer)},
        {"request.timeout.ms", in_ms(t.answer)},
        {"socket.timeout.ms", in_ms(std::max<duration>(t.answer, t.connect))},
        {"socket.keepalive.enable", "true"},
        {"reconnect.backoff.ms", "100"},
        {"reconnect.backoff.max.ms", "2000"},
        {"log.connection.close", "false"},
    };
    if (one_by_one)
        s.emplace_back("batch.num.messages", "1");
    if (!k.sasl_mechanism.empty())
    {
        s.emplace_back("sasl.mechanism", k.sasl_mechanism);
        s.emplace_back("sasl.username", k.sasl_username);
    }
    if (k.tls)
    {
        s.emplace_back("enable.ssl.certificate.verification", o.tls.verify ? "true" : "false");
        // Off unless it is asked for, before librdkafka 2.0.
        s.emplace_back("ssl.endpoint.identification.algorithm", o.tls.verify ? "https" : "none");
        for (const auto& [name, file] : {std::pair("ssl.ca.location", &o.tls.ca_file),
                                         std::pair("ssl.certificate.location", &o.tls.cert_file),
                                         std::pair("ssl.key.location", &o.tls.key_file)})
            if (!file->empty())
                s.emplace_back(name, *file);
    }
    return s;
}

outcome<kafka_conf> make_kafka_conf(const kafka_library& library,
                                    const options& o,
                                    const timing& t,
                                    bool one_by_one)
{
    kafka_conf conf(library.conf_new(), library.conf_destroy);
    std::array<char, 512> why{};
    for (const auto& [name, value] : kafka_settings(o, t, one_by_one))
        if (library.conf_set(conf.get(), name.c_str(), value.c_str(), why.data(), why.size()) !=
            RD_KAFKA_CONF_OK)
            return fail(errc::unsupported,
                        std::string("librdkafka ") + library.version_str() + " does not take " + name +
                            " = " + value + ": " + why.data());
    if (!o.kafka.sasl_mechanism.empty())
    {
        std::string password(o.kafka.sasl_password.reveal());
        const auto set =
            library.conf_set(conf.get(), "sasl.password", password.c_str(), why.data(), why.size());
        ::explicit_bzero(password.data(), password.size());
        if (set != RD_KAFKA_CONF_OK)
            return fail(errc::unsupported,
                        "librdkafka does not take the password of kafka.sasl_password_file");
    }
    return outcome<kafka_conf>(std::move(conf));
}

std::string kafka_name(const options& o)
{
    return joined(o.addresses, ", ") + " (topic " + o.kafka.topic + ")";
}

outcome<bool> check_kafka(const options& o)
{
    auto library = kafka_library::get();
    if (!library)
        return library.error();
    auto conf = make_kafka_conf(**library, o, timing(), false);
    if (!conf)
        return conf.error();
    return true;
}

}  // namespace dtbridge::transport
