#pragma once

/// Collects what is wrong in all files, so that one run of `check` shows everything.

#include <string>
#include <string_view>
#include <vector>

#include <dtbridge/rules/policy.hpp>

namespace dtbridge::config
{

using problem = rules::problem;

class report
{
public:
    /// main_file comes first in the order of files; the others follow as they are first named.
    explicit report(std::string main_file) : main_file_(std::move(main_file)) {}

    void error(unsigned line, const std::string& key, const std::string& message);
    void warning(unsigned line, const std::string& key, const std::string& message);
    /// Problems of another file.
    void append(std::vector<problem> others);

    bool ok() const;
    /// In order of file and line; within a line as they were found.
    std::vector<problem> sorted() const;

private:
    std::string main_file_;
    std::vector<problem> problems_;
};

/// The known word that is closest to what was written, or "" where none is near enough to be meant.
std::string nearest(std::string_view written, const std::vector<std::string_view>& known);
/// `; did you mean "x"?` or "".
std::string did_you_mean(std::string_view written, const std::vector<std::string_view>& known);
/// "text" in quotes on one printable line, cut to a readable length.
std::string in_quotes(std::string_view text);
/// a, b or c.
std::string one_of(const std::vector<std::string_view>& words);
/// "3 errors" from (3, "error").
std::string counted(std::size_t n, std::string_view noun);

}  // namespace dtbridge::config
