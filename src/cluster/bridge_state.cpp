#include <dtbridge/cluster/lease_store.hpp>

#include <array>
#include <cstddef>

namespace dtbridge::cluster
{

namespace
{

// In the order of bridge_state.
constexpr std::array<std::string_view, 4> names = {"joining", "serving", "established", "leaving"};

}  // namespace

std::string_view name_of(bridge_state s)
{
    return names.at(static_cast<std::size_t>(s));
}

std::optional<bridge_state> bridge_state_of(std::string_view name)
{
    for (std::size_t i = 0; i < names.size(); ++i)
        if (names[i] == name)
            return static_cast<bridge_state>(i);
    return std::nullopt;
}

}  // namespace dtbridge::cluster
