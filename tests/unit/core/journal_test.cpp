#include <core/journal.hpp>

#include <cstdlib>
#include <filesystem>
#include <string>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>

namespace log_ = dtbridge::log;

BOOST_AUTO_TEST_SUITE(journal)

BOOST_AUTO_TEST_CASE(an_entry_has_its_fields)
{
    BOOST_TEST(log_::journal_entry(log_::level::warning,
                                   "deliver",
                                   "siem",
                                   "cannot deliver",
                                   {{"until then", "a b"}, {"error", "x\ny"}}) ==
               "MESSAGE=deliver siem: cannot deliver until then=\"a b\" error=x\\x0ay\nPRIORITY=4\n"
               "SYSLOG_IDENTIFIER=dtbridge\nDTBRIDGE_COMPONENT=deliver\nDTBRIDGE_SOURCE=siem\n"
               "DTBRIDGE_UNTIL_THEN=a b\nDTBRIDGE_ERROR=x\\x0ay\n");
    BOOST_TEST(log_::journal_entry(log_::level::error, "app", "", "m", {}) ==
               "MESSAGE=app: m\nPRIORITY=3\nSYSLOG_IDENTIFIER=dtbridge\nDTBRIDGE_COMPONENT=app\n");
}

BOOST_AUTO_TEST_CASE(no_value_starts_a_field)
{
    const auto entry = log_::journal_entry(log_::level::info,
                                           "poll",
                                           "acme",
                                           "m\nPRIORITY=0",
                                           {{"host", std::string("a\nDTBRIDGE_SOURCE=b\0c", 20)}});
    std::size_t lines = 0;
    for (const char c : entry)
        lines += c == '\n';
    BOOST_TEST(lines == 6u);
    BOOST_TEST(entry.find("\nPRIORITY=0") == std::string::npos);
}

BOOST_AUTO_TEST_CASE(the_stream_is_known_by_device_and_inode)
{
    int ends[2];
    BOOST_REQUIRE(::pipe(ends) == 0);
    struct stat facts
    {
    };
    BOOST_REQUIRE(::fstat(ends[1], &facts) == 0);
    const auto named = std::to_string(facts.st_dev) + ":" + std::to_string(facts.st_ino);
    BOOST_TEST(log_::is_journal_stream(named.c_str(), ends[1]));
    BOOST_TEST(!log_::is_journal_stream((named + "0").c_str(), ends[1]));
    BOOST_TEST(!log_::is_journal_stream("nonsense", ends[1]));
    BOOST_TEST(!log_::is_journal_stream(nullptr, ends[1]));
    ::close(ends[0]);
    ::close(ends[1]);
}

BOOST_AUTO_TEST_CASE(lines_go_to_the_journal_and_json_to_standard_error)
{
    auto pattern = (std::filesystem::temp_directory_path() / "dtbridge-journal-XXXXXX").string();
    BOOST_REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    const auto path = pattern + "/socket";
    const int receiver = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    BOOST_REQUIRE(::bind(receiver, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    BOOST_TEST(log_::use_journal(path));
    char got[1000];
    log_::info("poll", "acme", "the master answers");
    auto size = ::recv(receiver, got, sizeof got, 0);
    BOOST_REQUIRE(size > 0);
    BOOST_TEST(std::string(got, static_cast<std::size_t>(size)) ==
               "MESSAGE=poll acme: the master answers\nPRIORITY=6\nSYSLOG_IDENTIFIER=dtbridge\n"
               "DTBRIDGE_COMPONENT=poll\nDTBRIDGE_SOURCE=acme\n");
    log_::set_format(log_::format::json);
    log_::info("poll", "acme", "as JSON");
    log_::set_format(log_::format::text);
    BOOST_TEST(::recv(receiver, got, sizeof got, 0) < 0);
    // A journal that takes nothing more holds up nobody.
    for (int i = 0; i < 5000; ++i)
        log_::send_to_journal("MESSAGE=fill\n");
    BOOST_TEST(!log_::send_to_journal("MESSAGE=one more\n"));
    ::close(receiver);
    BOOST_TEST(!log_::use_journal(path));
    log_::use_journal("");
    std::filesystem::remove_all(pattern);
}

BOOST_AUTO_TEST_SUITE_END()
