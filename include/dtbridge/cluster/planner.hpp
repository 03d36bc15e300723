#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dtbridge::cluster
{

/// How much a bridge is the right one for a master: SipHash-2-4 of the master's name under a key that is
/// SipHash-2-4 of the bridge's name under the keys (0, 0) and (0, 1). Part of what bridges of different
/// versions must agree on: fixed.
std::uint64_t weight(std::string_view bridge, std::string_view master);

/// Most masters that one bridge is given: an even share, rounded up, and one more.
std::size_t capacity(std::size_t bridges, std::size_t masters);

/// Which bridge each master belongs to: rendezvous hashing with a bound. Of all pairs of a bridge and a
/// master the one of the greatest weight that is left is taken, as long as the bridge has room (capacity).
/// The answer depends on the two sets alone, so bridges that see the same others agree without asking. A
/// master goes to its bridge of greatest weight wherever that has room; docs/scaling.md has how even it is
/// and how much moves. Both sorted and without repetition; one index into bridges for each master, none
/// without a bridge.
std::vector<std::uint32_t> spread(const std::vector<std::string>& bridges,
                                  const std::vector<std::string>& masters);

struct plan
{
    std::vector<std::string> bridges = {};  ///< sorted
    std::vector<std::uint32_t> owners =
        {};  ///< for each master an index into bridges; empty where there is no bridge

    /// Which of the planner's masters (their indices, rising) bridge is to have.
    std::vector<std::size_t> masters_of(std::string_view bridge) const;
};

/// Plans for one set of masters; the last few are kept, because bridges that restart come back.
class planner
{
public:
    explicit planner(std::vector<std::string> masters);                   ///< any order
    const std::vector<std::string>& masters() const { return masters_; }  ///< sorted
    /// bridges in any order.
    std::shared_ptr<const plan> for_bridges(std::vector<std::string> bridges);

private:
    std::vector<std::string> masters_;
    std::vector<std::shared_ptr<const plan>> known_;  ///< the latest last
};

}  // namespace dtbridge::cluster
