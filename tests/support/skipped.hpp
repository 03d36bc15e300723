#pragma once

/// How a test of Boost's says that it cannot be run here: tests/support/summary.py counts the line, and
/// tests/run.sh --strict fails where tests/skips.txt does not name its reason.

#include <iostream>
#include <string>

namespace dtbridge::test
{

inline void say_skipped(const std::string& why)
{
    std::cerr << "skipped: " << why << std::endl;
}

}  // namespace dtbridge::test
