#pragma once

/// Brokers for tests: librdkafka's mock cluster in this process, and a consumer that reads back what a topic
/// holds. Links librdkafka, which the bridge itself only loads.

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <dtbridge/net/stream.hpp>

namespace dtbridge::test
{

/// ThreadSanitizer knows no threads of C11 (thrd_create), which librdkafka makes, and crashes in them.
#ifdef __SANITIZE_THREAD__
inline constexpr bool kafka_can_run = false;
#else
inline constexpr bool kafka_can_run = true;
#endif

struct kafka_record
{
    std::int32_t partition = 0;
    std::int64_t offset = 0;
    std::string key = {}, value = {};
    std::vector<std::pair<std::string, std::string>> headers = {};
    /// "" where there is none of that name.
    std::string header(const std::string& name) const;
};

class kafka_cluster
{
public:
    explicit kafka_cluster(int brokers = 1);
    ~kafka_cluster();
    kafka_cluster(const kafka_cluster&) = delete;
    kafka_cluster& operator=(const kafka_cluster&) = delete;

    std::vector<net::endpoint_name> addresses() const;
    void create(const std::string& topic, int partitions);
    /// Of the next produce requests, one each.
    void fail_next_writes(const std::vector<rd_kafka_resp_err_t>& errors);
    /// Of everything that is asked about the topic.
    void set_error(const std::string& topic, rd_kafka_resp_err_t e);
    /// All brokers.
    void set_down();
    void set_up();
    /// Everything the topic holds, each partition from its beginning to its end.
    std::vector<kafka_record> read(const std::string& topic, int partitions) const;

private:
    int brokers_;
    rd_kafka_t* handle_;
    rd_kafka_mock_cluster_t* cluster_;
};

}  // namespace dtbridge::test
