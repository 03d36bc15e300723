/// What is taken with a warning: the file is good, and the warning names line, key and what to do.

#include <boost/test/data/test_case.hpp>

#include "unit/config/case.hpp"

using namespace config_test;
using P = config_test::place;

BOOST_AUTO_TEST_SUITE(warnings)

namespace
{

const wrong rows[] = {
    {P::at_master, "tls = { verify = false }", 6, "master.tls.verify", "false", "fingerprint_sha256"},
    {P::at_master, "reconcile_deep = \"1h\"", 6, "master.reconcile_deep", "less far", "reconcile_span"},
    {P::at_master,
     "proxy = \"http://u@proxy.example:3128\"",
     6,
     "master.proxy",
     "without a password",
     "proxy_password_file"},
    {P::at_master,
     "[master.query]\nuuid = \"80010119-6d7f-0000-0305-5e0000000420\"",
     7,
     "master.query.uuid",
     "narrows the archive",
     "this model"},
    {P::at_master, "[master.query]\npid = 17", 7, "master.query.pid", "narrows the archive", "this model"},
    {P::at_master, "[master.query]\ndid = -1", 7, "master.query.did", "narrows the archive", "this device"},
    {P::at_master,
     "[master.query]\nminscore = 0.3",
     7,
     "master.query.minscore",
     "narrows the archive",
     "under this score"},
    {P::at_master,
     "[master.query]\nsaasonly = true",
     7,
     "master.query.saasonly",
     "narrows the archive",
     "SaaS"},
    {P::at_master,
     "[master.query]\nsaasfilter = [\"office365*\", \"box*\"]",
     7,
     "master.query.saasfilter",
     "narrows the archive",
     "platforms"},
    {P::at_master,
     "[master.query]\nincludeacknowledged = false",
     7,
     "master.query.includeacknowledged",
     "narrows the archive",
     "acknowledged"},
    {P::at_master,
     "[master.query]\nincludesuppressed = false",
     7,
     "master.query.includesuppressed",
     "narrows the archive",
     "suppressed"},
    {P::at_master,
     "[master.query]\ndeviceatop = false",
     7,
     "master.query.deviceatop",
     "taken for deviceattop",
     "write deviceattop"},
    {P::at_end,
     "[[master]]\nname = \"clear\"\nurl = \"http://darktrace.example\"\npublic_token = "
     "\"b\"\nprivate_token_file = \"acme.token\"\n",
     11,
     "master.url",
     "in the clear",
     "https://"},
    {P::at_end,
     "[[master]]\nname = \"twice\"\nurl = \"https://darktrace.acme.example/\"\npublic_token = "
     "\"b\"\nprivate_token_file = \"acme.token\"\n",
     11,
     "master.url",
     "same url",
     "both"},
    {P::at_destination,
     "tls = { verify = false }\n",
     9,
     "destination.tls.verify",
     "false",
     "fingerprint_sha256"},
    {P::at_destination,
     "transport = \"tcp\"\ntls = { server_name = \"x\" }\n",
     10,
     "destination.tls",
     "without effect",
     "transport = \"tls\""},
    {P::at_destination,
     "transport = \"relp\"\ntls = { server_name = \"x\" }\n",
     10,
     "destination.tls",
     "without effect: transport is relp",
     "transport = \"relp+tls\""},
    {P::at_destination,
     "transport = \"udp\"\nframing = \"nul\"\n",
     10,
     "destination.framing",
     "without effect",
     "RFC 5426"},
    {P::at_destination,
     "transport = \"udp\"\nmax_message = \"1401B\"\n",
     10,
     "destination.max_message",
     "fragments",
     "1400"},
    {P::at_destination,
     "time_offset = \"+01:00\"\n",
     9,
     "destination.time_offset",
     "without effect",
     "rfc3164"},
    {P::at_destination,
     "header = \"rfc3164\"\nstructured_data = true\n",
     10,
     "destination.structured_data",
     "without effect",
     "rfc5424"},
    {P::at_destination,
     "format = \"cef\"\nannotate = true\n",
     10,
     "destination.annotate",
     "without effect",
     "json"},
    {P::at_destination,
     "json = { bom = true, cookie = \"@cee:\" }\n",
     9,
     "destination.json.bom",
     "BOM",
     "one of the two"},
    {P::at_destination, "cef = { vendor = \"a|b\" }\n", 9, "destination.cef.vendor", "pipe", "split"},
    {P::at_destination,
     "cef = { severity = { critical = 10 } }\n",
     9,
     "destination.cef.severity.critical",
     "not a category",
     "did you mean \"Critical\""},
    {P::at_end,
     "[[destination]]\nname = \"two\"\naddresses = [\"a.example\", \"a.example:6514\"]\n",
     11,
     "destination.addresses",
     "a.example:6514",
     "twice"},
    {P::at_end,
     "[[api_token]]\nname = \"t\"\nfile = \"short.token\"\nmasters = [\"*\"]\n",
     11,
     "api_token.file",
     "short",
     "openssl rand"},
    {P::whole,
     "[[master]]\nname = \"acme\"\nurl = \"https://a.example\"\npublic_token = \"a\"\nprivate_token_file = "
     "\"acme.token\"\n",
     0,
     "destination",
     "no [[destination]]",
     "archived"},
    {P::whole,
     "[[destination]]\nname = \"d\"\naddress = \"d.example\"\n",
     0,
     "master",
     "no [[master]]",
     "one for each appliance"},
};

}  // namespace

