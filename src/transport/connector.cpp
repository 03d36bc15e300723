#include <dtbridge/transport/transport.hpp>

#include <boost/asio/error.hpp>
#include <boost/asio/ip/udp.hpp>

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include <dtbridge/net/connect_report.hpp>
#include <dtbridge/net/trusted_file.hpp>

#include <transport/address_order.hpp>
#include <transport/kafka_connection.hpp>
#include <transport/relp_connection.hpp>
#include <transport/stream_connection.hpp>
#include <transport/udp_connection.hpp>

namespace dtbridge::transport
{

namespace
{

/// Tells whether a file is the one that was read: renewed certificates are picked up at the next connection.
struct file_mark
{
    std::int64_t inode = 0, size = 0, seconds = 0, nanoseconds = 0;
    bool operator==(const file_mark&) const = default;
};

file_mark mark_of(const std::string& path)
{
    struct stat s
    {
    };
    if (path.empty() || ::stat(path.c_str(), &s) != 0)
        return {};
    return {static_cast<std::int64_t>(s.st_ino), s.st_size, s.st_mtim.tv_sec, s.st_mtim.tv_nsec};
}

/// Lets datagrams be fragmented on their way. By default the kernel finds the path's MTU by losing one: it
/// goes with "don't fragment", a router drops it, and the ICMP error ends the connection, whose batch then
/// goes again. Datagrams here are as long as their message and are not resized, so there is nothing to find
/// out; with this the kernel keeps such errors to itself. Where it cannot be set, sending copes with them.
void let_fragment(asio::ip::udp::socket& socket, bool v6)
{
    const int how = v6 ? IPV6_PMTUDISC_DONT : IP_PMTUDISC_DONT;
    if (v6)
        ::setsockopt(socket.native_handle(), IPPROTO_IPV6, IPV6_MTU_DISCOVER, &how, sizeof how);
    else
        ::setsockopt(socket.native_handle(), IPPROTO_IP, IP_MTU_DISCOVER, &how, sizeof how);
}

std::array<file_mark, 3> marks_of(const net::tls_options& o)
{
    return {mark_of(net::trusted_file(o)), mark_of(o.cert_file), mark_of(o.key_file)};
}

}  // namespace

struct connector::impl
{
    impl(asio::any_io_executor e, options o, timing t)
        : ex(std::move(e)),
          settings(std::move(o)),
          times(t),
          // To Kafka they are one address: any of them tells of the whole cluster.
          order(settings.kind == protocol::kafka ? 1 : settings.addresses.size()),
          turn(settings.addresses.size(), 0)
    {}

    outcome<std::shared_ptr<net::tls_client>> tls_client()
    {
        const auto marks = marks_of(settings.tls);
        if (client && marks == client_marks)
            return client;
        auto made = net::make_tls_client(settings.tls);
        if (!made)
            return made;
        client = *made;
        client_marks = marks;
        return client;
    }

    awaitable<outcome<std::unique_ptr<connection>>> open(std::size_t index, notify changed)
    {
        using answer = outcome<std::unique_ptr<connection>>;
        if (settings.kind == protocol::udp)
        {
            auto opened = co_await open_udp(index, std::move(changed));
            co_return opened;
        }
        if (settings.kind == protocol::kafka)
        {
            auto opened =
                co_await kafka_connection::open(ex, settings, times, kafka, report, std::move(changed));
            co_return opened;
        }
        const auto until = std::chrono::steady_clock::now() + times.connect;
        net::connect_options o;
        o.peer = settings.addresses[index];
        o.server_name = settings.tls.server_name;
        o.limit = times.connect;
        o.report = report;
        if (is_tls(settings.kind))
        {
            auto tls = tls_client();
            if (!tls)
                co_return answer(tls.error());
            o.tls = *tls;
        }
        const auto name = o.peer.text();
        auto stream = co_await net::connect(std::move(o));
        if (!stream)
            co_return answer(stream.error());
        auto full_name = name;
        if (const auto& address = (*stream)->peer().address; !address.empty() && address != name)
            full_name += " (" + address + ")";
        if (is_relp(settings.kind))
        {
            auto opened = co_await relp_connection::open(
                ex, std::move(*stream), std::move(full_name), times, until, std::move(changed));
            co_return opened;
        }
        co_return answer(std::unique_ptr<connection>(std::make_unique<stream_connection>(
            ex, std::move(*stream), std::move(full_name), times, std::move(changed))));
    }

