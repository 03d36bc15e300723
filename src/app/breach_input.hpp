#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include <dtbridge/core/breach.hpp>

namespace dtbridge::app
{

/// Reads breaches from file ("" or "-": standard input): a JSON array, one object, or one object per line,
/// told apart by the first character. each gets an element's exact bytes and its index from 0; broken gets
/// those that are none, with the reason. Reads in pieces: memory stays flat whatever the size. Throws
/// action_error when the file cannot be read.
void read_breaches(const std::string& file,
                   const std::function<void(std::size_t index, std::string_view element)>& each,
                   const std::function<void(std::size_t index, const std::string& reason)>& broken);

/// What `filter` and `format` do with their input: each gets every breach of file and answers what is wrong
/// with it, or "". That, and what is no breach at all, is said on standard error as "element N: ...";
/// standard output is flushed at the end. Answers exit_done, or exit_not_right where anything was said.
/// Throws action_error when the file cannot be read or standard output cannot be written.
int print_each_breach(const std::string& file,
                      const std::function<std::string(const breach& b, const breach_key& key)>& each);

}  // namespace dtbridge::app
