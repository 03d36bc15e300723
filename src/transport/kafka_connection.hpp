#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/posix/stream_descriptor.hpp>

#include <dtbridge/async/doorbell.hpp>
#include <dtbridge/async/task_group.hpp>
#include <dtbridge/net/connect_report.hpp>
#include <dtbridge/transport/transport.hpp>

#include <transport/kafka_library.hpp>

namespace dtbridge::transport
{

/// What one connection to a cluster leaves for the next.
struct kafka_memory
{
    /// A batch of several records was too large for the topic: only of a record that goes alone it is known
    /// that it can never go.
    bool one_by_one = false;
};

/// A producer of librdkafka: idempotent, acks=all. It has threads of its own, which find brokers, try again
/// and keep the order; what they tell waits in a queue, an eventfd says that there is something in it, and it
/// is read on the thread of ex alone. A batch counts when the delivery of each of its messages was reported.
/// A message that cannot be delivered ends the connection, but one that is too large for the topic.
class kafka_connection final : public connection
{
public:
    /// Makes a producer and asks the cluster for the topic. o and memory outlive the connection. report: only
    /// looks (null: may make the brokers create the topic, where they are set to do so).
    static awaitable<outcome<std::unique_ptr<connection>>> open(asio::any_io_executor ex,
                                                                const options& o,
                                                                timing t,
                                                                kafka_memory& memory,
                                                                std::shared_ptr<net::connect_report> report,
                                                                connector::notify changed);

    kafka_connection(asio::any_io_executor ex,
                     std::shared_ptr<const kafka_library> library,
                     std::string name,
                     std::string topic,
                     timing t,
                     kafka_memory& memory);
    ~kafka_connection() override;

    const std::string& peer() const override { return name_; }
    awaitable<outcome<send_report>> send(const batch& b) override;
    std::uint64_t confirmed() const override { return confirmed_; }
    std::size_t unconfirmed() const override { return sent_.size(); }
    std::vector<refused_message> take_refused() override { return std::exchange(refused_, {}); }
    state now() const override { return reason_ ? state::over : state::up; }
    const std::optional<failure>& reason() const override { return reason_; }
    awaitable<void> finish(duration limit) override;
    /// librdkafka's threads may have records on the wire: those go.
    void lapse() override;
    awaitable<void> close() override;

private:
    struct sent_batch;
    /// What librdkafka hands back with a message.
    struct mark
    {
        sent_batch* of = nullptr;
        std::size_t place = 0;
    };
    struct sent_batch
    {
        std::vector<mark> marks = {};  // never grows while librdkafka has pointers to them
        std::size_t waiting = 0;
        bool whole = false;  // send() is done with it
        std::vector<refused_message> refused = {};
    };
    class producer;
    struct callbacks;

    outcome<bool> start(const options& o);
    awaitable<void> wait_for_events();
    awaitable<void> look_now_and_then();
    /// Takes in what librdkafka has told since.
    void serve();
    void delivered(const mark& m, rd_kafka_resp_err_t e, std::size_t size);
    void noticed(rd_kafka_resp_err_t e, std::string words);
    void settle();
    rd_kafka_resp_err_t hand_over(const batch& b, std::size_t i, mark& m);
    std::string troubles() const;
    failure undelivered(rd_kafka_resp_err_t e) const;
    void over(failure why);
    void tell();

    std::shared_ptr<const kafka_library> library_;
    std::string name_, topic_;
    timing timing_;
    kafka_memory& memory_;
    bool one_by_one_;
    connector::notify changed_;
    asio::posix::stream_descriptor events_;
    task_group tasks_;
    doorbell work_;   // for the task that looks now and then
    doorbell moved_;  // for finish()
    doorbell room_;   // for send(), while librdkafka's queue is full
    std::deque<sent_batch> sent_;
    std::uint64_t confirmed_ = 0;
    std::vector<refused_message> refused_;
    bool up_ = false;  // open() is done with it
    bool all_down_ = false;
    std::vector<std::pair<std::string, std::string>> troubles_;  // by broker, the last words of each
    std::optional<failure> reason_;
    std::unique_ptr<producer> producer_;  // last: its end is the first
};

}  // namespace dtbridge::transport
