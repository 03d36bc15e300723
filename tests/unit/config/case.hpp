#pragma once

/// A row of the tables of wrong files: the keys to add, and the one problem that they must give.

#include <ostream>
#include <string>
#include <string_view>

#include <boost/test/unit_test.hpp>

#include "unit/config/folder.hpp"

namespace config_test
{

/// Where the keys go. In top and at_end line 1 is the first line of the text.
enum class place {
    whole,           ///< the text is the file
    at_master,       ///< after the master's five lines: line 6 is the first
    at_destination,  ///< after the master's and the destination's eight lines: line 9 is the first
    at_end,          ///< a section after these eight lines: line 9 is the first
};

struct wrong
{
    place where;
    std::string_view text;
    unsigned line;
    std::string_view key;
    std::string_view found;     ///< part of the message: what is wrong
    std::string_view expected;  ///< part of the message: what would be right
};

inline std::ostream& operator<<(std::ostream& out, const wrong& w)
{
    return out << w.key << ": " << w.text;
}

inline std::string file_of(const wrong& w)
{
    std::string file;
    if (w.where != place::whole)
        file = master;
    if (w.where == place::at_destination || w.where == place::at_end)
        file += destination;
    file += w.text;
    if (w.where == place::at_master)
        file += "\n[[destination]]\nname = \"siem\"\naddress = \"siem.example\"\n";
    return file;
}

inline void check_one_problem(const folder& f, const wrong& w, bool warning)
{
    const auto l = f.load(file_of(w));
    const std::string all = lines_of(l);
    BOOST_TEST_CONTEXT(w << "\n" << all)
    {
        BOOST_TEST(l.ok == warning);
        BOOST_REQUIRE(l.problems.size() == 1u);
        const auto& p = l.problems[0];
        BOOST_TEST(p.warning == warning);
        BOOST_TEST(p.file == f / "dtbridge.toml");
        BOOST_TEST(p.line == w.line);
        BOOST_TEST(p.key == w.key);
        BOOST_TEST(p.message.find(w.found) != std::string::npos);
        BOOST_TEST(p.message.find(w.expected) != std::string::npos);
        const std::string line = std::string(warning ? "warning: " : "error: ") + p.file + ":" +
                                 std::to_string(w.line) + ": " +
                                 (w.key.empty() ? "" : std::string(w.key) + ": ");
        BOOST_TEST(dtbridge::config::to_line(p).substr(0, line.size()) == line);
        BOOST_TEST(all.find(private_token) == std::string::npos);
        BOOST_TEST(all.find(proxy_password) == std::string::npos);
    }
}

}  // namespace config_test
