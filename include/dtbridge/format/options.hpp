#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dtbridge::format
{

enum class kind { json, cef, leef };
/// As the configuration spells it.
constexpr std::string_view name_of(kind k)
{
    return k == kind::json ? "json" : k == kind::cef ? "cef" : "leef";
}

enum class header_kind { rfc5424, rfc3164, none };
enum class json_shape { native, api };

/// score, category, priority, or a table from category (or priority digits) to 0..10 (product.md 6).
struct severity_map
{
    enum class mode { score, category, priority, table } by = mode::score;
    std::vector<std::pair<std::string, int>> table;
};

/// A destination's keys of product.md 2 that shape its messages. Checked by config; the formatter trusts
/// them.
struct options
{
    kind format = kind::json;
    header_kind header = header_kind::rfc5424;
    int facility = 20;  ///< local4
    int severity = 5;   ///< notice
    std::string app_name = "darktrace";
    bool hostname_is_bridge = false;
    int time_offset_minutes = 0;  ///< of the RFC 3164 header
    bool structured_data = false;
    std::string fields_file;  ///< "" the built-in map
    json_shape shape = json_shape::native;
    bool bom = false;
    std::string cookie;  ///< "" or "@cee:"
    int cef_version = 0;
    std::string cef_vendor = "Darktrace", cef_product = "DCIP", cef_device_version = "1";
    severity_map cef_severity;
    bool space_after_header = false;
    std::string leef_version = "2.0";  ///< "1.0" or "2.0"
    char leef_delimiter = '^';         ///< '\t' with 1.0
    enum class event_id { model, uuid, pid } leef_event_id = event_id::model;
    severity_map leef_severity;
    bool mask_equals = false;
    bool annotate = false;
    bool mark_held_back = false;  ///< held_back = "mark"
    std::size_t max_message = 0;  ///< bytes of the whole message without framing; 0 is without limit
};

}  // namespace dtbridge::format
