#pragma once

/// JSON as text: finds values and changes single members without touching any other byte. Elements of answers
/// are kept exactly as given (lone surrogates, 1.0 against 1, repeated keys), which a parsed value could not
/// do.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace simulator::json_text
{

/// First position after the value that starts at pos (white space before it is skipped); npos when the text
/// ends in it.
std::size_t value_end(std::string_view text, std::size_t pos);
std::size_t skip_blanks(std::string_view text, std::size_t pos);

struct member
{
    std::string_view key;    ///< between the quotes, escapes as written
    std::string_view value;  ///< without blanks around it
};
/// Members of an object or elements of an array in order; nothing when it is neither or is broken.
std::optional<std::vector<member>> members(std::string_view object);
std::optional<std::vector<std::string_view>> elements(std::string_view array);
/// Any sequence of values: an array's elements, one object, one value per line, or several of these after
/// each other.
std::vector<std::string_view> values(std::string_view text);

/// The first member of that name; empty view where there is none.
std::string_view find(std::string_view object, std::string_view key);

/// 12, "12", 12.0, 1.2e1: an integral number within int64.
std::optional<std::int64_t> integer(std::string_view value);
std::optional<double> number(std::string_view value);
/// A string's text, escapes resolved where Boost.JSON can, else as written; "" for anything else.
std::string string(std::string_view value);
std::string quoted(std::string_view text);

/// Adds delta to every "time", "creationTime", "timems", "firstSeen" and "lastSeen" that is a plausible epoch
/// in ms (2001 to 2100), and to "time" texts of the form "2024-01-01 12:00:00", at any depth.
std::string shift_times(std::string_view text, std::int64_t delta);

/// An object taken apart into its members, to be put together again.
class object
{
public:
    explicit object(std::string_view text);
    bool valid() const { return valid_; }
    std::string_view get(std::string_view key) const;  ///< the first of that name
    bool has(std::string_view key) const { return index(key) != npos; }
    void set(std::string_view key, std::string value);        ///< replaces the first, or adds at the end
    void set_first(std::string_view key, std::string value);  ///< adds at the front
    void remove(std::string_view key);
    std::string text() const;
    const std::vector<std::pair<std::string, std::string>>& all() const { return members_; }

private:
    static constexpr std::size_t npos = static_cast<std::size_t>(-1);
    std::size_t index(std::string_view key) const;
    std::vector<std::pair<std::string, std::string>> members_;
    bool valid_ = false;
};

}  // namespace simulator::json_text
