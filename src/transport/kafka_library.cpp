#include <transport/kafka_library.hpp>

#include <mutex>
#include <utility>

namespace dtbridge::transport
{

namespace
{

constexpr const char* file_name = "librdkafka.so.1";
constexpr const char* package_name = "dtbridge-kafka";

}  // namespace

const char* kafka_library::find_all()
{
    const char* missing = nullptr;
    const auto take = [&](const char* name, auto& f) {
        if (!file_.find(name, f))
            missing = name;
    };
    take("rd_kafka_version_str", version_str);
    take("rd_kafka_err2str", err2str);
    take("rd_kafka_fatal_error", fatal_error);
    take("rd_kafka_conf_new", conf_new);
    take("rd_kafka_conf_destroy", conf_destroy);
    take("rd_kafka_conf_set", conf_set);
    take("rd_kafka_conf_set_opaque", conf_set_opaque);
    take("rd_kafka_conf_set_dr_msg_cb", conf_set_dr_msg_cb);
    take("rd_kafka_conf_set_error_cb", conf_set_error_cb);
    take("rd_kafka_conf_set_log_cb", conf_set_log_cb);
    take("rd_kafka_new", create);
    take("rd_kafka_destroy", destroy);
    take("rd_kafka_poll", poll);
    take("rd_kafka_purge", purge);
    take("rd_kafka_producev", producev);
    take("rd_kafka_headers_new", headers_new);
    take("rd_kafka_header_add", header_add);
    take("rd_kafka_headers_destroy", headers_destroy);
    take("rd_kafka_queue_get_main", queue_get_main);
    take("rd_kafka_queue_destroy", queue_destroy);
    take("rd_kafka_queue_io_event_enable", queue_io_event_enable);
    take("rd_kafka_topic_new", topic_new);
    take("rd_kafka_topic_destroy", topic_destroy);
    take("rd_kafka_metadata", metadata);
    take("rd_kafka_metadata_destroy", metadata_destroy);
    return missing;
}

outcome<std::shared_ptr<const kafka_library>> kafka_library::get()
{
    static std::mutex mutex;
    // Never destroyed: threads of producers that are being closed may outlive every static object.
    static auto* const loaded = new std::shared_ptr<const kafka_library>();
    const std::lock_guard lock(mutex);
    if (*loaded)
        return *loaded;
    auto file = shared_library::open(file_name, package_name);
    if (!file)
        return fail(file.error().code, "Kafka needs librdkafka: " + file.error().detail);
    std::shared_ptr<kafka_library> found(new kafka_library(std::move(*file)));
    if (const char* missing = found->find_all())
        return fail(errc::unsupported,
                    std::string(file_name) + " has no function " + missing +
                        ": it is too old; Kafka needs librdkafka 1.6 or newer, as the package " +
                        package_name + " asks for");
    *loaded = std::move(found);
    return *loaded;
}

}  // namespace dtbridge::transport
