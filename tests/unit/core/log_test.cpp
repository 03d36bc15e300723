#include <core/log_line.hpp>

#include <boost/json/parse.hpp>
#include <boost/test/unit_test.hpp>

namespace log_ = dtbridge::log;

BOOST_AUTO_TEST_SUITE(log_lines)

BOOST_AUTO_TEST_CASE(text)
{
    BOOST_TEST(
        log_::text_line("poll", "acme", "the answer is a login page", {{"status", "200"}, {"host", "a b"}}) ==
        "poll acme: the answer is a login page status=200 host=\"a b\"");
    BOOST_TEST(log_::text_line("app", "", "ready", {}) == "app: ready");
    BOOST_TEST(log_::text_line("app", "", "x", {{"empty", ""}, {"quote", "a\"b"}}) ==
               "app: x empty=\"\" quote=\"a\\\"b\"");
}

BOOST_AUTO_TEST_CASE(a_value_cannot_start_another_line)
{
    const auto line =
        log_::text_line("poll", "acme", "bad\r\nname", {{"host", "x\n2024-01-01 error forged"}});
    BOOST_TEST(line.find('\n') == line.npos);
    BOOST_TEST(line.find('\r') == line.npos);
}

BOOST_AUTO_TEST_CASE(json)
{
    const auto members =
        log_::json_members("poll", "acme", "quote \" slash \\ line \n end", {{"name", "\xFF\x01"}});
    const auto v = boost::json::parse("{" + members + "}");
    BOOST_TEST(v.at("component").as_string() == "poll");
    BOOST_TEST(v.at("source").as_string() == "acme");
    BOOST_TEST(v.at("message").as_string() == "quote \" slash \\ line \\x0a end");
    BOOST_TEST(v.at("name").as_string() == "\\xff\\x01");
}

BOOST_AUTO_TEST_CASE(levels)
{
    log_::set_level(log_::level::warning);
    BOOST_TEST(log_::enabled(log_::level::error));
    BOOST_TEST(log_::enabled(log_::level::warning));
    BOOST_TEST(!log_::enabled(log_::level::info));
    log_::set_level(log_::level::debug);
    BOOST_TEST(log_::enabled(log_::level::debug));
    log_::set_format(log_::format::json);
    log_::debug("test", "", "one line on standard error", {{"a", "b"}});
    log_::set_format(log_::format::text);
    log_::debug("test", "", "one line on standard error", {{"a", "b"}});
    log_::set_level(log_::level::info);
}

BOOST_AUTO_TEST_SUITE_END()
