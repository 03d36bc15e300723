#include <dtbridge/transport/framing.hpp>

#include <boost/test/unit_test.hpp>

#include <dtbridge/core/json.hpp>

#include <fstream>
#include <iterator>
#include <string>

using namespace dtbridge;
using transport::wire;

namespace
{

wire wire_named(std::string_view name)
{
    if (name == "octet-counting")
        return wire::octet_counting;
    if (name == "lf")
        return wire::newline;
    if (name == "nul")
        return wire::nul;
    BOOST_REQUIRE_EQUAL(name, "udp");
    return wire::datagram;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(framing)

BOOST_AUTO_TEST_CASE(every_framing_vector)
{
    std::ifstream file(DTBRIDGE_TEST_DATA "/formats.json");
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    json::document vectors;
    const auto all = vectors.parse(text);
    BOOST_REQUIRE(all);
    int seen = 0;
    for (const auto& v : *all)
    {
        const auto format = v.find("format").text();
        if (format != "rfc6587" && format != "rfc5426")
            continue;
        ++seen;
        const auto input = v.find("input");
        transport::batch b(wire_named(input.find("framing").text()));
        for (const auto& m : input.find("messages"))
            b.add(m.text());
        BOOST_TEST_CONTEXT(v.find("id").text())
        BOOST_TEST(b.bytes() == v.find("expected_output").text());
    }
    BOOST_TEST(seen == 7);  // formats.md 9
}

BOOST_AUTO_TEST_CASE(pieces_are_framed_messages)
{
    transport::batch b(wire::octet_counting);
    b.add("a");
    b.add("");
    b.add("0123456789");
    BOOST_TEST(b.count() == 3u);
    BOOST_TEST(b.piece(0) == "1 a");
    BOOST_TEST(b.piece(1) == "0 ");
    BOOST_TEST(b.piece(2) == "10 0123456789");
    b.clear();
    BOOST_TEST(b.count() == 0u);
    BOOST_TEST(b.bytes().empty());
}

BOOST_AUTO_TEST_CASE(no_message_can_end_early)
{
    std::string out;
    transport::append_framed(wire::newline, "\n\r\n\r\ra\n", out);
    BOOST_TEST(out == "    a \n");
    out.clear();
    transport::append_framed(wire::nul, std::string_view("\0a\n\0", 4), out);
    BOOST_TEST(out == std::string(" a\n \0", 5));
}

BOOST_AUTO_TEST_CASE(udp_has_no_frames_whatever_is_configured)
{
    transport::options o;
    o.kind = transport::protocol::udp;
    o.frames = transport::framing::newline;
    BOOST_TEST((transport::wire_of(o) == wire::datagram));
    o.kind = transport::protocol::tls;
    BOOST_TEST((transport::wire_of(o) == wire::newline));
    o.kind = transport::protocol::kafka;
    BOOST_TEST((transport::wire_of(o) == wire::kafka));
}

BOOST_AUTO_TEST_CASE(a_label_stays_beside_its_message)
{
    BOOST_TEST(!transport::batch(wire::relp).is_labelled());
    transport::batch b(wire::kafka);
    BOOST_TEST(b.is_labelled());
    transport::message_label l;
    l.key = "acme/did 7";
    l.pbid = "41";
    b.add("bare");
    b.add("a\nb", l);
    l.pbid = "42";
    b.add("c", l);
    BOOST_TEST(b.count() == 3u);
    BOOST_TEST(b.piece(1) == "a\nb");
    BOOST_TEST(b.label(0).key == "");
    BOOST_TEST(b.label(1).key == "acme/did 7");
    BOOST_TEST(b.label(1).pbid == "41");
    BOOST_TEST(b.label(2).pbid == "42");
    b.clear();
    b.add("d");
    BOOST_TEST(b.label(0).pbid == "");
}

BOOST_AUTO_TEST_SUITE_END()
