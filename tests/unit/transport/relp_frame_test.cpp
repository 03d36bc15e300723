#include <transport/relp_frame.hpp>

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <ostream>
#include <vector>

using namespace dtbridge::transport;

namespace
{

/// All whole frames of bytes that come in pieces of that size, and the state after them.
struct heard
{
    std::vector<relp_frame> frames;
    relp_reader::state end = relp_reader::state::more;
    std::string wrong;
    bool between = true;
};

heard hear(std::string_view bytes, std::size_t piece)
{
    heard h;
    relp_reader reader;
    while (!bytes.empty())
    {
        auto part = bytes.substr(0, piece);
        bytes.remove_prefix(part.size());
        while (!part.empty())
        {
            h.end = reader.take(part);
            if (h.end == relp_reader::state::whole)
                h.frames.push_back(reader.frame());
            if (h.end == relp_reader::state::broken)
            {
                h.wrong = reader.wrong();
                return h;
            }
        }
    }
    h.between = reader.is_between();
    return h;
}

struct bad
{
    std::string bytes, words;
};

std::ostream& operator<<(std::ostream& out, const bad& b)
{
    return out << b.bytes.substr(0, 60);
}

const std::vector<bad> bad_ones = {
    {"x rsp 0\n", "number of a frame is not a number"},
    {" rsp 0\n", "number of a frame is not a number"},
    {"-1 rsp 0\n", "number of a frame is not a number"},
    {"1000000000 rsp 0\n", "more than nine digits"},
    {"00000000001 rsp 0\n", "more than nine digits"},
    {"1  0\n", "command"},
    {"1 r5p 0\n", "command"},
    {"1 rsp\n", "command"},
    {"1 " + std::string(33, 'a') + " 0\n", "1 to 32 letters"},
    {"1 rsp x\n", "length of a frame is not a number"},
    {"1 rsp \n", "length of a frame is not a number"},
    {"1 rsp 1234567890 ", "more than nine digits"},
    {"1 rsp 999999999 ", "999999999 bytes; at most 16384"},
    {"1 rsp 16385 ", "16385 bytes"},
    {"1 rsp 3\n200\n", "ends before its data"},
    {"1 rsp 3 200x", "no line break"},
    {"1 rsp 0 x", "no line break"},
    {std::string("\0", 1), "not a number"},
    {"HTTP/1.1 400 Bad Request\r\n", "not a number"},
};

}  // namespace

BOOST_AUTO_TEST_SUITE(relp_frames)

BOOST_AUTO_TEST_CASE(are_written_as_the_specification_wants_them)
{
    std::string out;
    append_relp_frame(1, "open", "relp_version=0\ncommands=syslog", out);
    append_relp_frame(2, "syslog", "<13>x", out);
    append_relp_frame(999999999, "close", "", out);
    BOOST_TEST(out == "1 open 30 relp_version=0\ncommands=syslog\n2 syslog 5 <13>x\n999999999 close 0\n");
}

BOOST_AUTO_TEST_CASE(numbers_go_from_1_to_999999999_and_around)
{
    BOOST_TEST(relp_next(1) == 2u);
    BOOST_TEST(relp_next(999999998) == 999999999u);
    BOOST_TEST(relp_next(999999999) == 1u);
}

BOOST_AUTO_TEST_CASE(are_read_in_any_pieces)
{
    const std::string longest(relp_reader::most_data, 'x');
    const std::string bytes =
        "1 rsp 6 200 OK\n2 rsp 0\n3 rsp 0 \n0 serverclose 0\n000000004 rsp 7 200 a\nb\n5 " +
        std::string(32, 'z') + " 16384 " + longest + "\n";
    for (const std::size_t piece : {1u, 2u, 3u, 7u, 100000u})
    {
        const auto h = hear(bytes, piece);
        BOOST_TEST_CONTEXT("pieces of " << piece)
        {
            BOOST_TEST((h.end == relp_reader::state::whole));
            BOOST_TEST(h.between);
            BOOST_REQUIRE(h.frames.size() == 6u);
            BOOST_TEST(h.frames[0].number == 1u);
            BOOST_TEST(h.frames[0].command == "rsp");
            BOOST_TEST(h.frames[0].data == "200 OK");
            BOOST_TEST(h.frames[1].number == 2u);
            BOOST_TEST(h.frames[1].data.empty());
            BOOST_TEST(h.frames[2].number == 3u);
            BOOST_TEST(h.frames[2].data.empty());
            BOOST_TEST(h.frames[3].number == 0u);
            BOOST_TEST(h.frames[3].command == "serverclose");
            BOOST_TEST(h.frames[4].number == 4u);
            BOOST_TEST(h.frames[4].data == "200 a\nb");
            BOOST_TEST(h.frames[5].data == longest);
        }
    }
}

