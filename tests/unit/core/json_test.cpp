#include <dtbridge/core/json.hpp>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <limits>
#include <ostream>

using namespace dtbridge;
using json::kind;
using namespace std::string_view_literals;

namespace
{

struct integer_case
{
    std::string text;
    bool ok;
    std::int64_t value;
};
std::ostream& operator<<(std::ostream& o, const integer_case& c)
{
    return o << c.text;
}
const integer_case integers[] = {
    {"0", true, 0},
    {"-0", true, 0},
    {"0.000e5", true, 0},
    {"42", true, 42},
    {"-1000000000000123", true, -1000000000000123},
    {"9007199254740993", true, 9007199254740993},
    {"9.10003e5", true, 910003},
    {"1704100001000.0", true, 1704100001000},
    {"17.0", true, 17},
    {"100e-2", true, 1},
    {"0.0001e4", true, 1},
    {"1.05e2", true, 105},
    {"1200000000000000000000e-3", true, 1200000000000000000},
    {"9223372036854775807", true, std::numeric_limits<std::int64_t>::max()},
    {"-9223372036854775808", true, std::numeric_limits<std::int64_t>::min()},
    {"922337203685477580.7e1", true, std::numeric_limits<std::int64_t>::max()},
    {"9223372036854775808", false, 0},
    {"-9223372036854775809", false, 0},
    {"18446744073709551616", false, 0},
    {"1e19", false, 0},
    {"1e300", false, 0},
    {"1.5", false, 0},
    {"1e-7", false, 0},
    {"17.00000000000000000000000000001", false, 0},
    {"\"910002\"", true, 910002},
    {"\"-5\"", true, -5},
    {"\"007\"", true, 7},
    {"\"\"", false, 0},
    {"\"-\"", false, 0},
    {"\"1e3\"", false, 0},
    {"\"1.0\"", false, 0},
    {"\" 1\"", false, 0},
    {"\"99999999999999999999\"", false, 0},
    {"true", false, 0},
    {"null", false, 0},
    {"[1]", false, 0},
};

std::string nested(std::size_t depth)
{
    return std::string(depth, '[') + std::string(depth, ']');
}

}  // namespace

BOOST_AUTO_TEST_SUITE(json_documents)

BOOST_DATA_TEST_CASE(exact_integers, boost::unit_test::data::make(integers))
{
    json::document doc;
    const auto v = doc.parse(sample.text);
    BOOST_REQUIRE(v.has_value());
    std::int64_t out = 77;
    BOOST_TEST(v->integer(out) == sample.ok);
    BOOST_TEST(out == (sample.ok ? sample.value : 77));
}

BOOST_AUTO_TEST_CASE(a_document_is_as_received)
{
    json::document doc;
    const auto parsed =
        doc.parse(R"( {"z":1.50,"a":[1e5,-0,"x\u00e9\n",true,false,null,{}],"z":"second","":{"k":[[]]}} )");
    BOOST_REQUIRE(parsed.has_value());
    const auto root = *parsed;
    BOOST_TEST(root.size() == 4u);
    std::string keys;
    for (const auto member : root)
        keys += std::string(member.key()) + ",";
    BOOST_TEST(keys == "z,a,z,,");
    BOOST_TEST(root.find("z").text() == "1.50");  // the first of that name
    const auto a = root.find("a");
    BOOST_TEST(a.size() == 7u);
    std::string texts;
    for (const auto element : a)
        texts += std::string(element.text()) + "|";
    BOOST_TEST(texts == "1e5|-0|x\xC3\xA9\n|true|false|||");
    BOOST_TEST(root.at_pointer("/a/3").boolean());
    BOOST_TEST(!root.at_pointer("/a/4").boolean());
    BOOST_TEST((root.at_pointer("/a/5").is(kind::null)));
    BOOST_TEST((root.at_pointer("/a/6").is(kind::object)));
    BOOST_TEST((root.at_pointer("//k/0").is(kind::array)));
    BOOST_TEST(!root.find("missing"));
    BOOST_TEST((!root.find("missing").is(kind::null)));
    BOOST_TEST(root.find("missing").text() == "");
    BOOST_TEST(root.find("missing").size() == 0u);
    BOOST_TEST((root.find("missing").begin() == root.find("missing").end()));
    BOOST_TEST(!a.find("z"));
}

BOOST_AUTO_TEST_CASE(pointers_of_rfc_6901)
{
    json::document doc;
    const auto v = doc.parse(
        R"({"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8})");
    BOOST_REQUIRE(v.has_value());
    BOOST_TEST(v->at_pointer("").size() == 10u);
    BOOST_TEST(v->at_pointer("/foo/0").text() == "bar");
    BOOST_TEST(v->at_pointer("/").text() == "0");
    BOOST_TEST(v->at_pointer("/a~1b").text() == "1");
    BOOST_TEST(v->at_pointer("/c%d").text() == "2");
    BOOST_TEST(v->at_pointer("/i\\j").text() == "5");
    BOOST_TEST(v->at_pointer("/k\"l").text() == "6");
    BOOST_TEST(v->at_pointer("/ ").text() == "7");
    BOOST_TEST(v->at_pointer("/m~0n").text() == "8");
    for (const char* none :
         {"foo", "/foo/2", "/foo/00", "/foo/-", "/foo/0/x", "/m~2n", "/m~", "/foo/99999999999999999999"})
        BOOST_TEST(!v->at_pointer(none), none);
}

