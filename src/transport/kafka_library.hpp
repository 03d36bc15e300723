#pragma once

#include <memory>

#include <librdkafka/rdkafka.h>

#include <dtbridge/core/shared_library.hpp>

namespace dtbridge::transport
{

/// librdkafka as it is found when a destination asks for it: its functions under the names of its header.
/// Nothing here is younger than 1.6, which EL 9 has.
class kafka_library
{
public:
    /// Loaded at the first call that finds it, and then for as long as the process runs: its threads may
    /// still be ending. Failing is tried again, so that installing it needs no restart.
    static outcome<std::shared_ptr<const kafka_library>> get();

    decltype(&rd_kafka_version_str) version_str = nullptr;
    decltype(&rd_kafka_err2str) err2str = nullptr;
    decltype(&rd_kafka_fatal_error) fatal_error = nullptr;
    decltype(&rd_kafka_conf_new) conf_new = nullptr;
    decltype(&rd_kafka_conf_destroy) conf_destroy = nullptr;
    decltype(&rd_kafka_conf_set) conf_set = nullptr;
    decltype(&rd_kafka_conf_set_opaque) conf_set_opaque = nullptr;
    decltype(&rd_kafka_conf_set_dr_msg_cb) conf_set_dr_msg_cb = nullptr;
    decltype(&rd_kafka_conf_set_error_cb) conf_set_error_cb = nullptr;
    decltype(&rd_kafka_conf_set_log_cb) conf_set_log_cb = nullptr;
    decltype(&rd_kafka_new) create = nullptr;
    decltype(&rd_kafka_destroy) destroy = nullptr;
    decltype(&rd_kafka_poll) poll = nullptr;
    decltype(&rd_kafka_purge) purge = nullptr;
    decltype(&rd_kafka_producev) producev = nullptr;
    decltype(&rd_kafka_headers_new) headers_new = nullptr;
    decltype(&rd_kafka_header_add) header_add = nullptr;
    decltype(&rd_kafka_headers_destroy) headers_destroy = nullptr;
    decltype(&rd_kafka_queue_get_main) queue_get_main = nullptr;
    decltype(&rd_kafka_queue_destroy) queue_destroy = nullptr;
    decltype(&rd_kafka_queue_io_event_enable) queue_io_event_enable = nullptr;
    decltype(&rd_kafka_topic_new) topic_new = nullptr;
    decltype(&rd_kafka_topic_destroy) topic_destroy = nullptr;
    decltype(&rd_kafka_metadata) metadata = nullptr;
    decltype(&rd_kafka_metadata_destroy) metadata_destroy = nullptr;

private:
    explicit kafka_library(shared_library file) : file_(std::move(file)) {}
    /// Name of a function that is missing, null where none is.
    const char* find_all();

    shared_library file_;
};

}  // namespace dtbridge::transport
