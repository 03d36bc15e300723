#include <boost/test/unit_test.hpp>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <dtbridge/poll/element_splitter.hpp>

using namespace dtbridge::poll;

namespace
{

struct split
{
    std::vector<std::string> elements;
    std::vector<std::uint64_t> oversized;
    body_shape shape = body_shape::nothing;
    bool operator==(const split&) const = default;
};

split run(element_splitter& s, const std::vector<std::string_view>& pieces)
{
    split out;
    for (const auto piece : pieces)
    {
        // A copy that goes away: nothing may be kept of a piece.
        const std::string copy(piece);
        s.feed(copy);
        for (;;)
        {
            const auto e = s.next();
            if (e == element_splitter::event::more)
                break;
            if (e == element_splitter::event::oversized)
                out.oversized.push_back(s.size());
            out.elements.emplace_back(s.element());
        }
    }
    out.shape = s.shape();
    return out;
}

split run(const std::vector<std::string_view>& pieces)
{
    element_splitter s;
    return run(s, pieces);
}

split whole(std::string_view text)
{
    return run({text});
}

/// However the text is cut, the same comes out.
void check_everywhere(std::string_view text, const split& expected)
{
    BOOST_TEST((whole(text) == expected));
    std::vector<std::string_view> bytes;
    for (std::size_t i = 0; i < text.size(); ++i)
        bytes.push_back(text.substr(i, 1));
    BOOST_TEST((run(bytes) == expected));
    for (std::size_t i = 0; i <= text.size(); ++i)
    {
        if (run({text.substr(0, i), text.substr(i)}) != expected)
            BOOST_ERROR("another result when cut at byte " << i);
    }
}

std::string read_file(const std::string& path)
{
    std::ifstream in(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
}

/// The files of tests/data have one element to a line.
std::vector<std::string> elements_by_line(const std::string& text)
{
    std::vector<std::string> out;
    std::size_t at = 0;
    while (at < text.size())
    {
        const auto end = std::min(text.find('\n', at), text.size());
        std::string line = text.substr(at, end - at);
        at = end + 1;
        while (!line.empty() && (line.back() == ' ' || line.back() == ',' || line.back() == '\r'))
            line.pop_back();
        line.erase(0, line.find_first_not_of(' '));
        if (!line.empty() && line != "[" && line != "]")
            out.push_back(line);
    }
    return out;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(splitter)

BOOST_AUTO_TEST_CASE(yields_the_exact_bytes_however_it_is_cut)
{
    const std::string text =
        " [ {\"a\":\"]}\\\"\\\\\",\"b\":[1,{\"c\":[]}]} ,\n\t42 , \"x\\\\\",null,[ ] ,{ \"deep\" : "
        "[[[[\"\\\"[\"]]]] }, "
        "-1.5e3\t, true,{}\n] \r\n";
    split expected;
    expected.elements = {"{\"a\":\"]}\\\"\\\\\",\"b\":[1,{\"c\":[]}]}",
                         "42",
                         "\"x\\\\\"",
                         "null",
                         "[ ]",
                         "{ \"deep\" : [[[[\"\\\"[\"]]]] }",
                         "-1.5e3",
                         "true",
                         "{}"};
    expected.shape = body_shape::array;
    check_everywhere(text, expected);
}

BOOST_AUTO_TEST_CASE(files_of_breaches_however_they_are_cut)
{
    for (const char* name : {"/api_edge_cases_hostile.json", "/api_edge_cases_derived.json"})
    {
        BOOST_TEST_CONTEXT(name)
        {
            const std::string text = read_file(std::string(DTBRIDGE_TEST_DATA) + name);
            split expected;
            expected.elements = elements_by_line(text);
            expected.shape = body_shape::array;
            BOOST_TEST(expected.elements.size() >= 13u);
            BOOST_TEST((whole(text) == expected));
            std::vector<std::string_view> bytes;
            for (std::size_t i = 0; i < text.size(); ++i)
                bytes.push_back(std::string_view(text).substr(i, 1));
            BOOST_TEST((run(bytes) == expected));
            // Every cut of the small file, every 37th of the large one.
            const std::size_t step = text.size() > 10'000 ? 37 : 1;
            for (std::size_t i = 0; i <= text.size(); i += step)
            {
                const std::string_view v = text;
                if (run({v.substr(0, i), v.substr(i)}) != expected)
                    BOOST_ERROR("another result when cut at byte " << i);
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(backslashes_at_every_place_of_a_block)
{
    for (std::size_t pad = 0; pad < 140; ++pad)
    {
        for (std::size_t run_length = 0; run_length < 6; ++run_length)
        {
            // An even run stands for itself, an odd one makes the quote after it ordinary.
            std::string element = "{\"" + std::string(pad, 'x') + std::string(run_length, '\\');
            element += run_length % 2 == 0 ? "\":0}" : "\"}]\":0}";
            const std::string text = "[" + element + ",7]";
            split expected;
            expected.elements = {element, "7"};
            expected.shape = body_shape::array;
            if (whole(text) != expected)
                BOOST_ERROR("wrong at pad " << pad << ", " << run_length << " backslashes");
            const std::string_view v = text;
            for (std::size_t i = pad; i < v.size(); ++i)
            {
                if (run({v.substr(0, i), v.substr(i)}) != expected)
                    BOOST_ERROR("wrong at pad " << pad << ", " << run_length << " backslashes, cut at " << i);
            }
        }
    }
    // A backslash run that crosses block borders.
    for (std::size_t n = 60; n < 200; ++n)
    {
        const std::string element = "\"" + std::string(2 * n, '\\') + "\\\"" + std::string(n, 'y') + "\"";
        split expected;
        expected.elements = {element};
        expected.shape = body_shape::array;
        if (whole("[" + element + "]") != expected)
            BOOST_ERROR("wrong at " << n);
    }
}

BOOST_AUTO_TEST_CASE(tells_the_shapes_apart)
{
    const auto shape = [](std::string_view text) { return whole(text).shape; };
    BOOST_TEST((shape("") == body_shape::nothing));
    BOOST_TEST((shape(" \r\n\t") == body_shape::nothing));
    BOOST_TEST((shape("[]") == body_shape::array));
    BOOST_TEST((shape("\xEF\xBB\xBF[]") == body_shape::array));
    BOOST_TEST((shape(" [ ] \n") == body_shape::array));
    BOOST_TEST((shape("[") == body_shape::array_open));
    BOOST_TEST((shape("[{}") == body_shape::array_open));
    BOOST_TEST((shape("[{},") == body_shape::array_open));
    BOOST_TEST((shape("[{\"a") == body_shape::array_open));
    BOOST_TEST((shape("[{},]") == body_shape::array_broken));
    BOOST_TEST((shape("[,{}]") == body_shape::array_broken));
    BOOST_TEST((shape("[{},,{}]") == body_shape::array_broken));
    BOOST_TEST((shape("[{}{}]") == body_shape::array_broken));
    BOOST_TEST((shape("[{}]x") == body_shape::array_broken));
    BOOST_TEST((shape("[{}][{}]") == body_shape::array_broken));
    BOOST_TEST((shape("{\"a\":[1]}") == body_shape::object));
    BOOST_TEST((shape("{\"a\":[1]} \n") == body_shape::object));
    BOOST_TEST((shape("{\"a\":[1]") == body_shape::object_open));
    BOOST_TEST((shape("{} {}") == body_shape::object_broken));
    BOOST_TEST((shape(" <!DOCTYPE html>") == body_shape::html));
    BOOST_TEST((shape("\"text\"") == body_shape::other));
    BOOST_TEST((shape("42") == body_shape::other));
    BOOST_TEST((shape("null") == body_shape::other));
    BOOST_TEST((shape("Too Many Requests") == body_shape::other));
}

BOOST_AUTO_TEST_CASE(the_good_elements_around_broken_commas_come_out)
{
    BOOST_TEST((whole("[{\"a\":1}{\"b\":2},,{\"c\":3},]").elements ==
                std::vector<std::string>{"{\"a\":1}", "{\"b\":2}", "{\"c\":3}"}));
    // Before a cut.
    BOOST_TEST((whole("[{\"a\":1},{\"b\":2},{\"c\"").elements ==
                std::vector<std::string>{"{\"a\":1}", "{\"b\":2}"}));
}

BOOST_AUTO_TEST_CASE(an_oversized_element_is_passed_over)
{
    element_splitter::limits l;
    l.max_element = 100;
    l.kept_start = 10;
    const std::string big = "{\"x\":\"" + std::string(200, '[') + "\"}";
    const std::string exact = "{\"x\":\"" + std::string(92, 'y') + "\"}";
    BOOST_REQUIRE(exact.size() == 100u);
    const std::string text = "[" + exact + "," + big + ",{\"good\":1}]";
    split expected;
    expected.elements = {exact, big.substr(0, 10), "{\"good\":1}"};
    expected.oversized = {big.size()};
    expected.shape = body_shape::array;
    const std::string_view v = text;
    for (std::size_t i = 0; i <= v.size(); ++i)
    {
        element_splitter s(l);
        if (run(s, {v.substr(0, i), v.substr(i)}) != expected)
            BOOST_ERROR("another result when cut at byte " << i);
    }
    std::vector<std::string_view> bytes;
    for (std::size_t i = 0; i < v.size(); ++i)
        bytes.push_back(v.substr(i, 1));
    element_splitter s(l);
    BOOST_TEST((run(s, bytes) == expected));
}

BOOST_AUTO_TEST_CASE(depth_is_only_counted)
{
    // However deep: the reader refuses it, the splitter finds its end.
    const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
    split expected;
    expected.elements = {deep, "1"};
    expected.shape = body_shape::array;
    BOOST_TEST((whole("[" + deep + ",1]") == expected));
}

BOOST_AUTO_TEST_SUITE_END()
