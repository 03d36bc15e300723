#include "app/test_event.hpp"

#include <random>

#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/this_coro.hpp>

#include <dtbridge/async/doorbell.hpp>
#include <dtbridge/core/time.hpp>
#include <dtbridge/transport/transport.hpp>

#include "app/host.hpp"
#include "app/version.hpp"

namespace dtbridge::app
{

namespace
{

using namespace std::chrono_literals;
using std::chrono::steady_clock;
using transport::connection;

constexpr steady_clock::duration confirm_limit = 15s;
constexpr steady_clock::duration finish_limit = 2s;

/// A word that nothing else in the SIEM holds, to search for.
std::string new_marker()
{
    static constexpr char digits[] = "0123456789abcdef";
    std::random_device dice;
    std::string out = "dtbridge-test-";
    for (int i = 0; i < 12; ++i)
        out += digits[dice() & 15u];
    return out;
}

format::formatter make_formatter(const config::destination& d)
{
    format::field_map fields;
    if (d.options.format.format != format::kind::json)
    {
        auto map = format::load_field_map_text(
            d.options.format.format, d.fields_text, d.options.fields_file, d.options.format.cef_version);
        fields = std::move(map.value);
    }
    return format::formatter(d.options.format, std::move(fields), host_name());
}

std::string_view name_of(transport::wire w)
{
    switch (w)
    {
        case transport::wire::octet_counting:
            return "octet-counting";
        case transport::wire::newline:
            return "newline";
        case transport::wire::nul:
            return "nul";
        case transport::wire::datagram:
            return "datagram";
        case transport::wire::relp:
            return "relp";
        case transport::wire::kafka:
            return "kafka";
    }
    return "other";
}

std::string verdict_of(transport::protocol kind)
{
    if (kind == transport::protocol::udp)
        return "handed to the network, and no ICMP error came back within 50 ms; UDP can lose in silence, so "
               "look in the SIEM";
    if (kind == transport::protocol::kafka)
        return "confirmed: every in-sync replica of the topic's partition has it; whether the SIEM reads the "
               "topic, it shows itself";
    if (kind == transport::protocol::tcp || kind == transport::protocol::tls)
        return "confirmed: the collector's kernel acknowledged every byte, and the connection stayed up or "
               "was "
               "closed in order; whether the SIEM could read it, it shows itself";
    return "confirmed: the collector answered for the message; whether the SIEM could read it, it shows "
           "itself";
}

/// What goes over the wire. RELP's connection frames by itself: "open" is number 1, so this is number 2.
std::string wire_bytes(transport::wire w, const transport::batch& b)
{
    if (w != transport::wire::relp)
        return std::string(b.bytes());
    return "2 syslog " + std::to_string(b.bytes().size()) + ' ' + std::string(b.bytes()) + '\n';
}

/// Sends and waits for the confirmation; answers what is wrong, "" for nothing.
awaitable<std::string> send_and_wait(connection& c, const transport::batch& b, doorbell& changed)
{
    auto sent = co_await c.send(b);
    if (!sent)
        co_return sent.error().detail;
    if (!sent->undeliverable.empty())
        co_return c.peer() + ": the event is too long for a " + (b.is_labelled() ? "record" : "datagram") +
            " on this way; lower max_message";
    const auto until = steady_clock::now() + confirm_limit;
    while (c.confirmed() == 0 && c.now() != connection::state::over)
    {
        const auto left = until - steady_clock::now();
        if (left <= steady_clock::duration::zero())
            co_return c.peer() + ": not confirmed within 15 s; the collector may have it or not";
        co_await changed.wait(left);
    }
    if (!c.take_refused().empty())
        co_return c.peer() + ": the event is too large for the topic; raise its max.message.bytes";
    if (c.confirmed() > 0)
        co_return std::string();
    co_return c.reason() ? c.reason()->detail : c.peer() + ": the connection ended before the confirmation";
}

}  // namespace

awaitable<boost::json::object> send_test_event(const config::destination& d)
{
    boost::json::object o;
    o["ok"] = false;
    o["destination"] = d.options.name;
    const auto marker = new_marker();
    o["marker"] = marker;
    const auto& options = d.options.transport;
    const auto frames = transport::wire_of(options);
    o["framing"] = name_of(frames);

    format::formatter::event e;
    e.type = "test";
    e.name = "Test event";
    e.message = "Test event of dtbridge, not a breach: " + marker;
    e.time = now_ms();
    e.destination = d.options.name;
    if (!d.options.masters.empty())
        e.master = d.options.masters.front();  // so that the header's host is that of a breach
    auto formatter = make_formatter(d);
    std::string message;
    if (formatter.bridge_event(e, program_version, message) == format::verdict::undeliverable)
    {
        o["problem"] =
            "the event does not fit into max_message of " + std::to_string(options.max_message) + " bytes";
        co_return o;
    }
    transport::batch b(frames);
    transport::message_label label;
    label.master = e.master;
    label.format = format::name_of(d.options.format.format);
    b.add(message, std::move(label));
    const auto bytes = wire_bytes(frames, b);
    o["bytes"] = bytes;
    o["size"] = bytes.size();

    auto ex = co_await asio::this_coro::executor;
    auto changed = std::make_shared<doorbell>(ex);
    transport::connector connector(ex, options);
    transport::connector::notify ring = [changed] { changed->ring(); };
    auto opened = co_await connector.connect(ring);
    if (!opened)
    {
        o["problem"] = opened.error().detail;
        o["bytes"] = "";  // nothing was sent
        o["size"] = 0;
        co_return o;
    }
    auto& c = **opened;
    o["to"] = c.peer();
    const auto began = steady_clock::now();
    std::string problem;
    std::exception_ptr stopped;
    try
    {
        problem = co_await send_and_wait(c, b, *changed);
        o["confirmed_ms"] =
            std::chrono::duration_cast<std::chrono::milliseconds>(steady_clock::now() - began).count();
        if (problem.empty())
            co_await c.finish(finish_limit);
    }
    catch (...)
    {
        stopped = std::current_exception();
    }
    if (stopped)
    {
        const auto shield = asio::disable_cancellation();
        co_await asio::this_coro::reset_cancellation_state(shield);
    }
    co_await c.close();
    if (stopped)
        std::rethrow_exception(stopped);
    o["ok"] = problem.empty();
    if (problem.empty())
        o["verdict"] = verdict_of(options.kind);
    else
        o["problem"] = std::move(problem);
    co_return o;
}

std::string escaped_bytes(std::string_view bytes)
{
    static constexpr char digits[] = "0123456789abcdef";
    std::string out;
    for (const char c : bytes)
    {
        const auto b = static_cast<unsigned char>(c);
        if (b == '\\')
            out += "\\\\";
        else if (b >= 0x20 && b < 0x7f)
            out += c;
        else
        {
            out += "\\x";
            out += digits[b >> 4];
            out += digits[b & 15u];
        }
    }
    return out;
}

}  // namespace dtbridge::app