BOOST_AUTO_TEST_CASE(half_a_frame_is_no_frame)
{
    const std::string whole = "12 rsp 6 200 OK\n";
    for (std::size_t n = 1; n < whole.size(); ++n)
    {
        const auto h = hear(whole.substr(0, n), 5);
        BOOST_TEST((h.end == relp_reader::state::more));
        BOOST_TEST(h.frames.empty());
        BOOST_TEST(!h.between);
    }
}

BOOST_DATA_TEST_CASE(what_is_no_frame_is_named, boost::unit_test::data::make(bad_ones), b)
{
    for (const std::size_t piece : {1u, 100000u})
    {
        // The frame before it is still one.
        const auto h = hear("7 rsp 6 200 OK\n" + b.bytes, piece);
        BOOST_TEST((h.end == relp_reader::state::broken));
        BOOST_TEST(h.frames.size() == 1u);
        BOOST_TEST(h.wrong.find(b.words) != std::string::npos, h.wrong);
    }
}

BOOST_AUTO_TEST_CASE(a_broken_reader_stays_so)
{
    relp_reader r;
    std::string_view bytes = "x";
    BOOST_TEST((r.take(bytes) == relp_reader::state::broken));
    bytes = "1 rsp 0\n";
    BOOST_TEST((r.take(bytes) == relp_reader::state::broken));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(relp_answers)

BOOST_AUTO_TEST_CASE(have_a_code_words_and_more)
{
    const auto plain = read_relp_answer("200 OK");
    BOOST_REQUIRE(plain.has_value());
    BOOST_TEST(plain->code == 200u);
    BOOST_TEST(plain->words == "OK");
    BOOST_TEST(plain->rest.empty());
    const auto more = read_relp_answer("500 not today\na\nb");
    BOOST_REQUIRE(more.has_value());
    BOOST_TEST(more->code == 500u);
    BOOST_TEST(more->words == "not today");
    BOOST_TEST(more->rest == "a\nb");
    BOOST_TEST(read_relp_answer("200")->words.empty());
    BOOST_TEST(read_relp_answer("200\nrelp_version=0")->rest == "relp_version=0");
}

BOOST_AUTO_TEST_CASE(without_a_code_are_none)
{
    for (const std::string_view data : {"", "OK", "20", "20x", "2000 OK", "200x", " 200", "-20 OK"})
        BOOST_TEST(!read_relp_answer(data).has_value(), std::string(data));
}

BOOST_AUTO_TEST_CASE(offers)
{
    const auto rsyslog =
        read_relp_offers("relp_version=0\nrelp_software=librelp,1.11.0,http://x\ncommands=syslog");
    BOOST_TEST(rsyslog.has_version);
    BOOST_TEST(rsyslog.has_syslog);
    const auto other = read_relp_offers("\ncommands=eventlog,syslog\nrelp_version=1\n");
    BOOST_TEST(other.has_version);
    BOOST_TEST(other.has_syslog);
    for (const std::string_view rest : {"",
                                        "commands",
                                        "relp_version",
                                        "relp_version=2\ncommands=syslogx",
                                        "xrelp_version=0\ncommand=syslog",
                                        "relp_version=\ncommands=,,"})
    {
        const auto none = read_relp_offers(rest);
        BOOST_TEST(!none.has_version, std::string(rest));
        BOOST_TEST(!none.has_syslog, std::string(rest));
    }
}

BOOST_AUTO_TEST_SUITE_END()
