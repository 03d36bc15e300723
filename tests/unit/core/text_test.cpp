#include <dtbridge/core/text.hpp>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <chrono>
#include <ostream>

namespace text = dtbridge::text;
using namespace std::string_literals;
using namespace std::string_view_literals;

namespace
{

struct pair_of_texts
{
    std::string in, out;
};
std::ostream& operator<<(std::ostream& o, const pair_of_texts& p)
{
    return o << text::hex(p.in);
}

const std::string fffd = "\xEF\xBF\xBD";

// Unicode 15 tables 3-8 to 3-11 and the well-known kinds of ill-formed text.
const pair_of_texts utf8_cases[] = {
    {"", ""},
    {"plain", "plain"},
    {"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"},
    {"\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41", fffd + fffd + fffd + fffd + fffd + fffd + fffd + fffd + "A"},
    {"\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41", fffd + fffd + fffd + fffd + fffd + fffd + fffd + fffd + "A"},
    {"\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42", fffd + fffd + fffd + fffd + fffd + "A" + fffd + fffd + "B"},
    {"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", fffd + fffd + fffd + fffd + "A"},
    {"a\xE2\x82", "a" + fffd},
    {"\xF0\x9F\x98", fffd},
    {"x\0y"s, "x\0y"s},
};

struct glob_case
{
    std::string pattern, text;
    bool matches;
};
std::ostream& operator<<(std::ostream& o, const glob_case& c)
{
    return o << c.pattern << " on " << c.text;
}
const glob_case glob_cases[] = {
    {"", "", true},
    {"", "a", false},
    {"*", "", true},
    {"*", "anything", true},
    {"AP: *", "ap: Egress", true},
    {"AP: *", "AP:Egress", false},
    {"Compliance/*", "compliance/File Storage/Upload", true},
    {"*/Upload", "Compliance/File Storage/Upload", true},
    {"*a*b*c", "xxaxxbxxbc", true},
    {"*a*b*c", "xxaxxbxxbcx", false},
    {"a?c", "abc", true},
    {"a?c",
     "a\xC3\xA9"
     "c",
     true},
    {"a?c", "ac", false},
    {"?", "\xF0\x9F\x98\x80", true},
    {"*?? ", "\xE2\x82\xAC ", false},
    {"*??", "\xE2\x82\xAC", false},
    {"*?", "\xE2\x82\xAC", true},
    {"[ab]", "a", false},
    {"[ab]", "[AB]", true},
    {"a.c", "abc", false},
    {"**a**", "bab", true},
    {"host-*.lab.example.com", "HOST-7.LAB.EXAMPLE.COM", true},
};

}  // namespace

BOOST_AUTO_TEST_SUITE(text_rules)

BOOST_DATA_TEST_CASE(ill_formed_utf8_becomes_fffd_by_maximal_subparts,
                     boost::unit_test::data::make(utf8_cases))
{
    BOOST_TEST(text::to_valid_utf8(sample.in) == sample.out);
    BOOST_TEST(text::is_valid_utf8(sample.in) == (sample.in == sample.out));
    BOOST_TEST(text::is_valid_utf8(sample.out));
}

BOOST_AUTO_TEST_CASE(encoding_and_decoding_agree_on_every_code_point)
{
    for (char32_t c = 0; c <= 0x10FFFF; c += (c < 0x900 || (c > 0xD700 && c < 0xE100) ? 1 : 37))
    {
        if (c >= 0xD800 && c <= 0xDFFF)
            continue;
        std::string s;
        text::append_utf8(s, c);
        const auto back = text::decode(s + "tail");
        if (back.value != c || back.size != s.size() || !back.well_formed)
            BOOST_FAIL("code point " << static_cast<unsigned long>(c));
    }
}

BOOST_DATA_TEST_CASE(globs, boost::unit_test::data::make(glob_cases))
{
    BOOST_TEST(text::glob_match(sample.pattern, sample.text) == sample.matches);
}

BOOST_AUTO_TEST_CASE(a_glob_of_stars_cannot_hang)
{
    std::string pattern, hay(20000, 'a');
    for (int i = 0; i < 200; ++i)
        pattern += "*a";
    pattern += "*b";
    const auto start = std::chrono::steady_clock::now();
    BOOST_TEST(!text::glob_match(pattern, hay));
    BOOST_TEST((std::chrono::steady_clock::now() - start < std::chrono::seconds(5)));
}

