#include <dtbridge/core/text.hpp>
#include <dtbridge/tune/report.hpp>

#include <sstream>

#include "support.hpp"
#include "tune/numbers.hpp"

using namespace dtbridge;
using namespace dtbridge::tune;
using tune_test::day_ms;
using tune_test::first_day;

BOOST_AUTO_TEST_SUITE(reports)

BOOST_AUTO_TEST_CASE(numbers_for_people)
{
    BOOST_TEST(with_commas(0) == "0");
    BOOST_TEST(with_commas(999) == "999");
    BOOST_TEST(with_commas(1204) == "1,204");
    BOOST_TEST(with_commas(-1234567) == "-1,234,567");
    BOOST_TEST(rate(0) == "0.0");
    BOOST_TEST(rate(0.066) == "0.07");
    BOOST_TEST(rate(41.25) == "41.2");
    BOOST_TEST(rate(1204.4) == "1,204");
    BOOST_TEST(percent(1, 3) == "33.3 %");
    BOOST_TEST(percent(0, 0) == "0 %");
    BOOST_TEST(score_text(7) == "0.07");
    BOOST_TEST(score_text(100) == "1.00");
    BOOST_TEST(delay_text(30000) == "<1 m");
    BOOST_TEST(delay_text(35 * 60000) == "35 m");
    BOOST_TEST(delay_text(5 * 3600000) == "5.0 h");
    BOOST_TEST(delay_text(72 * 3600000) == "3.0 d");
    BOOST_TEST(fitted("abc", 5) == "abc  ");
    BOOST_TEST(fitted("abc", 5, true) == "  abc");
    BOOST_TEST(fitted("abcdef", 5) == "abc..");
    BOOST_TEST(fitted("\u65e5\u672c\u8a9e", 5) == "\u65e5.. ");
    BOOST_TEST(display_width("\u65e5a\u0301") == 3u);
    BOOST_TEST(text::quoted("a\"\\\n\xff") == "\"a\\\"\\\\\\u000a\xef\xbf\xbd\"");
}

/// More days than a plot has bars are put together and lose nothing.
BOOST_AUTO_TEST_CASE(bars_of_many_days)
{
    const auto p = tune_test::policy_of("");
    analysis a(p, nullptr);
    breach b;
    for (int i = 0; i < 100; ++i)
    {
        tune_test::read(b, {.created = first_day + i * day_ms});
        a.take(b);
    }
    const auto bars = day_bars(a, 31);
    BOOST_TEST(bars.size() == 25u);
    std::int64_t sum = 0;
    for (const auto& bar : bars)
        sum += bar.sum.forwarded;
    BOOST_TEST(sum == 100);
    BOOST_TEST(bars.back().last == bars.front().first + 99);
    BOOST_TEST(day_bars(a, 100).size() == 100u);
}

/// An archive without breaches gives pages that say so.
BOOST_AUTO_TEST_CASE(nothing_to_report)
{
    const auto p = tune_test::policy_of("[forward]\nmin_score = 0.5\n");
    analysis a(p, &p);
    report r;
    r.figures = &a;
    r.masters = {"acme"};
    for (const auto write :
         {+[](const report&x, const output&o) { write_text(x, 80, true, o); }, &write_json, &write_html})
    {
        std::string out;
        write(r, [&](std::string_view text) { out += text; });
        BOOST_TEST(out.find("r.toml") != out.npos);
        BOOST_TEST(out.find("nan") == out.npos);
        BOOST_TEST(out.find("inf") == out.npos);
    }
}

/// Names that attack: no markup, no control, no change of direction comes through.
BOOST_AUTO_TEST_CASE(hostile_names)
{
    const auto p = tune_test::policy_of("[models]\n\"</style><script>\" = 0.1\n");
    analysis a(p, nullptr);
    breach b;
    for (const char* name : {"<script>alert(1)</script>",
                             "\\u001b[31mred",
                             "\\u202eleft",
                             "\\\" onload=\\\"x",
                             "'",
                             "&lt;",
                             "a\xff"
                             "b"})
    {
        tune_test::read(b, {.model = name, .category = name});
        a.take(b);
    }
    report r;
    r.figures = &a;
    r.masters = {"acme"};
    r.notes = {"<u>"};
    std::string page, text, json;
    write_html(r, [&](std::string_view s) { page += s; });
    write_text(r, 80, true, [&](std::string_view s) { text += s; });
    write_json(r, [&](std::string_view s) { json += s; });
    for (const char* bad : {"<script", "<u>", "onload=\"", "\x1b", "\u202e", "\xff"})
    {
        BOOST_TEST(page.find(bad) == page.npos, bad);
        if (bad[0] != '<' && bad[0] != 'o')
            BOOST_TEST(text.find(bad) == text.npos, bad);
    }
    BOOST_TEST(page.find("&lt;script&gt;alert(1)&lt;/script&gt;") != page.npos);
    BOOST_TEST(page.find("&amp;lt;") != page.npos);
    for (const char* outside : {"http:", "https:", "src=", "href=", "url(", "@import", "<script"})
        BOOST_TEST(page.find(outside) == page.npos, outside);
    BOOST_TEST(json.find('\x1b') == json.npos);
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);)
        BOOST_TEST(display_width(line) <= 80u, line);
}

BOOST_AUTO_TEST_SUITE_END()
