#pragma once

/// The headers of RFC 5424 (S1 to S4) and RFC 3164 (R1, R2).

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dtbridge::format
{

struct rfc5424_fields
{
    int facility = 20, severity = 5;
    std::optional<std::int64_t> time;  ///< ms; nil where missing or outside the calendar
    std::string_view hostname, app_name, procid, msgid;
};

/// Up to and including MSGID; a space, the structured data and a space follow.
void append_rfc5424(std::string& out, const rfc5424_fields& f);

struct rfc3164_fields
{
    int facility = 20, severity = 5;
    std::int64_t time = 0;  ///< ms; clamped to the calendar
    int offset_minutes = 0;
    std::string_view hostname;
    std::string_view tag;  ///< "" for CEF and LEEF (R3)
    std::string_view pid;  ///< "" for none
};

/// Up to and including the space before the content.
void append_rfc3164(std::string& out, const rfc3164_fields& f);

struct sd_element
{
    std::string_view id;
    std::vector<std::pair<std::string_view, std::string_view>> params;
};

/// STRUCTURED-DATA: "-" for none; an id appears once, the first wins (S4).
void append_structured_data(std::string& out, const std::vector<sd_element>& elements);
/// The pieces, for a caller that has one element.
void open_sd_element(std::string& out, std::string_view id);
void append_sd_param(std::string& out, std::string_view name, std::string_view value);

}  // namespace dtbridge::format
