#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/json/serialize.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "app/command.hpp"
#include "app/control.hpp"
#include "support/temp_dir.hpp"

using namespace dtbridge;
using namespace std::chrono_literals;

namespace
{

/// A service's control socket on a thread of its own, which counts to `n` in lines of progress.
struct counting_service
{
    counting_service()
        : tasks(io.get_executor(), [](const std::string&, std::exception_ptr) {}),
          server(io.get_executor(),
                 folder.path() + "/control.sock",
                 [this](boost::json::object request, app::asker& back) {
                     return count(std::move(request), back);
                 })
    {
        if (!server.listen())
            throw std::runtime_error("no socket");
        tasks.spawn("control", server.run());
        thread = std::thread([this] { io.run(); });
    }
    ~counting_service()
    {
        asio::post(io, [this] { tasks.cancel(); });
        thread.join();
    }

    awaitable<boost::json::object> count(boost::json::object request, app::asker& back)
    {
        const auto n = request.at("n").to_number<std::int64_t>();
        asio::steady_timer pause(io);
        for (std::int64_t i = 1; i <= n; ++i)
        {
            boost::json::object words;
            words["at"] = i;
            words["filler"] = std::string(static_cast<std::size_t>(i % 7) * 1000, 'x');
            const bool heard = co_await back.progress(std::move(words), 1s);
            if (!heard)
            {
                stopped_at = i;
                break;
            }
            // The third step takes longer than it said.
            pause.expires_after(request.contains("slow") && i == 3 ? 1500ms : 0ms);
            co_await pause.async_wait(asio::use_awaitable);
        }
        boost::json::object o;
        o["ok"] = true;
        o["counted"] = n;
        co_return o;
    }

    void wait_until_stopped()
    {
        const auto deadline = std::chrono::steady_clock::now() + 30s;
        while (stopped_at == 0 && std::chrono::steady_clock::now() < deadline)
            std::this_thread::sleep_for(5ms);
    }

    test::temp_dir folder;
    asio::io_context io;
    task_group tasks;
    app::control_server server;
    std::atomic<std::int64_t> stopped_at = 0;
    std::thread thread;
};

/// The socket of a service that was stopped (SIGSTOP): the kernel queues who asks, and nobody answers.
struct hung_service
{
    explicit hung_service(int backlog) : fd(::socket(AF_UNIX, SOCK_STREAM, 0))
    {
        const auto to = address();
        BOOST_REQUIRE(::bind(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0);
        BOOST_REQUIRE(::listen(fd, backlog) == 0);
    }
    ~hung_service()
    {
        ::close(fd);
        for (const auto each : queued)
            ::close(each);
    }
    sockaddr_un address() const
    {
        sockaddr_un a{};
        a.sun_family = AF_UNIX;
        std::strcpy(a.sun_path, (folder.path() + "/control.sock").c_str());
        return a;
    }
    /// Until no more fit.
    void fill_queue()
    {
        const auto to = address();
        do
            queued.push_back(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
        while (::connect(queued.back(), reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0);
        BOOST_REQUIRE(errno == EAGAIN);
    }
    void is_given_up_on() const
    {
        const auto began = std::chrono::steady_clock::now();
        BOOST_CHECK_EXCEPTION(
            app::ask_service(folder.path(), {}, {}, 50ms), app::action_error, [](const app::action_error& e) {
                return std::string(e.what()).find("the running service did not answer") == 0;
            });
        BOOST_TEST((std::chrono::steady_clock::now() - began < 10s));
    }

    test::temp_dir folder;
    int fd;
    std::vector<int> queued;
};

boost::json::object request_for(std::int64_t n)
{
    boost::json::object o;
    o["command"] = "count";
    o["n"] = n;
    return o;
}

}  // namespace

BOOST_AUTO_TEST_CASE(long_work_tells_its_progress_before_the_answer)
{
    counting_service service;
    std::vector<std::int64_t> seen;
    const auto reply = app::ask_service(service.folder.path(), request_for(1000), [&](const auto& words) {
        seen.push_back(words.at("at").as_int64());
    });
    BOOST_REQUIRE(reply.has_value());
    BOOST_TEST(boost::json::serialize(*reply) == R"({"ok":true,"counted":1000})");
    BOOST_REQUIRE(seen.size() == 1000u);
    BOOST_TEST(seen.front() == 1);
    BOOST_TEST(seen.back() == 1000);
}

BOOST_AUTO_TEST_CASE(progress_is_passed_over_by_who_does_not_look_at_it)
{
    counting_service service;
    const auto reply = app::ask_service(service.folder.path(), request_for(3));
    BOOST_REQUIRE(reply.has_value());
    BOOST_TEST(reply->at("counted").as_int64() == 3);
}

BOOST_AUTO_TEST_CASE(work_hears_that_its_asker_has_gone)
{
    counting_service service;
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    std::strcpy(to.sun_path, (service.folder.path() + "/control.sock").c_str());
    BOOST_REQUIRE(::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0);
    const std::string line = boost::json::serialize(request_for(1'000'000'000)) + "\n";
    BOOST_REQUIRE(::write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size()));
    char first;
    BOOST_REQUIRE(::read(fd, &first, 1) == 1);
    ::close(fd);
    service.wait_until_stopped();
    BOOST_TEST(service.stopped_at > 0);
}

BOOST_AUTO_TEST_CASE(work_that_is_silent_for_longer_than_it_said_is_given_up)
{
    counting_service service;
    auto request = request_for(5);
    request["slow"] = true;
    BOOST_CHECK_THROW(app::ask_service(service.folder.path(), request), app::action_error);
    service.wait_until_stopped();
    BOOST_TEST(service.stopped_at == 4);
}

BOOST_AUTO_TEST_CASE(a_service_that_hangs_is_given_up)
{
    hung_service service(16);
    service.is_given_up_on();
}

BOOST_AUTO_TEST_CASE(a_service_that_hangs_is_given_up_when_not_even_its_queue_takes_more)
{
    hung_service service(0);
    service.fill_queue();
    service.is_given_up_on();
}
