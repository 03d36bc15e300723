#pragma once

/// The inventories of the running service ([enrich]): which master has which, and reading them again when
/// their files change.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <dtbridge/config/configuration.hpp>

namespace dtbridge::app
{

class enrichment
{
public:
    /// Takes what the configuration has loaded.
    void follow(const std::vector<config::enrich_options>& all);
    /// Null where the master has none.
    std::shared_ptr<const rules::inventory> of(const std::string& master) const;
    /// Reads, on worker, the files that changed; answers the masters that have another inventory now. One
    /// that cannot be used is reported once, and the last good one stays.
    boost::asio::awaitable<std::vector<std::string>> look(boost::asio::any_io_executor worker);

private:
    using place = std::pair<std::string, rules::inventory_key>;
    /// What tells one state of a file from another.
    struct state
    {
        std::int64_t device = 0, inode = 0, bytes = 0, modified = 0;
        bool operator==(const state&) const = default;
    };
    struct table
    {
        state seen;
        std::shared_ptr<const rules::inventory> value;
    };
    static state state_of(const std::string& path);
    std::map<place, table> tables_;
    std::map<std::string, place> masters_;
};

}  // namespace dtbridge::app
