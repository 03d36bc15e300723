#pragma once

/// How errors travel (CONTRIBUTING.md, "Errors"): a code for the program, words for the operator.

#include <string>
#include <utility>

#include <boost/system/error_code.hpp>
#include <boost/system/result.hpp>

namespace dtbridge
{

using boost::system::error_code;

template <class T>
using result = boost::system::result<T, error_code>;

/// detail is one sentence in plain words for a log or a page, without a secret and without the peer's raw
/// bytes.
struct failure
{
    error_code code;
    std::string detail;
};

[[noreturn]] void throw_exception_from_error(const failure& f, const boost::source_location& where);

/// result<T> whose error has words.
template <class T>
using outcome = boost::system::result<T, failure>;

/// Reasons of our own, beside those of Asio, OpenSSL and the system.
enum class errc {
    ok = 0,
    malformed,   ///< a text that is not what it should be
    over_limit,  ///< a bound on size, depth, count or ratio was passed
    timed_out,
    resolve_failed,
    tls_refused,  ///< certificate, name, pin or protocol version
    proxy_refused,
    http_protocol,  ///< the peer does not speak HTTP as it should
    disk_full,
    archive_damaged,
    archive_newer,  ///< written by a newer version
    locked,         ///< another process holds it
    not_found,
    refused,  ///< the peer answered no
    unsupported,
    lease_lost,  ///< the master is not this bridge's any more; nothing was written
};

const boost::system::error_category& error_category();
error_code make_error_code(errc e);

inline failure fail(errc e, std::string detail)
{
    return failure{make_error_code(e), std::move(detail)};
}
inline failure fail(error_code e, std::string detail)
{
    return failure{e, std::move(detail)};
}

}  // namespace dtbridge

template <>
struct boost::system::is_error_code_enum<dtbridge::errc> : std::true_type
{
};
