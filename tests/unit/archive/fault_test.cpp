#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include <dtbridge/db/connection.hpp>

#include "archive/block_codec.hpp"
#include "fixture.hpp"

using namespace dtbridge;
using test::archives;
using test::numbered;

namespace
{

/// A small file system of the test's own, where the user may make one.
class small_disk
{
public:
    explicit small_disk(std::string path) : path_(std::move(path))
    {
        ::mkdir(path_.c_str(), 0750);
        mounted_ = ::mount("dtbridge-test", path_.c_str(), "tmpfs", 0, "size=4m") == 0;
    }
    ~small_disk()
    {
        if (mounted_)
            ::umount2(path_.c_str(), MNT_DETACH);
    }
    bool mounted() const { return mounted_; }

private:
    std::string path_;
    bool mounted_ = false;
};

void overwrite(const std::string& path, std::streamoff at, const std::string& bytes)
{
    std::fstream f(path, std::ios::in | std::ios::out | std::ios::binary);
    f.seekp(at);
    f << bytes;
    BOOST_REQUIRE(f.good());
}

}  // namespace

BOOST_AUTO_TEST_SUITE(faults)

BOOST_AUTO_TEST_CASE(full_disk_and_space_back)
{
    archives a;
    small_disk disk(a.dir / "masters");
    if (!disk.mounted())
    {
        test::say_skipped("this user may not mount a small file system");
        return;
    }
    auto acme = a.open();
    std::string filler = a.dir / "masters/filler";
    std::ofstream(filler) << std::string(2600 << 10, 'x');
    std::int64_t n = 0;
    outcome<added> done;
    for (; n < 100; ++n)
    {
        auto block = numbered(1 + 20 * n, 20, 2000);
        block.position = poll_position{n + 1, false};
        done = a.ask(acme->add(std::move(block)));
        if (!done)
            break;
    }
    BOOST_REQUIRE(!done);
    BOOST_TEST((done.error().code == errc::disk_full));
    BOOST_TEST(done.error().detail.find("acme/archive.db") != std::string::npos);
    BOOST_TEST(n > 0);
    BOOST_TEST(acme->last_seq() == 20 * n);
    BOOST_TEST(a.must(acme->position())->position == n);
    auto span = a.must(acme->read(0, 1000, 1 << 20));
    BOOST_TEST(!span.breaches.empty());

    std::filesystem::remove(filler);
    auto block = numbered(1 + 20 * n, 20, 2000);
    auto again = a.must(acme->add(std::move(block)));
    BOOST_TEST(again.keys.size() == 20u);
    BOOST_TEST(again.last_seq == 20 * (n + 1));
    a.must(acme->close());
    db::connection file(a.file(), db::open_options{});
    BOOST_TEST(file.value("SELECT count(*) FROM breach") == 20 * (n + 1));
    acme.reset();
}

BOOST_AUTO_TEST_CASE(full_disk_at_start)
{
    archives a;
    small_disk disk(a.dir / "masters");
    if (!disk.mounted())
    {
        test::say_skipped("this user may not mount a small file system");
        return;
    }
    {
        std::ofstream filler(a.dir / "masters/filler");
        filler << std::string(5 << 20, 'x');
    }
    auto refused = a.ask(archive::open(a.pool, "acme", ""));
    BOOST_REQUIRE(!refused);
    BOOST_TEST((refused.error().code == errc::disk_full));
    std::filesystem::remove(a.dir / "masters/filler");
    auto acme = a.open();
    BOOST_TEST(a.must(acme->add(numbered(1, 3))).keys.size() == 3u);
    acme.reset();
}

