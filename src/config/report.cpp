#include "config/report.hpp"

#include <algorithm>

#include <dtbridge/core/text.hpp>

namespace dtbridge::config
{

namespace
{

/// Paths and values of the file are part of messages: one line each, whatever they hold.
constexpr std::size_t max_message = 4000;

/// Edits (insert, delete, replace, swap of neighbours) between two short words.
std::size_t distance(std::string_view a, std::string_view b)
{
    std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
    for (std::size_t i = 0; i <= a.size(); ++i)
        d[i][0] = i;
    for (std::size_t j = 0; j <= b.size(); ++j)
        d[0][j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i)
        for (std::size_t j = 1; j <= b.size(); ++j)
        {
            std::size_t replace = d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
            d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, replace});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
        }
    return d[a.size()][b.size()];
}

}  // namespace

void report::error(unsigned line, const std::string& key, const std::string& message)
{
    problems_.push_back(
        {main_file_, line, text::printable(key), text::printable(message, max_message), false});
}

void report::warning(unsigned line, const std::string& key, const std::string& message)
{
    problems_.push_back(
        {main_file_, line, text::printable(key), text::printable(message, max_message), true});
}

void report::append(std::vector<problem> others)
{
    for (problem& p : others)
        problems_.push_back(std::move(p));
}

bool report::ok() const
{
    return std::all_of(problems_.begin(), problems_.end(), [](const problem& p) { return p.warning; });
}

std::vector<problem> report::sorted() const
{
    std::vector<std::string_view> files{main_file_};
    for (const problem& p : problems_)
        if (std::find(files.begin(), files.end(), p.file) == files.end())
            files.push_back(p.file);
    auto rank = [&files](const problem& p) {
        return std::find(files.begin(), files.end(), p.file) - files.begin();
    };
    auto answer = problems_;
    std::stable_sort(answer.begin(), answer.end(), [&](const problem& a, const problem& b) {
        auto left = rank(a), right = rank(b);
        return left != right ? left < right : a.line < b.line;
    });
    return answer;
}

std::string nearest(std::string_view written, const std::vector<std::string_view>& known)
{
    constexpr std::size_t longest = 64;  // bounds the table of distances
    if (written.empty() || written.size() > longest)
        return {};
    std::string small = text::lower(written);
    std::string_view best;
    std::size_t best_distance = std::max<std::size_t>(1, small.size() / 3) + 1;
    for (std::string_view word : known)
    {
        if (word.size() > longest || word.empty())
            continue;
        std::size_t d = distance(small, text::lower(word));
        if (d < best_distance)
        {
            best_distance = d;
            best = word;
        }
    }
    // "ca" for "ca_file", "private_token" for "private_token_file".
    if (best.empty() && small.size() >= 2)
        for (std::string_view word : known)
            if (word.substr(0, small.size()) == small)
                return std::string(word);
    return std::string(best);
}

std::string did_you_mean(std::string_view written, const std::vector<std::string_view>& known)
{
    std::string word = nearest(written, known);
    return word.empty() ? std::string() : "; did you mean \"" + word + "\"?";
}

std::string in_quotes(std::string_view s)
{
    return '"' + text::printable(s, 120) + '"';
}

std::string one_of(const std::vector<std::string_view>& words)
{
    std::string answer;
    for (std::size_t i = 0; i < words.size(); ++i)
    {
        if (i > 0)
            answer += i + 1 == words.size() ? " or " : ", ";
        answer += words[i].empty() ? std::string_view("\"\"") : words[i];
    }
    return answer;
}

std::string counted(std::size_t n, std::string_view noun)
{
    return std::to_string(n) + ' ' + std::string(noun) + (n == 1 ? "" : "s");
}

}  // namespace dtbridge::config
