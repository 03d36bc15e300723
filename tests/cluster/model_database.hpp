#pragma once

/// The shared database as lease_store.hpp describes it, in memory: each operation is done at once and whole,
/// at a time that the caller gives. Tests and the simulation of bridges run the keeper against it.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <dtbridge/cluster/lease_store.hpp>

namespace dtbridge::cluster
{

class model_database
{
public:
    explicit model_database(std::int64_t lease_ms) : lease_ms_(lease_ms) {}

    renewal_answer renew(const renewal& r, std::int64_t now);
    snapshot read(const identity& who, const std::vector<std::string>& masters, std::int64_t now);
    std::vector<lease_number> try_acquire(const identity& who,
                                          const std::vector<claim>& claims,
                                          std::int64_t now);
    std::int64_t release(const identity& who, const std::vector<lease_number>& leases);
    std::int64_t release_all(const identity& who);
    /// Whether a write that carries number is let through.
    bool fence(const std::string& master, const std::string& session, std::int64_t number) const;

    const lease_row* lease_of(const std::string& master) const;

    struct work
    {
        std::int64_t statements = 0, rows_read = 0, rows_written = 0;
    };
    const work& done() const { return done_; }

private:
    std::int64_t lease_ms_;
    std::map<std::string, member> bridges_;
    std::unordered_map<std::string, lease_row> leases_;
    std::unordered_map<std::string, std::map<std::string, std::int64_t>> by_session_;  // an index
    work done_;
};

}  // namespace dtbridge::cluster
