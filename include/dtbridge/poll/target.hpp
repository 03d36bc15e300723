#pragma once

/// What is sent to a master and what is signed are the same string, made here and nowhere else
/// (darktrace.md 2.1: a client that signed sorted parameters and sent them unsorted got API SIGNATURE ERROR).
/// Used by polling and by the commands `sign` and `get`. Pure; tested against the published signature
/// vectors.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dtbridge/core/secret.hpp>
#include <dtbridge/poll/options.hpp>
#include <dtbridge/poll/window.hpp>

namespace dtbridge::poll
{

using parameters = std::vector<std::pair<std::string, std::string>>;

/// path, or path?key=value&.. with the keys sorted by byte; repeated keys keep their order. Characters that
/// mean themselves in a query both before and after decoding stay as they are (RFC 3986 unreserved and ':',
/// '*', ','), so that it does not matter which of the two the master signs; all others become %XX.
std::string make_target(std::string_view path, parameters query);

/// Which time of a breach a window is about.
enum class filter { creation, activity };

/// The window that is really asked for: under time_parameters = "text" widened to whole seconds.
window asked_window(window w, time_parameters kind);

/// /modelbreaches of one window with the parameters of [master.query]. minimal: "minimal=true" whatever the
/// query says.
std::string breaches_target(const master_options& o, window w, filter by, bool minimal = false);
/// /modelbreaches?pbid=N with the parameters of [master.query], which is answered with an object.
std::string breach_target(const master_options& o, std::int64_t pbid);

/// What is signed for a POST: the body appended byte for byte (API guide 6.1), form or JSON.
std::string post_text(std::string_view target, std::string_view body);

/// DTAPI-Date, UTC. ms is the master's clock.
std::string format_date(date_format f, std::int64_t ms);

/// Lower-case hex of HMAC-SHA1(private token, target LF public token LF date). target: as sent, or
/// post_text(). Throws std::runtime_error if OpenSSL cannot compute it at all.
std::string sign(const secret& private_token,
                 std::string_view target,
                 std::string_view public_token,
                 std::string_view date);

/// DTAPI-Token, DTAPI-Date and DTAPI-Signature for one request. Made anew for every attempt.
std::vector<std::pair<std::string, std::string>> signed_headers(const master_options& o,
                                                                std::string_view text,
                                                                std::int64_t master_ms);

}  // namespace dtbridge::poll
