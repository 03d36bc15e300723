#include <dtbridge/rules/inventory.hpp>

#include <algorithm>
#include <optional>

#include <dtbridge/core/csv.hpp>
#include <dtbridge/core/file.hpp>
#include <dtbridge/core/ip.hpp>
#include <dtbridge/core/text.hpp>

#include <rules/keys.hpp>
#include <rules/mapping.hpp>

namespace dtbridge::rules
{

namespace
{

constexpr std::size_t max_inventory_bytes = 64u << 20;
constexpr std::size_t max_rows = 500'000;
constexpr std::size_t max_labels = 32;
constexpr std::size_t max_value = 1024;
constexpr std::size_t max_reported = 100;
constexpr std::size_t most_devices_asked = 64;  // of a breach that are looked at

/// Two spellings of one address or name are one key; nothing where it is none.
std::optional<std::string> normal_key(std::string_view written, inventory_key key)
{
    written = text::trim_blank(written);
    switch (key)
    {
        case inventory_key::ip:
            if (const auto a = ip_address::parse(written))
                return a->text();
            return {};
        case inventory_key::mac:
            return normal_mac(written);
        case inventory_key::hostname:
            if (written.empty() || written.size() > 253)
                return {};
            return text::lower(written);
    }
    return {};
}

std::string_view expected_key(inventory_key key)
{
    switch (key)
    {
        case inventory_key::ip:
            return "an IPv4 or IPv6 address";
        case inventory_key::mac:
            return "a MAC address";
        case inventory_key::hostname:
            return "a host's name of at most 253 bytes";
    }
    return "";
}

}  // namespace

std::string_view name_of(inventory_key key)
{
    switch (key)
    {
        case inventory_key::ip:
            return "ip";
        case inventory_key::mac:
            return "mac";
        case inventory_key::hostname:
            return "hostname";
    }
    return "";
}

const labels* inventory::find_text(std::string_view written) const
{
    if (written.empty())
        return nullptr;
    const auto key = normal_key(written, key_);
    const auto at = key ? by_key_.find(*key) : by_key_.end();
    return at == by_key_.end() ? nullptr : &rows_[at->second];
}

const labels* inventory::find(const breach& b) const
{
    const auto in = [this](const json::value& d) -> const labels* {
        switch (key_)
        {
            case inventory_key::ip:
                for (const char* member : {"ip", "ip6"})
                    if (const auto* found = find_text(string_member(d, member)))
                        return found;
                return nullptr;
            case inventory_key::mac:
                return find_text(string_member(d, "macaddress"));
            case inventory_key::hostname:
                return find_text(string_member(d, "hostname"));
        }
        return nullptr;
    };
    for (std::size_t i = 0; i < std::min(b.devices.size(), most_devices_asked); ++i)
        if (const auto* found = in(b.devices[i]))
            return found;
    return nullptr;
}

/// Reads one file; says at most max_reported things of its rows.
struct inventory_reader
{
    inventory_key key = inventory_key::ip;
    reporter report{};
    std::shared_ptr<inventory> out = std::make_shared<inventory>();
    std::size_t key_column = 0;
    std::vector<std::string> names;  // of the columns; "" of the key's
    std::vector<unsigned> lines;     // of the rows
    std::size_t unsaid = 0;

    void warn(unsigned line, std::string what, std::string message)
    {
        if (report.problems.size() < max_reported)
            report.warning(line, std::move(what), std::move(message));
        else
            ++unsaid;
    }

    bool read_header(const csv::record& row)
    {
        bool has_key = false;
        if (row.fields.size() > max_labels + 1)
        {
            report.error(row.line,
                         "",
                         "found " + std::to_string(row.fields.size()) +
                             " columns; expected at most 32 beside the key");
            return false;
        }
        for (std::size_t i = 0; i < row.fields.size(); ++i)
        {
            std::string name(text::trim_blank(row.fields[i]));
            if (!has_key && text::iequals(name, name_of(key)))
            {
                has_key = true;
                key_column = i;
                names.emplace_back();
                continue;
            }
            std::replace(name.begin(), name.end(), ' ', '_');
            if (!is_label_name(name))
                report.error(row.line,
                             text::printable(row.fields[i], 60),
                             "not a label's name; expected a column of letters, digits, _ and -, at most 63");
            else if (std::find(names.begin(), names.end(), name) != names.end())
                report.error(row.line, name, "the column is there twice; expected one of that name");
            names.push_back(std::move(name));
        }
        if (!has_key)
            report.error(row.line,
                         std::string(name_of(key)),
                         "the column is missing; expected a header with a column \"" +
                             std::string(name_of(key)) + "\", as key names it");
        return !report.has_error();
    }

