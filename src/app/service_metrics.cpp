/// /metrics (product.md 9). Labels are names of the configuration and words of this program, so their number
/// is bounded by the configuration; but for models that were acknowledged, which updates.cpp bounds.

#include <dtbridge/web/exposition.hpp>

#include "app/process_figures.hpp"
#include "app/service_impl.hpp"
#include "app/version.hpp"

namespace dtbridge::app
{

namespace
{

using web::exposition;
using type = exposition::type;

/// A destination's policy may have thousands of lines; beyond this many none is shown.
constexpr std::size_t most_lines = 200;

double seconds(std::int64_t ms)
{
    return static_cast<double>(ms) / 1000.0;
}

using master_row = std::pair<std::string, poll::master_status>;
using destination_row = std::pair<std::string, deliver::status>;

template <class Row, class Value>
void one_each(exposition& e,
              const std::vector<Row>& rows,
              const char* label,
              const char* name,
              type t,
              const char* help,
              Value v)
{
    e.metric(name, t, help);
    for (const auto& [key, s] : rows)
        e.sample({{label, key}}, v(s));
}

void master_counters(exposition& e, const std::vector<master_row>& all)
{
    e.metric("dtbridge_polls_total", type::counter, "Answers of the master by outcome, polls and sweeps.");
    for (const auto& [name, s] : all)
    {
        for (std::size_t i = 0; i < s.outcomes.size(); ++i)
        {
            const auto kind = static_cast<poll::answer_kind>(i);
            if (s.outcomes[i] > 0 || kind == poll::answer_kind::ok)
                e.sample({{"master", name}, {"outcome", poll::name_of(kind)}}, s.outcomes[i]);
        }
    }
    const auto counter = [&](const char* name, const char* help, auto v) {
        one_each(e, all, "master", name, type::counter, help, v);
    };
    counter(
        "dtbridge_breaches_archived_total", "Breaches archived.", [](const auto& s) { return s.archived; });
    counter("dtbridge_breaches_late_total",
            "Breaches archived that polling had passed already.",
            [](const auto& s) { return s.late; });
    counter("dtbridge_breaches_repeated_total",
            "Breaches that an answer showed and the archive had already.",
            [](const auto& s) { return s.repeated; });
    counter("dtbridge_breaches_reused_ids_total",
            "New breaches whose pbid was archived before with another creation time.",
            [](const auto& s) { return s.reused_pbids; });
    counter("dtbridge_elements_set_aside_total",
            "Elements of answers that are no breaches.",
            [](const auto& s) { return s.set_aside; });
    counter("dtbridge_state_changes_total",
            "Changes of acknowledgement or comments that sweeps saw.",
            [](const auto& s) { return s.state_changes; });
    counter("dtbridge_sweeps_total", "Reconciliation sweeps done.", [](const auto& s) { return s.sweeps; });
    counter("dtbridge_sweep_differences_total",
            "Breaches that a sweep found and polling had not, or that vanished or were withheld.",
            [](const auto& s) { return s.differences; });
    e.metric("dtbridge_answer_seconds", type::histogram, "From asking the master to the end of its answer.");
    for (const auto& [name, s] : all)
        e.sample_histogram("master", name, s.answer_seconds);
    e.metric("dtbridge_answer_bytes", type::histogram, "Size of the master's answers, decoded.");
    for (const auto& [name, s] : all)
        e.sample_histogram("master", name, s.answer_bytes);
}

void master_gauges(exposition& e, const std::vector<master_row>& all)
{
    const auto gauge = [&](const char* name, const char* help, auto v) {
        one_each(e, all, "master", name, type::gauge, help, v);
    };
    gauge("dtbridge_master_up", "1 while the master answers as it should.", [](const auto& s) {
        return std::int64_t{s.state == poll::poll_state::polling || s.state == poll::poll_state::catching_up};
    });
    gauge("dtbridge_last_poll_timestamp_seconds",
          "When the master was last asked, 0 never.",
          [](const auto& s) { return seconds(s.last_poll); });
    gauge("dtbridge_last_success_timestamp_seconds",
          "When the master last answered as it should, 0 never.",
          [](const auto& s) { return seconds(s.last_success); });
    e.metric("dtbridge_clock_skew_seconds", type::gauge, "The master's clock minus this host's.");
    for (const auto& [name, s] : all)
    {
        if (s.skew_seconds)
            e.sample({{"master", name}}, *s.skew_seconds);
    }
}

void destination_counters(exposition& e, const std::vector<destination_row>& all)
{
    e.metric("dtbridge_decisions_total",
             type::counter,
             "Breaches decided, by the kind of the rule that spoke; other: none did.");
    for (const auto& [name, s] : all)
    {
        for (const auto& d : s.decisions)
        {
            e.sample({{"destination", name}, {"forward", "true"}, {"reason", d.kind}}, d.forwarded);
            e.sample({{"destination", name}, {"forward", "false"}, {"reason", d.kind}}, d.held_back);
        }
    }
    const auto counter = [&](const char* name, const char* help, auto v) {
        one_each(e, all, "destination", name, type::counter, help, v);
    };
    counter("dtbridge_sent_total", "Messages sent, repeats included.", [](const auto& s) { return s.sent; });
    counter("dtbridge_sent_bytes_total",
            "Bytes of messages sent, framing and repeats included.",
            [](const auto& s) { return s.bytes; });
    counter("dtbridge_confirmed_total", "Messages confirmed.", [](const auto& s) { return s.confirmed; });
    counter("dtbridge_shortened_total", "Messages shortened to max_message.", [](const auto& s) {
        return s.shortened;
    });
    counter("dtbridge_undeliverable_total",
            "Breaches that could not be made to fit and were passed over.",
            [](const auto& s) { return s.undeliverable; });
    counter("dtbridge_passed_over_total",
            "Breaches created before the destination's start.",
            [](const auto& s) { return s.passed_over; });
    counter("dtbridge_lost_total",
            "Breaches that retention dropped before the destination had them.",
            [](const auto& s) { return s.lost; });
    counter("dtbridge_connects_total", "Connections made.", [](const auto& s) { return s.connects; });
    counter("dtbridge_reconnects_total", "Connections made after the first.", [](const auto& s) {
        return s.connects > 0 ? s.connects - 1 : 0;
    });
    counter("dtbridge_breaks_total", "Connections that broke.", [](const auto& s) { return s.breaks; });
    counter("dtbridge_events_sent_total",
            "Bridge events sent: heartbeats, health, summaries.",
            [](const auto& s) { return s.events; });
    counter("dtbridge_events_dropped_total",
            "Bridge events that could not be sent in time.",
            [](const auto& s) { return s.events_dropped; });
}

void destination_gauges(exposition& e, const std::vector<destination_row>& all)
{
    const auto gauge = [&](const char* name, const char* help, auto v) {
        one_each(e, all, "destination", name, type::gauge, help, v);
    };
    gauge(
        "dtbridge_destination_up",
        "1 while the destination is connected, or ended in order a connection that nothing was waiting for.",
        [](const auto& s) {
            using state = deliver::status::state;
            return std::int64_t{s.now == state::connected || (s.now == state::waiting && s.error.empty())};
        });
    gauge(
        "dtbridge_lag_breaches", "Breaches archived and not yet done.", [](const auto& s) { return s.lag; });
    gauge("dtbridge_lag_seconds",
          "Age of the oldest breach not yet done, from archiving; 0 when none waits.",
          [](const auto& s) { return s.lag_seconds; });
    gauge("dtbridge_unconfirmed_messages", "Messages in flight.", [](const auto& s) {
        return static_cast<std::int64_t>(s.unconfirmed);
    });
    gauge("dtbridge_stalled_seconds",
          "For how long nothing moved although it is connected and breaches wait; 0 when idle.",
          [](const auto& s) { return seconds(s.stalled); });
    gauge("dtbridge_last_confirmed_timestamp_seconds",
          "When something was last confirmed, 0 never.",
          [](const auto& s) { return seconds(s.last_confirmed); });
}

void of_bridges(exposition& e, const ownership& o)
{
    const auto& c = o.counted();
    const auto one = [&e](const char* name, type t, const char* help, std::int64_t v) {
        e.metric(name, t, help).sample({}, v);
    };
    one("dtbridge_bridges",
        type::gauge,
        "Bridges of this database that are alive, this one included.",
        static_cast<std::int64_t>(o.members().size()));
    one("dtbridge_leases_acquired_total", type::counter, "Leases taken.", c.acquired);
    one("dtbridge_lease_takeovers_total",
        type::counter,
        "Leases taken from a bridge that had let them expire.",
        c.takeovers);
    one("dtbridge_leases_handed_over_total",
        type::counter,
        "Leases given away in good order.",
        c.handed_over);
    one("dtbridge_leases_lost_total", type::counter, "Leases that another bridge took.", c.lost);
    one("dtbridge_leases_lapsed_total",
        type::counter,
        "Leases that were not renewed in time, so that nothing was sent for a while.",
        c.lapsed);
}

void process(exposition& e)
{
    const auto f = read_process_figures();
    e.metric("process_cpu_seconds_total", type::counter, "CPU time of the process.")
        .sample({}, f.cpu_seconds);
    e.metric("process_resident_memory_bytes", type::gauge, "Resident memory.").sample({}, f.resident_bytes);
    e.metric("process_virtual_memory_bytes", type::gauge, "Virtual memory.").sample({}, f.virtual_bytes);
    e.metric("process_open_fds", type::gauge, "Open descriptors.").sample({}, f.open_descriptors);
    e.metric("process_max_fds", type::gauge, "Most descriptors there may be.").sample({}, f.most_descriptors);
    e.metric("process_threads", type::gauge, "Threads.").sample({}, f.threads);
    e.metric("process_start_time_seconds", type::gauge, "When the process started, since 1970.")
        .sample({}, f.started_seconds);
}

}  // namespace

web::response service::impl::answer_metrics(const web::request& r) const
{
    access who;
    if (auto refused = admit(r, false, who))
        return std::move(*refused);
    if (!who.all)
        return web::refusal(403, "metrics are of all masters, and this token is not");
    std::vector<master_row> master_rows;
    for (const auto& [name, m] : masters)
        if (owns(m))
            master_rows.emplace_back(name, m.poller ? m.poller->status() : poll::master_status{});
    std::vector<destination_row> destination_rows;
    for (const auto& [name, d] : destinations)
        destination_rows.emplace_back(name, d.delivery->now());

    exposition e;
    const auto now = now_ms();
    e.metric("dtbridge_build_info", type::gauge, "Version of the bridge.")
        .sample({{"version", program_version}}, std::int64_t{1});
    e.metric("dtbridge_ready", type::gauge, "1 while /readyz says so.")
        .sample({}, std::int64_t{look_at_health().broken.empty()});
    e.metric("dtbridge_config_reload_success", type::gauge, "1 unless the last reload found a bad file.")
        .sample({}, std::int64_t{!reload_failed});
    e.metric("dtbridge_config_loaded_timestamp_seconds",
             type::gauge,
             "When the configuration in force was taken.")
        .sample({}, seconds(reloaded != 0 ? reloaded : started));
    e.metric("dtbridge_masters", type::gauge, "Masters in the configuration.")
        .sample({}, static_cast<std::int64_t>(masters.size()));
    e.metric("dtbridge_masters_owned", type::gauge, "Masters that this bridge works for.")
        .sample({}, static_cast<std::int64_t>(bridges ? bridges->held() : masters.size()));
    if (bridges)
        of_bridges(e, *bridges);
    master_counters(e, master_rows);
    master_gauges(e, master_rows);
    // Models that left with their master stay until the next start: counters do not go back.
    e.metric("dtbridge_breaches_acknowledged_total",
             type::counter,
             "Breaches that were seen to become acknowledged, by model.");
    for (const auto& [of, a] : acknowledged)
        e.sample({{"master", of.first}, {"model", of.second}}, a.count);
    e.metric("dtbridge_acknowledge_seconds_total",
             type::counter,
             "What those took from their creation to being acknowledged, together.");
    for (const auto& [of, a] : acknowledged)
        e.sample({{"master", of.first}, {"model", of.second}}, seconds(a.delay_ms));

    const auto archive_gauge = [&](const char* name, const char* help, auto v) {
        e.metric(name, type::gauge, help);
        for (const auto& [master_name, f] : stored)
            e.sample({{"master", master_name}}, v(f));
    };
    archive_gauge(
        "dtbridge_archive_bytes", "Size of the archive on disk.", [](const auto& f) { return f.bytes; });
    archive_gauge(
        "dtbridge_archive_breaches", "Breaches in the archive.", [](const auto& f) { return f.breaches; });
    archive_gauge("dtbridge_archive_oldest_timestamp_seconds",
                  "When the oldest breach in the archive was archived, 0 empty.",
                  [](const auto& f) { return seconds(f.oldest_archived); });
    e.metric("dtbridge_archive_max_bytes", type::gauge, "max_size of all archives together.")
        .sample({}, static_cast<std::int64_t>(config.archive.max_size));
    e.metric("dtbridge_disk_min_free_bytes", type::gauge, "min_free of the archive's file system.")
        .sample({}, static_cast<std::int64_t>(config.archive.min_free));
    if (watching.disk_free >= 0)
        e.metric("dtbridge_disk_free_bytes", type::gauge, "Free on the archive's file system.")
            .sample({}, watching.disk_free);

    destination_counters(e, destination_rows);
    destination_gauges(e, destination_rows);
    e.metric("dtbridge_policy_line_total",
             type::counter,
             "How often a line of the destination's policy spoke since it was loaded.");
    for (const auto& [name, s] : destination_rows)
    {
        const auto& lines = destinations.at(name).config.policy->lines();
        if (lines.size() > most_lines)
            continue;
        for (std::size_t i = 0; i < std::min(lines.size(), s.policy_lines.size()); ++i)
        {
            const auto number = std::to_string(lines[i].line);
            e.sample({{"destination", name}, {"line", number}, {"rule", lines[i].text}}, s.policy_lines[i]);
        }
    }
    e.metric(
        "dtbridge_certificate_expiry_seconds",
        type::gauge,
        "Until the certificate expires: of a master, of a destination's collector, of our own listener.");
    const auto expiry = [&](std::string_view side, const std::string& name, std::int64_t expires) {
        if (expires != 0)
            e.sample({{"side", side}, {"name", name}}, seconds(expires - now));
    };
    for (const auto& [name, s] : master_rows)
        expiry("master", name, s.certificate_expires);
    for (const auto& [name, s] : destination_rows)
        expiry("destination", name, s.certificate_expires);
    expiry("listen", "listen", listener_tls ? listener_tls->expires() : 0);
    process(e);

    web::response answer;
    answer.content_type = exposition::content_type;
    answer.body = e.text();
    return answer;
}

}  // namespace dtbridge::app
