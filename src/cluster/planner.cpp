#include <dtbridge/cluster/planner.hpp>

#include <algorithm>
#include <functional>

#include <dtbridge/cluster/siphash.hpp>

namespace dtbridge::cluster
{

namespace
{

siphash_key key_of(std::string_view bridge)
{
    return siphash_key{siphash(siphash_key{0, 0}, bridge), siphash(siphash_key{0, 1}, bridge)};
}

void sort_unique(std::vector<std::string>& of)
{
    std::sort(of.begin(), of.end());
    of.erase(std::unique(of.begin(), of.end()), of.end());
}

using offer = std::pair<std::uint64_t, std::uint32_t>;  // weight, master

}  // namespace

std::uint64_t weight(std::string_view bridge, std::string_view master)
{
    return siphash(key_of(bridge), master);
}

std::size_t capacity(std::size_t bridges, std::size_t masters)
{
    return bridges == 0 ? 0 : (masters + bridges - 1) / bridges + 1;
}

std::vector<std::uint32_t> spread(const std::vector<std::string>& bridges,
                                  const std::vector<std::string>& masters)
{
    if (bridges.empty())
        return {};
    const auto count = bridges.size();
    std::vector<std::uint64_t> weights(count * masters.size());
    for (std::size_t b = 0; b < count; ++b)
    {
        const auto key = key_of(bridges[b]);
        for (std::size_t m = 0; m < masters.size(); ++m)
            weights[m * count + b] = siphash(key, masters[m]);
    }
    // Each master asks its bridges in the order of their weights; a full bridge keeps those of the greatest
    // weight (Gale and Shapley, 1962). Because both sides go by the same weights, this comes to the same as
    // taking all pairs in order, in whatever order the masters ask, without sorting masters times bridges
    // pairs.
    const auto room = capacity(count, masters.size());
    std::vector<std::uint32_t> owners(masters.size());
    std::vector<std::size_t> asked(masters.size(), count);  // the bridge each master asked last
    std::vector<std::vector<offer>> given(count);           // heaps, the least weight on top
    std::vector<std::uint32_t> asking;
    for (auto m = masters.size(); m-- > 0;)
        asking.push_back(static_cast<std::uint32_t>(m));
    while (!asking.empty())
    {
        const auto m = asking.back();
        asking.pop_back();
        const auto* row = &weights[m * count];
        // Equal weights go by the bridge's place, so that none is left out.
        const auto before = [row](std::size_t a, std::size_t b) {
            return row[a] != row[b] ? row[a] > row[b] : a < b;
        };
        auto best = count;
        for (std::size_t b = 0; b < count; ++b)
            if ((asked[m] == count || before(asked[m], b)) && (best == count || before(b, best)))
                best = b;
        asked[m] = best;
        owners[m] = static_cast<std::uint32_t>(best);
        auto& heap = given[best];
        heap.emplace_back(row[best], m);
        std::push_heap(heap.begin(), heap.end(), std::greater<>());
        if (heap.size() <= room)
            continue;
        std::pop_heap(heap.begin(), heap.end(), std::greater<>());
        asking.push_back(heap.back().second);
        heap.pop_back();
    }
    return owners;
}

std::vector<std::size_t> plan::masters_of(std::string_view bridge) const
{
    const auto at = std::lower_bound(bridges.begin(), bridges.end(), bridge);
    std::vector<std::size_t> out;
    if (at == bridges.end() || *at != bridge)
        return out;
    const auto index = static_cast<std::uint32_t>(at - bridges.begin());
    for (std::size_t m = 0; m < owners.size(); ++m)
        if (owners[m] == index)
            out.push_back(m);
    return out;
}

planner::planner(std::vector<std::string> masters) : masters_(std::move(masters))
{
    sort_unique(masters_);
}

std::shared_ptr<const plan> planner::for_bridges(std::vector<std::string> bridges)
{
    constexpr std::size_t most_known = 8;
    sort_unique(bridges);
    const auto same = [&bridges](const auto& p) { return p->bridges == bridges; };
    if (const auto at = std::find_if(known_.begin(), known_.end(), same); at != known_.end())
    {
        std::rotate(at, at + 1, known_.end());
        return known_.back();
    }
    auto owners = spread(bridges, masters_);
    if (known_.size() == most_known)
        known_.erase(known_.begin());
    known_.push_back(std::make_shared<const plan>(plan{std::move(bridges), std::move(owners)}));
    return known_.back();
}

}  // namespace dtbridge::cluster
