#include "format/leef.hpp"

#include "format/clean.hpp"

namespace dtbridge::format
{

void append_leef_header(std::string& out,
                        std::string_view version,
                        char delimiter,
                        std::string_view vendor,
                        std::string_view product,
                        std::string_view product_version,
                        std::string_view event_id)
{
    out += "LEEF:";
    out += version;
    out += '|';
    clean_options o;
    o.max_bytes = 255;  // L2
    for (std::string_view raw : {vendor, product, product_version})
    {
        append_clean(out, raw, place::leef_header, o);
        out += '|';
    }
    const std::size_t start = out.size();
    append_clean(out, event_id, place::leef_header, o);
    if (out.size() == start)
        out += "unknown";
    out += '|';
    if (version == "1.0")
        return;
    if (delimiter == '\t')
        out += "x09";  // L1: never a raw TAB in the header
    else
        out += delimiter;
    out += '|';
}

}  // namespace dtbridge::format
