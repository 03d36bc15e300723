#pragma once

/// The simulated master: its breaches, faults, clock and what it has seen. One lock for all of it; the
/// connections' threads take it for moments only (one element at a time).

#include <openssl/ssl.h>

#include <atomic>
#include <boost/json.hpp>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "faults.hpp"
#include "http.hpp"
#include "store.hpp"

namespace simulator
{

struct master_options
{
    std::string public_token = "0123456789abcdef0123456789abcdef01234567";
    std::string private_token = "76543210fedcba9876543210fedcba9876543210";
    std::string fqdn;
    std::uint64_t seed = 1;
    std::int64_t first_pbid = 1;
    bool oldest_first = false;
    bool never_gzip = false;
};

class master
{
public:
    explicit master(master_options o)
        : options(std::move(o)),
          breaches(options.seed, options.first_pbid),
          public_token(options.public_token),
          private_token(options.private_token)
    {}

    const master_options options;
    std::mutex lock;

    // Under the lock:
    store breaches;
    std::string public_token, private_token;  ///< in force now
    fault_list faults;
    std::int64_t clock_offset = 0;
    std::map<std::string, std::uint64_t> requests;  ///< by path
    std::uint64_t signature_failures = 0, date_failures = 0, connections = 0, handshake_failures = 0,
                  gzip_answers = 0, elements_shown = 0;
    std::deque<std::string> last_targets;
    struct shown_key
    {
        std::int64_t pbid, created;
        bool operator==(const shown_key&) const = default;
    };
    struct hash
    {
        std::size_t operator()(const shown_key& k) const
        {
            return std::hash<std::uint64_t>{}(static_cast<std::uint64_t>(k.pbid) * 1'000'003 +
                                              static_cast<std::uint64_t>(k.created));
        }
    };
    /// When each was shown first, epoch ms; at most most_shown.
    std::unordered_map<shown_key, std::int64_t, hash> shown;
    static constexpr std::size_t most_shown = 2'000'000;

    std::atomic<std::int64_t> open_connections = 0;
    std::string certificate_fingerprint;

    /// The master's own clock; with the lock.
    std::int64_t clock() const;
};

/// Serves one connection of the API until it ends. tls may be null.
void serve_api(master& m, connection& c, SSL_CTX* tls);
/// Serves one connection of the control address.
void serve_control(master& m, connection& c);

}  // namespace simulator
