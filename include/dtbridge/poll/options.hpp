#pragma once

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dtbridge/core/secret.hpp>
#include <dtbridge/net/stream.hpp>

namespace dtbridge::poll
{

enum class window_kind { automatic, creation, activity };
enum class time_parameters { epoch, text };
enum class date_format { compact, iso, sql, rfc1123, asctime };

/// One [[master]] of product.md 2, checked.
struct master_options
{
    std::string name, formerly;
    std::string url;  ///< as configured, no slash at the end
    bool https = true;
    net::endpoint_name address;  ///< host and port of url
    std::string public_url;
    secret public_token;
    secret private_token;
    std::string private_token_file;  ///< resolved path
    std::chrono::milliseconds interval{10'000}, backfill{24 * 3'600'000}, overlap{600'000};
    window_kind window = window_kind::automatic;
    time_parameters times = time_parameters::epoch;
    date_format date = date_format::compact;
    std::chrono::milliseconds reconcile_interval{3'600'000}, reconcile_span{24 * 3'600'000},
        reconcile_deep{8 * 24 * 3'600'000LL};
    std::chrono::milliseconds timeout{60'000};
    std::shared_ptr<net::proxy_options> proxy;
    net::tls_options tls;
    std::vector<std::pair<std::string, std::string>> labels;
    /// Free parameters of [master.query], already checked: names and values of unreserved characters.
    std::vector<std::pair<std::string, std::string>> query;

    bool has_query(std::string_view parameter, std::string_view value) const
    {
        return std::any_of(query.begin(), query.end(), [&](const auto& p) {
            return p.first == parameter && p.second == value;
        });
    }
};

}  // namespace dtbridge::poll
