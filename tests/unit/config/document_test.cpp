/// The tree behind everything: lines, order, kinds, bounds; and the nearest known word.

#include <boost/test/unit_test.hpp>

#include "config/document.hpp"
#include "config/report.hpp"

BOOST_AUTO_TEST_SUITE(document)

using namespace dtbridge::config;

BOOST_AUTO_TEST_CASE(keys_keep_their_lines_and_order)
{
    auto p = parse_toml(
        "b = 1\na = \"x\"\n\n[t]\nz = true\ny = [1,\n  2]\n[[list]]\nn = 1\n[[list]]\nn = 2.5\n[list.sub]\nk "
        "= {i = 1}\n");
    BOOST_REQUIRE(p.ok);
    BOOST_REQUIRE(p.root.members.size() == 4u);
    BOOST_TEST(p.root.members[0].key == "b");
    BOOST_TEST(p.root.members[0].line == 1u);
    BOOST_TEST(p.root.members[1].key == "a");
    BOOST_TEST(p.root.members[1].value.text == "x");
    BOOST_TEST(p.root.members[2].line == 4u);
    const auto* t = p.root.find("t");
    BOOST_TEST(t->value.members[0].key == "z");
    BOOST_TEST(t->value.members[1].value.elements.at(1).line == 7u);
    const auto* list = p.root.find("list");
    BOOST_REQUIRE(list->value.elements.size() == 2u);
    BOOST_TEST(list->value.elements[0].line == 8u);
    BOOST_TEST(list->value.elements[1].line == 10u);
    BOOST_TEST(list->value.elements[1].find("n")->value.text == "2.5");
    BOOST_TEST(list->value.elements[1].find("sub")->value.find("k")->line == 13u);
    BOOST_TEST(list->value.elements[1].find("nothing") == nullptr);
}

BOOST_AUTO_TEST_CASE(errors_have_a_line)
{
    auto p = parse_toml("a = 1\nb = \n");
    BOOST_TEST(!p.ok);
    BOOST_TEST(p.error.line == 2u);
    p = parse_toml("a = 1\n# \xff\n");
    BOOST_TEST(!p.ok);
    BOOST_TEST(p.error.line == 2u);
    BOOST_TEST(p.error.message.find("UTF-8") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(what_the_parser_asserts_is_an_error)
{
    for (std::string_view text :
         {"[\nx = 1\n", "[[\n", "[\"\n", "\xc2\xa5 = 1\n", "a = \xe2\x82\xac\n", "[a\n"})
    {
        auto p = parse_toml(text);
        BOOST_TEST(!p.ok);
        BOOST_TEST(p.error.line == 1u);
    }
}

BOOST_AUTO_TEST_CASE(depth_is_bounded)
{
    std::string dots = "x", quoted = "x";
    for (int i = 0; i < 200'000; ++i)
    {
        dots += ".x";
        quoted += ".\"=\"";
    }
    for (const std::string& text : {"\n" + dots + " = 1\n",
                                    "\n[" + dots + "]\n",
                                    "\na = { " + dots + " = 1 }\n",
                                    "\n" + quoted + " = 1\n"})
    {
        auto p = parse_toml(text);
        BOOST_TEST(!p.ok);
        BOOST_TEST(p.error.line == 2u);
    }
    const std::string harmless(200, '.');
    BOOST_TEST(parse_toml("# " + harmless + "\na = \"" + harmless + "\" # " + harmless + "\n").ok);
    BOOST_TEST(!parse_toml("a = " + std::string(100'000, '[')).ok);
}

BOOST_AUTO_TEST_CASE(nearest_word)
{
    const std::vector<std::string_view> keys{"interval", "overlap", "url", "ca_file", "private_token_file"};
    BOOST_TEST(nearest("intervall", keys) == "interval");
    BOOST_TEST(nearest("Interval", keys) == "interval");
    BOOST_TEST(nearest("intreval", keys) == "interval");  // neighbours swapped
    BOOST_TEST(nearest("overlpa", keys) == "overlap");
    BOOST_TEST(nearest("ur", keys) == "url");
    BOOST_TEST(nearest("private_token", keys) == "private_token_file");
    BOOST_TEST(nearest("ca", keys) == "ca_file");
    BOOST_TEST(nearest("password", keys) == "");
    BOOST_TEST(nearest("", keys) == "");
    BOOST_TEST(nearest(std::string(100'000, 'a'), keys) == "");
}

BOOST_AUTO_TEST_SUITE_END()