    awaitable<outcome<std::unique_ptr<connection>>> open_udp(std::size_t index, notify changed)
    {
        using answer = outcome<std::unique_ptr<connection>>;
        const auto peer = settings.addresses[index];
        auto found = co_await net::resolve(peer.host, times.connect);
        if (!found)
            co_return answer(found.error());
        if (report)
            report->addresses = *found;
        failure last = fail(errc::resolve_failed, peer.text() + ": the name has no address");
        for (std::size_t i = 0; i < found->size(); ++i)
        {
            // Where a name has several addresses (localhost: ::1 and 127.0.0.1) and the one in use refuses,
            // the next one has its turn.
            const auto& text = (*found)[(i + turn[index]) % found->size()];
            error_code ec;
            auto address = asio::ip::make_address(text, ec);
            if (ec)
                continue;
            asio::ip::udp::endpoint to(address, peer.port);
            asio::ip::udp::socket socket(ex);
            socket.open(to.protocol(), ec);
            if (!ec)
                socket.non_blocking(true, ec);
            if (!ec)
                let_fragment(socket, address.is_v6());
            if (!ec)
                socket.connect(to, ec);
            if (ec)
            {
                last = fail(ec, peer.text() + " (" + text + "): " + ec.message());
                continue;
            }
            auto name = peer.text();
            if (text != peer.host)
                name += " (" + text + ")";
            if (report)
                report->address = net::endpoint_name{text, peer.port}.text();
            in_use = text;
            co_return answer(std::unique_ptr<connection>(std::make_unique<udp_connection>(
                std::move(socket), std::move(name), times, std::move(changed))));
        }
        co_return answer(last);
    }

    asio::any_io_executor ex;
    options settings;
    timing times;
    address_order order;
    std::vector<std::size_t> turn;  // per address: which of its resolved addresses (UDP)
    std::size_t current = 0;
    std::string in_use;  // the address that the last connection goes to (UDP)
    kafka_memory kafka;
    std::shared_ptr<net::tls_client> client;
    std::array<file_mark, 3> client_marks;
    std::shared_ptr<net::connect_report> report;  // null: nobody asks
};

connector::connector(asio::any_io_executor ex, options o, timing t)
    : impl_(std::make_unique<impl>(std::move(ex), std::move(o), t))
{}

connector::~connector() = default;

awaitable<outcome<std::unique_ptr<connection>>> connector::connect(notify changed)
{
    using answer = outcome<std::unique_ptr<connection>>;
    std::optional<failure> all;
    for (std::size_t n = 0; n < impl_->order.count(); ++n)
    {
        const auto index = impl_->order.at(n);
        auto opened = co_await impl_->open(index, changed);
        if (opened)
        {
            impl_->current = index;
            co_return opened;
        }
        if (!all)
            all = opened.error();
        else
            all->detail += "; " + opened.error().detail;
    }
    // Nobody works: the next attempt begins with the first again.
    impl_->order.worked();
    co_return answer(*all);
}

awaitable<outcome<std::unique_ptr<connection>>> connector::connect_first(notify changed)
{
    auto opened = co_await impl_->open(0, std::move(changed));
    if (opened)
        impl_->current = 0;
    co_return opened;
}

bool connector::is_on_another() const
{
    return impl_->current != 0;
}

awaitable<bool> connector::has_moved()
{
    if (impl_->settings.kind != protocol::udp)
        co_return false;
    auto host = impl_->settings.addresses[impl_->current].host;
    const auto found = co_await net::resolve(std::move(host), impl_->times.connect);
    if (!found)
        co_return false;
    co_return std::find(found->begin(), found->end(), impl_->in_use) == found->end();
}

void connector::worked()
{
    impl_->order.worked();
}

void connector::did_not_work()
{
    impl_->order.did_not_work(impl_->current);
    ++impl_->turn[impl_->current];
}

void connector::report_to(std::shared_ptr<net::connect_report> report)
{
    impl_->report = std::move(report);
}

const options& connector::settings() const
{
    return impl_->settings;
}

}  // namespace dtbridge::transport
