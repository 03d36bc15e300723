#pragma once

/// One table of the file while it is read: every key that is asked for becomes known, what is left over at
/// finish() is reported. Readers answer true when the key is set and right; a wrong value is reported and
/// leaves out as it was.

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/document.hpp"
#include "config/report.hpp"

namespace dtbridge::config
{

class section
{
public:
    /// path names the table in problems ("master", "destination.tls"). r and table must outlive this.
    section(report& r, const node& table, std::string path, unsigned line);

    const entry* find(std::string_view key);
    bool is_set(std::string_view key) { return find(key) != nullptr; }
    /// Written in the file, not a default of a profile.
    bool is_explicit(std::string_view key);
    unsigned line() const { return line_; }
    /// Line of the key, or of the table where the key is not set.
    unsigned line_of(std::string_view key) const;
    std::string name_of(std::string_view key) const
    {
        return path_.empty() ? std::string(key) : path_ + '.' + std::string(key);
    }
    const std::string& path() const { return path_; }
    const node& table() const { return table_; }
    report& problems() { return report_; }

    void error(std::string_view key, std::string message);
    void warning(std::string_view key, std::string message);
    /// The value is not what it should be: "found <it>; expected <what>".
    void wrong(const entry& e, std::string_view expected);

    bool read(std::string_view key, bool& out);
    bool read(std::string_view key, std::string& out);
    /// or_else: what else is right, for the words of a problem (`, or "all"`).
    bool read_duration(std::string_view key,
                       std::chrono::milliseconds& out,
                       std::chrono::milliseconds low,
                       std::chrono::milliseconds high,
                       std::string_view or_else = "");
    bool read_size(std::string_view key, std::uint64_t& out, std::uint64_t low, std::uint64_t high);
    bool read_integer(std::string_view key, std::int64_t& out, std::int64_t low, std::int64_t high);

    struct text_at
    {
        std::string text;
        unsigned line = 0;
    };
    bool read_strings(std::string_view key, std::vector<text_at>& out);

    template <class Enum>
    bool read_choice(std::string_view key,
                     Enum& out,
                     std::initializer_list<std::pair<std::string_view, Enum>> words)
    {
        std::vector<std::string_view> names;
        for (const auto& word : words)
            names.push_back(word.first);
        auto index = choice_index(key, names);
        if (!index)
            return false;
        out = (words.begin() + *index)->second;
        return true;
    }
    /// Index of the string value among words; reported with the nearest word where it is none of them.
    std::optional<std::size_t> choice_index(std::string_view key, const std::vector<std::string_view>& words);

    /// A sub-table, where the key is set and is one.
    std::optional<section> subsection(std::string_view key);
    /// The tables of [[key]].
    std::vector<section> list(std::string_view key);

    /// Reports keys that nobody asked for.
    void finish();

private:
    std::string expected_duration(std::chrono::milliseconds low, std::chrono::milliseconds high) const;

    report& report_;
    const node& table_;
    std::string path_;
    unsigned line_;
    std::vector<std::string_view> known_;  // literals, or keys of table_
};

}  // namespace dtbridge::config
