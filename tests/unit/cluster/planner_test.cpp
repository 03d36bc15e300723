#include <dtbridge/cluster/planner.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <map>

#include <dtbridge/cluster/siphash.hpp>

using namespace dtbridge::cluster;

BOOST_AUTO_TEST_SUITE(spreading)

namespace
{

using names = std::vector<std::string>;

names numbered(const std::string& stem, int count)
{
    names out;
    for (int i = 1; i <= count; ++i)
        out.push_back(stem + std::to_string(i));
    std::sort(out.begin(), out.end());
    return out;
}

std::map<std::string, std::string> owners(const names& bridges, const names& masters)
{
    std::map<std::string, std::string> out;
    const auto of = spread(bridges, masters);
    for (std::size_t i = 0; i < masters.size(); ++i)
        out[masters[i]] = bridges.at(of.at(i));
    return out;
}

std::pair<std::size_t, std::size_t> least_and_most(const names& bridges, const names& masters)
{
    std::vector<std::size_t> counts(bridges.size());
    for (const auto b : spread(bridges, masters))
        ++counts.at(b);
    const auto [least, most] = std::minmax_element(counts.begin(), counts.end());
    return {*least, *most};
}

int moved(const names& before, const names& after, const names& masters)
{
    const auto a = owners(before, masters), b = owners(after, masters);
    int n = 0;
    for (const auto& [master, owner] : a)
        n += b.at(master) != owner;
    return n;
}

names without(names from, const std::string& name)
{
    std::erase(from, name);
    return from;
}

}  // namespace

// The paper's appendix A for 15 bytes; the first values of its reference code's list (vectors.h) for none,
// one and eight.
BOOST_AUTO_TEST_CASE(siphash_as_published)
{
    const siphash_key key{0x0706050403020100u, 0x0f0e0d0c0b0a0908u};
    std::string bytes;
    for (char c = 0; c < 15; ++c)
        bytes.push_back(c);
    BOOST_TEST(siphash(key, bytes) == 0xa129ca6149be45e5u);
    BOOST_TEST(siphash(key, "") == 0x726fdb47dd0e0e31u);
    BOOST_TEST(siphash(key, std::string_view(bytes).substr(0, 1)) == 0x74f839c593dc67fdu);
    BOOST_TEST(siphash(key, std::string_view(bytes).substr(0, 8)) == 0x93f5f5799a932462u);
}

// Computed with `openssl mac -macopt size:8 -macopt hexkey:.. SIPHASH`: key of the bridge, then the master's
// name under it.
BOOST_AUTO_TEST_CASE(weights_are_fixed)
{
    BOOST_TEST(weight("bridge-1", "frankfurt") == 0x5e6d455a3141d178u);
    BOOST_TEST(weight("bridge-2", "frankfurt") == 0xec4fe562e4770c3du);
    BOOST_TEST(weight("bridge-3", "frankfurt") == 0xd12c83e67d32dce5u);
    BOOST_TEST(weight("bridge-3", "seoul") == 0xc8f607cf293a792au);
    BOOST_TEST(weight("bridge-1", "tokyo") == 0x94d64fd473e77977u);
}

// By the weights above and, for the others, of the same making: osaka 19.. 8f.. fb.., london 0e.. b5.. 35..,
// paris 96.. aa.. 57.., seoul c1.. 5d.. c8.., tokyo 94.. 91.. 49..
BOOST_AUTO_TEST_CASE(each_to_its_greatest_weight)
{
    const auto o = owners({"bridge-1", "bridge-2", "bridge-3"},
                          {"frankfurt", "london", "osaka", "paris", "seoul", "tokyo"});
    BOOST_TEST(o.at("frankfurt") == "bridge-2");
    BOOST_TEST(o.at("london") == "bridge-2");
    BOOST_TEST(o.at("osaka") == "bridge-3");
    BOOST_TEST(o.at("paris") == "bridge-2");
    BOOST_TEST(o.at("seoul") == "bridge-3");
    BOOST_TEST(o.at("tokyo") == "bridge-1");
}

// All four prefer bridge-2, which has room for three; tokyo has the least weight there (91..).
BOOST_AUTO_TEST_CASE(a_full_bridge_keeps_the_greatest_weights)
{
    BOOST_TEST(capacity(2, 4) == 3u);
    const auto o = owners({"bridge-2", "bridge-3"}, {"frankfurt", "london", "paris", "tokyo"});
    BOOST_TEST(o.at("frankfurt") == "bridge-2");
    BOOST_TEST(o.at("london") == "bridge-2");
    BOOST_TEST(o.at("paris") == "bridge-2");
    BOOST_TEST(o.at("tokyo") == "bridge-3");
}