BOOST_DATA_TEST_CASE(one_warning, boost::unit_test::data::make(rows), row)
{
    folder f;
    check_one_problem(f, row, true);
}

BOOST_AUTO_TEST_CASE(values_behind_the_warnings_are_taken)
{
    folder f;
    auto l = f.load(std::string(master) +
                    "[master.query]\ndeviceatop = false\nsaasfilter = [\"office365*\", \"box*\"]\nminscore = "
                    "0.30\npid = 17\n" +
                    std::string(destination));
    BOOST_REQUIRE(l.ok);
    const std::vector<std::pair<std::string, std::string>> query{{"deviceattop", "false"},
                                                                 {"includeacknowledged", "true"},
                                                                 {"includebreachurl", "true"},
                                                                 {"includesuppressed", "true"},
                                                                 {"minimal", "false"},
                                                                 {"minscore", "0.3"},
                                                                 {"pid", "17"},
                                                                 {"saasfilter", "office365*"},
                                                                 {"saasfilter", "box*"}};
    BOOST_TEST((l.value.masters.at(0).query == query));
}

BOOST_AUTO_TEST_CASE(no_warning_where_there_is_no_risk)
{
    folder f;
    const std::string_view good[] = {
        "transport = \"udp\"\nmax_message = \"1400B\"\n",
        "transport = \"udp\"\n",  // the default of 8 KiB is the product's choice, not the operator's
        "transport = \"udp\"\nprofile = \"qradar\"\n",
        "transport = \"tcp\"\ntls = { ca_file = \"\", server_name = \"\", verify = true }\n",
        "heartbeat = \"\"\nupdates = false\ntopic = \"\"\n",
        "transport = \"udp\"\nmax_message = \"512B\"\npace = \"0.5/s\"\n",
    };
    for (auto text : good)
    {
        auto l = f.load(std::string(master) + std::string(destination) + std::string(text));
        BOOST_TEST_CONTEXT(text)
        BOOST_TEST(lines_of(l) == "");
    }
}

BOOST_AUTO_TEST_CASE(pids_mean_other_models_on_other_masters)
{
    folder f;
    f.write("pids.toml", "[models]\n\"pid:17\" = \"never\"\n");
    const std::string second =
        "[[master]]\nname = \"beta\"\nurl = \"https://b.example\"\npublic_token = \"b\"\nprivate_token_file "
        "= \"acme.token\"\n";
    const std::string keys = "rules = \"pids.toml\"\nformat = \"leef\"\nleef = { event_id = \"pid\" }\n";
    BOOST_TEST(lines_of(f.load(std::string(master) + std::string(destination) + keys)) == "");
    auto l = f.load(std::string(master) + std::string(destination) + keys + second);
    BOOST_TEST_CONTEXT(lines_of(l))
    {
        BOOST_TEST(l.ok);
        BOOST_REQUIRE(l.problems.size() == 2u);
        BOOST_TEST(l.problems[0].key == "destination.rules");
        BOOST_TEST(l.problems[0].line == 9u);
        BOOST_TEST(l.problems[1].key == "destination.leef.event_id");
        BOOST_TEST(l.problems[1].line == 11u);
    }
}

BOOST_AUTO_TEST_SUITE_END()