BOOST_AUTO_TEST_CASE(lone_surrogates_become_fffd_and_pairs_stay)
{
    json::document doc;
    const auto v = doc.parse(
        R"(["\ud83d\ude00","a\ud83d b","\ude00","\ud83d\ud83d\ude00","\\ud83d","\uD83Dx","\ud83d\\","\ud83d\n"])");
    BOOST_REQUIRE_MESSAGE(v.has_value(), (v ? "" : v.error().detail));
    const std::string fffd = "\xEF\xBF\xBD", smile = "\xF0\x9F\x98\x80";
    BOOST_TEST(v->at_pointer("/0").text() == smile);
    BOOST_TEST(v->at_pointer("/1").text() == "a" + fffd + " b");
    BOOST_TEST(v->at_pointer("/2").text() == fffd);
    BOOST_TEST(v->at_pointer("/3").text() == fffd + smile);
    BOOST_TEST(v->at_pointer("/4").text() == "\\ud83d");
    BOOST_TEST(v->at_pointer("/5").text() == fffd + "x");
    BOOST_TEST(v->at_pointer("/6").text() == fffd + "\\");
    BOOST_TEST(v->at_pointer("/7").text() == fffd + "\n");
    const auto key = doc.parse(R"({"\udfff":1})");
    BOOST_REQUIRE(key.has_value());
    BOOST_TEST((*key->begin()).key() == fffd);
}

BOOST_AUTO_TEST_CASE(ill_formed_utf8_and_nul_are_kept)
{
    json::document doc;
    const auto v = doc.parse("[\"a\xFF\xC3\",\"n\\u0000l\",{\"\xE2\x82\":1}]");
    BOOST_REQUIRE_MESSAGE(v.has_value(), (v ? "" : v.error().detail));
    BOOST_TEST(v->at_pointer("/0").text() == "a\xFF\xC3");
    BOOST_TEST((v->at_pointer("/1").text() == "n\0l"sv));
    BOOST_TEST((*v->at_pointer("/2").begin()).key() == "\xE2\x82");
}

BOOST_DATA_TEST_CASE(no_json,
                     boost::unit_test::data::make(std::vector<std::string>{
                         "",          " ",         "{",       "[1,]", "{\"a\":1,}",     "{a:1}",
                         "'x'",       "01",        "1.",      "nul",  "[1] x",          "\"a\nb\"",
                         "\"\\x\"",   "\"\\u12\"", "// c\n1", "[1]]", "\xEF\xBB\xBF{}", "NaN",
                         "\"\\ud83d", "{\"a\" 1}"}))
{
    json::document doc;
    const auto v = doc.parse(sample);
    BOOST_REQUIRE(!v.has_value());
    BOOST_TEST((v.error().code == errc::malformed));
    BOOST_TEST(v.error().detail.find("byte") != std::string::npos);
    BOOST_TEST(!doc.root());
}

BOOST_AUTO_TEST_CASE(bounds)
{
    json::document doc;
    BOOST_TEST(doc.parse(nested(256)).has_value());
    const auto deep = doc.parse(nested(257));
    BOOST_REQUIRE(!deep.has_value());
    BOOST_TEST((deep.error().code == errc::over_limit));
    BOOST_TEST(deep.error().detail.find("256") != std::string::npos);
    BOOST_TEST(!doc.root());

    BOOST_TEST(doc.parse("{\"" + std::string(1024, 'k') + "\":1}").has_value());
    const auto key = doc.parse("{\"" + std::string(1025, 'k') + "\":1}");
    BOOST_REQUIRE(!key.has_value());
    BOOST_TEST((key.error().code == errc::over_limit));
    const auto escaped_key =
        doc.parse("{\"" + std::string(1000, 'k') + "\\n" + std::string(1000, 'k') + "\":1}");
    BOOST_TEST((escaped_key.has_error() && escaped_key.error().code == errc::over_limit));

    json::limits small;
    small.max_bytes = 10;
    BOOST_TEST(doc.parse("[1,2,3,45]", small).has_value());
    BOOST_TEST((doc.parse("[1,2,3,456]", small).error().code == errc::over_limit));
    small = {};
    small.max_values = 4;
    BOOST_TEST(doc.parse("[1,2,3]", small).has_value());
    BOOST_TEST((doc.parse("[1,2,3,4]", small).error().code == errc::over_limit));
    BOOST_TEST(doc.parse("[1]").has_value());  // usable again
}

BOOST_AUTO_TEST_CASE(a_document_is_used_again_and_again)
{
    json::document doc;
    for (int i = 0; i < 3; ++i)
    {
        BOOST_TEST(doc.parse("{\"a\":[1,2,{\"b\":\"" + std::string(5000, 'x') + "\"}]}").has_value());
        BOOST_TEST(doc.root().at_pointer("/a/2/b").text().size() == 5000u);
        BOOST_TEST(doc.parse("7")->text() == "7");
        BOOST_TEST(doc.root().size() == 0u);
        BOOST_TEST(!doc.parse("{").has_value());
    }
    std::string huge = "[0";
    for (int i = 0; i < 300000; ++i)
        huge += ",0";
    BOOST_TEST(doc.parse(huge + "]")->size() == 300001u);
    BOOST_TEST(doc.parse("[1]")->size() == 1u);
}

BOOST_AUTO_TEST_SUITE_END()
