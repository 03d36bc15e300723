#include "format/cef.hpp"

#include <dtbridge/core/decimal.hpp>

#include <algorithm>

#include "format/clean.hpp"

namespace dtbridge::format
{

void append_cef_header(std::string& out,
                       int version,
                       std::string_view vendor,
                       std::string_view product,
                       std::string_view device_version,
                       std::string_view class_id,
                       std::string_view name,
                       const item& severity)
{
    out += version == 0 ? "CEF:0|" : "CEF:1|";
    auto field = [&](std::string_view raw, std::size_t max_bytes) {
        clean_options o;
        o.max_bytes = max_bytes;  // C4
        const std::size_t start = out.size();
        append_clean(out, raw, place::cef_header, o);
        return out.size() > start;
    };
    field(vendor, 63);
    out += '|';
    field(product, 63);
    out += '|';
    field(device_version, 31);
    out += '|';
    if (!field(class_id, 1023))
        class_id = "unknown", field(class_id, 1023);
    out += '|';
    if (!field(name, 512))
        field(class_id, 512);
    out += '|';
    int rounded = 5;
    if (severity.is == item::form::integer)
        rounded = static_cast<int>(std::clamp<std::int64_t>(severity.integer, 0, 10));
    else
    {
        std::string scratch;
        if (auto d = decimal::parse(text_of(severity, scratch)))
            rounded = d->scaled_half_up(0, 0, 10);  // C5
    }
    out += std::to_string(rounded);
    out += '|';
}

}  // namespace dtbridge::format
