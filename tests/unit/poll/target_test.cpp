#include <boost/json.hpp>
#include <boost/test/unit_test.hpp>

#include <fstream>
#include <iterator>

#include <dtbridge/core/time.hpp>
#include <dtbridge/poll/target.hpp>

using namespace dtbridge;
using namespace dtbridge::poll;

BOOST_AUTO_TEST_SUITE(target)

namespace
{

std::string read_file(const std::string& path)
{
    std::ifstream in(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
}

constexpr std::int64_t one_o_clock = 1704070800000;  // Mon, 01 Jan 2024 01:00:00 GMT

}  // namespace

BOOST_AUTO_TEST_CASE(signs_as_the_published_vectors)
{
    const auto doc = boost::json::parse(read_file(DTBRIDGE_TEST_DATA "/signature_vectors.json"));
    const auto& vectors = doc.as_array();
    BOOST_TEST(vectors.size() >= 12u);
    for (const auto& v : vectors)
    {
        const auto& o = v.as_object();
        const auto get = [&](const char* key) { return std::string(o.at(key).as_string()); };
        BOOST_TEST_CONTEXT(get("id"))
        {
            BOOST_TEST(sign(secret(get("private_token")), get("request"), get("public_token"), get("date")) ==
                       get("signature"));
        }
    }
}

BOOST_AUTO_TEST_CASE(makes_the_signed_target_of_the_suggested_query)
{
    // signature_vectors.json, computed_1.
    master_options o;
    o.query = {{"minimal", "false"},
               {"includesuppressed", "true"},
               {"deviceattop", "true"},
               {"includeacknowledged", "true"},
               {"includebreachurl", "true"}};
    BOOST_TEST(
        breaches_target(o, {1701388800000, 1704070800000}, filter::creation) ==
        "/modelbreaches?creationtime=true&deviceattop=true&endtime=1704070800000&includeacknowledged=true&"
        "includebreachurl=true&includesuppressed=true&minimal=false&starttime=1701388800000");
    BOOST_TEST(breaches_target(o, {1701388800000, 1704070800000}, filter::activity, true) ==
               "/modelbreaches?deviceattop=true&endtime=1704070800000&includeacknowledged=true&"
               "includebreachurl=true&includesuppressed=true&minimal=true&starttime=1701388800000");
    BOOST_TEST(breach_target(o, -7) ==
               "/modelbreaches?deviceattop=true&includeacknowledged=true&includebreachurl=true&"
               "includesuppressed=true&"
               "minimal=false&pbid=-7");
}

BOOST_AUTO_TEST_CASE(text_parameters_widen_to_whole_seconds_and_need_no_encoding)
{
    master_options o;
    o.times = time_parameters::text;
    BOOST_TEST(breaches_target(o, {one_o_clock + 1, one_o_clock + 60'001}, filter::activity) ==
               "/modelbreaches?from=2024-01-01T01:00:00&to=2024-01-01T01:01:01");
    BOOST_TEST((asked_window({one_o_clock + 999, one_o_clock + 1000}, time_parameters::text) ==
                window{one_o_clock, one_o_clock + 1000}));
    BOOST_TEST((asked_window({one_o_clock + 999, one_o_clock + 1001}, time_parameters::epoch).start ==
                one_o_clock + 999));
}

BOOST_AUTO_TEST_CASE(encodes_what_a_query_cannot_hold)
{
    BOOST_TEST(make_target("/x", {}) == "/x");
    BOOST_TEST(make_target("/x", {{"b", "a b&c=d+\xC3\xA9"}, {"a", "1"}}) ==
               "/x?a=1&b=a%20b%26c%3Dd%2B%C3%A9");
    // Repeated keys keep their order and all of them are sent (darktrace-sdk #61).
    BOOST_TEST(make_target("/modelbreaches", {{"saasfilter", "office365*"}, {"saasfilter", "gcp*"}}) ==
               "/modelbreaches?saasfilter=office365*&saasfilter=gcp*");
}

BOOST_AUTO_TEST_CASE(writes_the_five_dates)
{
    BOOST_TEST(format_date(date_format::compact, one_o_clock) == "20240101T010000");
    BOOST_TEST(format_date(date_format::iso, one_o_clock) == "2024-01-01T01:00:00");
    BOOST_TEST(format_date(date_format::sql, one_o_clock) == "2024-01-01 01:00:00");
    BOOST_TEST(format_date(date_format::rfc1123, one_o_clock) == "Mon, 01 Jan 2024 01:00:00 GMT");
    BOOST_TEST(format_date(date_format::asctime, one_o_clock) == "Mon Jan  1 01:00:00 2024");
}

BOOST_AUTO_TEST_CASE(a_post_signs_its_body)
{
    BOOST_TEST(post_text("/modelbreaches/123/comments", R"({"message": "Test Comment"})") ==
               R"(/modelbreaches/123/comments?{"message": "Test Comment"})");
    BOOST_TEST(post_text("/modelbreaches/123/unacknowledge", "unacknowledge=true") ==
               "/modelbreaches/123/unacknowledge?unacknowledge=true");
    BOOST_TEST(post_text("/x", "") == "/x");
}

BOOST_AUTO_TEST_CASE(three_headers_of_one_moment)
{
    // signature_vectors.json, computed_3.
    master_options o;
    o.private_token = secret("7chbwad4hl4n5ok69e2edrs2ogpiqy8ldd5oozdb");
    o.public_token = secret("118v8jecrbrtkucou5a34hsbzounohx6jce61dwy");
    const auto h = signed_headers(o, "/modelbreaches", one_o_clock + 999);
    BOOST_REQUIRE(h.size() == 3u);
    BOOST_TEST(h[0].first == "DTAPI-Token");
    BOOST_TEST(h[0].second == "118v8jecrbrtkucou5a34hsbzounohx6jce61dwy");
    BOOST_TEST(h[1].first == "DTAPI-Date");
    BOOST_TEST(h[1].second == "20240101T010000");
    BOOST_TEST(h[2].first == "DTAPI-Signature");
    BOOST_TEST(h[2].second == "b91f995a599e85599868b8bb034b1e5e4536b6db");
}

BOOST_AUTO_TEST_SUITE_END()
