#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "fixture.hpp"

using namespace dtbridge;
using test::archives;

BOOST_AUTO_TEST_SUITE(services)

BOOST_AUTO_TEST_CASE(first_ran_is_kept_and_taken_over)
{
    test::temp_dir dir;
    {
        auto s = service_store::open(dir / "state");
        BOOST_REQUIRE(s.has_value());
        BOOST_TEST((*s)->first_ran("qradar", "", 100).value() == 100);
        BOOST_TEST((*s)->first_ran("qradar", "", 200).value() == 100);
    }
    auto s = service_store::open(dir / "state");
    BOOST_REQUIRE(s.has_value());
    // Beside the one that holds the lock, and where there is nothing at all.
    BOOST_TEST(service_store::look_up_first_ran(dir / "state", "qradar").value().value_or(0) == 100);
    BOOST_TEST(!service_store::look_up_first_ran(dir / "state", "nobody").value());
    BOOST_TEST(!service_store::look_up_first_ran(dir / "nowhere", "qradar").value());
    BOOST_TEST((*s)->first_ran("splunk", "qradar", 300).value() == 100);
    BOOST_TEST((*s)->first_ran("qradar", "", 400).value() == 400);
    BOOST_TEST((*s)->first_ran("splunk", "qradar", 500).value() == 100);
}

BOOST_AUTO_TEST_CASE(counters_of_policy_lines_are_kept_per_destination)
{
    test::temp_dir dir;
    {
        auto s = service_store::open(dir / "state");
        BOOST_REQUIRE(s.has_value());
        (*s)->first_ran("qradar", "", 100);
        BOOST_TEST((*s)->policy_lines("qradar").value().empty());
        BOOST_TEST((*s)->save_policy_lines(
                           "qradar",
                           {{"r.toml\nscore", 5, 90, {{10, 4}, {11, 1}}}, {"r.toml\nnever", 5, 0, {}}},
                           true,
                           0)
                       .value());
        BOOST_TEST((*s)->save_policy_lines("splunk", {{"r.toml\nscore", 7, 0, {{10, 9}}}}, true, 0).value());
        BOOST_TEST(
            (*s)->save_policy_lines("qradar", {{"r.toml\nscore", 5, 95, {{11, 2}}}}, false, 11).value());
    }
    auto s = service_store::open(dir / "state");
    BOOST_REQUIRE(s.has_value());
    auto lines = (*s)->policy_lines("qradar").value();
    BOOST_REQUIRE(lines.size() == 2u);
    BOOST_TEST(lines[0].line == "r.toml\nscore");
    BOOST_TEST(lines[0].since == 5);
    BOOST_TEST(lines[0].last_spoke == 95);
    BOOST_REQUIRE(lines[0].hours.size() == 1u);  // hour 10 is forgotten
    BOOST_TEST(lines[0].hours[0].second == 2);
    BOOST_TEST(lines[1].last_spoke == 0);
    // A new name takes them over; all = true leaves only what is given.
    (*s)->first_ran("siem", "qradar", 300);
    BOOST_TEST((*s)->policy_lines("siem").value().size() == 2u);
    BOOST_TEST((*s)->policy_lines("qradar").value().empty());
    BOOST_TEST((*s)->save_policy_lines("siem", {{"other", 1, 0, {}}}, true, 0).value());
    BOOST_TEST((*s)->policy_lines("siem").value().size() == 1u);
    BOOST_TEST((*s)->forget_destination("siem").value());
    BOOST_TEST((*s)->policy_lines("siem").value().empty());
    BOOST_TEST((*s)->policy_lines("splunk").value().size() == 1u);
}

BOOST_AUTO_TEST_CASE(orphans_are_named)
{
    archives a;
    auto s = service_store::open(a.dir.path());
    BOOST_REQUIRE(s.has_value());
    BOOST_TEST((*s)->orphans({}, {}).value().empty());
    a.open("acme");
    a.open("beta");
    (*s)->first_ran("qradar", "", 1);
    (*s)->first_ran("splunk", "", 1);
    auto orphans = (*s)->orphans({"beta"}, {"qradar"}).value();
    BOOST_TEST(orphans == (std::vector<std::string>{"master acme", "destination splunk"}),
               boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(second_process_is_refused_and_told_by_whom)
{
    test::temp_dir dir;
    int ready[2];
    BOOST_REQUIRE(::pipe(ready) == 0);
    auto child = ::fork();
    BOOST_REQUIRE(child >= 0);
    if (child == 0)
    {
        auto held = service_store::open(dir / "state");
        char c = held ? 'y' : 'n';
        if (::write(ready[1], &c, 1) == 1)
            ::pause();
        ::_exit(1);
    }
    char c = 'n';
    BOOST_REQUIRE(::read(ready[0], &c, 1) == 1);
    BOOST_TEST(c == 'y');
    auto refused = service_store::open(dir / "state");
    BOOST_REQUIRE(!refused);
    BOOST_TEST((refused.error().code == errc::locked));
    BOOST_TEST(refused.error().detail.find("pid " + std::to_string(child)) != std::string::npos);
    BOOST_TEST(refused.error().detail.find("started 20") != std::string::npos);
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    ::close(ready[0]);
    ::close(ready[1]);
    // However the first one ended, the lock went with it.
    auto next = service_store::open(dir / "state");
    BOOST_TEST(next.has_value());
}

BOOST_AUTO_TEST_CASE(damaged_service_file_is_named)
{
    test::temp_dir dir;
    std::filesystem::create_directory(dir / "state");
    std::ofstream(dir / "state/service.db") << std::string(5000, 'z');
    auto s = service_store::open(dir / "state");
    BOOST_REQUIRE(!s);
    BOOST_TEST((s.error().code == errc::archive_damaged));
    BOOST_TEST(s.error().detail.find("state/service.db") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