// The same as taking all pairs by their weights, which is what the header says.
BOOST_AUTO_TEST_CASE(the_same_as_all_pairs_in_order)
{
    for (const int count : {1, 2, 3, 7})
    {
        const auto bridges = numbered("b", count), masters = numbered("m", 60);
        struct pair
        {
            std::uint64_t weight;
            std::string bridge, master;
        };
        std::vector<pair> pairs;
        for (const auto& b : bridges)
            for (const auto& m : masters)
                pairs.push_back({weight(b, m), b, m});
        std::sort(
            pairs.begin(), pairs.end(), [](const pair& a, const pair& b) { return a.weight > b.weight; });
        std::map<std::string, std::string> expected;
        std::map<std::string, std::size_t> load;
        for (const auto& p : pairs)
            if (!expected.contains(p.master) && load[p.bridge] < capacity(bridges.size(), masters.size()))
            {
                expected[p.master] = p.bridge;
                ++load[p.bridge];
            }
        BOOST_TEST((owners(bridges, masters) == expected));
    }
}

BOOST_AUTO_TEST_CASE(even)
{
    BOOST_TEST(capacity(3, 30) == 11u);
    BOOST_TEST(capacity(100, 10'000) == 101u);
    const auto few = least_and_most(numbered("bridge-", 3), numbered("master-", 30));
    BOOST_TEST(few.first >= 8u);
    BOOST_TEST(few.second <= 11u);
    const auto many = least_and_most(numbered("bridge-", 100), numbered("master-", 10'000));
    BOOST_TEST(many.first >= 70u);
    BOOST_TEST(many.second <= 101u);
    BOOST_TEST_MESSAGE("10,000 over 100: " << many.first << " to " << many.second);
    const auto more_than_masters = least_and_most(numbered("bridge-", 9), numbered("master-", 4));
    BOOST_TEST(more_than_masters.second <= 2u);
}

// With room everywhere nothing else moves; the bound makes some others move (docs/scaling.md), never many.
BOOST_AUTO_TEST_CASE(little_moves)
{
    const auto bridges = numbered("bridge-", 3), masters = numbered("master-", 30);
    const auto before = owners(bridges, masters);
    for (const auto& b : bridges)
    {
        const auto its =
            std::count_if(before.begin(), before.end(), [&b](const auto& o) { return o.second == b; });
        const auto n = moved(bridges, without(bridges, b), masters);
        BOOST_TEST(n >= its);
        BOOST_TEST(n <= its + 5);
    }
    auto more = bridges;
    more.push_back("bridge-4");
    BOOST_TEST(moved(bridges, more, masters) <= 9 + 5);  // capacity(4, 30) is 9

    const auto hundred = numbered("bridge-", 100), ten_thousand = numbered("master-", 10'000);
    const auto leaves = moved(hundred, without(hundred, "bridge-50"), ten_thousand);
    BOOST_TEST(leaves <= 300);
    auto one_more = hundred;
    one_more.push_back("bridge-x");
    const auto comes = moved(hundred, one_more, ten_thousand);
    BOOST_TEST(comes <= 300);
    BOOST_TEST_MESSAGE("moved as one of a hundred leaves: " << leaves << ", as one more comes: " << comes);
}

// Where no bridge is full before or after, only the masters of the bridge that leaves move.
BOOST_AUTO_TEST_CASE(only_its_own_move_while_there_is_room)
{
    const names masters = {"frankfurt", "london", "osaka", "paris", "seoul", "tokyo"};
    const auto before = owners({"bridge-1", "bridge-2", "bridge-3"}, masters);
    const auto after = owners({"bridge-2", "bridge-3"}, masters);
    for (const auto& m : masters)
        BOOST_TEST((before.at(m) == after.at(m) || before.at(m) == "bridge-1"));
    BOOST_TEST(after.at("tokyo") == "bridge-2");  // 91.. over 49..
}

BOOST_AUTO_TEST_CASE(order_does_not_matter_and_plans_are_kept)
{
    planner p({"seoul", "paris", "paris", "frankfurt"});
    BOOST_TEST((p.masters() == names{"frankfurt", "paris", "seoul"}));
    const auto a = p.for_bridges({"bridge-3", "bridge-1", "bridge-2"});
    BOOST_TEST((a->bridges == names{"bridge-1", "bridge-2", "bridge-3"}));
    BOOST_TEST(a == p.for_bridges({"bridge-1", "bridge-2", "bridge-3"}));
    BOOST_TEST((a->masters_of("bridge-2") == std::vector<std::size_t>{0, 1}));
    BOOST_TEST((a->masters_of("bridge-3") == std::vector<std::size_t>{2}));
    BOOST_TEST(a->masters_of("bridge-9").empty());
    BOOST_TEST(p.for_bridges({})->owners.empty());
    for (int i = 0; i < 20; ++i)
        p.for_bridges({"b" + std::to_string(i)});
    BOOST_TEST((p.for_bridges({"bridge-1", "bridge-2", "bridge-3"})->owners == a->owners));
}

BOOST_AUTO_TEST_SUITE_END()
