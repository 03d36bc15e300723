#pragma once

/// A RELP collector on loopback with bad habits, over the scripted peer of peer.hpp; it reads frames in its
/// own way, so that it shares no code with what it tests.

#include <cstddef>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "support/peer.hpp"

namespace dtbridge::test
{

struct relp_request
{
    unsigned long number = 0;
    std::string command, data;
};

/// One connection as a RELP server sees it.
class relp_talk
{
public:
    explicit relp_talk(peer_connection& c) : peer_(c) {}
    /// The next whole frame; nothing at the end or at one that is not as RELP wants it (malformed()).
    std::optional<relp_request> next();
    bool malformed() const { return malformed_; }
    bool say(unsigned long number, const std::string& command, const std::string& data);
    bool answer(unsigned long number, const std::string& data = "200 OK");
    /// Takes "open" and answers it as rsyslog does; false where no "open" comes.
    bool open();

private:
    peer_connection& peer_;
    std::string bytes_;
    bool malformed_ = false;
};

struct relp_habit
{
    static constexpr std::size_t all = std::numeric_limits<std::size_t>::max();
    std::size_t take = all;    ///< messages that are taken before `what` happens
    std::size_t answer = all;  ///< how many of them are answered
    enum class then { close, reset, server_close, silent } what = then::close;
    std::string with = "200 OK";  ///< the answer to a message
    bool last_first = false;      ///< answers come in threes, the last message's first
};

class relp_collector
{
public:
    /// habits: what to do with the n-th connection, from 0.
    explicit relp_collector(std::function<relp_habit(std::size_t)> habits = {},
                            std::optional<peer_tls> tls = std::nullopt);
    std::uint16_t port() const { return server_->port(); }
    /// Of all connections, in the order they were taken.
    std::vector<std::string> messages() const;
    /// Those that were answered.
    std::vector<std::string> answered() const;
    std::size_t count() const;
    int connections() const { return server_->connections(); }
    /// Sessions that ended by "close".
    std::size_t closes() const;
    std::size_t malformed() const;
    /// The highest number of messages that were waiting for their answer.
    std::size_t most_waiting() const;

private:
    void serve(peer_connection& c);
    void run(relp_talk& talk, peer_connection& c, const relp_habit& h);

    std::function<relp_habit(std::size_t)> habits_;
    mutable std::mutex mutex_;
    std::size_t served_ = 0;
    std::size_t closes_ = 0, malformed_ = 0, most_waiting_ = 0;
    std::vector<std::string> messages_, answered_;
    std::unique_ptr<peer_server> server_;  // last: its thread uses the others
};

}  // namespace dtbridge::test
