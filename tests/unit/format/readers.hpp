#pragma once

/// Small readers of CEF, LEEF and syslog, written from the formats' own rules (formats.md 2, 3, 5) and not
/// from the encoder, so that a test reads back what a receiver would. They throw std::runtime_error on what a
/// strict reader refuses.

#include <dtbridge/format/formatter.hpp>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dtbridge::format_test
{

struct read_event
{
    std::vector<std::string> header;
    std::vector<std::pair<std::string, std::string>> pairs;

    bool has(std::string_view key) const;
    /// Throws where the key is missing.
    const std::string& at(std::string_view key) const;
};

/// text starts with "CEF:".
read_event read_cef(std::string_view text);
/// text starts with "LEEF:".
read_event read_leef(std::string_view text);

/// What one line must be: well-formed UTF-8 without a control character or Unicode line separator. tab:
/// LEEF 1.0.
void require_one_line(std::string_view message, bool tab = false);

/// T1 to T4 of formats.md, by code points: line breaks become line_break, other controls a space, ends are
/// trimmed.
std::string cleaned(std::string_view utf8, std::string_view line_break);
/// T6.
std::string cut_to(std::string_view utf8, std::size_t bytes);

/// One element per line, as the files of tests/data are written.
std::vector<std::string> elements_of(const std::string& file_name);
std::string file_text(const std::string& path);

std::unique_ptr<breach> read_breach(std::string_view element);
/// Master "acme" at https://dt.acme.example with the label tenant = acme.
format::master_info acme();
/// One message, which has to be whole or shortened.
std::string message_of(format::formatter& f, const breach& b, const rules::decision& said = {});
format::formatter formatter_of(const format::options& o);

}  // namespace dtbridge::format_test
