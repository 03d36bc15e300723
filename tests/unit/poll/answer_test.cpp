#include <boost/json.hpp>
#include <boost/test/unit_test.hpp>

#include <fstream>
#include <iterator>
#include <map>
#include <string>

#include <dtbridge/core/breach.hpp>
#include <dtbridge/poll/answer.hpp>

using namespace dtbridge;
using namespace dtbridge::poll;

namespace
{

constexpr std::int64_t one_o_clock = 1704070800000;  // Mon, 01 Jan 2024 01:00:00 GMT

/// As the intake does it, in short.
verdict judge_text(unsigned status, std::string_view text, net::http_response r = {})
{
    r.status = status;
    r.complete = true;
    r.body_bytes = text.size();
    element_splitter s;
    s.feed(text);
    std::string object;
    std::string_view error;
    bool is_breach = false;
    while (s.next() != element_splitter::event::more)
    {
        if (s.shape() == body_shape::object)
        {
            breach b;
            is_breach = b.read(s.element()).has_value();
            object = std::string(s.element());
        }
        else if (error.empty() && status < 300)
        {
            error = find_api_error(s.element());
        }
    }
    body_facts f;
    f.shape = s.shape();
    f.text = object.empty() ? s.head() : std::string_view(object);
    f.is_breach = is_breach;
    f.api_error = error;
    return judge(r, f, one_o_clock);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(answers)

BOOST_AUTO_TEST_CASE(each_answer_of_the_samples)
{
    struct expectation
    {
        answer_kind kind;
        reaction what;
        const char* word;  // must occur in the sentence
    };
    const std::map<std::string, expectation> expected = {
        {"bad_signature", {answer_kind::signature_error, reaction::retry_slowly, "private_token_file"}},
        {"clock_skew", {answer_kind::date_error, reaction::learn_date, "30 minutes"}},
        {"signature_error_other_key",
         {answer_kind::signature_error, reaction::retry_slowly, "private_token_file"}},
        {"redirect_login", {answer_kind::login_redirect, reaction::retry_slowly, "/login"}},
        {"redirect_403", {answer_kind::permission_redirect, reaction::retry_slowly, "Unrestricted Devices"}},
        {"html_login_200_new", {answer_kind::login_page, reaction::retry_slowly, "Log In | Darktrace"}},
        {"html_login_200_old", {answer_kind::login_page, reaction::retry_slowly, "Darktrace | Login"}},
        {"not_found_json", {answer_kind::not_found, reaction::retry_slowly, "404"}},
        {"not_found_empty_array", {answer_kind::ok, reaction::take, ""}},
        {"single_object", {answer_kind::ok, reaction::take, ""}},
        {"response_error", {answer_kind::refused, reaction::retry_slowly, "ERROR"}},
        {"input_error", {answer_kind::input_error, reaction::retry_slowly, "[master.query]"}},
        {"empty_body_200", {answer_kind::empty_body, reaction::retry, "no body"}},
        {"truncated_json", {answer_kind::cut, reaction::retry, "middle"}},
        {"rate_limited", {answer_kind::rate_limited, reaction::retry, "60 s"}},
        {"server_error", {answer_kind::server_error, reaction::retry, "500"}},
        {"bad_gateway", {answer_kind::server_error, reaction::retry, "502 Bad Gateway"}},
        {"proxy_block_200", {answer_kind::web_page, reaction::retry, "Access Denied"}},
    };
    std::ifstream in(DTBRIDGE_TEST_DATA "/api_error_responses.json", std::ios::binary);
    const auto doc = boost::json::parse(std::string(std::istreambuf_iterator<char>(in), {}));
    std::size_t seen = 0;
    for (const auto& v : doc.as_array())
    {
        const auto& o = v.as_object();
        const auto get = [&](const char* key) {
            const auto* found = o.if_contains(key);
            return found != nullptr ? std::string(found->as_string()) : std::string();
        };
        BOOST_TEST_CONTEXT(get("case"))
        {
            const auto want = expected.find(get("case"));
            BOOST_REQUIRE((want != expected.end()));
            net::http_response r;
            r.content_type = get("content_type");
            r.location = get("location");
            r.retry_after = get("retry_after");
            const verdict got = judge_text(static_cast<unsigned>(o.at("status").as_int64()), get("body"), r);
            BOOST_TEST(name_of(got.kind) == name_of(want->second.kind));
            BOOST_TEST((got.what == want->second.what));
            BOOST_TEST((got.words.find(want->second.word) != std::string::npos), got.words);
            BOOST_TEST(got.words.empty() == (got.kind == answer_kind::ok));
            if (get("case") == "rate_limited")
                BOOST_TEST(got.retry_after == 60'000);
            ++seen;
        }
    }
    BOOST_TEST(seen == 18u);
}

BOOST_AUTO_TEST_CASE(values_are_compared_not_keys)
{
    BOOST_TEST(find_api_error(R"({"a":[1,{"b":"API DATE ERROR"}]})") == "API DATE ERROR");
    BOOST_TEST(find_api_error("API SIGNATURE ERROR\n") == "API SIGNATURE ERROR");
    BOOST_TEST(find_api_error("\"INPUT ERROR\"") == "INPUT ERROR");
    BOOST_TEST(find_api_error(R"({"response":"an ERROR here"})") == "");
    BOOST_TEST(find_api_error(R"({"ERROR":1})") == "");
    BOOST_TEST(name_of(judge_text(200, R"(["API SIGNATURE ERROR"])").kind) == "signature_error");
    BOOST_TEST(name_of(judge_text(400, R"(["API SIGNATURE ERROR"])").kind) == "signature_error");
    BOOST_TEST(name_of(judge_text(200, R"("API DATE ERROR")").kind) == "date_error");
    // A breach may hold any text.
    BOOST_TEST(name_of(judge_text(200, R"({"pbid":1,"time":5,"model":{"name":"ERROR"}})").kind) == "ok");
}

BOOST_AUTO_TEST_CASE(what_else_is_no_answer)
{
    const auto kind = [](unsigned status, std::string_view text) {
        return name_of(judge_text(status, text).kind);
    };
    BOOST_TEST(kind(200, R"({"a":1})") == "not_a_list");
    BOOST_TEST(kind(200, "42") == "not_a_list");
    BOOST_TEST(kind(200, "null") == "not_a_list");
    BOOST_TEST(kind(200, "[{}]]") == "malformed");
    BOOST_TEST(kind(200, "[{},]") == "malformed");
    BOOST_TEST(kind(200, R"({"pbid":1)") == "cut");
    BOOST_TEST(kind(201, "<html><head><title>\n Log In | Darktrace</title>") == "login_page");
    BOOST_TEST(kind(204, "") == "unexpected_status");
    BOOST_TEST(kind(206, "[]") == "unexpected_status");
    BOOST_TEST(kind(301, "") == "redirect");
    BOOST_TEST(kind(302, "Found. Redirecting to /login") == "login_redirect");
    BOOST_TEST(kind(302, "Found. Redirecting to /403") == "permission_redirect");
    BOOST_TEST(kind(401, "") == "unauthorized");
    BOOST_TEST(kind(403, "<html></html>") == "forbidden");
    BOOST_TEST(kind(407, "") == "proxy_refused");
    BOOST_TEST(kind(400, "") == "unexpected_status");
    BOOST_TEST(kind(503, "[]") == "server_error");
    BOOST_TEST((judge_text(504, "").what == reaction::halve));
    net::http_response r;
    r.location = "https://dt.example/login?next=%2Fmodelbreaches";
    BOOST_TEST(name_of(judge_text(302, "", r).kind) == "login_redirect");
}

BOOST_AUTO_TEST_CASE(retry_after_in_seconds_and_as_a_date)
{
    BOOST_TEST(retry_after_ms("60", one_o_clock) == 60'000);
    BOOST_TEST(retry_after_ms(" 0 ", one_o_clock) == 0);
    BOOST_TEST(retry_after_ms("Mon, 01 Jan 2024 01:02:00 GMT", one_o_clock) == 120'000);
    BOOST_TEST(retry_after_ms("Mon, 01 Jan 2024 00:00:00 GMT", one_o_clock) == 0);
    BOOST_TEST(retry_after_ms("Tue, 02 Jan 2024 01:00:00 GMT", one_o_clock) == max_retry_after);
    BOOST_TEST(retry_after_ms("99999999999999999999999999", one_o_clock) == max_retry_after);
    BOOST_TEST(retry_after_ms("-5", one_o_clock) == 0);
    BOOST_TEST(retry_after_ms("soon", one_o_clock) == 0);
    BOOST_TEST(retry_after_ms("", one_o_clock) == 0);
    // By the clock that wrote it.
    net::http_response r;
    r.date = "Sun, 31 Dec 2023 23:00:00 GMT";
    r.retry_after = "Sun, 31 Dec 2023 23:01:30 GMT";
    BOOST_TEST(judge_text(429, "", r).retry_after == 90'000);
    BOOST_TEST(judge_text(503, "", r).retry_after == 90'000);
}

BOOST_AUTO_TEST_CASE(failures_of_the_exchange)
{
    body_facts nothing;
    body_facts some;
    some.shape = body_shape::array_open;
    const auto kind = [&](errc e, const body_facts& b) { return name_of(judge(fail(e, "why"), b).kind); };
    BOOST_TEST(kind(errc::over_limit, some) == "too_large");
    BOOST_TEST(kind(errc::timed_out, nothing) == "timed_out");
    BOOST_TEST(kind(errc::resolve_failed, nothing) == "unresolved");
    BOOST_TEST(kind(errc::tls_refused, nothing) == "tls_refused");
    BOOST_TEST(kind(errc::proxy_refused, nothing) == "proxy_refused");
    BOOST_TEST(kind(errc::http_protocol, nothing) == "not_http");
    BOOST_TEST(kind(errc::http_protocol, some) == "cut");
    const auto reset = make_error_code(boost::system::errc::connection_reset);
    BOOST_TEST(name_of(judge(fail(reset, "reset"), nothing).kind) == "unreachable");
    BOOST_TEST(name_of(judge(fail(reset, "reset"), some).kind) == "cut");
    // Cut inside an answer that held no breach, or behind its last one.
    body_facts begun;
    begun.begun = true;
    BOOST_TEST(name_of(judge(fail(reset, "reset"), begun).kind) == "cut");
    begun.shape = body_shape::array;
    BOOST_TEST(name_of(judge(fail(reset, "reset"), begun).kind) == "cut");
    BOOST_TEST(name_of(judge(fail(errc::http_protocol, "x"), begun).kind) == "not_http");
    // Nobody was reached: a shorter window would not help.
    const auto late = make_error_code(boost::system::errc::timed_out);
    BOOST_TEST(name_of(judge(fail(late, "x"), nothing).kind) == "unreachable");
    BOOST_TEST((judge(fail(late, "x"), nothing).what == reaction::retry));
    BOOST_TEST((judge(fail(errc::over_limit, "x"), some).what == reaction::halve));
    BOOST_TEST((judge(fail(errc::timed_out, "x"), some).what == reaction::halve));
    BOOST_TEST((judge_archive(fail(errc::disk_full, "x")).kind == answer_kind::archive_failed));
}

BOOST_AUTO_TEST_SUITE_END()
