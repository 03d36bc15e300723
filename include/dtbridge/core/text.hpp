#pragma once

/// Text rules T1 to T6 of formats.md 1 and small helpers on strings, without locale anywhere.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dtbridge::text
{

/// T1: every maximal ill-formed UTF-8 sequence becomes U+FFFD.
std::string to_valid_utf8(std::string_view bytes);
void append_valid_utf8(std::string& out, std::string_view bytes);
bool is_valid_utf8(std::string_view bytes);
/// The line, counted from 1, of the first byte that is not UTF-8; the last line where all are.
unsigned first_ill_formed_line(std::string_view text);

/// Decodes one code point at the start of s. Ill-formed input answers U+FFFD and the length of the maximal
/// subpart. s must not be empty.
struct code_point
{
    char32_t value;
    std::size_t size;
    bool well_formed;
};
code_point decode(std::string_view s);
void append_utf8(std::string& out, char32_t c);

/// T6: the longest prefix of at most max_bytes bytes that ends at a code point boundary. s must be
/// well-formed.
std::string_view cut(std::string_view s, std::size_t max_bytes);
/// Without SPACE at both ends (T4).
std::string_view trim(std::string_view s);
/// Without SPACE, TAB, CR and LF at both ends: for files and configuration.
std::string_view trim_blank(std::string_view s);

/// ASCII only; other bytes are left alone.
std::string lower(std::string_view s);
bool iequals(std::string_view a, std::string_view b);
/// Case-insensitive (ASCII) glob: '*' matches any run of bytes, '?' one code point; nothing else is special.
/// Linear in practice and bounded by O(pattern x text), so that no pattern can hang a decision.
bool glob_match(std::string_view pattern, std::string_view s);

/// 0 to 15 of a digit of either case, -1 of anything else.
int hex_digit(char c);
/// RFC 3986 2.1: %XX becomes that byte, everything else stays. Nothing where two digits are missing.
std::optional<std::string> percent_decoded(std::string_view s);
/// Lower-case hex.
std::string hex(std::string_view bytes);

/// s in quotes, as a JSON string (RFC 8259 7) that is a TOML basic string as well: quote, backslash, controls
/// and DEL escaped, what is no UTF-8 made U+FFFD.
std::string quoted(std::string_view s);
void append_quoted(std::string& out, std::string_view s);

/// For logs and errors: one printable line, controls and ill-formed bytes made visible as \xNN, at most max
/// bytes.
std::string printable(std::string_view s, std::size_t max = 200);

}  // namespace dtbridge::text
