/// The tree behind every TOML file of ours: order, lines, kinds, numbers as written, errors, bounds.

#include <chrono>

#include <boost/test/unit_test.hpp>

#include <dtbridge/toml/document.hpp>

using namespace dtbridge;
using toml::fault;
using toml::node;

namespace
{

std::string repeated(std::string_view piece, std::size_t times)
{
    std::string all;
    for (std::size_t i = 0; i < times; ++i)
        all += piece;
    return all;
}

/// The text of the value of "a = <written>".
std::string number(std::string_view written)
{
    const auto d = toml::parse("a = " + std::string(written) + "\n");
    return d.ok ? d.root.find("a")->value.text : d.error.message;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(toml_document)

BOOST_AUTO_TEST_CASE(tables_keep_the_order_and_the_lines_of_the_file)
{
    const auto d = toml::parse(
        "b = 1\na = 2\n\n[t]\nz = true\ny = [\n  1,\n  2]\nx = { q = 1, p = 2 }\n"
        "[[list]]\nn = 1\n[[list]]\n[list.sub]\n\"k.l\" = 0\nm.n = 0\n");
    BOOST_REQUIRE(d.ok);
    BOOST_REQUIRE(d.root.members.size() == 4u);
    const char* const keys[] = {"b", "a", "t", "list"};
    const unsigned lines[] = {1, 2, 4, 10};
    for (std::size_t i = 0; i < 4; ++i)
    {
        BOOST_TEST(d.root.members[i].key == keys[i]);
        BOOST_TEST(d.root.members[i].line == lines[i]);
    }
    const node& t = d.root.find("t")->value;
    BOOST_TEST(t.members.at(0).key == "z");
    BOOST_TEST(t.members.at(1).value.elements.at(0).line == 7u);
    BOOST_TEST(t.members.at(1).value.elements.at(1).line == 8u);
    BOOST_TEST(t.members.at(2).value.members.at(0).key == "q");
    BOOST_TEST(t.members.at(2).value.members.at(1).key == "p");
    const node& list = d.root.find("list")->value;
    BOOST_REQUIRE(list.elements.size() == 2u);
    BOOST_TEST(list.elements[0].line == 10u);
    BOOST_TEST(list.elements[1].line == 12u);
    const node& sub = list.elements[1].find("sub")->value;
    BOOST_TEST(sub.find("k.l")->line == 14u);
    BOOST_TEST(sub.find("m")->value.find("n")->line == 15u);
    BOOST_TEST(sub.find("nothing") == nullptr);
    BOOST_TEST(toml::parse("").ok);
}

BOOST_AUTO_TEST_CASE(values_have_kinds)
{
    const auto d = toml::parse(
        "b = true\ni = -7\nf = 0.5\ns = '''\nx'''\nd = 2024-01-02\nt = 10:00:00\na = []\nm = {}\n");
    BOOST_REQUIRE(d.ok);
    const node::kind kinds[] = {node::kind::boolean,
                                node::kind::integer,
                                node::kind::number,
                                node::kind::string,
                                node::kind::date,
                                node::kind::date,
                                node::kind::array,
                                node::kind::table};
    const char* const texts[] = {"true", "-7", "0.5", "x", "a date or time", "a date or time", "", ""};
    BOOST_REQUIRE(d.root.members.size() == 8u);
    for (std::size_t i = 0; i < 8; ++i)
    {
        BOOST_TEST((d.root.members[i].value.type == kinds[i]));
        BOOST_TEST(d.root.members[i].value.text == texts[i]);
        BOOST_TEST(!d.root.members[i].value.is_default);
    }
    BOOST_TEST(d.root.find("b")->value.truth);
    BOOST_TEST(d.root.find("i")->value.integer == -7);
    BOOST_TEST(toml::kind_name(node::kind::number) == "a number with a fraction");
}

BOOST_AUTO_TEST_CASE(numbers_are_kept_as_written)
{
    BOOST_TEST(number("0.40") == "0.40");
    BOOST_TEST(number("+0.4") == "0.4");
    BOOST_TEST(number("4e-1") == "4e-1");
    BOOST_TEST(number("1_000") == "1000");
    BOOST_TEST(number("0x10") == "16");
    BOOST_TEST(number("9223372036854775807") == "9223372036854775807");
    BOOST_TEST(number("-inf") == "-inf");
    // Columns are code points, in a line of more than one stride of the index, and after a byte order mark.
    const auto d = toml::parse("\xEF\xBB\xBFx = [ '" + repeated("\xC3\xA9", 61) + "', 0.40, '" +
                               repeated("\xF0\x9F\x98\x80", 200) + "', 0.50, 1_0 ]\ny = 0.60");
    BOOST_REQUIRE(d.ok);
    const auto& x = d.root.find("x")->value.elements;
    BOOST_TEST(x.at(1).text == "0.40");
    BOOST_TEST(x.at(3).text == "0.50");
    BOOST_TEST(x.at(4).text == "10");
    BOOST_TEST(d.root.find("y")->value.text == "0.60");
}

BOOST_AUTO_TEST_CASE(every_column_is_found)
{
    for (std::size_t n = 0; n < 200; ++n)
    {
        const auto d = toml::parse(
            "\n"
            "a = [" +
            std::string(n, ' ') + "0.70]\n");
        BOOST_REQUIRE(d.ok);
        BOOST_TEST(d.root.find("a")->value.elements.at(0).text == "0.70");
    }
}

BOOST_AUTO_TEST_CASE(errors_say_where)
{
    auto d = toml::parse("a = 1\nb = \n");
    BOOST_TEST(!d.ok);
    BOOST_TEST((d.error.what == fault::syntax));
    BOOST_TEST(d.error.line == 2u);
    BOOST_TEST(d.root.members.empty());
    d = toml::parse("[a]\nlevel = 1\nlevel = 2\n");
    BOOST_TEST((d.error.what == fault::syntax));
    BOOST_TEST(d.error.line == 3u);
    BOOST_TEST(d.error.message.find("level") != std::string::npos);
    d = toml::parse("a = 1\n# \xff\n");
    BOOST_TEST((d.error.what == fault::encoding));
    BOOST_TEST(d.error.line == 2u);
    BOOST_TEST(d.error.message.find("UTF-8") != std::string::npos);
}

/// toml++ 3.3 asserts that a header does not end where these do, and tells the optimiser so in a release
/// build.
BOOST_AUTO_TEST_CASE(what_the_parser_asserts_is_an_error)
{
    for (const std::string_view text : {"[\nx = 1\n", "[[\n", "[\"\n", "[a\n", "[", "[["})
    {
        const auto d = toml::parse(text);
        BOOST_TEST((d.error.what == fault::syntax));
        BOOST_TEST(d.error.line == 1u);
    }
}

/// Its test for white space calls letters above U+00A0 that are none unreachable: U+00A5, U+20AC, U+3042.
BOOST_AUTO_TEST_CASE(what_the_parser_calls_unreachable_is_an_error)
{
    for (const std::string_view text :
         {"\xC2\xA5", "\xC2\xA5 = 1\n", "a = \xE2\x82\xAC\n", "\xE3\x81\x82 = 1\n", "a = 1 \xC2\xA5\n"})
    {
        const auto d = toml::parse(text);
        BOOST_TEST((d.error.what == fault::syntax));
        BOOST_TEST(d.error.line == 1u);
    }
    BOOST_TEST(toml::parse("\"\xC2\xA5\" = '\xE2\x82\xAC' # \xE3\x81\x82\n").ok);
}

BOOST_AUTO_TEST_CASE(dots_are_bounded)
{
    const auto key = [](std::size_t dots) { return "x" + repeated(".x", dots); };
    BOOST_TEST(toml::parse(key(32) + " = 1\n").ok);
    BOOST_TEST(toml::parse("[" + key(32) + "]\n" + key(32) + " = 1.5\n" + key(31) + ".y = 1\n").ok);
    BOOST_TEST(toml::parse("a = [ 1.5" + repeated(", 1.5", 100) + ",\n{ " + key(32) + " = 1 }, { " + key(32) +
                           " = 1 } ]\n")
                   .ok);
    for (const std::string& text : {key(33) + " = 1\n",
                                    "[" + key(33) + "]\n",
                                    "[[" + key(33) + "]]\n",
                                    "a = { b = 1, " + key(33) + " = 1 }\n",
                                    "a = [ { " + key(33) + " = 1 } ]\n",
                                    key(17) + " = { y = [ { " + key(16) + " = 1 } ] }\n",
                                    "x" + repeated(".\"=\"", 33) + " = 1\n",
                                    key(200'000) + " = 1\n"})
    {
        const auto d = toml::parse("# line 1\n" + text);
        BOOST_TEST((d.error.what == fault::dots));
        BOOST_TEST(d.error.line == 2u);
        BOOST_TEST(d.error.message == "a key with more than 32 dots");
    }
    const std::string dots(200, '.');
    for (const std::string& text : {"a = \"" + dots + "\" # " + dots + "\n",
                                    "a = '" + dots + "'\n",
                                    "a = \"\\\"" + dots + "\"\n",
                                    "a = \"\"\"\"" + dots + "\n\\\"" + dots + "\"\"\"\"\"\nb = 1\n",
                                    "a = '''\\''" + dots + "\n" + dots + "'''\n",
                                    "\"" + dots + "\" = 1\n"})
        BOOST_TEST(toml::parse(text).ok, text);
}

BOOST_AUTO_TEST_CASE(depth_and_size_are_bounded)
{
    for (const std::string_view open : {"[", "{a=", "[{a="})
        BOOST_TEST((toml::parse("a = " + repeated(open, 100'000)).error.what == fault::syntax));
    BOOST_TEST(toml::parse("a = " + repeated("[", 200) + repeated("]", 200)).ok);
    // As deep as a text can get.
    const std::string key = "x" + repeated(".x", 32);
    const auto deep =
        toml::parse("[" + key + "]\n" + key + " = " + repeated("{a=", 255) + "1" + repeated("}", 255));
    BOOST_REQUIRE(deep.ok);
    std::size_t depth = 0;
    for (const node* n = &deep.root; !n->members.empty(); n = &n->members[0].value)
        ++depth;
    BOOST_TEST(depth == 33u + 33u + 255u);
    const auto large = toml::parse(std::string(toml::max_size + 1, '#'));
    BOOST_TEST((large.error.what == fault::size));
    BOOST_TEST(large.error.message.find("at most 16 MiB") != std::string::npos);
}

/// Finding each number in the text takes no walk from the start of its line: this takes minutes then.
BOOST_AUTO_TEST_CASE(one_long_line_is_read_in_linear_time)
{
    const auto start = std::chrono::steady_clock::now();
    const auto d = toml::parse("a = [ 0.10" + repeated(", 0.10", 100'000) + " ]\n");
    BOOST_REQUIRE(d.ok);
    BOOST_TEST(d.root.find("a")->value.elements.size() == 100'001u);
    BOOST_TEST(d.root.find("a")->value.elements.back().text == "0.10");
    BOOST_TEST((std::chrono::steady_clock::now() - start < std::chrono::seconds(60)));
}

BOOST_AUTO_TEST_SUITE_END()
