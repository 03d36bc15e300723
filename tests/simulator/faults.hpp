#pragma once

/// What the simulated master does wrong, told while it runs (POST /fault). README.md lists the kinds.
/// Not synchronised: master has the lock.

#include <boost/json.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace simulator
{

struct fixed_answer
{
    int status = 200;
    std::string content_type = "application/json";
    std::vector<std::pair<std::string, std::string>> headers;
    std::string body;
};

/// All active faults that a request meets, put together.
struct fault_plan
{
    double delay_seconds = 0;
    double bytes_per_second = 0;  ///< 0: as fast as it goes
    std::optional<fixed_answer> fixed;
    std::optional<std::int64_t> cut_bytes;  ///< of the uncompressed body
    std::optional<double> cut_fraction;
    bool cut_complete = false;  ///< the text ends early, HTTP does not
    bool cut_reset = false;
    bool hang = false;
    std::optional<std::int64_t> close_after;  ///< answers per connection; 0 closes instead of answering
    bool close_announced = false;
    std::int64_t huge_bytes = 0;
    std::string huge_with;
    bool repeat = false, unordered = false, ignore_creationtime = false;
    std::vector<std::string> inject;
};

class fault_list
{
public:
    fault_list();
    /// Takes the JSON of POST /fault but for clock, late and replaced, which master handles. Throws
    /// std::invalid_argument with words for the caller.
    void add(const boost::json::object& fault);
    void clear() { active_.clear(); }
    /// Of a request for target; counts down.
    fault_plan plan(std::string_view target, std::int64_t master_ms);
    /// Of a new connection: "tls_refused", "hang" with at=connect, or "".
    std::string at_connect();
    boost::json::array list() const;

private:
    struct active
    {
        std::string kind, match;
        std::optional<std::int64_t> left;
        boost::json::object settings;
    };
    std::vector<active> active_;
    boost::json::object bodies_;  ///< case -> entry of api_error_responses.json
};

/// A member of what the control address was given, or otherwise; throws std::invalid_argument where it is no
/// finite number.
double number(const boost::json::object& o, std::string_view key, double otherwise);

}  // namespace simulator
