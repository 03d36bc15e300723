#include <fstream>
#include <string>

#include <boost/test/unit_test.hpp>

#include "app/options.hpp"
#include "app/reload.hpp"
#include "app/signed_request.hpp"
#include "support/temp_dir.hpp"

using namespace dtbridge;

namespace
{

/// The tokens of the API guide 6.1's example (tests/data/signature_vectors.json).
poll::master_options guide()
{
    poll::master_options m;
    m.name = "acme";
    m.url = "https://darktrace.example";
    m.public_token = secret("118v8jecrbrtkucou5a34hsbzounohx6jce61dwy");
    m.private_token = secret("7chbwad4hl4n5ok69e2edrs2ogpiqy8ldd5oozdb");
    return m;
}

}  // namespace

BOOST_AUTO_TEST_CASE(curl_line_carries_the_published_signature)
{
    const auto line = app::curl_line(
        guide(), "/modelbreaches?starttime=1701388800000&endtime=1704070800000", "", "20230101T120000");
    BOOST_TEST(line ==
               "curl -sS -H 'DTAPI-Token: 118v8jecrbrtkucou5a34hsbzounohx6jce61dwy' -H 'DTAPI-Date: "
               "20230101T120000' "
               "-H 'DTAPI-Signature: f19ae16721cc0e020ad12ec372cb15fa93bf3626' "
               "'https://darktrace.example/modelbreaches?starttime=1701388800000&endtime=1704070800000'");
    BOOST_TEST(line.find("7chbwad4") == std::string::npos);
}

BOOST_AUTO_TEST_CASE(curl_line_posts_a_body_as_it_was_signed)
{
    const auto line = app::curl_line(
        guide(), "/modelbreaches/123/comments", R"({"message": "Test Comment"})", "20240101T010000");
    // computed_7 of the vectors.
    BOOST_TEST(line.find("DTAPI-Signature: 96143caad702d475b3c4ee24dbacd57fb55513aa'") != std::string::npos);
    BOOST_TEST(line.find(R"(--data-binary '{"message": "Test Comment"}')") != std::string::npos);
    BOOST_TEST(line.find("Content-Type: application/json") != std::string::npos);
    const auto quoted = app::curl_line(guide(), "/x", "it's", "20240101T010000");
    BOOST_TEST(quoted.find(R"(--data-binary 'it'\''s')") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(targets_are_checked)
{
    BOOST_TEST(app::check_target("/modelbreaches?pbid=1").has_value());
    for (const auto* bad : {"", "modelbreaches", "/a b", "/a#b", "/a\nb", "/\xC3\xA9"})
        BOOST_TEST(!app::check_target(bad).has_value());
    BOOST_TEST(!app::check_target("/" + std::string(20'000, 'a')).has_value());
}

BOOST_AUTO_TEST_CASE(options_are_read_and_refused)
{
    const std::vector<app::option> known = {{"rules", "F", "", true}, {"yes", "", ""}};
    const auto said =
        app::parse({"--rules", "a.toml", "--yes", "file", "--config=c.toml"}, "filter", known, 1);
    BOOST_REQUIRE(said.has_value());
    BOOST_TEST(said->get("rules") == "a.toml");
    BOOST_TEST(said->has("yes"));
    BOOST_TEST(said->config() == "c.toml");
    BOOST_TEST(said->positional().front() == "file");
    BOOST_TEST(app::parse({"--rules", "x"}, "filter", known)->config() == "/etc/dtbridge/dtbridge.toml");
    BOOST_CHECK_THROW(app::parse({}, "filter", known), app::usage_error);
    BOOST_CHECK_THROW(app::parse({"--rule", "x"}, "filter", known), app::usage_error);
    BOOST_CHECK_THROW(app::parse({"--rules"}, "filter", known), app::usage_error);
    BOOST_CHECK_THROW(app::parse({"--rules", "x", "a", "b"}, "filter", known, 1), app::usage_error);
}

BOOST_AUTO_TEST_CASE(reload_sees_what_matters_to_a_poller)
{
    const auto a = guide();
    BOOST_TEST(app::same_poller(a, guide()));
    auto b = guide();
    b.private_token = secret("another");
    BOOST_TEST(!app::same_poller(a, b));
    b = guide();
    b.labels = {{"tenant", "acme"}};  // shown in messages only: deliveries get it, the poller goes on
    BOOST_TEST(app::same_poller(a, b));
    auto c = guide();
    b = guide();
    b.proxy = std::make_shared<net::proxy_options>();
    c.proxy = std::make_shared<net::proxy_options>();
    BOOST_TEST(app::same_poller(b, c));
    c.proxy->user = "u";
    BOOST_TEST(!app::same_poller(b, c));
    BOOST_TEST(!app::same_poller(b, a));
}

BOOST_AUTO_TEST_CASE(reload_sees_renewed_files)
{
    const test::temp_dir folder;
    const auto ca = folder / "ca.pem", key = folder / "key.pem";
    std::ofstream(ca) << "ab";
    std::ofstream(key) << "c";
    const auto before = app::files_digest({ca, "", key});
    BOOST_TEST(before == app::files_digest({ca, key}));
    std::ofstream(ca) << "a";
    std::ofstream(key) << "bc";
    BOOST_TEST(before != app::files_digest({ca, key}));
    BOOST_TEST(app::files_digest({folder / "none"}) == app::files_digest({folder / "none"}));
}
