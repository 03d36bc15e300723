#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "app/breach_input.hpp"
#include "app/command.hpp"
#include "support/temp_dir.hpp"

namespace
{

using namespace dtbridge;

struct read_result
{
    std::vector<std::pair<std::size_t, std::string>> good, bad;
};

read_result read(const std::string& text)
{
    const test::temp_dir folder;
    const auto file = folder / "in";
    std::ofstream(file, std::ios::binary) << text;
    read_result out;
    app::read_breaches(
        file,
        [&](std::size_t index, std::string_view element) { out.good.emplace_back(index, element); },
        [&](std::size_t index, const std::string& reason) { out.bad.emplace_back(index, reason); });
    return out;
}

using pairs = std::vector<std::pair<std::size_t, std::string>>;

}  // namespace

BOOST_AUTO_TEST_CASE(array_object_and_lines_are_told_apart)
{
    const pairs two = {{0, R"({"pbid":1})"}, {1, R"({"pbid":2})"}};
    BOOST_TEST((read(R"([{"pbid":1}, {"pbid":2}])").good == two));
    BOOST_TEST((read("{\"pbid\":1}\n{\"pbid\":2}\n").good == two));
    BOOST_TEST((read("{\"pbid\":1}\r\n\r\n{\"pbid\":2}").good == two));
    BOOST_TEST((read("\xEF\xBB\xBF \n[{\"pbid\":1},{\"pbid\":2}]\n").good == two));
    const pairs spread = {{0, "{\n  \"pbid\": 1,\n  \"model\": {\n  }\n}"}};
    BOOST_TEST((read("{\n  \"pbid\": 1,\n  \"model\": {\n  }\n}\n").good == spread));
}

BOOST_AUTO_TEST_CASE(nothing_is_no_breach_and_no_error)
{
    for (const auto* text : {"", "  \n", "[]", " [ ] "})
    {
        const auto r = read(text);
        BOOST_TEST(r.good.empty());
        BOOST_TEST(r.bad.empty());
    }
}

BOOST_AUTO_TEST_CASE(a_bad_element_costs_itself)
{
    const auto r = read("{\"pbid\":1}\n42\n{\"pbid\":2\n{\"pbid\":3}\n{\"pbid\":4} x\n{\"pbid\":5}\n");
    const pairs good = {
        {0, R"({"pbid":1})"}, {3, R"({"pbid":3})"}, {4, R"({"pbid":4})"}, {6, R"({"pbid":5})"}};
    BOOST_TEST((r.good == good));
    BOOST_REQUIRE(r.bad.size() == 3u);
    BOOST_TEST(r.bad[0].first == 1u);
    BOOST_TEST(r.bad[0].second.find("42") != std::string::npos);
    BOOST_TEST(r.bad[1].first == 2u);
    BOOST_TEST(r.bad[1].second == "the object ends in the middle");
    BOOST_TEST(r.bad[2].second == "something follows the object on its line");
}

BOOST_AUTO_TEST_CASE(a_cut_array_is_said)
{
    const auto r = read(R"([{"pbid":1},{"pb)");
    BOOST_TEST(r.good.size() == 1u);
    BOOST_REQUIRE(r.bad.size() == 1u);
    BOOST_TEST(r.bad[0].second == "the array ends in the middle");
}

BOOST_AUTO_TEST_CASE(a_missing_file_is_named)
{
    const auto named = [](const app::action_error& e) {
        return std::string(e.what()) == "/nonexistent/in cannot be read: No such file or directory";
    };
    const auto nothing = [](std::size_t, std::string_view) {};
    const auto neither = [](std::size_t, const std::string&) {};
    BOOST_CHECK_EXCEPTION(app::read_breaches("/nonexistent/in", nothing, neither), app::action_error, named);
}

BOOST_AUTO_TEST_CASE(what_is_wrong_with_an_element_is_said_and_makes_the_status)
{
    const test::temp_dir folder;
    const auto file = folder / "in";
    std::vector<std::int64_t> seen;
    const auto run = [&](const char* text) {
        std::ofstream(file, std::ios::binary) << text;
        seen.clear();
        std::ostringstream said;
        auto* const before = std::cerr.rdbuf(said.rdbuf());
        const int status = app::print_each_breach(file, [&](const breach&, const breach_key& key) {
            seen.push_back(key.pbid);
            return std::string(key.pbid == 2 ? "is two" : "");
        });
        std::cerr.rdbuf(before);
        return std::pair(status, said.str());
    };
    auto [status, said] = run("{\"pbid\":1}\n{\"pbid\":3}\n");
    BOOST_TEST(status == app::exit_done);
    BOOST_TEST(said == "");
    std::tie(status, said) = run("{\"pbid\":1}\n{\"pbid\":2}\n42\n{\"x\":1}\n{\"pbid\":3}\n");
    BOOST_TEST(status == app::exit_not_right);
    BOOST_TEST((seen == std::vector<std::int64_t>{1, 2, 3}));
    BOOST_TEST(said.find("element 1: is two\nelement 2: not a JSON object") == 0u);
    BOOST_TEST(said.find("\nelement 3: ") != said.npos);
    BOOST_TEST(said.find("element 4") == said.npos);
}
