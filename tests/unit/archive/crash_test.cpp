/// A process that is killed, or whose files are copied, while it writes: what it had reported is there, and
/// whole.

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <random>
#include <thread>

#include <dtbridge/db/connection.hpp>

#include "fixture.hpp"

using namespace dtbridge;
using test::numbered;

namespace
{

constexpr std::int64_t per_block = 7;

/// Adds blocks until it is killed. Block n holds pbids n x 7 + 1 .. n x 7 + 7 and leads to position n + 1.
/// After each the highest seq goes to fd.
awaitable<bool> add_forever(std::shared_ptr<archive> to, int fd)
{
    auto n = to->last_seq() / per_block;
    confirmed_batch batch;
    for (;; ++n)
    {
        auto block = numbered(n * per_block + 1, per_block, 3000);
        block.position = poll_position{n + 1, false};
        auto done = co_await to->add(std::move(block));
        if (!done)
            co_return false;
        std::int64_t seq = done->last_seq;
        if (::write(fd, &seq, sizeof seq) != sizeof seq)
            co_return false;
        batch.first_seq = batch.last_seq + 1;
        batch.last_seq = seq;
        auto moved = co_await to->confirm("qradar", batch);
        if (!moved)
            co_return false;
    }
}

awaitable<bool> write_until_killed(archive_pool& pool, int fd)
{
    std::string none;
    std::string destination = "qradar";
    std::string master = "acme";
    auto opened = co_await archive::open(pool, master, none);
    if (!opened)
        co_return false;
    auto to = *opened;
    new_cursor from_the_start;
    auto cursor = co_await to->ensure_cursor(destination, from_the_start);
    if (!cursor)
        co_return false;
    auto ended = co_await add_forever(to, fd);
    co_return ended;
}

/// A child of this process that writes into folder; reported() is the last seq that it said was archived.
class writer
{
public:
    explicit writer(const std::string& folder)
    {
        int ends[2];
        BOOST_REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
        pid_ = ::fork();
        BOOST_REQUIRE(pid_ >= 0);
        if (pid_ == 0)
        {
            asio::io_context ctx;
            asio::thread_pool workers(2);
            archive_pool pool(workers.get_executor(), folder);
            asio::co_spawn(
                ctx, write_until_killed(pool, ends[1]), [](std::exception_ptr, bool) { ::_exit(3); });
            ctx.run();
            ::_exit(4);
        }
        ::close(ends[1]);
        from_ = ends[0];
    }
    ~writer()
    {
        if (pid_ > 0)
            kill();
        ::close(from_);
    }
    writer(const writer&) = delete;
    writer& operator=(const writer&) = delete;

    /// Waits for the next report.
    void wait()
    {
        std::int64_t seq = 0;
        if (::read(from_, &seq, sizeof seq) == sizeof seq)
            reported_ = seq;
    }
    void pause()
    {
        ::kill(pid_, SIGSTOP);
        int status = 0;
        ::waitpid(pid_, &status, WUNTRACED);
        BOOST_REQUIRE(WIFSTOPPED(status));
    }
    void go_on() { ::kill(pid_, SIGCONT); }
    void kill()
    {
        ::kill(pid_, SIGKILL);
        int status = 0;
        ::waitpid(pid_, &status, 0);
        BOOST_REQUIRE_MESSAGE(WIFSIGNALED(status), "the writer ended by itself");
        pid_ = 0;
        drain();
    }
    /// Takes in what was reported so far.
    void drain()
    {
        int flags = ::fcntl(from_, F_GETFL);
        ::fcntl(from_, F_SETFL, flags | O_NONBLOCK);
        std::int64_t seq = 0;
        while (::read(from_, &seq, sizeof seq) == sizeof seq)
            reported_ = seq;
        ::fcntl(from_, F_SETFL, flags);
    }
    std::int64_t reported() const { return reported_; }

private:
    pid_t pid_ = 0;
    int from_ = -1;
    std::int64_t reported_ = 0;
};

/// Opens what a writer left and looks at everything. Answers the highest seq.
std::int64_t inspect(const std::string& folder, std::int64_t reported)
{
    asio::io_context ctx;
    asio::thread_pool workers(1);
    archive_pool pool(workers.get_executor(), folder);
    auto ask = [&](auto task) {
        return test::run_coro(ctx, std::move(task), std::chrono::seconds(60)).value();
    };
    std::int64_t last = 0;
    {
        auto acme = ask(archive::open(pool, "acme", ""));
        last = acme->last_seq();
        BOOST_TEST(last >= reported);
        BOOST_TEST(last % per_block == 0);
        auto position = ask(acme->position());
        BOOST_TEST((position ? position->position : 0) == last / per_block);
        for (const auto& cursor : ask(acme->cursors()))
            BOOST_TEST(cursor.seq <= last);
        std::int64_t at = 0;
        std::int64_t expected = 1;
        while (at < last)
        {
            auto span = ask(acme->read(at, 1000, 1 << 20));
            BOOST_REQUIRE(!span.breaches.empty());
            for (const auto& b : span.breaches)
            {
                auto head = "{\"pbid\":" + std::to_string(expected) + ",";
                if (b.seq != expected || b.body.size() != 3000 || b.body.substr(0, head.size()) != head)
                    BOOST_FAIL("breach " << expected << " is not what was added");
                ++expected;
            }
            at = span.scanned_to;
        }
        BOOST_TEST(expected == last + 1);
        BOOST_TEST(ask(acme->facts()).breaches == last);
    }
    db::connection file(folder + "/acme/archive.db", db::open_options{});
    db::query check(file.prepared("PRAGMA integrity_check"));
    BOOST_REQUIRE(check->step());
    BOOST_TEST(check->text(0) == "ok");
    BOOST_TEST(file.value("SELECT count(*) FROM seen") == last);
    return last;
}

void wait_a_while(std::mt19937& random)
{
    // Not a wait for something: the moment is what is drawn.
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 30'000));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(crash)

BOOST_AUTO_TEST_CASE(killed_twenty_times)
{
    test::temp_dir dir;
    std::mt19937 random(20260102);
    std::int64_t before = 0;
    for (int i = 0; i < 20; ++i)
    {
        writer w(dir.path());
        if (i % 4 != 0)
            w.wait();  // else it may be killed while it opens or makes the file
        wait_a_while(random);
        w.kill();
        auto last = inspect(dir.path(), std::max(w.reported(), before));
        before = last;
    }
    BOOST_TEST(before > 0);
}

BOOST_AUTO_TEST_CASE(copied_at_random_moments)
{
    test::temp_dir dir;
    std::mt19937 random(20260103);
    writer w(dir / "live");
    for (int i = 0; i < 20; ++i)
    {
        wait_a_while(random);
        if (i == 0)
            w.wait();
        // Stopped, because what is on disk at one instant is what a power cut leaves.
        w.pause();
        w.drain();
        auto copy = dir / ("copy" + std::to_string(i));
        std::filesystem::copy(dir / "live", copy, std::filesystem::copy_options::recursive);
        w.go_on();
        inspect(copy, w.reported());
    }
    BOOST_TEST(w.reported() > 0);
}

BOOST_AUTO_TEST_SUITE_END()
