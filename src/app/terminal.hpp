#pragma once

#include <cstddef>

namespace dtbridge::app
{

/// Columns of standard output: of the terminal, else of $COLUMNS, else 100.
std::size_t terminal_columns();

/// Whether the locale of the environment takes UTF-8.
bool terminal_takes_utf8();

}  // namespace dtbridge::app
