/// A Kafka cluster for black-box tests: librdkafka's mock brokers, which keep what is written to them.
///
///   mock-kafka BROKERS TOPIC:PARTITIONS..
///
/// prints "brokers HOST:PORT,.." and then does what is asked on standard input, a line each, answered with
/// "ok":
///
///   down N    broker N (from 1) goes away
///   up N      and comes back
///   errors N  the next N writes fail, in turn: not the leader, timed out, too few replicas
///   large N   the next N writes are refused as too large
///
/// It ends with its standard input.

#include <array>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

namespace
{

constexpr std::int16_t produce_request = 0;  // of the protocol

bool obey(rd_kafka_mock_cluster_t* cluster, const std::string& word, int number)
{
    static constexpr std::array in_turn = {RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
                                           RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
                                           RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS};
    if (word == "down")
        return rd_kafka_mock_broker_set_down(cluster, number) == RD_KAFKA_RESP_ERR_NO_ERROR;
    if (word == "up")
        return rd_kafka_mock_broker_set_up(cluster, number) == RD_KAFKA_RESP_ERR_NO_ERROR;
    if (word != "errors" && word != "large")
        return false;
    std::vector<rd_kafka_resp_err_t> errors;
    for (std::size_t i = 0; i < static_cast<std::size_t>(number); ++i)
        errors.push_back(word == "errors" ? in_turn[i % in_turn.size()]
                                          : RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
    rd_kafka_mock_push_request_errors_array(cluster, produce_request, errors.size(), errors.data());
    return true;
}

}  // namespace

int main(int argc, char** argv)
{
    if (argc < 2)
    {
        std::cerr << "mock-kafka BROKERS TOPIC:PARTITIONS..\n";
        return 2;
    }
    std::array<char, 512> why{};
    rd_kafka_conf_t* conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, nullptr);
    rd_kafka_t* handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why.data(), why.size());
    rd_kafka_mock_cluster_t* cluster =
        handle != nullptr ? rd_kafka_mock_cluster_new(handle, std::atoi(argv[1])) : nullptr;
    if (cluster == nullptr)
    {
        std::cerr << "no cluster: " << why.data() << '\n';
        return 1;
    }
    for (int i = 2; i < argc; ++i)
    {
        const std::string topic = argv[i];
        const auto colon = topic.find(':');
        const int partitions = colon == std::string::npos ? 1 : std::atoi(topic.c_str() + colon + 1);
        if (rd_kafka_mock_topic_create(cluster, topic.substr(0, colon).c_str(), partitions, 1) !=
            RD_KAFKA_RESP_ERR_NO_ERROR)
        {
            std::cerr << "no topic " << topic << '\n';
            return 1;
        }
    }
    std::cout << "brokers " << rd_kafka_mock_cluster_bootstraps(cluster) << std::endl;
    for (std::string line; std::getline(std::cin, line);)
    {
        std::istringstream words(line);
        std::string word;
        int number = 0;
        words >> word >> number;
        std::cout << (obey(cluster, word, number) ? "ok" : "no") << std::endl;
    }
    rd_kafka_mock_cluster_destroy(cluster);
    rd_kafka_destroy(handle);
    return 0;
}
