#include "support/kafka_cluster.hpp"

#include <array>
#include <stdexcept>

namespace dtbridge::test
{

namespace
{

using namespace std::chrono_literals;

constexpr std::int16_t produce_request = 0;  // of the protocol

rd_kafka_t* make(rd_kafka_type_t type, const std::vector<std::pair<std::string, std::string>>& settings)
{
    std::array<char, 512> why{};
    rd_kafka_conf_t* conf = rd_kafka_conf_new();
    for (const auto& [name, value] : settings)
        if (rd_kafka_conf_set(conf, name.c_str(), value.c_str(), why.data(), why.size()) != RD_KAFKA_CONF_OK)
            throw std::runtime_error(why.data());
    rd_kafka_conf_set_log_cb(conf, nullptr);
    rd_kafka_t* made = rd_kafka_new(type, conf, why.data(), why.size());
    if (made == nullptr)
        throw std::runtime_error(why.data());
    return made;
}

kafka_record to_record(const rd_kafka_message_t& m)
{
    kafka_record r;
    r.partition = m.partition;
    r.offset = m.offset;
    if (m.key != nullptr)
        r.key.assign(static_cast<const char*>(m.key), m.key_len);
    if (m.payload != nullptr)
        r.value.assign(static_cast<const char*>(m.payload), m.len);
    rd_kafka_headers_t* headers = nullptr;
    if (rd_kafka_message_headers(&m, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR)
    {
        const char* name = nullptr;
        const void* value = nullptr;
        std::size_t size = 0;
        for (std::size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &size) == 0; ++i)
            r.headers.emplace_back(name, std::string(static_cast<const char*>(value), size));
    }
    return r;
}

}  // namespace

std::string kafka_record::header(const std::string& name) const
{
    for (const auto& [n, text] : headers)
        if (n == name)
            return text;
    return {};
}

kafka_cluster::kafka_cluster(int brokers)
    : brokers_(brokers),
      handle_(make(RD_KAFKA_PRODUCER, {{"client.id", "mock"}})),
      cluster_(rd_kafka_mock_cluster_new(handle_, brokers))
{
    if (cluster_ == nullptr)
        throw std::runtime_error("no mock cluster");
}

kafka_cluster::~kafka_cluster()
{
    rd_kafka_mock_cluster_destroy(cluster_);
    rd_kafka_destroy(handle_);
}

std::vector<net::endpoint_name> kafka_cluster::addresses() const
{
    std::vector<net::endpoint_name> out;
    std::string all = rd_kafka_mock_cluster_bootstraps(cluster_);
    for (std::size_t from = 0; from < all.size();)
    {
        const auto end = std::min(all.find(',', from), all.size());
        out.push_back(*net::parse_endpoint(all.substr(from, end - from), 9092));
        from = end + 1;
    }
    return out;
}

void kafka_cluster::create(const std::string& topic, int partitions)
{
    if (rd_kafka_mock_topic_create(cluster_, topic.c_str(), partitions, 1) != RD_KAFKA_RESP_ERR_NO_ERROR)
        throw std::runtime_error("no topic " + topic);
}

void kafka_cluster::fail_next_writes(const std::vector<rd_kafka_resp_err_t>& errors)
{
    rd_kafka_mock_push_request_errors_array(cluster_, produce_request, errors.size(), errors.data());
}

void kafka_cluster::set_error(const std::string& topic, rd_kafka_resp_err_t e)
{
    rd_kafka_mock_topic_set_error(cluster_, topic.c_str(), e);
}

void kafka_cluster::set_down()
{
    for (int i = 1; i <= brokers_; ++i)
        rd_kafka_mock_broker_set_down(cluster_, i);
}

void kafka_cluster::set_up()
{
    for (int i = 1; i <= brokers_; ++i)
        rd_kafka_mock_broker_set_up(cluster_, i);
}

std::vector<kafka_record> kafka_cluster::read(const std::string& topic, int partitions) const
{
    rd_kafka_t* consumer = make(RD_KAFKA_CONSUMER,
                                {{"bootstrap.servers", rd_kafka_mock_cluster_bootstraps(cluster_)},
                                 {"group.id", "test"},
                                 {"enable.partition.eof", "true"}});
    rd_kafka_poll_set_consumer(consumer);
    rd_kafka_topic_partition_list_t* all = rd_kafka_topic_partition_list_new(partitions);
    for (int i = 0; i < partitions; ++i)
        rd_kafka_topic_partition_list_add(all, topic.c_str(), i)->offset = RD_KAFKA_OFFSET_BEGINNING;
    rd_kafka_assign(consumer, all);
    rd_kafka_topic_partition_list_destroy(all);
    std::vector<kafka_record> out;
    int ended = 0;
    const auto until = std::chrono::steady_clock::now() + 20s;
    while (ended < partitions && std::chrono::steady_clock::now() < until)
    {
        rd_kafka_message_t* m = rd_kafka_consumer_poll(consumer, 100);
        if (m == nullptr)
            continue;
        if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
            ++ended;
        else if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR)
            out.push_back(to_record(*m));
        rd_kafka_message_destroy(m);
    }
    rd_kafka_consumer_close(consumer);
    rd_kafka_destroy(consumer);
    if (ended < partitions)
        throw std::runtime_error("the end of " + topic + " was not reached");
    return out;
}

}  // namespace dtbridge::test
