// The loop with scripted answers: no sockets, no sleeping.

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <fstream>
#include <iterator>

#include <dtbridge/poll/target.hpp>

#include "scripted.hpp"

using namespace dtbridge;
using namespace dtbridge::poll;
using dtbridge::poll::test::fake_breach;
using dtbridge::poll::test::question;
using dtbridge::poll::test::reply;
using dtbridge::poll::test::world;

BOOST_AUTO_TEST_SUITE(loop)

namespace
{

constexpr std::int64_t second = 1'000;
constexpr std::int64_t minute = 60 * second;
constexpr std::int64_t hour = 60 * minute;
constexpr std::int64_t day = 24 * hour;
constexpr std::int64_t t0 = world::start;

using ids = std::vector<std::int64_t>;

std::string read_file(const std::string& path)
{
    std::ifstream in(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
}

/// Answers this once, at the n-th question (from 1).
auto once(std::size_t n, reply r)
{
    return [n, r, asked = std::size_t{0}](const question&) mutable -> std::optional<reply> {
        if (++asked == n)
            return r;
        return std::nullopt;
    };
}

}  // namespace

BOOST_AUTO_TEST_CASE(archives_what_is_new_once_and_rings)
{
    world w;
    w.add(1, t0 - 3 * hour);
    w.add(2, t0 - hour);
    w.add(3, t0 + 15 * second);
    w.add(-5, t0 + 15 * second);  // Unified View
    w.add(9'223'372'036'854'775'807, t0 + 41 * second);
    w.run(5 * minute);
    BOOST_TEST(w.store->pbids() == (ids{1, 2, 3, -5, 9'223'372'036'854'775'807}),
               boost::test_tools::per_element());
    BOOST_TEST(w.rings == (ids{2, 4, 5}), boost::test_tools::per_element());
    BOOST_TEST(w.store->records.front().body ==
               R"({"pbid":1,"time":1704059980000,"creationTime":1704060000000,"model":{"name":"M"}})");
    BOOST_TEST(w.status().archived == 5);
    BOOST_TEST(w.status().late == 0);
    BOOST_TEST(w.status().repeated > 0);
    BOOST_TEST(w.status().error == "");
    BOOST_TEST((w.status().state == poll_state::polling));
    BOOST_TEST(w.status().last_success > t0 + 4 * minute);
    BOOST_TEST(*w.status().skew_seconds == 0);
    BOOST_TEST((*w.store->stored).position >= t0 + 3 * minute);
    BOOST_TEST(!(*w.store->stored).by_activity);
    // Signed, creation asked for, in pairs.
    const auto& q = w.master->questions.front();
    BOOST_TEST(q.path == "/modelbreaches");
    BOOST_TEST(q.get("creationtime") == "true");
    BOOST_TEST(q.number("starttime") <= t0 - 24 * hour + second);
    BOOST_TEST(q.headers.at("DTAPI-Token") == "public");
    BOOST_TEST(q.headers.at("DTAPI-Signature") ==
               sign(secret("private"), q.target, "public", q.headers.at("DTAPI-Date")));
}

BOOST_AUTO_TEST_CASE(says_that_it_lives_when_it_will_ask_next_and_what_answers_took)
{
    world w;
    w.add(1, t0 - hour);
    w.run(5 * minute);
    const auto& s = w.status();
    const auto now = w.time->now().steady;
    BOOST_TEST(s.alive_at > now - 12 * second);  // the interval is 10 s
    BOOST_TEST(s.due_at >= s.alive_at);
    BOOST_TEST(s.due_at <= now + 12 * second);
    std::uint64_t answers = 0, sizes = 0;
    for (const auto n : s.answer_seconds.counts)
        answers += n;
    for (const auto n : s.answer_bytes.counts)
        sizes += n;
    BOOST_TEST(answers == sizes);
    // The last question may still be open when the scenario ends.
    BOOST_TEST(answers + 1 >= w.master->questions.size());
    BOOST_TEST(answers <= w.master->questions.size());
    BOOST_TEST(s.answer_bytes.sum == static_cast<double>(s.bytes));
    // A failure that lasts has a time when it is tried again, too.
    w.master->instead = [](const question&) {
        reply r;
        r.status = 500;
        return std::optional<reply>(r);
    };
    w.run(10 * minute);
    BOOST_TEST((w.status().state == poll_state::failing));
    BOOST_TEST(w.status().due_at > w.time->now().steady - second);
}

BOOST_AUTO_TEST_CASE(polls_without_news_write_nothing_but_a_position_a_minute)
{
    world w;
    w.run(10 * minute);
    BOOST_TEST(w.store->adds == 0u);
    BOOST_TEST(w.store->missing_calls == 0u);
    BOOST_TEST(w.store->position_saves >= 9u);
    BOOST_TEST(w.store->position_saves <= 11u);
    BOOST_TEST(w.master->questions.size() >= 58u);
    // Repeats of the overlap are no news either.
    w.add(1, t0 + 10 * minute + second);
    w.run(10 * minute);
    BOOST_TEST(w.store->adds == 1u);
    BOOST_TEST(w.status().repeated > 5);
}

BOOST_AUTO_TEST_CASE(goes_on_after_a_restart)
{
    world w;
    w.run(2 * minute);
    const auto position = w.store->stored->position;
    w.restart();
    w.time->advance(3 * hour);
    w.add(7, t0 + 90 * minute);
    const auto before = w.master->questions.size();
    w.run(minute);
    BOOST_TEST(w.master->questions[before].number("starttime") == position - 10 * minute);
    BOOST_TEST(w.store->pbids() == (ids{7}), boost::test_tools::per_element());
    BOOST_TEST(*w.status().position > t0 + 3 * hour);
}

BOOST_AUTO_TEST_CASE(the_hostile_file_costs_its_bad_elements_alone)
{
    world w;
    const std::string hostile = read_file(DTBRIDGE_TEST_DATA "/api_edge_cases_hostile.json");
    reply r;
    r.body = R"([{"pbid":1,"time":5,"creationTime":6},)" + hostile.substr(hostile.find('[') + 1);
    r.body.resize(r.body.rfind(']'));
    r.body += R"(,{"pbid":2,"time":5,"creationTime":6}])";
    w.master->instead = once(1, r);
    w.run(minute);
    // Not taken: no pbid, a pbid beyond int64, and what is no object.
    BOOST_TEST(
        w.store->pbids() == (ids{1, 910001, 910002, 910003, 910006, 910007, 910009, 910010, 910011, 2}),
        boost::test_tools::per_element());
    BOOST_REQUIRE(w.store->asides.size() == 5u);
    BOOST_TEST(w.store->asides[0].raw.find("18446744073709551616") != std::string::npos);
    BOOST_TEST(w.store->asides[1].raw.find("No Id") != std::string::npos);
    BOOST_TEST(w.store->asides[2].raw == "\"a string instead of a breach\"");
    BOOST_TEST(w.store->asides[3].raw == "null");
    BOOST_TEST(w.store->asides[4].raw == "42");
    for (const auto& a : w.store->asides)
        BOOST_TEST(!a.reason.empty());
    BOOST_TEST(w.status().set_aside == 5);
    BOOST_TEST(w.status().error == "");
    // Shown again, they are kept and counted once.
    w.master->instead = [r](const question&) { return r; };
    w.run(minute);
    BOOST_TEST(w.status().set_aside == 5);
    BOOST_TEST(w.store->asides.size() == 5u);
}

BOOST_AUTO_TEST_CASE(an_element_that_says_error_beside_breaches_is_no_refusal)
{
    world w;
    reply r;
    r.body =
        R"([{"pbid":1,"time":5,"creationTime":6},{"model":"ERROR"},{"pbid":2,"time":5,"creationTime":6}])";
    w.master->instead = [r](const question&) { return r; };
    w.run(minute);
    BOOST_TEST(w.store->pbids() == (ids{1, 2}), boost::test_tools::per_element());
    BOOST_TEST(w.store->asides.size() == 1u);
    BOOST_TEST(w.outcomes(answer_kind::refused) == 0u);
    BOOST_TEST((w.status().state == poll_state::polling));
    // Alone it is one.
    world alone;
    r.body = R"([{"model":"ERROR"}])";
    alone.master->instead = [r](const question&) { return r; };
    alone.run(minute);
    BOOST_TEST(alone.outcomes(answer_kind::refused) > 0u);
    BOOST_TEST(!alone.store->stored.has_value());
}

BOOST_AUTO_TEST_CASE(an_oversized_element_is_set_aside_with_its_start)
{
    world w;
    reply r;
    r.body = R"([{"pbid":1,"time":5,"creationTime":6},{"pbid":3,"x":")" + std::string(5u << 20, 'x') +
             R"("},{"pbid":2,"time":5,"creationTime":6}])";
    w.master->instead = once(1, r);
    w.run(minute);
    BOOST_TEST(w.store->pbids() == (ids{1, 2}), boost::test_tools::per_element());
    BOOST_REQUIRE(w.store->asides.size() == 1u);
    BOOST_TEST(w.store->asides[0].raw.starts_with(R"({"pbid":3,"x":"xxx)"));
    BOOST_TEST(w.store->asides[0].raw.size() <= 65'536u);
}

BOOST_AUTO_TEST_CASE(each_bad_answer_leaves_position_and_archive_alone)
{
    struct bad
    {
        answer_kind kind;
        reply r;
    };
    std::vector<bad> all;
    const auto put = [&](answer_kind k, unsigned status, std::string body) {
        reply r;
        r.status = status;
        r.body = std::move(body);
        all.push_back({k, r});
    };
    put(answer_kind::signature_error, 400, R"({"error":"API SIGNATURE ERROR"})");
    put(answer_kind::login_page, 200, "<html><title>Log In | Darktrace</title></html>");
    put(answer_kind::refused, 200, R"({"response":"ERROR"})");
    put(answer_kind::empty_body, 200, "");
    put(answer_kind::not_a_list, 200, R"({"x":1})");
    put(answer_kind::not_found, 404, R"({"error":"Not Found"})");
    put(answer_kind::server_error, 500, R"([{"pbid":99,"time":1,"creationTime":2}])");
    for (const auto& b : all)
    {
        BOOST_TEST_CONTEXT(name_of(b.kind))
        {
            world w;
            w.run(30 * second);
            const auto position = w.store->stored->position;
            w.master->instead = [&](const question&) { return b.r; };
            w.add(1, t0 + 40 * second);
            w.run(5 * minute);
            BOOST_TEST(w.store->stored->position == position);
            BOOST_TEST(w.outcomes(b.kind) > 0u);
            BOOST_TEST((w.status().state == poll_state::failing));
            BOOST_TEST(!w.status().error.empty());
            BOOST_TEST(w.store->adds == 0u);
            // And it heals by itself.
            w.master->instead = nullptr;
            w.run(6 * minute);
            BOOST_TEST(w.store->pbids() == (ids{1}), boost::test_tools::per_element());
            BOOST_TEST((w.status().state == poll_state::polling));
            BOOST_TEST(w.status().error == "");
        }
    }
}

BOOST_AUTO_TEST_CASE(a_cut_answer_keeps_its_elements_but_not_the_position)
{
    world w;
    w.run(30 * second);
    const auto position = w.store->stored->position;
    // Enough for two whole blocks before the cut.
    reply r;
    r.body = "[";
    std::size_t whole = 0;
    while (r.body.size() < 600'000)
    {
        ++whole;
        r.body += R"({"pbid":)" + std::to_string(whole) + R"(,"time":5,"creationTime":)" +
                  std::to_string(t0) + R"(,"pad":")" + std::string(2'000, 'p') + R"("},)";
    }
    r.body += R"({"pbid":123456,"tim)";
    r.breaks = fail(make_error_code(boost::system::errc::connection_reset), "connection reset");
    w.master->instead = once(1, r);
    w.store->on_add = [](const archive_block& b) { BOOST_TEST(!b.position.has_value()); };
    w.run(11 * second);
    BOOST_TEST(w.store->records.size() == whole);
    BOOST_TEST(w.store->adds == 3u);
    BOOST_TEST(w.store->stored->position == position);
    BOOST_TEST(w.outcomes(answer_kind::cut) == 1u);
    w.store->on_add = nullptr;
    w.run(20 * second);
    BOOST_TEST(*w.status().position > position);
}

BOOST_AUTO_TEST_CASE(blocks_stream_without_the_position_which_comes_with_the_last)
{
    world w;
    reply r;
    r.body = "[";
    for (int i = 1; i <= 400; ++i)
        r.body += (i > 1 ? "," : "") + std::string(R"({"pbid":)") + std::to_string(i) +
                  R"(,"time":5,"creationTime":6,"pad":")" + std::string(2'000, 'p') + R"("})";
    r.body += "]";
    std::vector<bool> with_position;
    std::vector<std::size_t> sizes;
    w.store->on_add = [&](const archive_block& b) {
        with_position.push_back(b.position.has_value());
        sizes.push_back(b.bytes.size());
        BOOST_TEST(b.window.has_value() == b.position.has_value());
    };
    w.master->instead = once(1, r);
    w.run(2 * second);
    BOOST_TEST(w.store->records.size() == 400u);
    BOOST_TEST(with_position == (std::vector<bool>{false, false, false, true}),
               boost::test_tools::per_element());
    for (const auto s : sizes)
        BOOST_TEST(s < (256u << 10) + 3'000);
    BOOST_REQUIRE(!w.store->recorded.empty());
    BOOST_TEST(w.store->recorded[0].shown == 400);
    BOOST_TEST(w.store->recorded[0].archived == 400);
}

BOOST_AUTO_TEST_CASE(a_date_error_is_learnt_from_and_repeated_at_once)
{
    world w;
    w.master->ahead = -2 * hour;
    w.add(1, t0 - 2 * hour - 5 * minute);
    w.master->instead = [&](const question& q) -> std::optional<reply> {
        const auto date = q.headers.at("DTAPI-Date");
        if (date >= format_date(date_format::compact, w.master->clock() - 30 * minute) &&
            date <= format_date(date_format::compact, w.master->clock() + 30 * minute))
            return std::nullopt;
        reply r;
        r.status = 400;
        r.body = R"({"error":"API DATE ERROR"})";
        return r;
    };
    w.run(30 * second);
    BOOST_TEST(w.outcomes(answer_kind::date_error) == 1u);
    BOOST_REQUIRE(w.master->questions.size() >= 2u);
    // The same question 50 ms later, which is what the first answer took.
    BOOST_TEST(w.master->questions[1].wall - w.master->questions[0].wall == 50);
    BOOST_TEST(w.master->questions[1].target == w.master->questions[0].target);
    BOOST_TEST(*w.status().skew_seconds == -7200);
    BOOST_TEST(w.store->pbids() == (ids{1}), boost::test_tools::per_element());
    BOOST_TEST(w.status().error == "");
    BOOST_TEST(*w.status().position <= w.master->clock() + second);
}

BOOST_AUTO_TEST_CASE(a_first_poll_by_a_clock_that_is_ahead_skips_nothing_of_backfill)
{
    for (const std::int64_t ahead : {10 * day, 3 * hour, 10 * minute})
    {
        for (const bool refuses_first : {false, true})
        {
            BOOST_TEST_CONTEXT(ahead << " " << refuses_first)
            {
                world w;
                w.master->ahead = -ahead;
                const std::int64_t now = t0 - ahead;
                w.add(1, now - 24 * hour + 2 * minute);
                w.add(2, now - 22 * hour);
                w.add(3, now - minute);
                reply refused;
                refused.body = R"({"response":"ERROR"})";
                if (refuses_first)
                    w.master->instead = once(1, refused);
                w.run(5 * minute);
                auto all = w.store->pbids();
                std::sort(all.begin(), all.end());
                BOOST_TEST(all == (ids{1, 2, 3}), boost::test_tools::per_element());
                BOOST_TEST(w.status().late == 0);
                BOOST_TEST((w.status().state == poll_state::polling));
                BOOST_TEST(*w.status().position <= w.master->clock() + second);
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(a_date_error_that_stays_is_said_with_the_skew)
{
    world w;
    w.master->ahead = 90 * second;
    w.master->instead = [](const question&) {
        reply r;
        r.status = 400;
        r.body = R"({"error":"API DATE ERROR"})";
        return r;
    };
    w.run(minute);
    BOOST_TEST(w.status().error.find("90 s ahead") != std::string::npos, w.status().error);
    BOOST_TEST(w.status().error.find("date_format") != std::string::npos);
    BOOST_TEST(w.master->questions.size() <= 8u);
}

BOOST_AUTO_TEST_CASE(a_masters_clock_that_jumps_loses_nothing)
{
    for (const std::int64_t jump : {40 * minute, -40 * minute})
    {
        BOOST_TEST_CONTEXT(jump)
        {
            world w;
            std::int64_t next = 1;
            // A breach every 7 s, dated by the master's clock.
            w.master->at_question = [&](std::size_t n) {
                if (n == 40)
                    w.master->ahead = jump;
                while (next * 7 * second < w.time->now().wall - t0)
                {
                    w.add(next, w.master->clock() - second);
                    ++next;
                }
            };
            w.run(20 * minute);
            BOOST_TEST(w.store->records.size() + 2 >= static_cast<std::size_t>(next - 1));
            ids all = w.store->pbids();
            std::sort(all.begin(), all.end());
            for (std::size_t i = 0; i < all.size(); ++i)
                BOOST_REQUIRE(all[i] == static_cast<std::int64_t>(i) + 1);
            BOOST_TEST(*w.status().skew_seconds == jump / second);
        }
    }
}

BOOST_AUTO_TEST_CASE(a_clock_set_back_after_a_reload_reaches_back_no_further_than_that)
{
    world w;
    w.time->advance(30 * day);  // this host's uptime
    w.run(10 * minute);
    w.reload();
    w.master->ahead = -20 * minute;
    const auto before = w.master->questions.size();
    const auto now = w.master->clock();
    w.run(10 * minute);
    BOOST_TEST(*w.status().skew_seconds == -20 * 60);
    for (auto i = before; i < w.master->questions.size(); ++i)
        BOOST_TEST(w.master->questions[i].asked().start > now - hour);
}

BOOST_AUTO_TEST_CASE(auto_turns_to_activity_when_creation_is_ignored)
{
    world w;
    w.master->ignores_creation = true;
    // In the first hour's window by time, created two hours after it.
    w.add(1, t0 - 21 * hour - 30 * minute, 0, 2 * hour);
    w.add(2, t0 - hour);
    w.run(minute);
    BOOST_TEST(w.status().by_activity);
    BOOST_TEST(w.store->stored->by_activity);
    BOOST_TEST(w.store->pbids() == (ids{1, 2}), boost::test_tools::per_element());
    BOOST_TEST(w.master->questions.front().get("creationtime") == "true");
    BOOST_TEST(w.master->questions.back().get("creationtime") == "");
    // It stays so after a restart.
    w.restart();
    const auto before = w.master->questions.size();
    w.run(minute);
    BOOST_TEST(w.master->questions[before].get("creationtime") == "");
    BOOST_TEST(w.status().by_activity);
}

BOOST_AUTO_TEST_CASE(a_master_that_heeds_creation_is_not_taken_for_another)
{
    world w;
    for (int i = 0; i < 200; ++i)
        w.add(i + 1, t0 - 23 * hour + i * 7 * minute, 0, (i % 50) * hour);
    w.run(minute);
    BOOST_TEST(w.store->records.size() == 200u - 2u);  // the last two are in the future
    BOOST_TEST(!w.status().by_activity);
    world fixed;
    fixed.options.window = window_kind::creation;
    fixed.master->ignores_creation = true;
    fixed.add(1, t0 - 21 * hour - 30 * minute, 0, 2 * hour);
    fixed.run(minute);
    BOOST_TEST(!fixed.status().by_activity);
}

BOOST_AUTO_TEST_CASE(too_large_answers_halve_the_slice)
{
    world w;
    for (int i = 0; i < 24 * 60; ++i)
        w.add(i + 1, t0 - 24 * hour + i * minute + second);
    w.master->instead = [&](const question& q) -> std::optional<reply> {
        if (q.asked().length() <= 20 * minute)
            return std::nullopt;
        reply r = w.master->answer(q);
        r.body.resize(r.body.size() / 2);
        r.breaks = fail(errc::over_limit, "over 64 MiB");
        return r;
    };
    w.run(20 * minute);
    BOOST_TEST(w.store->records.size() == 1440u);
    BOOST_TEST(w.outcomes(answer_kind::too_large) >= 2u);
    BOOST_TEST((w.status().state == poll_state::polling));
    BOOST_TEST(w.store->stored->position > t0);
}

BOOST_AUTO_TEST_CASE(the_shortest_window_is_taken_whatever_its_size)
{
    world w;
    w.run(30 * second);
    bool told = false;
    w.master->instead = [&](const question& q) -> std::optional<reply> {
        if (q.max_body > (64u << 20))
        {
            BOOST_TEST(q.asked().length() <= minute);
            told = true;
            return std::nullopt;
        }
        reply r;
        r.breaks = fail(errc::over_limit, "over 64 MiB");
        return r;
    };
    w.add(1, t0 + 40 * second);
    w.run(20 * minute);
    BOOST_TEST(told);
    // One failing question for about nine good ones, and no operator is bothered.
    BOOST_TEST(w.outcomes(answer_kind::too_large) * 8 < w.outcomes(answer_kind::ok) + 100);
    BOOST_TEST(w.status().error == "");
    BOOST_TEST(w.store->pbids() == (ids{1}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_master_too_slow_for_a_minute_is_reported)
{
    world w;
    w.master->instead = [](const question&) {
        reply r;
        r.headless = true;
        r.takes = 60 * second;
        r.breaks = fail(errc::timed_out, "no answer within 60 s");
        return r;
    };
    w.run(30 * minute);
    BOOST_TEST(std::any_of(w.master->questions.begin(), w.master->questions.end(), [](const question& q) {
        return q.asked().length() == minute;
    }));
    BOOST_TEST(w.status().error.find("one minute") != std::string::npos, w.status().error);
    BOOST_TEST(w.master->questions.size() < 40u);
    w.master->instead = nullptr;
    w.run(5 * minute);
    BOOST_TEST((w.status().state == poll_state::polling));
}

BOOST_AUTO_TEST_CASE(retry_after_is_honoured_in_seconds_and_as_a_date)
{
    for (const bool as_date : {false, true})
    {
        world w;
        reply r;
        r.status = 429;
        r.body = "Too Many Requests";
        r.retry_after = as_date ? rfc1123_time(t0 + 5 * minute) : "300";
        w.master->instead = once(1, r);
        w.run(10 * minute);
        BOOST_REQUIRE(w.master->questions.size() >= 2u);
        const auto waited = w.master->questions[1].wall - w.master->questions[0].wall;
        BOOST_TEST(waited >= 299 * second);
        BOOST_TEST(waited <= 331 * second);
        BOOST_TEST(w.outcomes(answer_kind::rate_limited) == 1u);
    }
}

BOOST_AUTO_TEST_CASE(nothing_retries_without_back_off)
{
    world w;
    w.master->instead = [](const question&) {
        reply r;
        r.headless = true;
        r.breaks = fail(make_error_code(boost::system::errc::connection_refused), "connection refused");
        return r;
    };
    w.run(hour);
    // 1, 2, 4, .. 60 s, three quarters of each with this jitter.
    BOOST_TEST(w.master->questions.size() > 75u);
    BOOST_TEST(w.master->questions.size() < 95u);
    BOOST_TEST(w.outcomes(answer_kind::unreachable) == w.master->questions.size());
}

BOOST_AUTO_TEST_CASE(repeated_and_unordered_ids_are_taken_once)
{
    world w;
    reply r;
    r.body =
        R"([{"pbid":5,"time":5,"creationTime":9},{"pbid":3,"time":5,"creationTime":6},{"pbid":5,"time":5,"creationTime":9},)"
        R"({"pbid":5,"time":5,"creationTime":10},{"pbid":4,"time":7}])";
    w.master->instead = once(1, r);
    w.run(minute);
    BOOST_TEST(w.store->pbids() == (ids{5, 3, 5, 4}), boost::test_tools::per_element());
    BOOST_TEST(w.store->records[3].key.created == 7);
    BOOST_TEST(w.status().reused_pbids == 1);
    BOOST_TEST(w.status().archived == 4);
}

BOOST_AUTO_TEST_CASE(a_breach_that_shows_late_is_found_by_the_overlap_and_counted)
{
    world w;
    w.run(5 * minute);
    w.add(1, t0 + minute, t0 + 6 * minute);  // shown five minutes after its creation
    w.run(5 * minute);
    BOOST_TEST(w.store->pbids() == (ids{1}), boost::test_tools::per_element());
    BOOST_TEST(w.status().late == 1);
    BOOST_REQUIRE(!w.store->recorded.empty());
    BOOST_TEST(w.store->recorded[0].late == 1);
}

BOOST_AUTO_TEST_CASE(a_full_archive_stops_the_position_and_says_so)
{
    world w;
    w.run(30 * second);
    const auto position = w.store->stored->position;
    w.store->write_failure = fail(errc::disk_full, "no space left on /var/lib/dtbridge");
    w.add(1, t0 + 40 * second);
    w.run(5 * minute);
    BOOST_TEST((w.status().state == poll_state::archive_full));
    BOOST_TEST(w.status().error.find("no space left") != std::string::npos);
    BOOST_TEST(w.store->stored->position == position);
    BOOST_TEST(w.rings.empty());
    BOOST_TEST(w.master->questions.size() < 25u);
    w.store->write_failure.reset();
    w.run(3 * minute);
    BOOST_TEST(w.store->pbids() == (ids{1}), boost::test_tools::per_element());
    BOOST_TEST((w.status().state == poll_state::polling));
    BOOST_TEST(w.status().error == "");
}

BOOST_AUTO_TEST_CASE(a_commit_whose_answer_was_lost_is_told_of)
{
    world w;
    w.run(30 * second);
    w.store->lost_answer = fail(errc::timed_out, "the connection to PostgreSQL broke at COMMIT");
    w.add(1, t0 + 40 * second);
    w.run(5 * minute);
    BOOST_TEST(w.outcomes(answer_kind::archive_failed) == 1u);
    BOOST_TEST(w.store->pbids() == (ids{1}), boost::test_tools::per_element());
    BOOST_TEST(w.rings == (ids{1}), boost::test_tools::per_element());
    BOOST_TEST((w.status().state == poll_state::polling));
}

BOOST_AUTO_TEST_CASE(an_archive_that_cannot_be_read_at_start_is_waited_for)
{
    world w;
    w.store->read_failure = fail(errc::archive_damaged, "archive.db is damaged");
    w.run(5 * minute);
    BOOST_TEST(w.master->questions.empty());
    BOOST_TEST((w.status().state == poll_state::archive_full));
    w.store->read_failure.reset();
    w.run(5 * minute);
    BOOST_TEST((w.status().state == poll_state::polling));
}

BOOST_AUTO_TEST_CASE(pbscore_is_warned_of)
{
    world w;
    w.add(1, t0 - hour);
    w.run(minute);
    BOOST_TEST(!w.status().sees_pbscore);
    w.add(2, t0 + 70 * second);
    w.master->breaches.back().extra = R"(,"score":0.9,"pbscore":0.1)";
    w.run(minute);
    BOOST_TEST(w.status().sees_pbscore);
}

BOOST_AUTO_TEST_CASE(this_hosts_clock_set_by_hours_changes_nothing)
{
    world w;
    std::int64_t next = 1;
    const std::int64_t begun = w.time->now().steady;
    // The master's time is that of the steady clock.
    const auto true_time = [&] { return t0 + w.time->now().steady - begun; };
    w.master->at_question = [&](std::size_t n) {
        if (n == 20)
            w.time->set_wall(w.time->now().wall + 5 * hour);
        if (n == 60)
            w.time->set_wall(w.time->now().wall - 9 * hour);
        w.master->ahead = true_time() - w.time->now().wall;
        while (next * 7 * second < true_time() - t0)
        {
            w.add(next, true_time() - second);
            ++next;
        }
    };
    w.run(20 * minute);
    BOOST_TEST(w.store->records.size() == static_cast<std::size_t>(next - 1));
    BOOST_TEST(*w.status().skew_seconds == 4 * 3600);
    for (const auto& q : w.master->questions)
        BOOST_TEST(q.number("endtime") <= true_time() + second);
}

BOOST_AUTO_TEST_CASE(cancelling_ends_the_loop)
{
    world w;
    w.make();
    w.time->until(day);
    asio::cancellation_signal stop;
    bool ended = false;
    w.master->at_question = [&](std::size_t n) {
        if (n == 5)
            asio::post(w.io, [&] { stop.emit(asio::cancellation_type::terminal); });
    };
    asio::co_spawn(w.io, w.loop->run(), asio::bind_cancellation_slot(stop.slot(), [&](std::exception_ptr e) {
                       ended = true;
                       BOOST_CHECK_THROW(std::rethrow_exception(e), boost::system::system_error);
                   }));
    w.io.run();
    BOOST_TEST(ended);
    BOOST_TEST(w.master->questions.size() < 8u);
}

BOOST_AUTO_TEST_SUITE_END()
