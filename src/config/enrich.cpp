#include <dtbridge/core/text.hpp>

#include "config/checks.hpp"

namespace dtbridge::config
{

namespace
{

/// The inventory as it is now. A file that cannot be used is a problem of this table and its own lines.
std::shared_ptr<const rules::inventory> load(section& s,
                                             context& c,
                                             const std::string& path,
                                             rules::inventory_key key)
{
    const auto known = c.inventories.find({path, key});
    if (known != c.inventories.end())
        return known->second;
    constexpr std::size_t max_inventory_bytes = 64u << 20;
    std::shared_ptr<const rules::inventory> value;
    auto file = read_file(path, max_inventory_bytes);
    if (!file)
    {
        s.error("file", path + ' ' + file.error().detail + "; expected a CSV file with a header");
    }
    else
    {
        auto loaded = rules::load_inventory_text(file->bytes, path, key);
        c.problems.append(std::move(loaded.problems));
        value = std::move(loaded.value);
    }
    c.inventories[{path, key}] = value;
    return value;
}

}  // namespace

std::optional<enrich_options> check_enrich(section s, context& c)
{
    enrich_options out;
    std::string file;
    const bool has_file = s.read("file", file);
    const bool has_key = s.read_choice("key",
                                       out.key,
                                       {{"ip", rules::inventory_key::ip},
                                        {"mac", rules::inventory_key::mac},
                                        {"hostname", rules::inventory_key::hostname}});
    if (!s.is_set("file"))
        s.error("file", "is missing; expected an inventory such as \"assets.csv\", or \"\" for none");
    else if (has_file && !file.empty() && !s.is_set("key"))
        s.error("key",
                "is missing; expected \"ip\", \"mac\" or \"hostname\", the column that names the device");
    s.finish();
    if (!has_file)
        return std::nullopt;
    if (file.empty())
        return out;
    if (!has_key)
        return std::nullopt;
    out.path = resolve(c.places, file);
    out.inventory = load(s, c, out.path, out.key);
    return out;
}

void check_enrichment(section& root,
                      context& c,
                      const std::vector<master_place>& masters,
                      std::vector<enrich_options>& out)
{
    std::optional<enrich_options> all;
    if (auto s = root.subsection("enrich"))
        all = check_enrich(std::move(*s), c);
    for (const auto& m : masters)
    {
        auto mine = m.enrich ? m.enrich : all;
        if (!mine || mine->path.empty())
            continue;
        mine->master = m.name;
        out.push_back(std::move(*mine));
    }
}

}  // namespace dtbridge::config
