#include "archive/set_aside.hpp"

#include <sys/stat.h>

#include <fstream>
#include <sstream>

#include "fixture.hpp"

using namespace dtbridge;
using test::archives;

namespace
{

std::string content(const std::string& path)
{
    std::ifstream in(path);
    std::stringstream out;
    out << in.rdbuf();
    return out.str();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(set_aside)

BOOST_AUTO_TEST_CASE(lines)
{
    BOOST_TEST(set_aside_line(0, "no pbid", "{\"a\":\"\n\t\\\"}") ==
               "{\"at\":\"1970-01-01T00:00:00.000Z\",\"reason\":\"no pbid\","
               "\"raw\":\"{\\\"a\\\":\\\"\\u000a\\u0009\\\\\\\"}\"}\n");
    // Not UTF-8: readable in raw, exact in base64.
    BOOST_TEST(set_aside_line(0, "r", "a\xff") ==
               "{\"at\":\"1970-01-01T00:00:00.000Z\",\"reason\":\"r\",\"raw\":\"a\xef\xbf\xbd\",\"base64\":"
               "\"Yf8=\"}\n");
    BOOST_TEST(set_aside_line(0, "r", "\xff").find("\"base64\":\"/w==\"") != std::string::npos);
    BOOST_TEST(set_aside_line(0, "r", "\xff\xfe\xfd").find("\"base64\":\"//79\"") != std::string::npos);
}

DTBRIDGE_TEST_BOTH(once_per_hash_across_restarts)
{
    archives a(kind);
    auto acme = a.open();
    BOOST_TEST(a.must(acme->set_aside("[1]", "not an object")));
    BOOST_TEST(!a.must(acme->set_aside("[1]", "not an object")));
    acme.reset();
    acme = a.open();
    BOOST_TEST(!a.must(acme->set_aside("[1]", "not an object")));
    BOOST_TEST(a.must(acme->set_aside("[2]", "not an object")));
    auto file = a.dir / "masters/acme/set-aside.ndjson";
    BOOST_TEST(content(file) ==
               "{\"at\":\"2023-11-14T22:13:20.000Z\",\"reason\":\"not an object\",\"raw\":\"[1]\"}\n"
               "{\"at\":\"2023-11-14T22:13:20.000Z\",\"reason\":\"not an object\",\"raw\":\"[2]\"}\n");
    struct stat st;
    BOOST_REQUIRE(::stat(file.c_str(), &st) == 0);
    BOOST_TEST((st.st_mode & 0027) == 0u);
}

DTBRIDGE_TEST_BOTH(bounded)
{
    archives a(kind);
    auto acme = a.open();
    for (char c = 'a'; c < 'g'; ++c)
        BOOST_TEST(a.must(acme->set_aside(std::string(4'000'000, c), "too deep")));
    auto size = std::filesystem::file_size(a.dir / "masters/acme/set-aside.ndjson");
    BOOST_TEST(size <= 16u << 20);
    BOOST_TEST(size > 15u << 20);
    BOOST_TEST(!a.must(acme->set_aside(std::string(4'000'000, 'f'), "too deep")));
    BOOST_TEST(std::filesystem::file_size(a.dir / "masters/acme/set-aside.ndjson") == size);
}

BOOST_AUTO_TEST_CASE(line_cut_by_a_crash_is_ended)
{
    test::temp_dir dir;
    std::ofstream(dir / "f") << "{\"cut";
    BOOST_TEST(append_line(dir / "f", "{}\n", 100));
    BOOST_TEST(content(dir / "f") == "{\"cut\n{}\n");
    BOOST_TEST(!append_line(dir / "f", "{}\n", 11));
}

BOOST_AUTO_TEST_SUITE_END()
