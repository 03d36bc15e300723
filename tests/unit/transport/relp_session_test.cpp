#include <transport/relp_session.hpp>

#include <boost/test/unit_test.hpp>

#include <vector>

using namespace dtbridge;
using transport::relp_session;

namespace
{

constexpr const char* hello = "200 OK\nrelp_version=0\nrelp_software=librelp,1.11.0\ncommands=syslog";

std::string rsp(unsigned number, const std::string& data = "200 OK")
{
    std::string out;
    transport::append_relp_frame(number, "rsp", data, out);
    return out;
}

transport::batch batch_of(std::vector<std::string> messages)
{
    transport::batch b(transport::wire::relp);
    for (const auto& m : messages)
        b.add(m);
    return b;
}

/// What take() said: "" for fine.
std::string words(relp_session& s, const std::string& bytes)
{
    auto fine = s.take(bytes);
    return fine ? "" : fine.error().detail;
}

/// A session that is open, and what it says from then on.
struct opened
{
    explicit opened(std::uint32_t first = 1) : session(first)
    {
        session.say_open(said);
        BOOST_TEST(words(session, rsp(first, hello)) == "");
        BOOST_TEST((session.now() == relp_session::phase::open));
        said.clear();
    }
    void send(std::vector<std::string> messages)
    {
        session.say_messages(batch_of(std::move(messages)), said);
        session.written();
    }
    relp_session session;
    std::string said;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(relp_sessions)

BOOST_AUTO_TEST_CASE(open_offers_and_wants_offers)
{
    relp_session s;
    std::string said;
    s.say_open(said);
    const std::string offers = "relp_version=0\nrelp_software=dtbridge\ncommands=syslog";
    BOOST_TEST(said == "1 open " + std::to_string(offers.size()) + " " + offers + "\n");
    BOOST_TEST((s.now() == relp_session::phase::opening));
    BOOST_TEST(s.unanswered() == 1u);
    BOOST_TEST(words(s, rsp(1, hello)) == "");
    BOOST_TEST((s.now() == relp_session::phase::open));
    BOOST_TEST(s.unanswered() == 0u);
}

BOOST_AUTO_TEST_CASE(a_collector_that_cannot_take_messages_is_refused)
{
    const std::vector<std::pair<std::string, std::string>> answers = {
        {"500 no more sessions\nrelp_version=0\ncommands=syslog",
         "refused the RELP session with the answer 500 (no more sessions)"},
        {"200 OK", "no version of RELP"},
        {"200 OK\ncommands=syslog", "no version of RELP"},
        {"200 OK\nrelp_version=7\ncommands=syslog", "no version of RELP"},
        {"200 OK\nrelp_version=0", "command \"syslog\""},
        {"200 OK\nrelp_version=0\ncommands=eventlog", "command \"syslog\""},
    };
    for (const auto& [data, expected] : answers)
    {
        relp_session s;
        std::string said;
        s.say_open(said);
        const auto fine = s.take(rsp(1, data));
        BOOST_REQUIRE(fine.has_error());
        BOOST_TEST((fine.error().code == errc::refused));
        BOOST_TEST(fine.error().detail.find(expected) != std::string::npos, fine.error().detail);
        BOOST_TEST((s.now() == relp_session::phase::opening));
    }
}

BOOST_AUTO_TEST_CASE(messages_are_numbered_and_a_batch_counts_when_all_of_it_is_answered)
{
    opened o;
    o.send({"one", "two"});
    o.send({"three\nwith a second line"});
    BOOST_TEST(o.said == "2 syslog 3 one\n3 syslog 3 two\n4 syslog 24 three\nwith a second line\n");
    BOOST_TEST(o.session.unconfirmed() == 2u);
    BOOST_TEST(o.session.unanswered() == 3u);
    BOOST_TEST(words(o.session, rsp(2)) == "");
    BOOST_TEST(o.session.confirmed() == 0u);
    BOOST_TEST(words(o.session, rsp(3)) == "");
    BOOST_TEST(o.session.confirmed() == 1u);
    BOOST_TEST(o.session.unconfirmed() == 1u);
    BOOST_TEST(words(o.session, rsp(4)) == "");
    BOOST_TEST(o.session.confirmed() == 2u);
    BOOST_TEST(o.session.unanswered() == 0u);
    BOOST_TEST(o.session.answers() == 4u);
}

BOOST_AUTO_TEST_CASE(answers_in_any_order_confirm_in_the_order_of_sending)
{
    opened o;
    o.send({"one"});
    o.send({"two", "three"});
    BOOST_TEST(words(o.session, rsp(4) + rsp(3)) == "");
    BOOST_TEST(o.session.confirmed() == 0u);
    BOOST_TEST(o.session.unanswered() == 3u);
    BOOST_TEST(words(o.session, rsp(2)) == "");
    BOOST_TEST(o.session.confirmed() == 2u);
    BOOST_TEST(o.session.unanswered() == 0u);
}

BOOST_AUTO_TEST_CASE(a_batch_that_is_still_being_written_is_not_confirmed)
{
    opened o;
    o.session.say_messages(batch_of({"one", "two"}), o.said);
    BOOST_TEST(words(o.session, rsp(2) + rsp(3)) == "");
    BOOST_TEST(o.session.confirmed() == 0u);
    o.session.written();
    BOOST_TEST(o.session.confirmed() == 1u);
    BOOST_TEST(o.session.unconfirmed() == 0u);
}

BOOST_AUTO_TEST_CASE(numbers_wrap_at_999999999)
{
    opened o(999999996);
    o.send({"a", "b", "c", "d", "e"});
    BOOST_TEST(
        o.said ==
        "999999997 syslog 1 a\n999999998 syslog 1 b\n999999999 syslog 1 c\n1 syslog 1 d\n2 syslog 1 e\n");
    o.send({"f"});
    BOOST_TEST(words(o.session, rsp(3) + rsp(1) + rsp(999999999)) == "");
    BOOST_TEST(o.session.confirmed() == 0u);
    BOOST_TEST(words(o.session, rsp(999999997) + rsp(999999998) + rsp(2)) == "");
    BOOST_TEST(o.session.confirmed() == 2u);
    // 4 was not sent yet, though 999999999 positions on is where it would be counted.
    BOOST_TEST(words(o.session, rsp(4)).find("number 4, which waits for no answer") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(open_itself_may_wrap)
{
    opened o(999999999);
    o.send({"a"});
    BOOST_TEST(o.said == "1 syslog 1 a\n");
    BOOST_TEST(words(o.session, rsp(1)) == "");
    BOOST_TEST(o.session.confirmed() == 1u);
}

BOOST_AUTO_TEST_CASE(an_answer_that_nobody_waits_for_ends_the_session)
{
    for (const unsigned number : {1u, 2u, 3u, 5u, 999999999u})
    {
        opened o;
        o.send({"one", "two", "three"});
        BOOST_TEST(words(o.session, rsp(3)) == "");
        if (number == 2)
            BOOST_TEST(words(o.session, rsp(2)) == "");
        const auto fine = o.session.take(rsp(number));
        BOOST_REQUIRE(fine.has_error());
        BOOST_TEST((fine.error().code == errc::malformed));
        BOOST_TEST(fine.error().detail ==
                   "answers message number " + std::to_string(number) + ", which waits for no answer");
    }
}

BOOST_AUTO_TEST_CASE(a_refused_message_ends_the_session_and_what_was_answered_before_counts)
{
    opened o;
    o.send({"one"});
    o.send({"two"});
    const auto fine = o.session.take(rsp(2) + rsp(3, "500 queue\x01 full"));
    BOOST_REQUIRE(fine.has_error());
    BOOST_TEST((fine.error().code == errc::refused));
    BOOST_TEST(fine.error().detail.find("500 (queue\\x01 full)") != std::string::npos, fine.error().detail);
    BOOST_TEST(o.session.confirmed() == 1u);
    BOOST_TEST(o.session.unconfirmed() == 1u);
}

BOOST_AUTO_TEST_CASE(an_answer_in_pieces_counts_when_it_is_whole)
{
    opened o;
    o.send({"one"});
    const auto bytes = rsp(2);
    for (std::size_t i = 0; i + 1 < bytes.size(); ++i)
    {
        BOOST_TEST(words(o.session, bytes.substr(i, 1)) == "");
        BOOST_TEST(o.session.confirmed() == 0u);
        BOOST_TEST(o.session.is_in_frame());
    }
    BOOST_TEST(words(o.session, "\n") == "");
    BOOST_TEST(o.session.confirmed() == 1u);
    BOOST_TEST(!o.session.is_in_frame());
}

BOOST_AUTO_TEST_CASE(what_is_no_answer_ends_the_session)
{
    const std::vector<std::pair<std::string, std::string>> inputs = {
        {"2 syslog 2 hi\n", "the command \"syslog\""},
        {"2 rsp 0\n", "no code of three digits"},
        {"2 rsp 2 OK\n", "no code of three digits: \"OK\""},
        {"2 rsp 20000 ", "20000 bytes"},
        {"\x16\x03\x01", "no RELP"},
        {"HTTP/1.1 400 Bad Request\r\n\r\n", "no RELP"},
    };
    for (const auto& [bytes, expected] : inputs)
    {
        opened o;
        o.send({"one"});
        const auto said = words(o.session, bytes);
        BOOST_TEST(said.find(expected) != std::string::npos, said);
        BOOST_TEST(o.session.confirmed() == 0u);
    }
}

BOOST_AUTO_TEST_CASE(hints_need_no_answer_and_unknown_ones_are_passed_over)
{
    opened o;
    o.send({"one"});
    BOOST_TEST(words(o.session, "0 weather 5 sunny\n") == "");
    BOOST_TEST(!o.session.is_server_closing());
    BOOST_TEST(words(o.session, "0 serverclose 0\n") == "");
    BOOST_TEST(o.session.is_server_closing());
    // An answer that still comes counts.
    BOOST_TEST(words(o.session, rsp(2)) == "");
    BOOST_TEST(o.session.confirmed() == 1u);
}

BOOST_AUTO_TEST_CASE(close_is_answered_with_or_without_a_code)
{
    for (const std::string data : {"", "200 OK", "500 whatever"})
    {
        opened o;
        o.send({"one"});
        o.said.clear();
        o.session.say_close(o.said);
        BOOST_TEST(o.said == "3 close 0\n");
        BOOST_TEST((o.session.now() == relp_session::phase::closing));
        BOOST_TEST(o.session.unanswered() == 2u);
        BOOST_TEST(words(o.session, rsp(2)) == "");
        BOOST_TEST(o.session.confirmed() == 1u);
        BOOST_TEST(words(o.session, rsp(3, data) + "0 serverclose 0\n") == "");
        BOOST_TEST((o.session.now() == relp_session::phase::closed));
        BOOST_TEST(o.session.unanswered() == 0u);
    }
}

BOOST_AUTO_TEST_SUITE_END()
