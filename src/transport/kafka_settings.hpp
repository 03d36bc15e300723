#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <dtbridge/transport/transport.hpp>

#include <transport/kafka_library.hpp>

namespace dtbridge::transport
{

/// Records that are smaller than this may share a record batch, and then the brokers' bound is on the batch.
/// A larger one always goes alone, so that what is said about it is said about nothing else.
inline constexpr std::size_t kafka_batch_bytes = 64u << 10;

/// What librdkafka is set to, by the names of its own manual; the password is not among it. Pure. one_by_one:
/// every record in a batch of its own.
std::vector<std::pair<std::string, std::string>> kafka_settings(const options& o,
                                                                const timing& t,
                                                                bool one_by_one);

/// The same as librdkafka takes it, with the password; fails where this build of the library does not.
using kafka_conf = std::unique_ptr<rd_kafka_conf_t, decltype(&rd_kafka_conf_destroy)>;
outcome<kafka_conf> make_kafka_conf(const kafka_library& library,
                                    const options& o,
                                    const timing& t,
                                    bool one_by_one);

/// "b1.example:9092, b2.example:9092 (topic breaches)"
std::string kafka_name(const options& o);

}  // namespace dtbridge::transport