    void read_row(const csv::record& row)
    {
        const auto written = key_column < row.fields.size() ? text::trim_blank(row.fields[key_column]) : "";
        const auto shown = text::printable(written, 100);
        if (row.fields.size() > names.size())
            return warn(row.line,
                        shown,
                        "found " + std::to_string(row.fields.size()) + " fields; expected at most " +
                            std::to_string(names.size()) + ", as in the header; the row is left out");
        const auto normal = normal_key(written, key);
        if (!normal)
            return warn(row.line,
                        std::string(name_of(key)),
                        "found \"" + shown + "\"; expected " + std::string(expected_key(key)) +
                            "; the row is left out");
        const auto [at, fresh] = out->by_key_.try_emplace(*normal, out->rows_.size());
        if (!fresh)
            return warn(row.line,
                        shown,
                        "stands in line " + std::to_string(lines[at->second]) +
                            " already, which holds; expected one row for each");
        labels found;
        for (std::size_t i = 0; i < row.fields.size(); ++i)
        {
            auto value = text::trim_blank(row.fields[i]);
            if (i == key_column || value.empty())
                continue;
            if (value.size() > max_value)
            {
                warn(row.line, names[i], "is longer than 1,024 bytes; it is cut there");
                value = text::cut(value, max_value);
            }
            found.emplace_back(names[i], value);
        }
        out->rows_.push_back(std::move(found));
        lines.push_back(row.line);
    }

    loaded_inventory read(std::string_view text)
    {
        out->key_ = key;
        csv::record row;
        csv::reader records(text);
        if (text.size() > max_inventory_bytes)
            report.error(0, "", "is longer than 64 MiB");
        else if (!text::is_valid_utf8(text))
            report.error(0, "", "the text is not UTF-8; save the file as CSV UTF-8");
        else if (!records.next(row) || row.is_blank())
            report.error(1, "", "an empty file; expected a header with a column for each label");
        else if (read_header(row))
        {
            while (records.next(row))
            {
                if (row.unclosed)
                    report.error(row.line, "", "a field whose quotation mark is never closed");
                else if (out->rows_.size() >= max_rows)
                    report.error(row.line, "", "found more than 500,000 rows; expected at most that many");
                else if (!row.is_blank())
                    read_row(row);
                if (report.has_error())
                    break;
            }
        }
        if (unsaid > 0)
            report.warning(0, "", "and " + std::to_string(unsaid) + " more rows like these");
        loaded_inventory answer;
        if (!report.has_error())
            answer.value = std::move(out);
        answer.problems = std::move(report.problems);
        return answer;
    }
};

known_labels known_of(const breach& b, const labels* master, const inventory* devices)
{
    known_labels known;
    known.master = master;
    if (devices != nullptr)
        known.inventory = devices->find(b);
    return known;
}

loaded_inventory load_inventory_text(std::string_view text,
                                     const std::string& display_name,
                                     inventory_key key)
{
    inventory_reader reader;
    reader.key = key;
    reader.report.file = display_name;
    return reader.read(text);
}

loaded_inventory load_inventory_file(const std::string& path,
                                     const std::string& display_name,
                                     inventory_key key)
{
    const auto file = read_file(path, max_inventory_bytes, file_kind::any);
    if (file)
        return load_inventory_text(file->bytes, display_name, key);
    loaded_inventory answer;
    answer.problems.push_back({display_name,
                               0,
                               "",
                               file.error().detail + "; expected a CSV file that the service's user may read",
                               false});
    return answer;
}

}  // namespace dtbridge::rules
