#pragma once

/// A PostgreSQL of the test program's own: in a temporary folder, on a socket there, as a user without rights
/// (initdb refuses root), gone with the program however it ends.

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <dtbridge/db/postgres.hpp>

#include "support/temp_dir.hpp"

namespace dtbridge::test
{

class postgres_server
{
public:
    /// The folder of PostgreSQL's programs, "" where none is installed.
    static std::string programs()
    {
        if (const char* said = std::getenv("DTBRIDGE_POSTGRES_BIN"))
            return said;
        for (int version = 20; version >= 13; --version)
        {
            auto folder = "/usr/lib/postgresql/" + std::to_string(version) + "/bin";
            if (std::filesystem::exists(folder + "/initdb"))
                return folder;
        }
        return "";
    }

    postgres_server()
    {
        if (::geteuid() == 0)
        {
            const auto* user = ::getpwnam("postgres");
            if (user == nullptr)
                user = ::getpwnam("nobody");
            if (user == nullptr)
                throw std::runtime_error("no user that may run PostgreSQL");
            uid_ = user->pw_uid;
            gid_ = user->pw_gid;
            if (::chown(dir_.path().c_str(), uid_, gid_) != 0)
                throw std::runtime_error("the folder of PostgreSQL cannot be given to its user");
        }
        int status = 0;
        const auto made = spawn({programs() + "/initdb",
                                 "-D",
                                 dir_ / "data",
                                 "-U",
                                 "test",
                                 "-A",
                                 "trust",
                                 "-E",
                                 "UTF8",
                                 "--no-locale",
                                 "-N"});
        ::waitpid(made, &status, 0);
        if (status != 0)
            throw std::runtime_error("initdb failed");
        start();
    }
    ~postgres_server() { stop(); }
    postgres_server(const postgres_server&) = delete;
    postgres_server& operator=(const postgres_server&) = delete;

    void start()
    {
        server_ = spawn({programs() + "/postgres",
                         "-D",
                         dir_ / "data",
                         "-k",
                         dir_.path(),
                         "-c",
                         tcp_port_.empty() ? "listen_addresses=" : "listen_addresses=127.0.0.1",
                         "-p",
                         tcp_port_.empty() ? "5432" : tcp_port_,
                         "-c",
                         "fsync=off",
                         "-c",
                         "full_page_writes=off",
                         "-c",
                         "shared_buffers=32MB"});
        const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
        for (;;)
        {
            try
            {
                db::postgres_options options;
                options.url = url("postgres");
                db::postgres there(options);
                return;
            }
            catch (const db::postgres_error& e)
            {
                if (std::chrono::steady_clock::now() > until)
                    throw std::runtime_error(e.reason().detail);
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
        }
    }
    /// At once, connections and all, as a crash would.
    void stop()
    {
        if (server_ <= 0)
            return;
        ::kill(server_, SIGQUIT);
        ::waitpid(server_, nullptr, 0);
        server_ = 0;
    }

    std::string url(const std::string& database) const
    {
        return "postgresql:///" + database + "?user=test&host=" + dir_.path() +
               (tcp_port_.empty() ? "" : "&port=" + tcp_port_);
    }
    /// Starts it again, to be reached over TCP, too; "": as before. What was connected is not any more.
    void listen_on(const std::string& tcp_port)
    {
        stop();
        tcp_port_ = tcp_port;
        start();
    }
    /// A new empty database; answers its url.
    std::string new_database()
    {
        const auto name = "t" + std::to_string(++databases_);
        db::postgres_options options;
        options.url = url("postgres");
        db::postgres on(options);
        on.run("CREATE DATABASE " + name);
        return url(name);
    }

    /// The one of this program, started when it is first asked for.
    static postgres_server& shared()
    {
        static postgres_server one;
        return one;
    }

private:
    pid_t spawn(const std::vector<std::string>& command)
    {
        std::vector<char*> args;
        for (const auto& a : command)
            args.push_back(const_cast<char*>(a.c_str()));
        args.push_back(nullptr);
        const auto log = dir_ / "log";
        const pid_t parent = ::getpid();
        const pid_t child = ::fork();
        if (child != 0)
            return child;
        if (uid_ != 0 && (::setgroups(0, nullptr) != 0 || ::setgid(gid_) != 0 || ::setuid(uid_) != 0))
            ::_exit(126);
        ::prctl(PR_SET_PDEATHSIG, SIGQUIT);
        if (::getppid() != parent || ::chdir("/") != 0)
            ::_exit(126);
        const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
        ::dup2(out, 1);
        ::dup2(out, 2);
        ::setenv("LC_ALL", "C", 1);
        ::execv(args[0], args.data());
        ::_exit(127);
    }

    temp_dir dir_;
    uid_t uid_ = 0;
    gid_t gid_ = 0;
    pid_t server_ = 0;
    std::string tcp_port_;
    int databases_ = 0;
};

}  // namespace dtbridge::test
