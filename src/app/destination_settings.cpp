#include "app/destination_settings.hpp"

#include "app/host.hpp"
#include "app/version.hpp"

namespace dtbridge::app
{

deliver::settings to_settings(const config::destination& d)
{
    deliver::settings s;
    s.options = d.options;
    s.policy = d.policy;
    s.fields_text = d.fields_text;
    s.version = program_version;
    format::field_map fields;
    if (d.options.format.format != format::kind::json)
    {
        // The text was checked when the configuration was loaded; the map is made from exactly that text.
        auto map = format::load_field_map_text(
            d.options.format.format, d.fields_text, d.options.fields_file, d.options.format.cef_version);
        fields = std::move(map.value);
    }
    s.formatter = std::make_shared<format::formatter>(d.options.format, std::move(fields), host_name());
    return s;
}

}  // namespace dtbridge::app