BOOST_AUTO_TEST_CASE(folder_that_cannot_be_written)
{
    test::temp_dir dir;
    auto child = ::fork();
    BOOST_REQUIRE(child >= 0);
    if (child == 0)
    {
        // Root may write everywhere, so another user looks.
        ::chmod(dir.path().c_str(), 0555);
        if (::getuid() == 0 && (::setgid(65534) != 0 || ::setuid(65534) != 0))
            ::_exit(9);
        asio::io_context ctx;
        asio::thread_pool workers(1);
        archive_pool pool(workers.get_executor(), dir / "masters");
        auto task = archive::open(pool, "acme", "");
        auto opened = test::run_coro(ctx, std::move(task), std::chrono::seconds(20));
        bool right = !opened && opened.error().code.value() == EACCES &&
                     opened.error().detail.find(dir / "masters") != std::string::npos;
        ::_exit(right ? 0 : 1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    BOOST_TEST(WIFEXITED(status));
    BOOST_TEST(WEXITSTATUS(status) == 0);
}

BOOST_AUTO_TEST_CASE(newer_schema_is_refused_and_left_alone)
{
    archives a;
    auto acme = a.open();
    a.must(acme->close());
    acme.reset();
    {
        db::connection file(a.file(), db::open_options{});
        file.exec("PRAGMA user_version=99");
    }
    auto refused = a.ask(archive::open(a.pool, "acme", ""));
    BOOST_REQUIRE(!refused);
    BOOST_TEST((refused.error().code == errc::archive_newer));
    BOOST_TEST(refused.error().detail.find(a.file()) != std::string::npos);
    BOOST_TEST(refused.error().detail.find("newer dtbridge") != std::string::npos);
    db::connection file(a.file(), db::open_options{});
    BOOST_TEST(file.value("PRAGMA user_version") == 99);
}

BOOST_AUTO_TEST_CASE(file_that_is_no_archive_is_named_and_others_go_on)
{
    archives a;
    std::filesystem::create_directories(a.dir / "masters/acme");
    std::ofstream(a.file()) << std::string(10000, 'q');
    auto refused = a.ask(archive::open(a.pool, "acme", ""));
    BOOST_REQUIRE(!refused);
    BOOST_TEST((refused.error().code == errc::archive_damaged));
    BOOST_TEST(refused.error().detail.find(a.file()) != std::string::npos);
    BOOST_TEST(refused.error().detail.find("dtbridge recover") != std::string::npos);
    BOOST_TEST(a.must(a.open("beta")->add(numbered(1, 1))).keys.size() == 1u);
}

BOOST_AUTO_TEST_CASE(damaged_body_is_reported_and_the_rest_is_read)
{
    archives a;
    auto acme = a.open();
    a.must(acme->add(numbered(1, 10, 2000)));
    a.must(acme->add(numbered(11, 10, 2000)));
    a.must(acme->close());
    {
        db::connection file(a.file(), db::open_options{});
        file.exec(
            "UPDATE block SET data = substr(data, 1, 2000) || x'00112233' || substr(data, 2005) WHERE id = "
            "1");
    }
    auto damaged = a.ask(acme->read(0, 10, 1 << 20));
    BOOST_REQUIRE(!damaged);
    BOOST_TEST((damaged.error().code == errc::archive_damaged));
    BOOST_TEST(damaged.error().detail.find("block 1 ") != std::string::npos);
    BOOST_TEST(a.must(acme->read(10, 10, 1 << 20)).breaches.size() == 10u);
}

BOOST_AUTO_TEST_CASE(lengths_in_the_file_are_not_trusted)
{
    archives a;
    auto acme = a.open();
    a.must(acme->add(numbered(1, 10, 2000)));
    for (const char* harm :
         {"UPDATE breach SET length = 1000000 WHERE seq = 5",
          "UPDATE breach SET length = -1, begins = 20000 WHERE seq = 5",
          "UPDATE breach SET length = 10, begins = -5 WHERE seq = 5",
          "UPDATE breach SET length = 9223372036854775807, begins = 9223372036854775807 WHERE seq = 5",
          "UPDATE breach SET length = 10, begins = 10, block = 77 WHERE seq = 5",
          "UPDATE breach SET block = 1; UPDATE block SET size = 1 << 40",
          "UPDATE block SET size = -1",
          "UPDATE block SET size = 19999",
          "UPDATE block SET size = 20000, data = x'00'",
          "UPDATE block SET data = NULL || 'x'",
          "DELETE FROM block"})
    {
        a.must(acme->close());
        {
            db::connection file(a.file(), db::open_options{});
            try
            {
                file.exec(harm);
            }
            catch (const db::error&)
            {
                continue;  // the table's own bounds
            }
        }
        auto damaged = a.ask(acme->read(4, 1, 1 << 20));
        BOOST_REQUIRE_MESSAGE(!damaged, harm);
        BOOST_TEST((damaged.error().code == errc::archive_damaged), harm);
    }
}

BOOST_AUTO_TEST_CASE(random_pages_of_rubbish_never_crash)
{
    archives a;
    {
        auto acme = a.open();
        for (int i = 0; i < 20; ++i)
            a.must(acme->add(numbered(1 + 20 * i, 20, 2000)));
        a.must(acme->close());
    }
    auto whole = a.dir / "whole.db";
    std::filesystem::copy_file(a.file(), whole);
    auto pages = static_cast<std::streamoff>(std::filesystem::file_size(whole) / 4096);
    int reported = 0;
    for (std::streamoff page = 0; page < pages; page += 3)
    {
        std::filesystem::copy_file(whole, a.file(), std::filesystem::copy_options::overwrite_existing);
        overwrite(a.file(), page * 4096, std::string(4096, static_cast<char>(0x5a + page)));
        auto opened = a.ask(archive::open(a.pool, "acme", ""));
        if (!opened)
        {
            BOOST_TEST((opened.error().code == errc::archive_damaged), opened.error().detail);
            ++reported;
            continue;
        }
        auto acme = *opened;
        std::int64_t at = 0;
        while (at < 400)
        {
            auto span = a.ask(acme->read(at, 1000, 1 << 20));
            if (!span)
            {
                BOOST_TEST((span.error().code == errc::archive_damaged), span.error().detail);
                ++reported;
                break;
            }
            if (span->breaches.empty())
                break;
            at = span->scanned_to;
        }
        auto added = a.ask(acme->add(numbered(1000, 5)));
        if (!added)
            BOOST_TEST((added.error().code == errc::archive_damaged), added.error().detail);
    }
    BOOST_TEST(reported > pages / 6);
}

BOOST_AUTO_TEST_CASE(frames_are_checked_before_they_are_expanded)
{
    std::string bytes(100'000, 'a');
    auto frame = compress_block(bytes);
    BOOST_TEST(expand_block(frame, 100'000, 1 << 20, "f", 1) == bytes);
    BOOST_CHECK_THROW(expand_block(frame, 100'000, 99'999, "f", 1), db::error);
    BOOST_CHECK_THROW(expand_block(frame, 99'999, 1 << 20, "f", 1), db::error);
    BOOST_CHECK_THROW(expand_block(frame, -1, 1 << 20, "f", 1), db::error);
    BOOST_CHECK_THROW(expand_block("", 0, 1 << 20, "f", 1), db::error);
    BOOST_CHECK_THROW(expand_block(frame.substr(0, frame.size() - 1), 100'000, 1 << 20, "f", 1), db::error);
    frame[frame.size() - 1] = static_cast<char>(frame[frame.size() - 1] ^ 1);  // of the checksum
    BOOST_CHECK_THROW(expand_block(frame, 100'000, 1 << 20, "f", 1), db::error);
}

BOOST_AUTO_TEST_CASE(file_taken_away_is_an_error_not_a_new_archive)
{
    archives a;
    auto acme = a.open();
    a.must(acme->add(numbered(1, 3)));
    a.must(acme->close());
    std::filesystem::remove(a.file());
    auto gone = a.ask(acme->add(numbered(4, 3)));
    BOOST_REQUIRE(!gone);
    BOOST_TEST(gone.error().code.value() == ENOENT);
}

BOOST_AUTO_TEST_SUITE_END()
