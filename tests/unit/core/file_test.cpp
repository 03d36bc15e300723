#include <dtbridge/core/file.hpp>

#include <boost/test/unit_test.hpp>

#include <fstream>
#include <string>
#include <thread>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/temp_dir.hpp"

using namespace dtbridge;

namespace
{

std::string words(const outcome<file_text>& got)
{
    return got ? "was read" : got.error().detail;
}

struct place
{
    test::temp_dir dir;
    std::string path(const std::string& name) const { return dir / name; }
    std::string file(const std::string& name, const std::string& bytes) const
    {
        std::ofstream(path(name), std::ios::binary) << bytes;
        return path(name);
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(file, place)

BOOST_AUTO_TEST_CASE(bytes_and_who_may_read_them)
{
    const std::string bytes = std::string("a\0b\r\n", 5) + std::string(100000, '\xff');
    const auto name = file("some", bytes);
    BOOST_REQUIRE(::chmod(name.c_str(), 0644) == 0);
    auto got = read_file(name, bytes.size());
    BOOST_REQUIRE(got.has_value());
    BOOST_TEST((got->bytes == bytes));
    BOOST_TEST(got->world_readable);
    BOOST_REQUIRE(::chmod(name.c_str(), 0640) == 0);
    got = read_file(name, bytes.size());
    BOOST_REQUIRE(got.has_value());
    BOOST_TEST(!got->world_readable);
    BOOST_TEST(read_file(file("empty", ""), 0)->bytes == "");
}

BOOST_AUTO_TEST_CASE(bounds)
{
    const auto name = file("long", std::string(4097, 'x'));
    BOOST_TEST(read_file(name, 4097).has_value());
    const auto got = read_file(name, 4096);
    BOOST_REQUIRE(!got.has_value());
    BOOST_TEST((got.error().code == errc::over_limit));
    BOOST_TEST(words(got) == "is longer than 4 KiB");
    // A device without end is not read to its end.
    BOOST_TEST(words(read_file("/dev/zero", 4096, file_kind::any)) == "is longer than 4 KiB");
}

BOOST_AUTO_TEST_CASE(what_is_no_file)
{
    BOOST_TEST(words(read_file(path("none"), 10)) == "is missing");
    BOOST_TEST(words(read_file(dir.path(), 10)) == "is a folder, not a file");
    BOOST_TEST(words(read_file(dir.path(), 10, file_kind::any)) == "is a folder, not a file");
    BOOST_TEST(words(read_file("/dev/null", 10)) == "is not a regular file");
}

BOOST_AUTO_TEST_CASE(pipes)
{
    BOOST_REQUIRE(::mkfifo(path("pipe").c_str(), 0600) == 0);
    // Nobody writes: this answers at once all the same.
    BOOST_TEST(words(read_file(path("pipe"), 10)) == "is not a regular file");
    std::thread writer([this] { file("pipe", "through it"); });
    const auto got = read_file(path("pipe"), 10, file_kind::any);
    writer.join();
    BOOST_REQUIRE(got.has_value());
    BOOST_TEST(got->bytes == "through it");
}

BOOST_AUTO_TEST_SUITE_END()
