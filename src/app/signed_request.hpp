#pragma once

/// What the commands `sign` and `get` do, beside a running service (through the control socket) or without
/// one.

#include <string>
#include <string_view>

#include <boost/asio/awaitable.hpp>

#include <dtbridge/core/failure.hpp>
#include <dtbridge/poll/options.hpp>

namespace dtbridge::app
{

namespace asio = boost::asio;
using asio::awaitable;

/// A target as a command line gives it: begins with '/', printable ASCII without blanks and '#', at most 16
/// KiB.
outcome<std::string> check_target(std::string_view text);

/// The request as a curl command line with its three headers. body: "" for a GET. date: as it goes into
/// DTAPI-Date. The private token is not in it; the signature is good for this target and half an hour.
std::string curl_line(const poll::master_options& m,
                      std::string_view target,
                      std::string_view body,
                      const std::string& date);

struct master_answer
{
    unsigned status = 0;
    std::string content_type;
    std::string body;
};
/// One signed GET over a connection of its own; at most 64 MiB. master_ms: the master's clock.
awaitable<outcome<master_answer>> signed_get(poll::master_options m,
                                             std::string target,
                                             std::int64_t master_ms);

}  // namespace dtbridge::app
