#include "app/status_text.hpp"

#include <boost/json/parse.hpp>
#include <boost/test/unit_test.hpp>

#include "app/status_json.hpp"

using namespace dtbridge;

BOOST_AUTO_TEST_SUITE(statuses)

BOOST_AUTO_TEST_CASE(a_table_for_people)
{
    const auto status = boost::json::parse(R"({
        "version":"1.2","started":"2023-11-14T20:13:20.000Z","ready":false,"reasons":["archive of master beta: damaged"],
        "masters":[{"name":"acme","state":"polling","last_poll":"2023-11-14T22:13:18.000Z",
            "last_success":"2023-11-14T22:13:08.000Z","position":"2023-11-14T22:13:08.000Z","skew_seconds":-2,"error":"",
            "archived":1234567,"late":3,"set_aside":0,"archive_bytes":10485760},
           {"name":"beta","state":"waiting","last_poll":null,"last_success":null,"position":null,"skew_seconds":null,
            "error":"cannot connect\nat all","archived":0,"late":0,"set_aside":0,"archive_bytes":0}],
        "destinations":[{"name":"siem","state":"connected","connected_to":"192.0.2.1:6514","error":"",
            "cursors":[{"master":"acme","seq":1234000}],"lag":567,"lag_seconds":7300,"sent":10,"confirmed":9,
            "held_back":8,"throttled":7,"undeliverable":0,"lost":0,
            "policy_lines":[{"line":3,"file":"r.toml","text":"score","since_start":5,"last_24h":6,"never_in_a_week":false},
                {"line":4,"file":"r.toml","text":"model \"X\"","since_start":0,"last_24h":0,"never_in_a_week":true}]}]})");
    BOOST_TEST(app::status_text(status.as_object(), 1'700'000'000'000) ==
               "dtbridge 1.2, started 2023-11-14T20:13:20.000Z (2 h ago), not ready\n"
               "  archive of master beta: damaged\n"
               "\n"
               "  MASTER  STATE    LAST SUCCESS  POSITION     SKEW   ARCHIVED  LATE  SET ASIDE   ON DISK\n"
               "  acme    polling  12 s ago      12 s ago     -2 s  1,234,567     3          0  10.0 MiB\n"
               "  beta    waiting  never         never     unknown          0     0          0       0 B\n"
               "  beta: cannot connect\\x0aat all\n"
               "\n"
               "  DESTINATION  STATE      CONNECTED TO    LAG  OLDEST  SENT  CONFIRMED  HELD BACK  THROTTLED "
               " UNDELIVERABLE  "
               "LOST\n"
               "  siem         connected  192.0.2.1:6514  567     2 h    10          9          8          7 "
               "             0  "
               "   0\n"
               "\n"
               "  CURSOR OF  IN           AT\n"
               "  siem       acme  1,234,000\n"
               "\n"
               "Policy of siem: 6 decisions in 24 hours, 5 since the start\n"
               "  24 H  SINCE START  LINE       WHERE\n"
               "     6            5  score      r.toml:3\n"
               "     0            0  model \"X\"  r.toml:4  not once in a week\n");
}

BOOST_AUTO_TEST_CASE(a_policy_of_very_many_lines_is_cut_with_those_that_spoke_in_it)
{
    std::vector<deliver::line_status> lines(7000);
    for (std::size_t i = 0; i < lines.size(); ++i)
        lines[i].line = static_cast<unsigned>(i);
    lines[6999].since_start = 1;
    boost::json::object o;
    app::add_policy_lines(o, lines);
    BOOST_TEST(o.at("policy_lines").as_array().size() == 5000u);
    BOOST_TEST(o.at("policy_lines_left_out").to_number<int>() == 2000);
    BOOST_TEST(o.at("policy_lines").as_array()[0].at("line").to_number<int>() == 6999);
}

BOOST_AUTO_TEST_SUITE_END()
