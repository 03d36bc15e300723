#pragma once

/// What the stages are measured on.

#include <cstddef>
#include <string>
#include <vector>

namespace bench
{

struct breach_set
{
    std::string name;  ///< "2KB", "5KB", "14KB", "captured"
    std::vector<std::string> elements;
    std::string answer;     ///< all of them as the API answers
    std::size_t bytes = 0;  ///< of the elements
};

/// About half a mebibyte of the simulated master's breaches of about so many bytes. Always the same.
breach_set generated(std::size_t bytes_each);

/// The captured answers of the folder that the tests look for, too: DTBRIDGE_SHARED, else "shared" beside the
/// checkout. Empty where there are none.
breach_set captured();

}  // namespace bench
