#include <string>
#include <utility>

#include <boost/test/unit_test.hpp>

#include "app/compact_json.hpp"

BOOST_AUTO_TEST_SUITE(compact_json)

/// Only white space outside strings goes; every other byte stays (product.md 7, export).
BOOST_AUTO_TEST_CASE(white_space_outside_strings)
{
    const std::pair<std::string, std::string> cases[] = {
        {"", ""},
        {"{}", "{}"},
        {" { \"a b\" :\t1.50e+3 ,\r\n\"c\" : [ 1 , 2 ] } \n", "{\"a b\":1.50e+3,\"c\":[1,2]}"},
        {"{\"q\": \"say \\\" x \\\\\" , \"n\" : null}", "{\"q\":\"say \\\" x \\\\\",\"n\":null}"},
        {"{\"u\": \"\\u0020 \xff\xfe \xc3\xa4\"}", "{\"u\":\"\\u0020 \xff\xfe \xc3\xa4\"}"},
        {"{\"e\": \"\\\\\", \"f\": \" \"}", "{\"e\":\"\\\\\",\"f\":\" \"}"},
        {"{\"cut\": \"a b", "{\"cut\":\"a b"},
        {"{\"cut\": \"a\\", "{\"cut\":\"a\\"},
    };
    for (const auto& [json, expected] : cases)
    {
        std::string out = "before ";
        dtbridge::app::append_compact(out, json);
        BOOST_TEST(out == "before " + expected);
    }
}

BOOST_AUTO_TEST_SUITE_END()
