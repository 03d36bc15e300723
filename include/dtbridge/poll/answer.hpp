#pragma once

/// Every answer of darktrace.md 2.6 told apart, in words that say what to do, with what the poller does about
/// it. A page can be a lie: only a complete array, or an object with a pbid, is an answer about breaches.
/// Pure.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <dtbridge/core/failure.hpp>
#include <dtbridge/net/http_client.hpp>
#include <dtbridge/poll/element_splitter.hpp>

namespace dtbridge::poll
{

enum class answer_kind {
    ok,         ///< a complete list of breaches, which may be empty, or one breach
    cut,        ///< ended in the middle
    malformed,  ///< an array that is no JSON between its elements
    signature_error,
    date_error,
    login_redirect,
    permission_redirect,
    redirect,
    login_page,
    web_page,
    unauthorized,  ///< 401
    forbidden,     ///< 403
    not_found,
    refused,      ///< {"response":"ERROR"}
    input_error,  ///< {"response":"INPUT ERROR"}
    empty_body,
    not_a_list,  ///< JSON or text that is neither an array nor a breach
    rate_limited,
    server_error,
    unexpected_status,
    timed_out,
    too_large,
    unresolved,
    tls_refused,
    proxy_refused,
    not_http,
    unreachable,     ///< connecting failed or the connection broke before an answer
    archive_failed,  ///< the answer could not be stored
};
inline constexpr std::size_t answer_kinds = static_cast<std::size_t>(answer_kind::archive_failed) + 1;

/// For the label `outcome` of dtbridge_polls_total and for logs: "ok", "signature_error", ..
std::string_view name_of(answer_kind k);

enum class reaction {
    take,          ///< the position moves
    retry,         ///< with back-off
    retry_slowly,  ///< someone has to act first: a token, a permission, a certificate
    learn_date,    ///< believe the Date of the answer and repeat at once
    halve,         ///< ask for a shorter window, with back-off
};

struct verdict
{
    answer_kind kind = answer_kind::ok;
    reaction what = reaction::take;
    std::string words;             ///< one sentence or two; "" for ok
    std::int64_t retry_after = 0;  ///< ms, at most max_retry_after; 0: not asked for
    bool quiet = false;            ///< nothing is wrong: the master is another bridge's by now
};

/// Longest Retry-After that is obeyed, ms.
inline constexpr std::int64_t max_retry_after = 3'600'000;

/// Retry-After in ms: seconds or an HTTP date (RFC 9110 10.2.3), bounded to [0, max_retry_after]; 0 if it is
/// none. now: ms since 1970 by the clock that wrote the date.
std::int64_t retry_after_ms(std::string_view value, std::int64_t now);

/// What a body was, as far as judging needs it.
struct body_facts
{
    bool begun = false;  ///< the head of an answer came
    body_shape shape = body_shape::nothing;
    std::string_view text;   ///< the object, or the first bytes of anything else
    bool is_breach = false;  ///< shape object: it has a pbid
    /// An element of an array without breaches was one of the API's error strings: that.
    std::string_view api_error;
};

/// The API's error string ("API SIGNATURE ERROR", "API DATE ERROR", "INPUT ERROR", "ERROR") that some value
/// of this JSON text equals, whatever its key and depth, or that the text itself is; "" if none. The answer
/// is a literal.
std::string_view find_api_error(std::string_view text);
/// The text of <title>, printable and short; "" if there is none.
std::string html_title(std::string_view html);

/// own_now: ms since 1970, for a Retry-After date when the answer has no Date.
verdict judge(const net::http_response& r, const body_facts& body, std::int64_t own_now);
/// The exchange failed; body is what came before.
verdict judge(const failure& f, const body_facts& body);
/// Words for a failure of the archive.
verdict judge_archive(const failure& f);

}  // namespace dtbridge::poll
