#include <sys/socket.h>
#include <unistd.h>

#include <boost/program_options.hpp>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <iostream>
#include <sstream>
#include <thread>

#include "dates.hpp"
#include "master.hpp"
#include "tls.hpp"

namespace
{

using namespace simulator;
namespace po = boost::program_options;

std::int64_t span_option(const po::variables_map& given, const char* name)
{
    auto text = given[name].as<std::string>();
    auto span = parse_span(text);
    if (!span)
        throw std::runtime_error(std::string("--") + name + ": \"" + text +
                                 "\" is no span such as 90s, 30m, 24h or 7d");
    return *span;
}

template <class Serve>
void accept_loop(int listener, Serve serve)
{
    while (true)
    {
        int fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
        if (fd < 0)
        {
            if (errno == EMFILE || errno == ENFILE)
                std::this_thread::sleep_for(std::chrono::milliseconds(20));
            continue;
        }
        std::thread([fd, serve] {
            connection c(fd);
            try
            {
                serve(c);
            }
            catch (const std::exception&)
            {
                // The client went away; nobody is left to tell.
            }
        }).detach();
    }
}

int run(int argc, char** argv)
{
    po::options_description options(
        "darktrace-simulator: a simulated Darktrace master (tests/simulator/README.md)");
    master_options own;
    // clang-format off
    options.add_options()
        ("help", "this text")
        ("listen", po::value<std::string>()->default_value("127.0.0.1:0"), "host:port of the API; port 0 takes a free one")
        ("control", po::value<std::string>(), "host:port of the control address (plain HTTP)")
        ("tls", po::value<std::string>(), "folder with server.pem and server.key, made when missing; without it plain HTTP")
        ("data", po::value<std::vector<std::string>>()->multitoken(), "files of API answers")
        ("move-to-now", "moves the times of --data so that the newest creation is now")
        ("spread", po::value<std::string>(), "lays the breaches of --data evenly over that span before now")
        ("generate", po::value<std::uint64_t>()->default_value(0), "number of breaches out of the seed")
        ("seed", po::value<std::uint64_t>(&own.seed)->default_value(1), "")
        ("first-pbid", po::value<std::int64_t>(&own.first_pbid)->default_value(1), "pbid of the first generated breach")
        ("size", po::value<std::size_t>()->default_value(0), "generated breaches have about so many bytes")
        ("span", po::value<std::string>()->default_value("24h"), "generated breaches are created evenly over it")
        ("until", po::value<std::int64_t>(), "creation of the newest generated breach, epoch ms; default now")
        ("rate", po::value<double>()->default_value(0), "so many new breaches a second from now on")
        ("clock-offset", po::value<double>()->default_value(0), "seconds that the master's clock is ahead")
        ("oldest-first", "answers in ascending order; default newest first")
        ("no-gzip", po::bool_switch(&own.never_gzip), "answers are never compressed")
        ("fqdn", po::value<std::string>(&own.fqdn), "the appliance's name, for breachUrl")
        ("public-token", po::value<std::string>(&own.public_token)->default_value(own.public_token), "")
        ("private-token", po::value<std::string>(&own.private_token)->default_value(own.private_token), "");
    // clang-format on
    po::variables_map given;
    po::store(po::parse_command_line(argc, argv, options), given);
    po::notify(given);
    if (given.count("help"))
    {
        std::cout << options;
        return 0;
    }
    std::signal(SIGPIPE, SIG_IGN);
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    pthread_sigmask(SIG_BLOCK, &stop, nullptr);

    static master m(own);  // detached threads use it until the process ends
    auto now = wall_ms();
    m.clock_offset = static_cast<std::int64_t>(given["clock-offset"].as<double>() * 1000);
    if (given.count("data"))
        for (const auto& name : given["data"].as<std::vector<std::string>>())
        {
            std::ifstream in(name, std::ios::binary);
            std::stringstream content;
            content << in.rdbuf();
            if (!in)
                throw std::runtime_error("cannot read " + name);
            if (m.breaches.load(content.str(), now) == 0)
                throw std::runtime_error(name + " holds no JSON value");
        }
    if (given.count("move-to-now"))
        m.breaches.move_to(now + m.clock_offset);
    if (given.count("spread"))
        m.breaches.spread(now + m.clock_offset, span_option(given, "spread"));
    m.breaches.set_size(given["size"].as<std::size_t>());
    if (auto count = given["generate"].as<std::uint64_t>())
        m.breaches.add_generated(count,
                                 given.count("until") ? given["until"].as<std::int64_t>() : now,
                                 span_option(given, "span"),
                                 now,
                                 m.clock_offset);
    m.breaches.set_offset(m.clock_offset, now);
    if (auto rate = given["rate"].as<double>(); rate > 0)
        m.breaches.set_rate(rate, now);

    static SSL_CTX* tls = nullptr;
    if (given.count("tls"))
    {
        tls = server_context(given["tls"].as<std::string>(), own.fqdn);
        m.certificate_fingerprint = fingerprint(tls);
    }
    auto host_of = [](const std::string& address) { return address.substr(0, address.rfind(':')); };
    unsigned port = 0;
    auto address = given["listen"].as<std::string>();
    int listener = listen_on(address, port);
    std::cout << "listening on " << (tls ? "https://" : "http://") << host_of(address) << ':' << port
              << std::endl;
    if (given.count("control"))
    {
        address = given["control"].as<std::string>();
        int control = listen_on(address, port);
        std::cout << "control on http://" << host_of(address) << ':' << port << std::endl;
        std::thread([control] { accept_loop(control, [](connection& c) { serve_control(m, c); }); }).detach();
    }
    std::thread([listener] {
        accept_loop(listener, [](connection& c) {
            ++m.open_connections;
            struct leave
            {
                ~leave() { --m.open_connections; }
            } guard;
            serve_api(m, c, tls);
        });
    }).detach();
    int signal = 0;
    sigwait(&stop, &signal);
    std::cout.flush();
    _exit(0);  // connections' threads may be in the middle of a slow answer
}

}  // namespace

int main(int argc, char** argv)
{
    try
    {
        return run(argc, argv);
    }
    catch (const std::exception& e)
    {
        std::cerr << "darktrace-simulator: " << e.what() << '\n';
        return 2;
    }
}