BOOST_AUTO_TEST_CASE(cutting_ends_at_a_code_point_boundary)
{
    const std::string euro =
        "a\xE2\x82\xAC"
        "b";
    BOOST_TEST(text::cut(euro, 0) == "");
    BOOST_TEST(text::cut(euro, 1) == "a");
    BOOST_TEST(text::cut(euro, 2) == "a");
    BOOST_TEST(text::cut(euro, 3) == "a");
    BOOST_TEST(text::cut(euro, 4) == "a\xE2\x82\xAC");
    BOOST_TEST(text::cut(euro, 5) == euro);
    BOOST_TEST(text::cut(euro, 500) == euro);
}

BOOST_AUTO_TEST_CASE(small_helpers)
{
    BOOST_TEST(text::trim("  a b\t ") == "a b\t");
    BOOST_TEST(text::trim("   ") == "");
    BOOST_TEST(text::trim_blank(" \r\n a b\t ") == "a b");
    BOOST_TEST(text::trim_blank("\n") == "");
    BOOST_TEST(text::lower("ABC\xC3\x89z") == "abc\xC3\x89z");
    BOOST_TEST(text::iequals("Enhanced Monitoring", "enhanced MONITORING"));
    BOOST_TEST(!text::iequals("a", "ab"));
    BOOST_TEST(!text::iequals("[", "{"));  // differ in the bit that ASCII letters differ in
    BOOST_TEST(text::hex("\x00\xFF\x1a"sv) == "00ff1a");
    BOOST_TEST(text::hex_digit('0') == 0);
    BOOST_TEST(text::hex_digit('9') == 9);
    BOOST_TEST(text::hex_digit('f') == 15);
    BOOST_TEST(text::hex_digit('A') == 10);
    for (const char c : {'/', ':', '@', 'G', '`', 'g', '\0', '\xff'})
        BOOST_TEST(text::hex_digit(c) == -1);
}

BOOST_AUTO_TEST_CASE(percent_decoding_takes_whole_triplets_only)
{
    BOOST_TEST(text::percent_decoded("a%41%2b%2B+%00z").value() == "aA+++"s + '\0' + "z");
    BOOST_TEST(text::percent_decoded("").value() == "");
    BOOST_TEST(text::percent_decoded("%e2%82%ac").value() == "\xe2\x82\xac");
    for (const auto* s : {"%", "%4", "a%4", "%zz", "%4z", "%-1", "% 1"})
        BOOST_TEST(!text::percent_decoded(s), s);
}

BOOST_AUTO_TEST_CASE(the_line_that_is_not_utf8)
{
    BOOST_TEST(text::first_ill_formed_line("\xFF") == 1u);
    BOOST_TEST(text::first_ill_formed_line("a\n\xC3\xA9\r\n\xE2\x82") == 3u);
    BOOST_TEST(text::first_ill_formed_line("a\nb") == 2u);
    BOOST_TEST(text::first_ill_formed_line("") == 1u);
}

BOOST_AUTO_TEST_CASE(printable_is_one_line_and_bounded)
{
    BOOST_TEST(text::printable("a\r\nb\x1b[31m") == "a\\x0d\\x0ab\\x1b[31m");
    BOOST_TEST(text::printable("\xFFz") == "\\xffz");
    BOOST_TEST(text::printable("gr\xC3\xB6\xC3\x9F"
                               "er") ==
               "gr\xC3\xB6\xC3\x9F"
               "er");
    BOOST_TEST(text::printable("\xC2\x85|\xE2\x80\xA8|\xE2\x80\xAE") ==
               "\\xc2\\x85|\\xe2\\x80\\xa8|\\xe2\\x80\\xae");
    BOOST_TEST(text::printable(std::string(300, 'a')) == std::string(197, 'a') + "...");
    BOOST_TEST(text::printable(std::string(200, 'a')) == std::string(200, 'a'));
    for (std::size_t max = 0; max < 12; ++max)
        BOOST_TEST(text::printable("\xE2\x82\xAC\xE2\x82\xAC\n\xE2\x82\xAC", max).size() <= max);
}

BOOST_AUTO_TEST_CASE(quoted_is_json_and_toml)
{
    // RFC 8259 7 and TOML 1.0 "String": what must be escaped, and nothing else is.
    BOOST_TEST(text::quoted("") == "\"\"");
    BOOST_TEST(text::quoted("a b/c") == "\"a b/c\"");
    BOOST_TEST(text::quoted("say \"hi\" \\ there") == "\"say \\\"hi\\\" \\\\ there\"");
    BOOST_TEST(text::quoted(std::string_view("\0\t\n\x1f\x7f", 5)) ==
               "\"\\u0000\\u0009\\u000a\\u001f\\u007f\"");
    BOOST_TEST(text::quoted("gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80") ==
               "\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80\"");
    BOOST_TEST(text::quoted("a\xff\xc3") == "\"a\xef\xbf\xbd\xef\xbf\xbd\"");
}

BOOST_AUTO_TEST_SUITE_END()
