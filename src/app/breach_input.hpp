#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace dtbridge::app
{

/// Reads breaches from file ("" or "-": standard input): a JSON array, one object, or one object per line,
/// told apart by the first character. each gets an element's exact bytes and its index from 0; broken gets
/// those that are none, with the reason. Reads in pieces: memory stays flat whatever the size. Throws
/// action_error when the file cannot be read.
void read_breaches(const std::string& file,
                   const std::function<void(std::size_t index, std::string_view element)>& each,
                   const std::function<void(std::size_t index, const std::string& reason)>& broken);

}  // namespace dtbridge::app
